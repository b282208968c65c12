#include "store/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"

static_assert(std::endian::native == std::endian::little, "GGUF numbers are read as they lie in the file");

namespace qwen25 {
namespace {

constexpr std::string_view kTypeNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
// Bytes of a value of each type; for strings and arrays, the minimum.
constexpr uint64_t kTypeBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
constexpr uint32_t kNumTypes = std::size(kTypeNames);

constexpr uint32_t kMaxArrayDepth = 4;       // known files do not nest arrays at all
constexpr uint64_t kMaxAlignment = 1 << 20;  // far above a page; more is taken for damage
constexpr const char* kCut = "the file was probably cut while it was copied or downloaded; fetch it again";

// A place in the file. Reading past the file's end is an error that names the place.
class Cursor {
 public:
  Cursor(const std::string& path, std::span<const std::byte> file) : path_(path), file_(file) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }
  const std::string& path() const { return path_; }
  std::span<const std::byte> From(uint64_t begin) const { return file_.subspan(begin, at_ - begin); }

  Status Skip(uint64_t count, std::string_view what) {
    if (count > left()) {
      return Corrupt("{}: {} at byte {} takes {} bytes, the file has {} left; {}", path_, what, at_, count,
                     left(), kCut);
    }
    at_ += count;
    return {};
  }
  template <typename Number>
  Status Read(Number& number, std::string_view what) {
    const uint64_t begin = at_;
    QWEN25_RETURN_IF_ERROR(Skip(sizeof number, what));
    std::memcpy(&number, file_.data() + begin, sizeof number);
    return {};
  }
  Status ReadString(std::string_view& text, std::string_view what) {
    uint64_t length = 0;
    QWEN25_RETURN_IF_ERROR(Read(length, what));
    const uint64_t begin = at_;
    QWEN25_RETURN_IF_ERROR(Skip(length, what));
    text = {reinterpret_cast<const char*>(file_.data()) + begin, length};
    return {};
  }

 private:
  const std::string& path_;
  std::span<const std::byte> file_;
  uint64_t at_ = 0;
};

// Text of a file, made safe for a message: quoted, escaped, and cut to 80 bytes.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, 80)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + (text.size() > 80 ? "...\"" : "\"");
}

Status CheckType(const Cursor& cursor, uint32_t type, std::string_view what) {
  if (type < kNumTypes) return {};
  return Corrupt("{}: {} has value type {}, expected 0 to {}", cursor.path(), what, type, kNumTypes - 1);
}

Status CheckBools(const Cursor& cursor, std::span<const std::byte> bytes, std::string_view what) {
  for (const std::byte byte : bytes) {
    if (static_cast<uint8_t>(byte) > 1) {
      return Corrupt("{}: {} holds a bool of value {}, expected 0 or 1", cursor.path(), what,
                     static_cast<int>(byte));
    }
  }
  return {};
}

Status SkipValue(Cursor& cursor, GgufType type, std::string_view what, uint32_t depth);

Status SkipArray(Cursor& cursor, std::string_view what, uint32_t depth) {
  if (depth >= kMaxArrayDepth) {
    return Unsupported("{}: {} nests arrays more than {} deep", cursor.path(), what, kMaxArrayDepth);
  }
  uint32_t type = 0;
  uint64_t count = 0;
  QWEN25_RETURN_IF_ERROR(cursor.Read(type, what));
  QWEN25_RETURN_IF_ERROR(CheckType(cursor, type, what));
  QWEN25_RETURN_IF_ERROR(cursor.Read(count, what));
  const uint64_t least = kTypeBytes[type];
  if (count > cursor.left() / least) {
    return Corrupt("{}: {} claims {} elements of type {}, the file has {} bytes left; {}", cursor.path(),
                   what, count, kTypeNames[type], cursor.left(), kCut);
  }
  const auto element = static_cast<GgufType>(type);
  if (element != GgufType::kString && element != GgufType::kArray) {
    const uint64_t begin = cursor.at();
    QWEN25_RETURN_IF_ERROR(cursor.Skip(count * least, what));
    return element == GgufType::kBool ? CheckBools(cursor, cursor.From(begin), what) : Status();
  }
  for (uint64_t i = 0; i < count; ++i) {
    QWEN25_RETURN_IF_ERROR(SkipValue(cursor, element, what, depth + 1));
  }
  return {};
}

Status SkipValue(Cursor& cursor, GgufType type, std::string_view what, uint32_t depth) {
  if (type == GgufType::kArray) return SkipArray(cursor, what, depth);
  if (type == GgufType::kString) {
    std::string_view ignored;
    return cursor.ReadString(ignored, what);
  }
  const uint64_t begin = cursor.at();
  QWEN25_RETURN_IF_ERROR(cursor.Skip(kTypeBytes[static_cast<uint32_t>(type)], what));
  return type == GgufType::kBool ? CheckBools(cursor, cursor.From(begin), what) : Status();
}

// Refuses a count that the rest of the file cannot hold, before memory is allocated for it.
Status CheckCount(const Cursor& cursor, uint64_t count, uint64_t least_bytes, std::string_view what) {
  if (count <= cursor.left() / least_bytes) return {};
  return Corrupt("{}: claims {} {}, the file has {} bytes after its header; {}", cursor.path(), count, what,
                 cursor.left(), kCut);
}

struct Header {
  uint32_t version = 0;
  uint64_t num_tensors = 0;
  uint64_t num_values = 0;
};

Result<Header> ReadHeader(Cursor& cursor) {
  uint32_t magic = 0;
  Header header;
  if (cursor.left() < 24) {
    return Corrupt("{}: {} bytes are too few for a GGUF file; {}", cursor.path(), cursor.left(), kCut);
  }
  QWEN25_RETURN_IF_ERROR(cursor.Read(magic, "magic"));
  if (magic != 0x46554747) {  // "GGUF"
    return Corrupt("{}: does not begin with \"GGUF\"; this is not a GGUF file", cursor.path());
  }
  QWEN25_RETURN_IF_ERROR(cursor.Read(header.version, "version"));
  if (header.version == 0x02000000 || header.version == 0x03000000) {
    return Unsupported("{}: is a big-endian GGUF file; convert it to little-endian", cursor.path());
  }
  if (header.version != 2 && header.version != 3) {
    return Unsupported("{}: is GGUF version {}, this program reads 2 and 3; convert the model again",
                       cursor.path(), header.version);
  }
  QWEN25_RETURN_IF_ERROR(cursor.Read(header.num_tensors, "number of tensors"));
  QWEN25_RETURN_IF_ERROR(cursor.Read(header.num_values, "number of metadata values"));
  QWEN25_RETURN_IF_ERROR(CheckCount(cursor, header.num_values, 8 + 1 + 4 + 1, "metadata values"));
  QWEN25_RETURN_IF_ERROR(CheckCount(cursor, header.num_tensors, 8 + 1 + 4 + 4 + 8, "tensors"));
  return header;
}

// A tensor and its place in the data section, as the file claims it.
struct PlacedTensor {
  GgufTensor tensor;
  uint64_t begin = 0;
  uint64_t num_bytes = 0;
};

Status ReadShape(Cursor& cursor, GgufTensor& tensor) {
  const auto bad = [&](std::string_view what) {
    return Corrupt("{}: tensor {}: {}", cursor.path(), tensor.name, what);
  };
  uint32_t num_dimensions = 0;
  QWEN25_RETURN_IF_ERROR(cursor.Read(num_dimensions, "a tensor's number of dimensions"));
  if (num_dimensions > kMaxGgmlDimensions) {
    return bad(fmt::format("has {} dimensions, ggml allows at most {}", num_dimensions, kMaxGgmlDimensions));
  }
  for (uint32_t i = 0; i < num_dimensions; ++i) {
    QWEN25_RETURN_IF_ERROR(cursor.Read(tensor.shape.emplace_back(), "a tensor's shape"));
  }
  std::ranges::reverse(tensor.shape);
  return {};
}

Result<PlacedTensor> ReadTensor(Cursor& cursor, uint64_t number) {
  PlacedTensor place;
  GgufTensor& tensor = place.tensor;
  std::string_view name;
  QWEN25_RETURN_IF_ERROR(cursor.ReadString(name, fmt::format("the name of tensor {}", number)));
  if (!IsGgufName(name)) {
    return Corrupt("{}: tensor {} has the name {}, expected 1 to {} bytes without control characters",
                   cursor.path(), number, Quoted(name), kMaxGgufNameBytes);
  }
  tensor.name = name;
  QWEN25_RETURN_IF_ERROR(ReadShape(cursor, tensor));
  uint32_t type = 0;
  QWEN25_RETURN_IF_ERROR(cursor.Read(type, "a tensor's type"));
  tensor.type = static_cast<GgmlType>(type);
  const GgmlTypeInfo* info = FindGgmlType(tensor.type);
  if (info == nullptr) {
    return Unsupported("{}: tensor {} has ggml type {}, which this program does not know", cursor.path(),
                       tensor.name, type);
  }
  uint64_t num_elements = 1;
  for (const uint64_t size : tensor.shape) {
    if (__builtin_mul_overflow(num_elements, size, &num_elements) || num_elements > uint64_t{1} << 60) {
      return Corrupt("{}: tensor {}: shape [{}] is too large to be true", cursor.path(), tensor.name,
                     fmt::join(tensor.shape, ", "));
    }
  }
  const uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % info->elements != 0) {
    return Corrupt("{}: tensor {}: rows of {} numbers are not a whole number of {} blocks of {}",
                   cursor.path(), tensor.name, row, info->name, info->elements);
  }
  if (__builtin_mul_overflow(num_elements / info->elements, uint64_t{info->bytes}, &place.num_bytes)) {
    return Corrupt("{}: tensor {}: shape [{}] is too large to be true", cursor.path(), tensor.name,
                   fmt::join(tensor.shape, ", "));
  }
  QWEN25_RETURN_IF_ERROR(cursor.Read(place.begin, "a tensor's offset"));
  return place;
}

// Every tensor is aligned and inside the data; none overlaps another.
Status CheckPlaces(const std::string& path, std::span<const PlacedTensor> places, uint64_t alignment,
                   uint64_t num_bytes) {
  std::vector<const PlacedTensor*> sorted;
  for (const PlacedTensor& place : places) {
    const std::string& name = place.tensor.name;
    if (place.begin % alignment != 0) {
      return Corrupt(
          "{}: tensor {} starts at byte {} of the data, which is not a multiple of the alignment {}", path,
          name, place.begin, alignment);
    }
    if (place.begin > num_bytes || place.num_bytes > num_bytes - place.begin) {
      return Corrupt("{}: tensor {} needs {} bytes from byte {} of the data on, the file holds {} bytes; {}",
                     path, name, place.num_bytes, place.begin, num_bytes, kCut);
    }
    if (place.num_bytes > 0) sorted.push_back(&place);
  }
  std::ranges::sort(sorted, {}, &PlacedTensor::begin);
  for (size_t i = 1; i < sorted.size(); ++i) {
    const PlacedTensor &a = *sorted[i - 1], &b = *sorted[i];
    if (a.begin + a.num_bytes > b.begin) {
      return Corrupt("{}: tensor {} starts at byte {} of the data, inside tensor {}", path, b.tensor.name,
                     b.begin, a.tensor.name);
    }
  }
  return {};
}

template <typename Number>
Number Load(std::span<const std::byte> bytes) {
  Number number;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

uint64_t RoundUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// "name-00002-of-00005.gguf" -> "name"; empty for any other form.
std::string SplitPrefix(const std::string& filename, uint64_t number, uint64_t count) {
  const std::string suffix = fmt::format("-{:05}-of-{:05}.gguf", number, count);
  return filename.ends_with(suffix) ? filename.substr(0, filename.size() - suffix.size()) : "";
}

}  // namespace

bool IsGgufName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxGgufNameBytes &&
         std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string_view GgufTypeName(GgufType type) {
  return kTypeNames[static_cast<uint32_t>(type)];
}

std::string GgufValue::TypeName() const {
  if (type_ != GgufType::kArray) return std::string(GgufTypeName(type_));
  return fmt::format("array of {}", GgufTypeName(static_cast<GgufType>(Load<uint32_t>(bytes_))));
}

std::optional<int64_t> GgufValue::Integer() const {
  switch (type_) {
    case GgufType::kU8:
      return Load<uint8_t>(bytes_);
    case GgufType::kI8:
      return Load<int8_t>(bytes_);
    case GgufType::kU16:
      return Load<uint16_t>(bytes_);
    case GgufType::kI16:
      return Load<int16_t>(bytes_);
    case GgufType::kU32:
      return Load<uint32_t>(bytes_);
    case GgufType::kI32:
      return Load<int32_t>(bytes_);
    case GgufType::kI64:
      return Load<int64_t>(bytes_);
    case GgufType::kU64: {
      const auto value = Load<uint64_t>(bytes_);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> GgufValue::Number() const {
  if (type_ == GgufType::kF32) return Load<float>(bytes_);
  if (type_ == GgufType::kF64) return Load<double>(bytes_);
  const std::optional<int64_t> integer = Integer();
  if (!integer) return std::nullopt;
  return static_cast<double>(*integer);
}

std::optional<bool> GgufValue::Bool() const {
  if (type_ != GgufType::kBool) return std::nullopt;
  return Load<uint8_t>(bytes_) != 0;
}

std::optional<std::string_view> GgufValue::String() const {
  if (type_ != GgufType::kString) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(bytes_.data()) + 8, bytes_.size() - 8);
}

std::optional<std::vector<GgufValue>> GgufValue::Elements() const {
  if (type_ != GgufType::kArray) return std::nullopt;
  const std::string origin;
  Cursor cursor(origin, bytes_);
  uint32_t type = 0;
  uint64_t count = 0;
  QWEN25_CHECK(cursor.Read(type, "").ok() && cursor.Read(count, "").ok());
  std::vector<GgufValue> elements;
  elements.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = cursor.at();
    QWEN25_CHECK(SkipValue(cursor, static_cast<GgufType>(type), "", 0).ok());  // checked by the reader
    elements.emplace_back(static_cast<GgufType>(type), cursor.From(begin));
  }
  return elements;
}

namespace {

// The elements converted by `get`; nothing if one of them has another type.
template <typename T, typename Get>
std::optional<std::vector<T>> ElementsAs(const GgufValue& value, const Get& get) {
  const std::optional<std::vector<GgufValue>> elements = value.Elements();
  if (!elements) return std::nullopt;
  std::vector<T> all;
  all.reserve(elements->size());
  for (const GgufValue& element : *elements) {
    const std::optional<T> one = get(element);
    if (!one) return std::nullopt;
    all.push_back(*one);
  }
  return all;
}

}  // namespace

std::optional<std::vector<std::string_view>> GgufValue::Strings() const {
  return ElementsAs<std::string_view>(*this, [](const GgufValue& value) { return value.String(); });
}
std::optional<std::vector<int64_t>> GgufValue::Integers() const {
  return ElementsAs<int64_t>(*this, [](const GgufValue& value) { return value.Integer(); });
}
std::optional<std::vector<double>> GgufValue::Numbers() const {
  return ElementsAs<double>(*this, [](const GgufValue& value) { return value.Number(); });
}

uint64_t GgufTensor::NumElements() const {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  return count;
}

Result<GgufReader> GgufReader::Open(const std::filesystem::path& path) {
  QWEN25_TRY(MappedFile file, MappedFile::Open(path));
  GgufReader reader(std::move(file));
  QWEN25_RETURN_IF_ERROR(reader.Parse(path.string()));
  return reader;
}

Status GgufReader::Parse(const std::string& path) {
  Cursor cursor(path, file_.bytes());
  QWEN25_TRY(const Header header, ReadHeader(cursor));
  version_ = header.version;
  for (uint64_t i = 0; i < header.num_values; ++i) {
    std::string_view key;
    QWEN25_RETURN_IF_ERROR(cursor.ReadString(key, fmt::format("the name of metadata value {}", i)));
    if (!IsGgufName(key)) {
      return Corrupt(
          "{}: metadata value {} has the key {}, expected 1 to {} bytes without control characters", path, i,
          Quoted(key), kMaxGgufNameBytes);
    }
    if (!metadata_by_name_.emplace(key, metadata_.size()).second) {
      return Corrupt("{}: metadata key {} comes twice", path, Quoted(key));
    }
    const std::string what = fmt::format("metadata {}", Quoted(key));
    uint32_t type = 0;
    QWEN25_RETURN_IF_ERROR(cursor.Read(type, what));
    QWEN25_RETURN_IF_ERROR(CheckType(cursor, type, what));
    const uint64_t begin = cursor.at();
    QWEN25_RETURN_IF_ERROR(SkipValue(cursor, static_cast<GgufType>(type), what, 0));
    metadata_.emplace_back(std::string(key), GgufValue(static_cast<GgufType>(type), cursor.From(begin)));
  }
  QWEN25_RETURN_IF_ERROR(ReadAlignment(path));
  std::vector<PlacedTensor> places;
  for (uint64_t i = 0; i < header.num_tensors; ++i) {
    QWEN25_TRY(PlacedTensor place, ReadTensor(cursor, i));
    if (!tensors_by_name_.emplace(place.tensor.name, places.size()).second) {
      return Corrupt("{}: tensor {} comes twice", path, place.tensor.name);
    }
    places.push_back(std::move(place));
  }
  // A file without tensors may lack the padding.
  const uint64_t begin = std::min<uint64_t>(RoundUp(cursor.at(), alignment_), file_.bytes().size());
  const std::span<const std::byte> data = file_.bytes().subspan(begin);
  QWEN25_RETURN_IF_ERROR(CheckPlaces(path, places, alignment_, data.size()));
  for (PlacedTensor& place : places) {
    place.tensor.bytes = data.subspan(place.begin, place.num_bytes);
    tensors_.push_back(std::move(place.tensor));
  }
  return {};
}

Status GgufReader::ReadAlignment(const std::string& path) {
  const GgufValue* value = Find("general.alignment");
  if (value == nullptr) return {};
  const int64_t alignment = value->Integer().value_or(0);
  if (alignment < 1 || alignment > static_cast<int64_t>(kMaxAlignment) ||
      !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return Corrupt("{}: general.alignment is {} ({}), expected a power of two up to {}", path, alignment,
                   value->TypeName(), kMaxAlignment);
  }
  alignment_ = static_cast<uint64_t>(alignment);
  return {};
}

const GgufValue* GgufReader::Find(std::string_view key) const {
  const auto found = metadata_by_name_.find(key);
  return found == metadata_by_name_.end() ? nullptr : &metadata_[found->second].second;
}

const GgufTensor* GgufReader::FindTensor(std::string_view name) const {
  const auto found = tensors_by_name_.find(name);
  return found == tensors_by_name_.end() ? nullptr : &tensors_[found->second];
}

Result<GgufFiles> GgufFiles::Open(const std::filesystem::path& path) {
  GgufFiles files;
  QWEN25_TRY(GgufReader first, GgufReader::Open(path));
  const auto number_of = [&](const char* key) {
    const GgufValue* value = first.Find(key);
    return value == nullptr ? 0 : value->Integer().value_or(-1);
  };
  const int64_t count = number_of("split.count"), split = number_of("split.no");
  constexpr int64_t kMaxParts = 9999;
  if (count < 0 || count > kMaxParts || split < 0 || split > kMaxParts || (count > 0 && split >= count)) {
    return Corrupt("{}: split.no is {} and split.count {}, expected a number below the count", path.string(),
                   split, count);
  }
  const int64_t number = split + 1;
  if (count <= 1) {
    files.parts_.push_back(std::move(first));
    return files;
  }
  const std::string prefix =
      SplitPrefix(path.filename(), static_cast<uint64_t>(number), static_cast<uint64_t>(count));
  if (prefix.empty()) {
    return InvalidArgument(
        "{}: is part {} of {}, but is not named NAME-{:05}-of-{:05}.gguf, so the other parts cannot be found",
        path.string(), number, count, number, count);
  }
  for (int64_t i = 1; i <= count; ++i) {
    QWEN25_TRY(GgufReader part, GgufReader::Open(path.parent_path() /
                                                 fmt::format("{}-{:05}-of-{:05}.gguf", prefix, i, count)));
    for (const GgufTensor& tensor : part.tensors()) {
      if (files.FindTensor(tensor.name) != nullptr) {
        return Corrupt("{}: tensor {} is in more than one part, again in part {}", path.string(), tensor.name,
                       i);
      }
    }
    files.parts_.push_back(std::move(part));
  }
  return files;
}

const GgufTensor* GgufFiles::FindTensor(std::string_view name) const {
  for (const GgufReader& part : parts_) {
    if (const GgufTensor* tensor = part.FindTensor(name); tensor != nullptr) return tensor;
  }
  return nullptr;
}

std::vector<const GgufTensor*> GgufFiles::tensors() const {
  std::vector<const GgufTensor*> all;
  for (const GgufReader& part : parts_) {
    for (const GgufTensor& tensor : part.tensors()) all.push_back(&tensor);
  }
  return all;
}

}  // namespace qwen25
