#include "store/llama2c.h"

#include <cstring>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/mmap.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

constexpr uint32_t kMagic = 0x616b3432;  // "ak42"
constexpr size_t kVersion1HeaderBytes = 256;

struct Header {
  int32_t dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
  bool shared_classifier;
  bool version1;
  size_t bytes;  // where the weights start

  size_t HeadDim() const { return static_cast<size_t>(dim / n_heads); }
  size_t KvDim() const { return HeadDim() * static_cast<size_t>(n_kv_heads); }
};

Result<Header> ParseHeader(std::span<const std::byte> file, const std::string& path) {
  if (file.size() < 7 * sizeof(int32_t)) {
    return Corrupt("{}: {} bytes are too few for a llama2.c checkpoint", path, file.size());
  }
  uint32_t first;
  std::memcpy(&first, file.data(), sizeof first);
  Header header{};
  header.version1 = first == kMagic;
  size_t offset = 0;
  if (header.version1) {
    int32_t version;
    if (file.size() < kVersion1HeaderBytes) return Corrupt("{}: the file ends inside its header", path);
    std::memcpy(&version, file.data() + 4, sizeof version);
    if (version != 1) {
      return Unsupported(
          "{}: llama2.c checkpoint of version {}; versions 0 (legacy) and 1 hold float32 and can be read",
          path, version);
    }
    offset = 8;
  }
  int32_t numbers[7];
  std::memcpy(numbers, file.data() + offset, sizeof numbers);
  header.dim = numbers[0], header.hidden_dim = numbers[1], header.n_layers = numbers[2],
  header.n_heads = numbers[3];
  header.n_kv_heads = numbers[4], header.vocab_size = numbers[5], header.seq_len = numbers[6];
  header.shared_classifier = header.vocab_size > 0;
  if (header.version1) header.shared_classifier = static_cast<bool>(file[offset + sizeof numbers]);
  if (!header.version1 && header.vocab_size < 0 && header.vocab_size > -(1 << 24))
    header.vocab_size = -header.vocab_size;
  header.bytes = header.version1 ? kVersion1HeaderBytes : sizeof numbers;
  const auto in_range = [](int32_t value, int32_t max) { return value >= 1 && value <= max; };
  if (!in_range(header.dim, 1 << 16) || !in_range(header.hidden_dim, 1 << 18) ||
      !in_range(header.n_layers, 256) || !in_range(header.n_heads, 1024) ||
      !in_range(header.n_kv_heads, header.n_heads) || !in_range(header.vocab_size, 1 << 24) ||
      !in_range(header.seq_len, 1 << 20) || header.dim % header.n_heads != 0 ||
      header.n_heads % header.n_kv_heads != 0 || header.HeadDim() % 2 != 0) {
    return Corrupt(
        "{}: the header says dim {}, hidden_dim {}, n_layers {}, n_heads {}, n_kv_heads {}, vocab_size {}, "
        "seq_len {}, which is not a valid model; is this a llama2.c checkpoint?",
        path, header.dim, header.hidden_dim, header.n_layers, header.n_heads, header.n_kv_heads,
        header.vocab_size, header.seq_len);
  }
  return header;
}

// Hands out the weights in the order of the file.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}
  // Aligned for float: the map begins with a page, and the headers have 28 and 256 bytes.
  std::span<const float> Take(size_t count) {
    if (bytes_.size() < count * sizeof(float)) {
      missing_ += count * sizeof(float) - bytes_.size();
      bytes_ = {};
      return {};
    }
    const auto* data = reinterpret_cast<const float*>(bytes_.data());
    bytes_ = bytes_.subspan(count * sizeof(float));
    return {data, count};
  }
  size_t missing() const { return missing_; }
  size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  size_t missing_ = 0;
};

// Each span holds a weight of all layers: all layers of wq lie together, then all of wk, and so on.
struct Weights {
  std::span<const float> embedding, attention_norm, q, k, v, o, ffn_norm, gate, down, up, final_norm,
      classifier;
};

Weights TakeWeights(const Header& header, Cursor& cursor) {
  const auto dim = static_cast<size_t>(header.dim), ffn = static_cast<size_t>(header.hidden_dim);
  const auto layers = static_cast<size_t>(header.n_layers),
             vocabulary = static_cast<size_t>(header.vocab_size);
  const size_t kv = header.KvDim();
  Weights weights;
  if (header.version1) {  // norms first
    weights.attention_norm = cursor.Take(layers * dim);
    weights.ffn_norm = cursor.Take(layers * dim);
    weights.final_norm = cursor.Take(dim);
    weights.embedding = cursor.Take(vocabulary * dim);
  } else {
    weights.embedding = cursor.Take(vocabulary * dim);
    weights.attention_norm = cursor.Take(layers * dim);
  }
  weights.q = cursor.Take(layers * dim * dim);
  weights.k = cursor.Take(layers * kv * dim);
  weights.v = cursor.Take(layers * kv * dim);
  weights.o = cursor.Take(layers * dim * dim);
  if (!header.version1) weights.ffn_norm = cursor.Take(layers * dim);
  weights.gate = cursor.Take(layers * ffn * dim);
  weights.down = cursor.Take(layers * dim * ffn);
  weights.up = cursor.Take(layers * ffn * dim);
  if (!header.version1) {
    weights.final_norm = cursor.Take(dim);
    // Tables of rotary cosines and sines, not needed here.
    cursor.Take(static_cast<size_t>(header.seq_len) * header.HeadDim());
  }
  if (!header.shared_classifier) weights.classifier = cursor.Take(vocabulary * dim);
  return weights;
}

Json ConfigOf(const Header& header) {
  Json json;
  json["architectures"] = {"LlamaForCausalLM"};
  json["model_type"] = "llama";
  json["vocab_size"] = header.vocab_size;
  json["hidden_size"] = header.dim;
  json["intermediate_size"] = header.hidden_dim;
  json["num_hidden_layers"] = header.n_layers;
  json["num_attention_heads"] = header.n_heads;
  json["num_key_value_heads"] = header.n_kv_heads;
  json["head_dim"] = header.HeadDim();
  json["max_position_embeddings"] = header.seq_len;
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = 1e-5;
  json["rope_theta"] = 10000.0;
  json["tie_word_embeddings"] = header.shared_classifier;
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
  json["bos_token_id"] = 1;
  json["eos_token_id"] = 2;
  json["torch_dtype"] = "float32";
  return json;
}

}  // namespace

std::vector<float> InterleavedToHalfSplit(std::span<const float> weight, size_t num_heads, size_t head_dim,
                                          size_t width) {
  QWEN25_CHECK(weight.size() == num_heads * head_dim * width);
  std::vector<float> result(weight.size());
  for (size_t head = 0; head < num_heads; ++head) {
    for (size_t row = 0; row < head_dim; ++row) {
      const size_t to = row % 2 * (head_dim / 2) + row / 2;
      std::memcpy(result.data() + (head * head_dim + to) * width,
                  weight.data() + (head * head_dim + row) * width, width * sizeof(float));
    }
  }
  return result;
}

Status ConvertLlama2cWeights(const std::filesystem::path& checkpoint, const std::filesystem::path& output) {
  QWEN25_TRY(const MappedFile file, MappedFile::Open(checkpoint));
  QWEN25_TRY(const Header header, ParseHeader(file.bytes(), checkpoint.string()));
  Cursor cursor(file.bytes().subspan(header.bytes));
  const Weights weights = TakeWeights(header, cursor);
  if (cursor.missing() != 0) {
    return Corrupt(
        "{}: {} bytes are missing at the end; the file was probably cut while it was copied or downloaded",
        checkpoint.string(), cursor.missing());
  }
  if (cursor.left() != 0) {
    return Corrupt("{}: {} bytes follow the last weight; the header does not belong to this file",
                   checkpoint.string(), cursor.left());
  }
  const auto dim = static_cast<size_t>(header.dim), ffn = static_cast<size_t>(header.hidden_dim);
  const auto heads = static_cast<size_t>(header.n_heads), kv_heads = static_cast<size_t>(header.n_kv_heads);
  const size_t kv = header.KvDim();
  std::vector<TensorToWrite> tensors;
  std::vector<std::vector<float>> reordered;  // what the tensors point into
  reordered.reserve(2 * static_cast<size_t>(header.n_layers));
  const auto add = [&](std::string name, std::vector<uint64_t> shape, std::span<const float> values) {
    tensors.push_back(TensorToWrite::FromFloat(std::move(name), std::move(shape), values));
  };
  add("model.embed_tokens.weight", {static_cast<uint64_t>(header.vocab_size), dim}, weights.embedding);
  for (size_t i = 0; i < static_cast<size_t>(header.n_layers); ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    const auto layer = [&](std::span<const float> all, size_t rows, size_t cols) {
      return all.subspan(i * rows * cols, rows * cols);
    };
    reordered.push_back(InterleavedToHalfSplit(layer(weights.q, dim, dim), heads, header.HeadDim(), dim));
    add(prefix + "self_attn.q_proj.weight", {dim, dim}, reordered.back());
    reordered.push_back(InterleavedToHalfSplit(layer(weights.k, kv, dim), kv_heads, header.HeadDim(), dim));
    add(prefix + "self_attn.k_proj.weight", {kv, dim}, reordered.back());
    add(prefix + "self_attn.v_proj.weight", {kv, dim}, layer(weights.v, kv, dim));
    add(prefix + "self_attn.o_proj.weight", {dim, dim}, layer(weights.o, dim, dim));
    add(prefix + "mlp.gate_proj.weight", {ffn, dim}, layer(weights.gate, ffn, dim));
    add(prefix + "mlp.up_proj.weight", {ffn, dim}, layer(weights.up, ffn, dim));
    add(prefix + "mlp.down_proj.weight", {dim, ffn}, layer(weights.down, dim, ffn));
    add(prefix + "input_layernorm.weight", {dim}, layer(weights.attention_norm, 1, dim));
    add(prefix + "post_attention_layernorm.weight", {dim}, layer(weights.ffn_norm, 1, dim));
  }
  add("model.norm.weight", {dim}, weights.final_norm);
  if (!header.shared_classifier) {
    add("lm_head.weight", {static_cast<uint64_t>(header.vocab_size), dim}, weights.classifier);
  }
  QWEN25_RETURN_IF_ERROR(CreateDirectories(output));
  QWEN25_RETURN_IF_ERROR(WriteSafetensors(output / "model.safetensors", tensors, {{"format", "pt"}}));
  return WriteFileAtomically(output / "config.json", ConfigOf(header).dump(2) + "\n");
}

}  // namespace qwen25
