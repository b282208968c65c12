#include "memory/block_export.h"

#include <map>
#include <unordered_map>

#include "base/crc32c.h"
#include "base/json.h"
#include "memory/block_export_file.h"
#include "store/safetensors_stream.h"

namespace qwen25 {
namespace {

// Room in the file's header: for the metadata, and for the tensors of one format.
constexpr size_t kHeaderBytes = 2048, kFormatHeaderBytes = 2048;

using RowsById = std::unordered_map<Hash128, size_t, Hash128Hasher>;

// Puts each block after its parent, and otherwise keeps the order in which they were stored, which is the
// order in which recall lists them. A block that was damaged and stored again is younger than its successors.
std::vector<StoredBlock> ParentsFirst(std::vector<StoredBlock> blocks) {
  RowsById index;
  for (size_t i = 0; i < blocks.size(); ++i) index.emplace(blocks[i].id, i);
  std::vector<StoredBlock> ordered;
  std::vector<bool> is_placed(blocks.size());
  std::vector<size_t> chain;
  for (size_t i = 0; i < blocks.size(); ++i) {
    // Positions must count up, so that a cycle of wrong parents ends.
    for (size_t next = i; !is_placed[next];) {
      chain.push_back(next);
      const auto parent = index.find(blocks[next].parent);
      if (parent == index.end() || blocks[parent->second].position + 1 != blocks[next].position) break;
      next = parent->second;
    }
    for (; !chain.empty(); chain.pop_back()) {
      is_placed[chain.back()] = true;
      ordered.push_back(blocks[chain.back()]);
    }
  }
  return ordered;
}

// Writes the blocks of one format, tensor by tensor.
class FormatExport {
 public:
  FormatExport(const BlockStore& store, std::string_view name_space, const BlockFormat& format, size_t number,
               SafetensorsStream& stream)
      : store_(store),
        format_(format),
        number_(number),
        sums_begin_(BeginExportSums(name_space, format.fingerprint)),
        stream_(stream) {}

  // `progress()` is called for every block.
  Status Write(const std::vector<StoredBlock>& blocks, const std::function<Status()>& progress,
               BlockExportReport& report) {
    QWEN25_RETURN_IF_ERROR(WriteKeysAndValues(blocks, progress, report));
    if (format_.summary_bytes > 0) QWEN25_RETURN_IF_ERROR(WriteSummaries());
    return WriteColumns();
  }

 private:
  void Begin(std::string_view what, DType dtype, std::vector<uint64_t> row_shape) {
    stream_.Begin(ExportName(number_, what), dtype, std::move(row_shape));
  }

  template <typename T>
  Status WriteColumn(std::string_view what, DType dtype, std::vector<uint64_t> row_shape,
                     const std::vector<T>& column) {
    Begin(what, dtype, std::move(row_shape));
    return stream_.Append(std::as_bytes(std::span(column)));
  }

  // Decides which blocks are in the file: those whose every part can be read and whose parent is in the file.
  Status WriteKeysAndValues(const std::vector<StoredBlock>& blocks, const std::function<Status()>& progress,
                            BlockExportReport& report) {
    Begin("keys_values", DType::kU8, {format_.num_layers, format_.layer_bytes});
    std::vector<std::byte> bytes(size_t{format_.num_layers} * format_.layer_bytes);
    std::vector<std::byte> summaries(size_t{format_.num_layers} * format_.summary_bytes);
    std::vector<std::byte*> layers;
    for (size_t layer = 0; layer < format_.num_layers; ++layer) {
      layers.push_back(bytes.data() + layer * format_.layer_bytes);
    }
    std::vector<int32_t> tokens(kBlockTokens);
    RowsById rows;
    for (const StoredBlock& block : blocks) {
      QWEN25_RETURN_IF_ERROR(progress());
      const auto parent = rows.find(block.parent);
      if (block.position > 0 &&
          (parent == rows.end() || written_[parent->second].position + 1 != block.position)) {
        ++report.num_orphans;
        continue;
      }
      const Status status = store_.Copy(block, format_, tokens, layers, summaries);
      if (status.code() == StatusCode::kCorrupt) {
        report.damaged.push_back(status.message());
        continue;
      }
      QWEN25_RETURN_IF_ERROR(status);
      QWEN25_RETURN_IF_ERROR(stream_.Append(bytes));
      rows.emplace(block.id, written_.size());
      written_.push_back(block);
      columns_.ids.push_back(block.id);
      columns_.parents.push_back(block.position == 0 ? kNoParentRow : static_cast<int32_t>(parent->second));
      columns_.positions.push_back(static_cast<int32_t>(block.position));
      columns_.tokens.insert(columns_.tokens.end(), tokens.begin(), tokens.end());
      columns_.sums.push_back(
          Crc32c(summaries, Crc32c(bytes, BeginExportSum(sums_begin_, block.id, tokens))));
      report.num_bytes += bytes.size() + summaries.size();
    }
    report.num_blocks += written_.size();
    return {};
  }

  // Read a second time: the summaries of all blocks may not fit into RAM.
  Status WriteSummaries() {
    Begin("summaries", DType::kU8, {format_.num_layers, format_.summary_bytes});
    std::vector<std::byte> summaries(size_t{format_.num_layers} * format_.summary_bytes);
    for (const StoredBlock& block : written_) {
      QWEN25_RETURN_IF_ERROR(store_.Summaries(store_.BeginReading(), block, format_, summaries));
      QWEN25_RETURN_IF_ERROR(stream_.Append(summaries));
    }
    return {};
  }

  Status WriteColumns() {
    QWEN25_RETURN_IF_ERROR(WriteColumn("tokens", DType::kI32, {kBlockTokens}, columns_.tokens));
    QWEN25_RETURN_IF_ERROR(WriteColumn("parents", DType::kI32, {}, columns_.parents));
    QWEN25_RETURN_IF_ERROR(WriteColumn("positions", DType::kI32, {}, columns_.positions));
    QWEN25_RETURN_IF_ERROR(WriteColumn("sums", DType::kU32, {}, columns_.sums));
    return WriteColumn("ids", DType::kU8, {sizeof(Hash128)}, columns_.ids);
  }

  const BlockStore& store_;
  const BlockFormat format_;
  const size_t number_;
  const uint32_t sums_begin_;
  SafetensorsStream& stream_;
  std::vector<StoredBlock> written_;
  ExportColumns columns_;
};

// Metadata are JSON, which must be UTF-8.
bool IsUtf8(std::string_view text) {
  const Json json(text);
  return Json::parse(json.dump(-1, ' ', false, Json::error_handler_t::ignore)) == json;
}

}  // namespace

Result<BlockExportReport> ExportBlocks(const BlockStore& store, std::string_view name_space,
                                       const std::filesystem::path& path, const BlockProgress& progress) {
  std::vector<BlockFormat> formats;
  std::vector<std::vector<StoredBlock>> blocks;
  uint64_t total = 0, done = 0;
  for (const BlockFormat& format : store.Formats(name_space)) {
    std::vector<StoredBlock> list = store.List(name_space, format);
    std::erase_if(list, [](const StoredBlock& block) { return block.IsOfPassage(); });
    if (list.empty()) continue;
    total += list.size();
    formats.push_back(format);
    blocks.push_back(ParentsFirst(std::move(list)));
  }
  if (formats.empty()) return NotFound("namespace {} holds no keys and values of dialogues", name_space);
  if (!IsUtf8(name_space)) {
    return InvalidArgument("the name of namespace {} is not UTF-8, as a safetensors file requires",
                           name_space);
  }
  const auto count = [&]() -> Status {
    if (progress && !progress(done, total)) return Cancelled("stopped; nothing was written");
    ++done;
    return {};
  };
  QWEN25_TRY(SafetensorsStream stream,
             SafetensorsStream::Open(path, kHeaderBytes + formats.size() * kFormatHeaderBytes));
  BlockExportReport report;
  std::map<std::string, std::string> metadata = {{"content", std::string(kExportContent)},
                                                 {"version", std::string(kExportVersion)},
                                                 {"namespace", std::string(name_space)}};
  for (size_t i = 0; i < formats.size(); ++i) {
    FormatExport format(store, name_space, formats[i], i, stream);
    QWEN25_RETURN_IF_ERROR(format.Write(blocks[i], count, report));
    metadata[ExportName(i, "fingerprint")] = FingerprintText(formats[i].fingerprint);
  }
  if (report.num_blocks == 0) {
    return Corrupt("none of the {} blocks of namespace {} can be read; {}", total, name_space,
                   report.damaged.empty() ? "the blocks before them are missing" : report.damaged[0]);
  }
  QWEN25_RETURN_IF_ERROR(stream.Commit(metadata));
  if (progress) progress(total, total);
  return report;
}

}  // namespace qwen25
