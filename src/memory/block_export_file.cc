#include "memory/block_export_file.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "base/crc32c.h"

namespace qwen25 {
namespace {

constexpr uint64_t kAny = UINT64_MAX;
// As many as a store has slots (SlotFile::kMaxSlots); row numbers fit into 32 bits.
constexpr uint64_t kMaxRows = uint64_t{1} << 26;

std::optional<Hash128> ParseFingerprint(std::string_view text) {
  Hash128 hash;
  if (text.size() != 32) return std::nullopt;
  const auto parse = [](std::string_view digits, uint64_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  if (!parse(text.substr(0, 16), hash.high) || !parse(text.substr(16), hash.low)) return std::nullopt;
  return FingerprintText(hash) == text ? std::optional(hash) : std::nullopt;  // in lower case
}

std::string Describe(DType dtype, std::span<const uint64_t> shape) {
  std::string text = fmt::format("{} [", DTypeName(dtype));
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + (shape[i] == kAny ? std::string("any") : std::to_string(shape[i]));
  }
  return text + "]";
}

}  // namespace

std::string ExportName(size_t format, std::string_view what) {
  return fmt::format("{}.{}", format, what);
}

std::string FingerprintText(const Hash128& fingerprint) {
  return fmt::format("{:016x}{:016x}", fingerprint.high, fingerprint.low);
}

uint32_t BeginExportSums(std::string_view name_space, const Hash128& fingerprint) {
  return Crc32c(std::as_bytes(std::span(&fingerprint, 1)), Crc32c(std::as_bytes(std::span(name_space))));
}

uint32_t BeginExportSum(uint32_t of_format, const Hash128& id, std::span<const int32_t> tokens) {
  return Crc32c(std::as_bytes(tokens), Crc32c(std::as_bytes(std::span(&id, 1)), of_format));
}

Hash128 ExportedBlocks::ParentId(size_t row) const {
  const int32_t parent = columns.parents[row];
  return parent == kNoParentRow ? Hash128() : columns.ids[static_cast<size_t>(parent)];
}

uint32_t ExportedBlocks::SumOf(size_t row, std::span<const std::byte> keys_values_of_row,
                               std::span<const std::byte> summaries_of_row) const {
  const uint32_t sum = BeginExportSum(sums_begin, columns.ids[row], columns.TokensOf(row));
  return Crc32c(summaries_of_row, Crc32c(keys_values_of_row, sum));
}

void BlockExportFile::Guard() {
  const std::byte *begin = nullptr, *end = nullptr;
  for (const TensorInfo& tensor : reader_.tensors()) {
    if (tensor.bytes.empty()) continue;
    if (begin == nullptr) begin = tensor.bytes.data();
    end = tensor.bytes.data() + tensor.bytes.size();
  }
  if (begin != nullptr) guard_ = MapGuard(begin, static_cast<size_t>(end - begin), failures_.get());
}

Result<BlockExportFile> BlockExportFile::Open(const std::filesystem::path& path) {
  QWEN25_TRY(SafetensorsReader reader, SafetensorsReader::Open(path));
  BlockExportFile file(path.string(), std::move(reader));
  file.Guard();
  QWEN25_RETURN_IF_ERROR(file.Parse());
  return file;
}

Status BlockExportFile::Parse() {
  const auto& metadata = reader_.metadata();
  const auto content = metadata.find("content"), version = metadata.find("version"),
             name_space = metadata.find("namespace");
  if (content == metadata.end() || content->second != kExportContent) {
    return InvalidArgument(
        "{}: is a safetensors file, but its metadata does not say that it holds \"{}\"; give a file that "
        "`qwen25 memory export-blocks` has written",
        path_, kExportContent);
  }
  if (version == metadata.end() || version->second != kExportVersion) {
    return Unsupported("{}: has version \"{}\" of the format, this program reads {}", path_,
                       version == metadata.end() ? "" : version->second, kExportVersion);
  }
  if (name_space == metadata.end()) return Corrupt("{}: its metadata names no namespace", path_);
  name_space_ = name_space->second;
  size_t num_tensors = 0;
  for (size_t number = 0; metadata.contains(ExportName(number, "fingerprint")); ++number) {
    QWEN25_RETURN_IF_ERROR(ReadFormat(number));
    QWEN25_RETURN_IF_ERROR(CheckRows(number));
    num_tensors += formats_.back().format.summary_bytes == 0 ? 6 : 7;
  }
  if (num_tensors != reader_.tensors().size()) {
    return Corrupt("{}: holds {} tensors, its {} formats should have {}", path_, reader_.tensors().size(),
                   formats_.size(), num_tensors);
  }
  return {};
}

Status BlockExportFile::FindTensor(const std::string& name, DType dtype, std::span<const uint64_t> shape,
                                   const TensorInfo*& found) const {
  found = reader_.Find(name);
  if (found == nullptr) return Corrupt("{}: there is no tensor {}", path_, name);
  bool right = found->dtype == dtype && found->shape.size() == shape.size();
  for (size_t i = 0; right && i < shape.size(); ++i) right = shape[i] == kAny || shape[i] == found->shape[i];
  if (right) return {};
  return Corrupt("{}: tensor {} is {}, expected {}", path_, name, Describe(found->dtype, found->shape),
                 Describe(dtype, shape));
}

template <typename T>
Status BlockExportFile::ReadColumn(const std::string& name, DType dtype, std::vector<uint64_t> shape,
                                   std::vector<T>& column) const {
  const TensorInfo* tensor = nullptr;
  QWEN25_RETURN_IF_ERROR(FindTensor(name, dtype, shape, tensor));
  column.resize(tensor->bytes.size() / sizeof(T));
  // Copied: the bytes may be unaligned.
  if (!column.empty()) std::memcpy(column.data(), tensor->bytes.data(), tensor->bytes.size());
  return {};
}

Status BlockExportFile::ReadFormat(size_t number) {
  const auto name = [&](std::string_view what) { return ExportName(number, what); };
  ExportedBlocks blocks;
  const std::string& fingerprint_text = reader_.metadata().at(name("fingerprint"));
  const std::optional<Hash128> fingerprint = ParseFingerprint(fingerprint_text);
  if (!fingerprint) {
    return Corrupt("{}: the fingerprint \"{}\" of format {} is not 32 hexadecimal digits", path_,
                   fingerprint_text, number);
  }
  const uint64_t any[] = {kAny, kAny, kAny};
  const TensorInfo* tensor = nullptr;
  QWEN25_RETURN_IF_ERROR(FindTensor(name("keys_values"), DType::kU8, any, tensor));
  const uint64_t rows = tensor->shape[0];
  if (rows > kMaxRows || tensor->shape[1] > kMaxBlockLayers || tensor->shape[2] > kMaxLayerBytes) {
    return Corrupt("{}: tensor {} is {}, expected up to {} blocks of up to {} layers of up to {} bytes",
                   path_, tensor->name, Describe(tensor->dtype, tensor->shape), kMaxRows, kMaxBlockLayers,
                   kMaxLayerBytes);
  }
  blocks.sums_begin = BeginExportSums(name_space_, *fingerprint);
  blocks.keys_values = tensor->bytes;
  blocks.format = {.fingerprint = *fingerprint,
                   .num_layers = static_cast<uint32_t>(tensor->shape[1]),
                   .layer_bytes = static_cast<uint32_t>(tensor->shape[2])};
  if (reader_.Find(name("summaries")) != nullptr) {
    const uint64_t shape[] = {rows, blocks.format.num_layers, kAny};
    QWEN25_RETURN_IF_ERROR(FindTensor(name("summaries"), DType::kU8, shape, tensor));
    if (tensor->shape[2] > kMaxSummaryBytes) {
      return Corrupt("{}: tensor {} has summaries of {} bytes, expected at most {}", path_, tensor->name,
                     tensor->shape[2], kMaxSummaryBytes);
    }
    blocks.summaries = tensor->bytes;
    blocks.format.summary_bytes = static_cast<uint32_t>(tensor->shape[2]);
  }
  if (const Status status = ValidateBlockFormat(blocks.format); !status.ok()) {
    return Corrupt("{}: format {}: {}", path_, number, status.message());
  }
  ExportColumns& columns = blocks.columns;
  QWEN25_RETURN_IF_ERROR(ReadColumn(name("ids"), DType::kU8, {rows, sizeof(Hash128)}, columns.ids));
  QWEN25_RETURN_IF_ERROR(ReadColumn(name("parents"), DType::kI32, {rows}, columns.parents));
  QWEN25_RETURN_IF_ERROR(ReadColumn(name("positions"), DType::kI32, {rows}, columns.positions));
  QWEN25_RETURN_IF_ERROR(ReadColumn(name("tokens"), DType::kI32, {rows, kBlockTokens}, columns.tokens));
  QWEN25_RETURN_IF_ERROR(ReadColumn(name("sums"), DType::kU32, {rows}, columns.sums));
  formats_.push_back(std::move(blocks));
  return {};
}

Status BlockExportFile::CheckRows(size_t number) const {
  const ExportedBlocks& blocks = formats_[number];
  const ExportColumns& columns = blocks.columns;
  std::unordered_set<Hash128, Hash128Hasher> seen;
  for (size_t row = 0; row < blocks.size(); ++row) {
    const auto bad = [&](std::string_view what) {
      return Corrupt("{}: block {} of format {}: {}; the file was changed after it was written: export again",
                     path_, row, number, what);
    };
    const int32_t parent = columns.parents[row];
    if (parent < kNoParentRow || parent >= static_cast<int64_t>(row)) {
      return bad(fmt::format("follows block {}, expected an earlier one, or {}", parent, kNoParentRow));
    }
    const int32_t position = parent == kNoParentRow ? 0 : columns.positions[static_cast<size_t>(parent)] + 1;
    if (columns.positions[row] != position) {
      return bad(fmt::format("has position {}, expected {}", columns.positions[row], position));
    }
    if (parent != kNoParentRow &&
        BlockIdOf(blocks.ParentId(row), columns.TokensOf(row)) != columns.ids[row]) {
      return bad(fmt::format("its id is not that of its tokens after block {}", parent));
    }
    if (!seen.insert(columns.ids[row]).second) return bad("its id is that of an earlier block");
  }
  return {};
}

}  // namespace qwen25
