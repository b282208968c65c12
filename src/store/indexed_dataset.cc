#include "store/indexed_dataset.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/json.h"

namespace qwen25 {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is read as it lies in memory");

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr uint64_t kVersion = 1;
constexpr uint8_t kInt32Code = 4, kUInt16Code = 8;
constexpr uint32_t kUInt16VocabLimit = 65500;  // Megatron's: leaves room above the vocabulary
constexpr uint64_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr const char* kCut = "the file was probably cut while it was written or copied; make the shard again";

template <typename T>
T Load(std::span<const std::byte> bytes, uint64_t offset) {
  T value;  // numbers in an .idx are not aligned
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string DTypeOfCode(uint8_t code) {
  constexpr const char* kNames[] = {"uint8", "int8",    "int16",   "int32",
                                    "int64", "float64", "float32", "uint16"};
  return code >= 1 && code <= 8 ? kNames[code - 1] : "unknown";
}

std::string Hex(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

// One hash for both files of a shard.
std::string SumOf(const Hash128& bin, const Hash128& idx) {
  const Hash128 both[] = {bin, idx};
  return Hex(CombineHashes(both));
}

Status CheckId(int32_t id, uint32_t vocab_size, const std::string& place) {
  if (id >= 0 && static_cast<uint32_t>(id) < vocab_size) return {};
  return InvalidArgument(
      "{}: token id {} is outside the vocabulary of {}; was it made with another tokenizer?", place, id,
      vocab_size);
}

}  // namespace

IndexedDatasetWriter::IndexedDatasetWriter(std::string prefix, uint32_t vocab_size, AtomicFile bin,
                                           AtomicFile idx)
    : prefix_(std::move(prefix)),
      vocab_size_(vocab_size),
      token_bytes_(vocab_size < kUInt16VocabLimit ? sizeof(uint16_t) : sizeof(int32_t)),
      bin_(std::move(bin)),
      idx_(std::move(idx)) {
  buffer_.reserve(kBufferBytes);
}

Result<IndexedDatasetWriter> IndexedDatasetWriter::Create(const std::filesystem::path& prefix,
                                                          uint32_t vocab_size) {
  if (vocab_size == 0 || vocab_size > uint32_t{1} << 31) {
    return InvalidArgument("{}: a vocabulary of {} tokens; expected 1 to 2^31", prefix.string(), vocab_size);
  }
  QWEN25_TRY(AtomicFile bin, AtomicFile::Open(prefix.string() + ".bin"));
  QWEN25_TRY(AtomicFile idx, AtomicFile::Open(prefix.string() + ".idx"));
  return IndexedDatasetWriter(prefix.string(), vocab_size, std::move(bin), std::move(idx));
}

Status IndexedDatasetWriter::AddDocument(std::span<const int32_t> tokens) {
  if (tokens.empty() || tokens.size() > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("{}: document {} has {} tokens; the format holds documents of 1 to 2^31 - 1",
                           prefix_, num_documents(), tokens.size());
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < vocab_size_) continue;
    return CheckId(tokens[i], vocab_size_,
                   fmt::format("{}: document {}, token {}", prefix_, num_documents(), i));
  }
  for (int32_t token : tokens) {
    if (buffer_.size() + token_bytes_ > kBufferBytes) QWEN25_RETURN_IF_ERROR(FlushBuffer());
    std::byte bytes[sizeof token];
    std::memcpy(bytes, &token, sizeof token);  // little-endian: the low bytes are the uint16
    buffer_.insert(buffer_.end(), bytes, bytes + token_bytes_);
  }
  lengths_.push_back(static_cast<int32_t>(tokens.size()));
  num_tokens_ += tokens.size();
  return {};
}

Status IndexedDatasetWriter::FlushBuffer() {
  QWEN25_RETURN_IF_ERROR(bin_.Write(buffer_));
  bin_hash_.Update(buffer_);
  buffer_.clear();
  return {};
}

Status IndexedDatasetWriter::WriteIdx(std::span<const std::byte> bytes) {
  idx_hash_.Update(bytes);
  return idx_.Write(bytes);
}

Status IndexedDatasetWriter::RemoveEarlier() const {
  for (const char* extension : {".idx", ".sum"}) {
    std::error_code error;
    std::filesystem::remove(prefix_ + extension, error);
    if (error) return ErrnoStatus(error.value(), "remove the earlier", prefix_ + extension);
  }
  return {};
}

Status IndexedDatasetWriter::Finish() {
  QWEN25_RETURN_IF_ERROR(FlushBuffer());
  QWEN25_CHECK(bin_.bytes_written() == num_tokens_ * token_bytes_);
  const uint64_t counts[] = {num_documents(), num_documents() + 1};
  const uint8_t code = token_bytes_ == sizeof(uint16_t) ? kUInt16Code : kInt32Code;
  QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(kMagic))));
  QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(&kVersion, 1))));
  QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(&code, 1))));
  QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(counts))));
  QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(lengths_))));
  std::vector<int64_t> numbers;  // written in pieces: there may be many millions of documents
  const auto write_all = [&](uint64_t count, auto&& next) -> Status {
    for (uint64_t i = 0; i < count; ++i) {
      numbers.push_back(next(i));
      if (numbers.size() < kBufferBytes / sizeof(int64_t) && i + 1 < count) continue;
      QWEN25_RETURN_IF_ERROR(WriteIdx(std::as_bytes(std::span(numbers))));
      numbers.clear();
    }
    return {};
  };
  int64_t pointer = 0;
  QWEN25_RETURN_IF_ERROR(write_all(num_documents(), [&](uint64_t i) {
    const int64_t begin = pointer;
    pointer += static_cast<int64_t>(lengths_[i]) * static_cast<int64_t>(token_bytes_);
    return begin;
  }));
  QWEN25_RETURN_IF_ERROR(write_all(num_documents() + 1, [](uint64_t i) { return static_cast<int64_t>(i); }));
  QWEN25_RETURN_IF_ERROR(RemoveEarlier());
  QWEN25_RETURN_IF_ERROR(bin_.Commit());
  QWEN25_RETURN_IF_ERROR(idx_.Commit());
  const Json sum = {{"format_version", 1}, {"sum", SumOf(bin_hash_.Digest(), idx_hash_.Digest())}};
  return WriteFileAtomically(prefix_ + ".sum", sum.dump() + "\n");
}

Result<IndexedDataset> IndexedDataset::Open(const std::filesystem::path& prefix) {
  const std::string extension = prefix.extension().string();
  if (extension == ".bin" || extension == ".idx") {
    return InvalidArgument("{}: expected the name that a shard's two files share, without {}",
                           prefix.string(), extension);
  }
  QWEN25_TRY(MappedFile idx, MappedFile::Open(prefix.string() + ".idx"));
  QWEN25_TRY(MappedFile bin, MappedFile::Open(prefix.string() + ".bin"));
  IndexedDataset dataset(prefix.string(), std::move(bin), std::move(idx));
  QWEN25_RETURN_IF_ERROR(dataset.ParseHeader());
  QWEN25_RETURN_IF_ERROR(dataset.CheckSequences());
  QWEN25_RETURN_IF_ERROR(dataset.CheckDocuments());
  return dataset;
}

Status IndexedDataset::ParseHeader() {
  const std::span<const std::byte> idx = idx_.bytes();
  if (idx.size() < kHeaderBytes) {
    return Corrupt("{}.idx: {} bytes, the header alone has {}; {}", prefix_, idx.size(), kHeaderBytes, kCut);
  }
  if (std::memcmp(idx.data(), kMagic.data(), kMagic.size()) != 0) {
    return Corrupt("{}.idx: does not begin with MMIDIDX; this is not the index of a Megatron token shard",
                   prefix_);
  }
  if (const auto version = Load<uint64_t>(idx, 9); version != kVersion) {
    return Unsupported("{}.idx: format version {}, this program reads {}", prefix_, version, kVersion);
  }
  const auto code = Load<uint8_t>(idx, 17);
  if (code != kInt32Code && code != kUInt16Code) {
    return Unsupported("{}.idx: tokens of type {} (code {}); write the shard with uint16 (8) or int32 (4)",
                       prefix_, DTypeOfCode(code), code);
  }
  token_bytes_ = code == kUInt16Code ? sizeof(uint16_t) : sizeof(int32_t);
  num_sequences_ = Load<uint64_t>(idx, 18);
  const auto num_indices = Load<uint64_t>(idx, 26);
  if (num_indices == 0)
    return Corrupt("{}.idx: 0 document indices, there is always one more than documents", prefix_);
  const uint64_t room = idx.size() - kHeaderBytes;
  // Each count is compared with the file's size first, so that the products cannot overflow.
  if (num_sequences_ > room / 12 || num_indices > room / 8 || num_sequences_ * 12 + num_indices * 8 > room) {
    return Corrupt("{}.idx: {} bytes are too few for {} sequences and {} document indices; {}", prefix_,
                   idx.size(), num_sequences_, num_indices, kCut);
  }
  if (const uint64_t more = room - num_sequences_ * 12 - num_indices * 8; more > 0) {
    return Corrupt("{}.idx: {} bytes follow the document indices; the file is longer than its header says",
                   prefix_, more);
  }
  num_documents_ = num_indices - 1;
  pointers_at_ = kHeaderBytes + num_sequences_ * 4;
  documents_at_ = pointers_at_ + num_sequences_ * 8;
  num_tokens_ = bin_.bytes().size() / token_bytes_;
  return {};
}

Status IndexedDataset::CheckSequences() const {
  const uint64_t bin_bytes = bin_.bytes().size();
  uint64_t next = 0;
  for (uint64_t i = 0; i < num_sequences_; ++i) {
    const auto length = Load<int32_t>(idx_.bytes(), kHeaderBytes + 4 * i);
    if (length < 0) return Corrupt("{}.idx: sequence {} has a length of {}", prefix_, i, length);
    const auto pointer = Load<int64_t>(idx_.bytes(), pointers_at_ + 8 * i);
    if (pointer < 0 || static_cast<uint64_t>(pointer) != next) {
      return Corrupt("{}.idx: sequence {} begins at byte {}, the one before it ends at {}", prefix_, i,
                     pointer, next);
    }
    next += static_cast<uint64_t>(length) * token_bytes_;
    if (next > bin_bytes) {
      return Corrupt("{}.bin: {} bytes, but by the .idx sequence {} ends at byte {}; {}", prefix_, bin_bytes,
                     i, next, kCut);
    }
  }
  if (next != bin_bytes) {
    return Corrupt(
        "{}.bin: {} bytes, but by the .idx its sequences add up to {}; the two files are not of one shard",
        prefix_, bin_bytes, next);
  }
  return {};
}

Status IndexedDataset::CheckDocuments() const {
  uint64_t previous = 0;
  for (uint64_t i = 0; i <= num_documents_; ++i) {
    const auto index = Load<uint64_t>(idx_.bytes(), documents_at_ + 8 * i);
    if (i == 0 && index != 0) {
      return Corrupt("{}.idx: the first document begins with sequence {}, expected 0", prefix_, index);
    }
    if (index < previous || index > num_sequences_) {
      return Corrupt("{}.idx: document index {} is {}, expected {} to {}", prefix_, i, index, previous,
                     num_sequences_);
    }
    previous = index;
  }
  if (previous != num_sequences_) {
    return Corrupt("{}.idx: the documents end at sequence {}, there are {}", prefix_, previous,
                   num_sequences_);
  }
  return {};
}

Result<std::string> IndexedDataset::ContentSum() const {
  std::string sum = SumOf(HashBytes128(bin_.bytes()), HashBytes128(idx_.bytes()));
  const std::string path = prefix_ + ".sum";
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) {
    if (text.status().code() == StatusCode::kNotFound) return sum;
    return text.status();
  }
  std::string recorded;
  QWEN25_TRY(const Json json, ParseJson(*text, path));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "sum", path, recorded));
  if (recorded == sum) return sum;
  return Corrupt(
      "{0}.bin, {0}.idx: their sum is {1}, but {0}.sum says {2}: the shard is damaged, or another program "
      "wrote over it; make it again, or remove the .sum file if the new content is right",
      prefix_, sum, recorded);
}

uint64_t IndexedDataset::DocumentBegin(uint64_t document) const {
  QWEN25_CHECK(document <= num_documents_);
  const auto sequence = Load<uint64_t>(idx_.bytes(), documents_at_ + 8 * document);
  if (sequence == num_sequences_) return num_tokens_;
  return Load<uint64_t>(idx_.bytes(), pointers_at_ + 8 * sequence) / token_bytes_;
}

void IndexedDataset::Read(uint64_t document, uint64_t offset, std::span<int32_t> out) const {
  const uint64_t length = DocumentLength(document);
  QWEN25_CHECK(offset <= length && out.size() <= length - offset);
  if (out.empty()) return;
  const std::byte* from = bin_.bytes().data() + (DocumentBegin(document) + offset) * token_bytes_;
  if (token_bytes_ == sizeof(int32_t)) {
    std::memcpy(out.data(), from, out.size_bytes());
    return;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t token;
    std::memcpy(&token, from + sizeof token * i, sizeof token);
    out[i] = token;
  }
}

Status IndexedDataset::CheckTokens(uint64_t document, uint64_t offset, std::span<const int32_t> tokens,
                                   uint32_t vocab_size) const {
  uint32_t largest = 0;  // as unsigned, a negative id is too large
  for (int32_t token : tokens) largest = std::max(largest, static_cast<uint32_t>(token));
  if (largest < vocab_size) return {};
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (static_cast<uint32_t>(tokens[i]) < vocab_size) continue;
    return Corrupt(
        "{}.bin: document {}, token {}: id {} is outside the vocabulary of {}; the shard was made with "
        "another tokenizer, or it is damaged",
        prefix_, document, offset + i, tokens[i], vocab_size);
  }
  return {};
}

Status IndexedDataset::CheckAllTokens(uint32_t vocab_size) const {
  std::vector<int32_t> tokens;
  for (uint64_t document = 0; document < num_documents_; ++document) {
    const uint64_t length = DocumentLength(document);
    for (uint64_t offset = 0; offset < length; offset += tokens.size()) {
      tokens.resize(std::min<uint64_t>(length - offset, size_t{1} << 16));
      Read(document, offset, tokens);
      QWEN25_RETURN_IF_ERROR(CheckTokens(document, offset, tokens, vocab_size));
    }
  }
  return {};
}

}  // namespace qwen25
