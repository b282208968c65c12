// Writes a model to a GGUF file.
#include <algorithm>
#include <atomic>
#include <mutex>

#include "model/gguf_model.h"
#include "quant/gguf_blocks.h"
#include "quant/weight_range.h"

namespace qwen25 {
namespace {

// general.file_type: the type of most tensors. Source: enum llama_ftype.
uint32_t FileTypeOf(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
      return 0;
    case GgmlType::kF16:
      return 1;
    case GgmlType::kQ4_0:
      return 2;
    case GgmlType::kQ4_1:
      return 3;
    case GgmlType::kQ8_0:
      return 7;
    case GgmlType::kQ5_0:
      return 8;
    case GgmlType::kQ5_1:
      return 9;
    case GgmlType::kQ4_K:
      return 14;
    case GgmlType::kQ5_K:
      return 16;
    case GgmlType::kQ6_K:
      return 18;
    case GgmlType::kBF16:
      return 32;
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kMXFP4:
      break;  // not written
  }
  return 0;
}

// A format whose blocks divide `cols`.
GgmlType Fitting(GgmlType type, size_t cols) {
  const auto fits = [cols](GgmlType t) { return cols % FindGgmlType(t)->elements == 0; };
  if (fits(type)) return type;
  const GgmlType small = type == GgmlType::kQ4_K   ? GgmlType::kQ5_0
                         : type == GgmlType::kQ5_K ? GgmlType::kQ5_1
                                                   : GgmlType::kQ8_0;
  return fits(small) ? small : GgmlType::kF16;
}

// Writes one tensor at a time, encoded by all threads.
class TensorWriter {
 public:
  TensorWriter(const WeightsReader& source, bool fit_scales, ThreadPool& threads, GgufWriter& writer,
               const GgufProgress& progress, uint64_t total)
      : source_(source),
        fit_scales_(fit_scales),
        threads_(threads),
        writer_(writer),
        progress_(progress),
        total_(total),
        buffers_(threads.num_threads()) {}

  Status Write(const NamedParameter& named, GgmlType type) {
    if (source_.gguf() != nullptr) {
      const GgufTensor* tensor = source_.gguf()->files().FindTensor(GgufTensorName(named.name));
      if (tensor->type == type) return WriteBytes(tensor->bytes);
    }
    constexpr size_t kPieceBytes = 4 << 20;  // of float32: in cache, and enough rows for all threads
    const size_t rows = named.parameter.rows, cols = named.parameter.cols;
    const size_t piece = std::max<size_t>(kPieceBytes / (cols * sizeof(float)), 1);
    for (size_t begin = 0; begin < rows; begin += piece) {
      QWEN25_RETURN_IF_ERROR(Encode(named, type, begin, std::min(rows, begin + piece)));
      QWEN25_RETURN_IF_ERROR(WriteBytes(encoded_));
    }
    return {};
  }

  // Writes the next bytes of the file.
  Status WriteBytes(std::span<const std::byte> bytes) {
    constexpr size_t kPieceBytes = 16 << 20;
    for (size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
      const auto piece = bytes.subspan(begin, std::min(kPieceBytes, bytes.size() - begin));
      QWEN25_RETURN_IF_ERROR(writer_.Write(piece));
      written_ += piece.size();
      if (progress_) progress_(written_, total_);
    }
    return {};
  }

 private:
  // Whether the output has the rows of this parameter in llama's order. A GGUF source keeps its architecture.
  bool IsInterleaved(const NamedParameter& named) const {
    if (source_.gguf() != nullptr) return source_.gguf()->IsInterleaved(named);
    return GgufArchitectureOf(source_.config()) == "llama" && TurnsByRotation(named.name);
  }

  // Encodes rows [begin, end), in the file's order, into encoded_.
  Status Encode(const NamedParameter& named, GgmlType type, size_t begin, size_t end) {
    const size_t cols = named.parameter.cols, row_bytes = GgmlRowBytes(type, cols);
    const bool permuted = IsInterleaved(named);
    const size_t head_dim = source_.config().head_dim;
    encoded_.resize((end - begin) * row_bytes);
    std::mutex mutex;
    size_t first_failed = SIZE_MAX;  // whose error it is, whichever thread is faster
    Status status;
    threads_.ParallelFor(end - begin, [&](size_t i, size_t thread) {
      std::vector<float>& row = buffers_[thread];
      row.resize(cols);
      const size_t from = permuted && !named.is_vector ? HuggingFaceRowOf(begin + i, head_dim) : begin + i;
      Status read = source_.ReadRows(named, from, from + 1, row.data());
      if (permuted && named.is_vector) {
        const std::vector<float> ordered = row;
        for (size_t j = 0; j < cols; ++j) row[j] = ordered[HuggingFaceRowOf(j, head_dim)];
      }
      if (read.ok() && type != GgmlType::kF32) {
        read = CheckWeightsFit(row, LargestWeight(type), GgmlTypeName(type), named.name, from * cols);
      }
      if (!read.ok()) {
        const std::lock_guard lock(mutex);
        if (i < first_failed) {
          first_failed = i;
          status = std::move(read);
        }
        return;
      }
      std::byte* out = encoded_.data() + i * row_bytes;
      fit_scales_&& type == GgmlType::kQ4_0 ? EncodeFittedQ4_0Row(row.data(), cols, out)
                                            : EncodeGgufRow(type, row.data(), cols, out);
    });
    return status;
  }

  const WeightsReader& source_;
  const bool fit_scales_;
  ThreadPool& threads_;
  GgufWriter& writer_;
  const GgufProgress& progress_;
  const uint64_t total_;
  uint64_t written_ = 0;
  std::vector<std::vector<float>> buffers_;  // one row per thread
  std::vector<std::byte> encoded_;
};

}  // namespace

GgmlType GgufTypeFor(const NamedParameter& named, const ModelConfig& config, GgmlType wanted) {
  if (named.is_vector) return GgmlType::kF32;
  const bool output = named.name == "lm_head.weight" ||
                      (config.tie_word_embeddings && named.name == "model.embed_tokens.weight");
  const bool low = wanted == GgmlType::kQ4_0 || wanted == GgmlType::kQ4_1 || wanted == GgmlType::kQ5_0 ||
                   wanted == GgmlType::kQ5_1 || wanted == GgmlType::kQ4_K || wanted == GgmlType::kQ5_K;
  return Fitting(output && low ? GgmlType::kQ6_K : wanted, named.parameter.cols);
}

Status WriteGgufModel(const std::filesystem::path& path, const WeightsReader& source, GgmlType type,
                      bool fit_scales, GgufMetadata metadata, ThreadPool& threads,
                      const GgufProgress& progress) {
  if (source.config().head_routing) {
    return Unsupported(
        "{}: the model has head routing, whose gates no GGUF program runs; use its folder instead",
        path.string());
  }
  const std::vector<NamedParameter> parameters = Model::ParametersOf(source.config());
  QWEN25_RETURN_IF_ERROR(source.Check(parameters));
  metadata.SetU32("general.file_type", FileTypeOf(type));
  metadata.SetU32("general.quantization_version", 2);
  std::vector<GgufTensorPlan> plans;
  uint64_t total = 0;
  for (const NamedParameter& named : parameters) {
    plans.push_back({GgufTensorName(named.name), GgufTypeFor(named, source.config(), type), ShapeOf(named)});
    total += plans.back().NumBytes();
  }
  const std::vector<GgufRopeTensor> rope = GgufRopeTensors(source.config());
  for (const GgufRopeTensor& tensor : rope) {
    plans.push_back({tensor.name, GgmlType::kF32, {tensor.divisors.size()}});
    total += plans.back().NumBytes();
  }
  QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path, metadata, plans));
  TensorWriter tensors(source, fit_scales, threads, writer, progress, total);
  for (size_t i = 0; i < parameters.size(); ++i) {
    QWEN25_RETURN_IF_ERROR(tensors.Write(parameters[i], plans[i].type));
  }
  for (const GgufRopeTensor& tensor : rope) {
    QWEN25_RETURN_IF_ERROR(tensors.WriteBytes(std::as_bytes(std::span(tensor.divisors))));
  }
  return writer.Commit();
}

}  // namespace qwen25
