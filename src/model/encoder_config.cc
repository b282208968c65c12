#include "model/encoder_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "model/weights_reader.h"

namespace qwen25 {
namespace {

constexpr const char* kHandled =
    "of sentence encoders, this program runs the architecture \"bert\" (all-MiniLM, E5, BGE and GTE in "
    "English, LaBSE)";

// model_type in config.json, of encoders. "new" is that of Alibaba-NLP's gte-*-v1.5.
constexpr std::array<std::string_view, 16> kEncoderTypes = {
    "bert",  "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert",  "distilbert",
    "mpnet", "albert",  "deberta-v2",  "electra",        "nomic_bert", "modernbert",
    "new",   "t5",      "mobilebert",  "eurobert"};

Status CheckRange(std::string_view origin, const char* name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return {};
  return InvalidArgument("{}: \"{}\" is {}, expected {} to {}", origin, name, value, low, high);
}

// The names of transformers.
Status ReadActivation(const Json& json, std::string_view origin, Gelu& activation) {
  std::string name = "gelu";
  QWEN25_RETURN_IF_ERROR(ReadField(json, "hidden_act", origin, name));
  if (name == "gelu" || name == "gelu_python") {
    activation = Gelu::kErf;
  } else if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
    activation = Gelu::kTanh;
  } else {
    return Unsupported(
        "{}: \"hidden_act\" is \"{}\"; handled are \"gelu\", \"gelu_new\", \"gelu_fast\" and "
        "\"gelu_pytorch_tanh\"",
        origin, name);
  }
  return {};
}

Status ReadGgufNumber(const GgufFiles& files, const std::string& origin, const std::string& key,
                      uint32_t& out) {
  const GgufValue* value = files.Find(key);
  if (value == nullptr) return InvalidArgument("{}: the metadata has no {}", origin, key);
  const std::optional<int64_t> number = value->Integer();
  if (!number || *number < 0 || *number > int64_t{UINT32_MAX}) {
    return InvalidArgument("{}: {} is of type {} or out of range, expected a number from 0 to 4294967295",
                           origin, key, value->TypeName());
  }
  out = static_cast<uint32_t>(*number);
  return {};
}

}  // namespace

Result<EncoderConfig> EncoderConfig::FromJson(const Json& json, std::string_view origin) {
  if (!json.is_object()) return InvalidArgument("{}: the document is not a JSON object", origin);
  std::string type, positions = "absolute";
  bool is_decoder = false;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "model_type", origin, type));
  if (type != "bert") {
    return Unsupported("{}: \"model_type\" is \"{}\", which this program does not run; {}", origin, type,
                       kHandled);
  }
  EncoderConfig config;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "vocab_size", origin, config.vocab_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "hidden_size", origin, config.hidden_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "intermediate_size", origin, config.intermediate_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_hidden_layers", origin, config.num_hidden_layers));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_attention_heads", origin, config.num_attention_heads));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "max_position_embeddings", origin, config.max_position_embeddings));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "type_vocab_size", origin, config.type_vocab_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "layer_norm_eps", origin, config.layer_norm_eps));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "position_embedding_type", origin, positions));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "is_decoder", origin, is_decoder));
  QWEN25_RETURN_IF_ERROR(ReadActivation(json, origin, config.activation));
  if (positions != "absolute") {
    return Unsupported("{}: \"position_embedding_type\" is \"{}\"; handled is \"absolute\"", origin,
                       positions);
  }
  if (is_decoder) return Unsupported("{}: \"is_decoder\" is true; handled is an encoder", origin);
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));
  return config;
}

Result<EncoderConfig> EncoderConfig::FromGguf(const GgufFiles& files, const std::string& origin) {
  const GgufValue* architecture = files.Find("general.architecture");
  const std::string name(architecture == nullptr ? "" : architecture->String().value_or(""));
  if (name != "bert") {
    return Unsupported("{}: architecture \"{}\" is not run by this program; {}", origin, name, kHandled);
  }
  if (const GgufValue* tokenizer = files.Find("tokenizer.ggml.model");
      tokenizer != nullptr && tokenizer->String() && *tokenizer->String() != "bert") {
    // XLM-RoBERTa's files name the same architecture.
    return Unsupported("{}: its tokenizer is \"{}\", handled is \"bert\" (WordPiece); {}", origin,
                       *tokenizer->String(), kHandled);
  }
  if (const GgufValue* causal = files.Find("bert.attention.causal");
      causal != nullptr && causal->Bool() == true) {
    return Unsupported("{}: bert.attention.causal is true; handled is an encoder", origin);
  }
  EncoderConfig config;
  QWEN25_RETURN_IF_ERROR(ReadGgufNumber(files, origin, "bert.embedding_length", config.hidden_size));
  QWEN25_RETURN_IF_ERROR(ReadGgufNumber(files, origin, "bert.feed_forward_length", config.intermediate_size));
  QWEN25_RETURN_IF_ERROR(ReadGgufNumber(files, origin, "bert.block_count", config.num_hidden_layers));
  QWEN25_RETURN_IF_ERROR(
      ReadGgufNumber(files, origin, "bert.attention.head_count", config.num_attention_heads));
  QWEN25_RETURN_IF_ERROR(
      ReadGgufNumber(files, origin, "bert.context_length", config.max_position_embeddings));
  if (const GgufValue* eps = files.Find("bert.attention.layer_norm_epsilon"); eps != nullptr) {
    config.layer_norm_eps = static_cast<float>(eps->Number().value_or(-1));
  }
  for (const auto& [tensor, rows] : {std::pair{"token_embd.weight", &config.vocab_size},
                                     {"position_embd.weight", &config.max_position_embeddings},
                                     {"token_types.weight", &config.type_vocab_size}}) {
    const GgufTensor* found = files.FindTensor(tensor);
    if (found == nullptr && rows != &config.type_vocab_size) {
      return NotFound("{}: holds no tensor {}", origin, tensor);
    }
    if (found != nullptr && (found->shape.size() > 2 || found->shape[0] > UINT32_MAX)) {
      return InvalidArgument("{}: {} has shape {}, expected a matrix", origin, tensor,
                             ShapeText(found->shape));
    }
    // One kind of segments may be stored as a vector. Without any, nothing is added.
    *rows = found == nullptr ? 0 : found->shape.size() == 2 ? static_cast<uint32_t>(found->shape[0]) : 1;
  }
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));
  return config;
}

Status EncoderConfig::Validate(std::string_view origin) const {
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "num_hidden_layers", num_hidden_layers, 1, 256));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "hidden_size", hidden_size, 1, 1u << 16));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "intermediate_size", intermediate_size, 1, 1u << 18));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "num_attention_heads", num_attention_heads, 1, 1u << 12));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "vocab_size", vocab_size, 1, 1u << 24));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "max_position_embeddings", max_position_embeddings, 3, 1u << 20));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "type_vocab_size", type_vocab_size, 0, 1u << 10));
  if (hidden_size % num_attention_heads != 0 || HeadDim() % 2 != 0) {
    return InvalidArgument(
        "{}: \"hidden_size\" {} is not divided by \"num_attention_heads\" {} into heads of an even size",
        origin, hidden_size, num_attention_heads);
  }
  if (!(layer_norm_eps >= 0 && layer_norm_eps < 1)) {
    return InvalidArgument("{}: \"layer_norm_eps\" is {}, expected 0 to 1", origin, layer_norm_eps);
  }
  return {};
}

double EncoderConfig::FlopsPerToken(double context) const {
  const double width = hidden_size, products = 4 * width * width + 2 * width * intermediate_size;
  return num_hidden_layers * (2 * products + 4 * context * width);
}

std::string EncoderConfig::ToString() const {
  return fmt::format("bert {} {} {} {} {} {} {} {} {}", vocab_size, hidden_size, intermediate_size,
                     num_hidden_layers, num_attention_heads, max_position_embeddings, type_vocab_size,
                     layer_norm_eps, static_cast<int>(activation));
}

bool IsEncoder(const std::filesystem::path& path) {
  if (IsGgufPath(path)) {
    const Result<GgufFiles> files = GgufFiles::Open(path);
    if (!files.ok()) return false;
    const GgufValue* architecture = files->Find("general.architecture");
    return architecture != nullptr && architecture->String() &&
           architecture->String()->find("bert") != std::string_view::npos;
  }
  const Result<Json> config = ReadJsonFile((path / "config.json").string());
  std::string type;
  return config.ok() && config->is_object() && ReadField(*config, "model_type", "", type).ok() &&
         std::ranges::find(kEncoderTypes, type) != kEncoderTypes.end();
}

}  // namespace qwen25
