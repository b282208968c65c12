#include "model/weights_reader.h"

#include <algorithm>

#include "quant/weight_range.h"

namespace qwen25 {

Status WeightsReader::PackMatrix(ThreadPool& threads, WeightFormat format,
                                 std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                                 std::byte* memory) const {
  const auto read_rows = [&](size_t begin, size_t end, float* out) -> Status {
    size_t first = 0;  // of the part
    for (const NamedParameter* part : parts) {
      const size_t last = first + part->parameter.rows;
      const size_t from = std::max(begin, first), to = std::min(end, last);
      if (from < to) {
        float* rows_out = out + (from - begin) * cols;
        QWEN25_RETURN_IF_ERROR(ReadRows(*part, from - first, to - first, rows_out));
        if (format != WeightFormat::kFloat32) {
          QWEN25_RETURN_IF_ERROR(CheckWeightsFit({rows_out, (to - from) * cols}, LargestWeight(format),
                                                 WeightFormatName(format), part->name,
                                                 (from - first) * cols));
        }
      }
      first = last;
    }
    return {};
  };
  return PackWeight(threads, format, rows, cols, read_rows, memory);
}

namespace {

// Ollama keeps models under the digests of their contents, without an ending.
bool IsDigestName(const std::string& name) {
  constexpr std::string_view kPrefix = "sha256-";
  return name.size() == kPrefix.size() + 64 && name.starts_with(kPrefix) &&
         std::all_of(name.begin() + kPrefix.size(), name.end(),
                     [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace

bool IsGgufPath(const std::filesystem::path& path) {
  if (IsDigestName(path.filename().string())) return std::filesystem::is_regular_file(path);
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".gguf" && !std::filesystem::is_directory(path);
}

std::vector<uint64_t> ShapeOf(const NamedParameter& named) {
  if (named.is_vector) return {named.parameter.cols};
  return {named.parameter.rows, named.parameter.cols};
}

std::string ShapeText(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace qwen25
