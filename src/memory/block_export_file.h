// A safetensors file that holds the blocks of one namespace. Format: docs/formats/kv_export.md.
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

inline constexpr std::string_view kExportContent = "qwen25 KV blocks";  // value of the metadata "content"
inline constexpr std::string_view kExportVersion = "1";
inline constexpr int32_t kNoParentRow = -1;

// The name of a tensor or metadata entry of format number `format`, counted from 0: "0.tokens".
std::string ExportName(size_t format, std::string_view what);
std::string FingerprintText(const Hash128& fingerprint);  // 32 hexadecimal digits

// Everything about the blocks of one format besides their keys, values and summaries; one row per block.
struct ExportColumns {
  std::vector<Hash128> ids;
  std::vector<int32_t> parents;    // the parent's row, always an earlier one, or kNoParentRow
  std::vector<int32_t> positions;  // in its sequence, in blocks
  std::vector<int32_t> tokens;     // [rows, kBlockTokens]
  std::vector<uint32_t> sums;  // CRC-32C of namespace, fingerprint, id, tokens, keys and values, summaries

  std::span<const int32_t> TokensOf(size_t row) const {
    return std::span(tokens).subspan(row * kBlockTokens, kBlockTokens);
  }
};

// A row's checksum is computed in steps: BeginExportSums covers what all rows of a format share,
// BeginExportSum adds the row's id and tokens, and the caller continues with keys and values, then summaries.
uint32_t BeginExportSums(std::string_view name_space, const Hash128& fingerprint);
uint32_t BeginExportSum(uint32_t of_format, const Hash128& id, std::span<const int32_t> tokens);

// The blocks of one format in the mapped file.
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
  // The id of the row's parent; zeros for the first block of a sequence.
  Hash128 ParentId(size_t row) const;
  // The checksum of a row, with these keys, values and summaries.
  uint32_t SumOf(size_t row, std::span<const std::byte> keys_values_of_row,
                 std::span<const std::byte> summaries_of_row) const;
  // With those in the file.
  uint32_t SumOf(size_t row) const { return SumOf(row, KeysAndValues(row), Summaries(row)); }
};

// An exported file, opened and mapped. Open checks shapes, formats, that parents come before their
// successors, that positions count up, and that ids are the hashes of their tokens. It does not check the
// rows' checksums, which need all bytes, nor the id of a sequence's first block, which also covers the
// model's settings and the namespace.
//
// Bytes that cannot be read, because the disk fails or the file was cut short, read as zeros (map_guard.h).
// Therefore copy a row first, and check the checksum of the copy.
class BlockExportFile {
 public:
  // kCorrupt, kUnsupported (another version), kInvalidArgument (a safetensors file of another kind), or an
  // error of reading.
  static Result<BlockExportFile> Open(const std::filesystem::path& path);

  const std::string& path() const { return path_; }
  const std::string& name_space() const { return name_space_; }
  const std::vector<ExportedBlocks>& formats() const { return formats_; }

 private:
  BlockExportFile(std::string path, SafetensorsReader reader)
      : path_(std::move(path)), reader_(std::move(reader)) {}
  void Guard();
  Status Parse();
  // Sets `found` to the tensor of that name. kCorrupt if it is missing or has another dtype or shape (a size
  // of kAny matches any size).
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
