// The blocks of a namespace in one file, to take them elsewhere: docs/formats/kv_export.md. A safetensors
// file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/map_guard.h"
#include "base/status.h"
#include "memory/block_format.h"
#include "memory/block_id.h"
#include "store/safetensors.h"

namespace qwen25 {

inline constexpr std::string_view kExportContent = "qwen25 KV blocks";  // of the metadata "content"
inline constexpr std::string_view kExportVersion = "1";
inline constexpr int32_t kNoParentRow = -1;

// The name of a tensor, or of a metadata entry, that belongs to the file's `format`-th format.
std::string ExportName(size_t format, std::string_view what);
std::string FingerprintText(const Hash128& fingerprint);  // 32 hexadecimal digits

// What is said of blocks of one format beside their keys, values and summaries; one row for each.
struct ExportColumns {
  std::vector<Hash128> ids;
  std::vector<int32_t> parents;    // row of the block before it, always an earlier one, or kNoParentRow
  std::vector<int32_t> positions;  // in its sequence, in blocks
  std::vector<int32_t> tokens;     // [rows, kBlockTokens]
  std::vector<uint32_t> sums;  // CRC-32C of namespace, fingerprint, id, tokens, keys and values, summaries

  std::span<const int32_t> TokensOf(size_t row) const {
    return std::span(tokens).subspan(row * kBlockTokens, kBlockTokens);
  }
};

// How the sums of all rows of a format begin, and a row's as far as its columns go; keys and values, then
// summaries, continue it.
uint32_t BeginExportSums(std::string_view name_space, const Hash128& fingerprint);
uint32_t BeginExportSum(uint32_t of_format, const Hash128& id, std::span<const int32_t> tokens);

// Blocks of one format, as they lie in the mapped file.
struct ExportedBlocks {
  BlockFormat format;
  ExportColumns columns;
  std::span<const std::byte> keys_values;  // [rows, num_layers, layer_bytes]
  std::span<const std::byte> summaries;    // [rows, num_layers, summary_bytes]
  uint32_t sums_begin = 0;

  size_t size() const { return columns.ids.size(); }
  size_t BytesOfKeysAndValues() const { return size_t{format.num_layers} * format.layer_bytes; }
  size_t BytesOfSummaries() const { return size_t{format.num_layers} * format.summary_bytes; }
  std::span<const std::byte> KeysAndValues(size_t row) const {
    return keys_values.subspan(row * BytesOfKeysAndValues(), BytesOfKeysAndValues());
  }
  std::span<const std::byte> Summaries(size_t row) const {
    return summaries.subspan(row * BytesOfSummaries(), BytesOfSummaries());
  }
  // The id of the block before it; zeros for the first of a sequence.
  Hash128 ParentId(size_t row) const;
  // Of a row whose keys, values and summaries are these.
  uint32_t SumOf(size_t row, std::span<const std::byte> keys_values_of_row,
                 std::span<const std::byte> summaries_of_row) const;
  // As it lies in the file.
  uint32_t SumOf(size_t row) const { return SumOf(row, KeysAndValues(row), Summaries(row)); }
};

// Such a file, opened and mapped. Everything is checked but the sums of the rows, which want all bytes:
// shapes, formats, that parents come before what follows them, that positions count, that ids are those of
// their tokens. Only the id of a sequence's first block cannot be told from the file: it also covers the
// model's settings and the namespace.
//
// Bytes that cannot be read, since the disk fails or somebody cut the file short, are zeros (map_guard.h):
// what is checked is a copy.
class BlockExportFile {
 public:
  // kCorrupt, kUnsupported (another version) or kInvalidArgument (another kind of file).
  static Result<BlockExportFile> Open(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const std::string& name_space() const { return name_space_; }
  const std::vector<ExportedBlocks>& formats() const { return formats_; }

 private:
  BlockExportFile(std::string path, SafetensorsReader reader)
      : path_(std::move(path)), reader_(std::move(reader)) {}
  void Guard();
  Status Parse();
  // Sets `found` to the tensor of that name, if it is one of that shape (kAny: of any size).
  Status FindTensor(const std::string& name, DType dtype, std::span<const uint64_t> shape,
                    const TensorInfo*& found) const;
  template <typename T>
  Status ReadColumn(const std::string& name, DType dtype, std::vector<uint64_t> shape,
                    std::vector<T>& column) const;
  Status ReadFormat(size_t number);
  Status CheckRows(size_t number) const;

  std::string path_;
  SafetensorsReader reader_;
  std::unique_ptr<std::atomic<uint64_t>> failures_ = std::make_unique<std::atomic<uint64_t>>(0);
  MapGuard guard_;
  std::string name_space_;
  std::vector<ExportedBlocks> formats_;
};

}  // namespace qwen25
