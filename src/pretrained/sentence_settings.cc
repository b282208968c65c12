#include "pretrained/sentence_settings.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/file.h"
#include "base/json.h"
#include "model/weights_reader.h"
#include "store/gguf.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

struct PoolingName {
  SentencePooling pooling;
  std::string_view name;  // as "pooling_mode" has it
  const char* flag;       // the field of older files
};
// In the order in which sentence-transformers concatenates them.
constexpr std::array<PoolingName, 6> kPoolings = {{
    {SentencePooling::kCls, "cls", "pooling_mode_cls_token"},
    {SentencePooling::kMax, "max", "pooling_mode_max_tokens"},
    {SentencePooling::kMean, "mean", "pooling_mode_mean_tokens"},
    {SentencePooling::kMeanSqrtLength, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    {SentencePooling::kWeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"},
    {SentencePooling::kLast, "lasttoken", "pooling_mode_lasttoken"},
}};

Result<Json> ReadObject(const std::filesystem::path& file) {
  QWEN25_TRY(Json json, ReadJsonFile(file.string()));
  if (!json.is_object()) return Corrupt("{}: the document is not a JSON object", file.string());
  return json;
}

// An empty object if there is no such file.
Result<Json> ReadOptionalObject(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return Json::object();
  return ReadObject(file);
}

Status ReadPooling(const std::filesystem::path& folder, SentenceSettings& settings) {
  const std::string origin = (folder / "config.json").string();
  QWEN25_TRY(const Json json, ReadObject(origin));
  bool include_prompt = true;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "include_prompt", origin, include_prompt));
  if (!include_prompt) {
    return Unsupported("{}: \"include_prompt\" is false; handled are poolings over all tokens of a text",
                       origin);
  }
  // sentence-transformers 5 writes "pooling_mode", a name or several joined or listed; before, each had a
  // flag.
  std::vector<std::string> names;
  if (const auto mode = json.find("pooling_mode"); mode != json.end() && !mode->is_null()) {
    for (const Json& name : mode->is_array() ? *mode : Json::array({*mode})) {
      if (!name.is_string()) return Corrupt("{}: \"pooling_mode\" is not a name or a list of names", origin);
      names.push_back(name.get<std::string>());
    }
  }
  for (const PoolingName& known : kPoolings) {
    bool used = std::erase(names, known.name) > 0;
    QWEN25_RETURN_IF_ERROR(ReadField(json, known.flag, origin, used));
    if (used) settings.poolings.push_back(known.pooling);
  }
  if (!names.empty()) {
    return Unsupported(
        "{}: the pooling \"{}\" is not known; handled are cls, max, mean, "
        "mean_sqrt_len_tokens, weightedmean and lasttoken",
        origin, names.front());
  }
  if (settings.poolings.empty()) return InvalidArgument("{}: no pooling is switched on", origin);
  return {};
}

Result<DenseModule> ReadDense(const std::filesystem::path& folder) {
  const std::string origin = (folder / "config.json").string();
  QWEN25_TRY(const Json json, ReadObject(origin));
  uint32_t in = 0, out = 0;
  bool has_bias = true;
  std::string activation = "torch.nn.modules.linear.Identity";
  QWEN25_RETURN_IF_ERROR(ReadField(json, "in_features", origin, in));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "out_features", origin, out));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "bias", origin, has_bias));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "activation_function", origin, activation));
  if (in == 0 || out == 0 || in > (1u << 20) || out > (1u << 16)) {
    return InvalidArgument("{}: \"in_features\" is {} and \"out_features\" is {}, expected 1 to 65536",
                           origin, in, out);
  }
  DenseModule dense = {.num_in = in, .num_out = out};
  dense.tanh = activation.ends_with(".Tanh");
  if (!dense.tanh && !activation.ends_with(".Identity")) {
    return Unsupported("{}: \"activation_function\" is \"{}\"; handled are Tanh and Identity", origin,
                       activation);
  }
  QWEN25_TRY(const CheckpointReader weights, CheckpointReader::Open(folder));
  const auto read = [&](const char* name, const std::vector<uint64_t>& shape,
                        std::vector<float>& values) -> Status {
    const TensorInfo* tensor = weights.Find(name);
    if (tensor == nullptr) return NotFound("{}: the weights hold no tensor {}", folder.string(), name);
    if (tensor->shape != shape) {
      return InvalidArgument("{}: {} has shape {}, expected {} by config.json", folder.string(), name,
                             ShapeText(tensor->shape), ShapeText(shape));
    }
    values.resize(tensor->NumElements());
    return CopyToFloat(*tensor, 0, values, /*check_finite=*/true);
  };
  QWEN25_RETURN_IF_ERROR(read("linear.weight", {out, in}, dense.weight));
  if (has_bias) QWEN25_RETURN_IF_ERROR(read("linear.bias", {out}, dense.bias));
  return dense;
}

// A prompt under the first of `names` that is there.
Status ReadPrompt(const Json& prompts, std::initializer_list<const char*> names, const std::string& origin,
                  std::string& prompt) {
  for (const char* name : names) {
    if (prompts.contains(name)) return ReadField(prompts, name, origin, prompt);
  }
  return {};
}

Status ReadPrompts(const std::filesystem::path& folder, SentenceSettings& settings) {
  const std::string origin = (folder / "config_sentence_transformers.json").string();
  QWEN25_TRY(const Json json, ReadOptionalObject(origin));
  const auto prompts = json.find("prompts");
  if (prompts == json.end() || prompts->is_null()) return {};
  if (!prompts->is_object()) return Corrupt("{}: \"prompts\" is not an object", origin);
  // The one that sentence-transformers uses wherever a call names none.
  std::string usual;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "default_prompt_name", origin, usual));
  for (std::string* prompt : {&settings.query_prompt, &settings.passage_prompt}) {
    if (!usual.empty()) QWEN25_RETURN_IF_ERROR(ReadPrompt(*prompts, {usual.c_str()}, origin, *prompt));
  }
  QWEN25_RETURN_IF_ERROR(ReadPrompt(*prompts, {"query"}, origin, settings.query_prompt));
  return ReadPrompt(*prompts, {"document", "passage", "corpus"}, origin, settings.passage_prompt);
}

// What identifies a model beyond its settings: "intfloat/e5-small-v2", in lower case, with everything that is
// no letter or digit as '-', and '-' at both ends.
std::string Plain(std::string_view name) {
  std::string plain = "-";
  for (const char c : name) {
    plain += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '-';
  }
  return plain + '-';
}

// The prompts of families that publish them in their descriptions only (intfloat/e5-*, BAAI/bge-*).
void UseKnownPrompts(std::string_view names, SentenceSettings& settings) {
  if (!settings.query_prompt.empty() || !settings.passage_prompt.empty()) return;
  const auto has = [&](std::string_view part) { return names.find(part) != std::string_view::npos; };
  std::string_view family;
  if (has("-e5-") && !has("-instruct-")) {
    family = "E5";
    settings.query_prompt = "query: ";
    settings.passage_prompt = "passage: ";
  } else if (has("-bge-") && has("-en-")) {
    family = "BGE";
    settings.query_prompt = "Represent this sentence for searching relevant passages: ";
  } else if (has("-bge-") && has("-zh-")) {
    family = "BGE";
    settings.query_prompt = "为这个句子生成表示以用于检索相关文章：";
  } else {
    return;
  }
  settings.remarks.push_back(
      fmt::format("{}: by its name a model of the {} family: queries begin with \"{}\", passages with \"{}\" "
                  "(--query-prompt and --passage-prompt change that)",
                  settings.model.string(), family, settings.query_prompt, settings.passage_prompt));
}

// The folder's name and, in the cache of the Hugging Face hub, that of the model ("models--intfloat--e5...").
std::string NamesOf(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(path, ignored);
  std::string names = Plain(whole.filename().string()) + Plain(whole.stem().string());
  if (whole.parent_path().filename() == "snapshots") {
    names += Plain(whole.parent_path().parent_path().filename().string());
  }
  return names;
}

Result<std::optional<SentenceSettings>> ReadGguf(const std::filesystem::path& path) {
  QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
  const auto text = [&](const char* key) {
    const GgufValue* value = files.Find(key);
    return std::string(value == nullptr ? "" : value->String().value_or(""));
  };
  const std::string key = text("general.architecture") + ".pooling_type";
  const GgufValue* type = files.Find(key);
  if (type == nullptr) return std::optional<SentenceSettings>();
  SentenceSettings settings = {.model = path};
  switch (type->Integer().value_or(-1)) {  // llama.cpp's enumeration
    case 0:                                // a vector per token; one for the text is asked for here
    case 1:
      settings.poolings = {SentencePooling::kMean};
      break;
    case 2:
      settings.poolings = {SentencePooling::kCls};
      break;
    case 3:
      settings.poolings = {SentencePooling::kLast};
      break;
    default:
      return Unsupported(
          "{}: {} is of type {} or not 0 to 3 (4 is that of rerankers); expected mean (1), "
          "cls (2) or last (3)",
          path.string(), key, type->TypeName());
  }
  UseKnownPrompts(NamesOf(path) + Plain(text("general.name")) + Plain(text("general.basename")), settings);
  return std::optional(std::move(settings));
}

}  // namespace

std::string_view SentencePoolingName(SentencePooling pooling) {
  return std::ranges::find(kPoolings, pooling, &PoolingName::pooling)->name;
}

Result<std::optional<SentenceSettings>> ReadSentenceSettings(const std::filesystem::path& path) {
  if (IsGgufPath(path)) return ReadGguf(path);
  const std::filesystem::path file = path / "modules.json";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::optional<SentenceSettings>();
  QWEN25_TRY(const Json modules, ReadJsonFile(file.string()));
  if (!modules.is_array()) return Corrupt("{}: the document is not a list", file.string());
  SentenceSettings settings;
  bool has_model = false;
  for (const Json& module : modules) {
    std::string type, folder;
    if (!module.is_object()) return Corrupt("{}: a module is not an object", file.string());
    QWEN25_RETURN_IF_ERROR(ReadField(module, "type", file.string(), type));
    QWEN25_RETURN_IF_ERROR(ReadField(module, "path", file.string(), folder));
    const std::string name = type.substr(type.rfind('.') + 1);
    if (name == "Transformer" && !has_model) {
      has_model = true;
      settings.model = folder.empty() ? path : path / folder;
    } else if (name == "Pooling" && has_model && settings.poolings.empty()) {
      QWEN25_RETURN_IF_ERROR(ReadPooling(path / folder, settings));
    } else if (name == "Dense" && !settings.poolings.empty()) {
      QWEN25_TRY(DenseModule dense, ReadDense(path / folder));
      settings.dense.push_back(std::move(dense));
    } else if (name != "Normalize" && name != "Dropout") {  // vectors have length one here in any case
      return Unsupported(
          "{}: the module \"{}\" is not handled at its place; handled are Transformer, Pooling, "
          "Dense and Normalize, in this order",
          file.string(), type);
    }
  }
  if (settings.poolings.empty()) {
    return Unsupported("{}: has no modules Transformer and Pooling, which make one vector of a text",
                       file.string());
  }
  const std::string limits = (settings.model / "sentence_bert_config.json").string();
  QWEN25_TRY(const Json json, ReadOptionalObject(limits));
  uint32_t max_tokens = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "max_seq_length", limits, max_tokens));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "do_lower_case", limits, settings.lowercase));
  if (max_tokens > 0) settings.max_tokens = max_tokens;
  QWEN25_RETURN_IF_ERROR(ReadPrompts(path, settings));
  const std::filesystem::path config_path = settings.model / "config.json";
  QWEN25_TRY(const Json config, ReadOptionalObject(config_path));
  QWEN25_RETURN_IF_ERROR(ReadField(config, "is_causal", config_path.string(), settings.causal));
  std::string origin;
  if (!ReadField(config, "_name_or_path", "", origin).ok()) origin.clear();
  UseKnownPrompts(NamesOf(path) + Plain(origin), settings);
  return std::optional(std::move(settings));
}

Status WriteMeanPooling(const std::filesystem::path& folder, bool causal) {
  const std::filesystem::path config_path = folder / "config.json";
  QWEN25_TRY(Json config, ReadObject(config_path));
  uint32_t dimension = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(config, "hidden_size", config_path.string(), dimension));
  config.erase("is_causal");
  if (!causal) config["is_causal"] = false;
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(config_path, DumpJson(config, 2) + "\n"));
  Json modules = Json::array();
  for (const auto& [type, path] :
       {std::pair{"Transformer", ""}, {"Pooling", "1_Pooling"}, {"Normalize", "2_Normalize"}}) {
    const size_t index = modules.size();
    modules.push_back({{"idx", index},
                       {"name", std::to_string(index)},
                       {"path", path},
                       {"type", std::string("sentence_transformers.models.") + type}});
  }
  QWEN25_RETURN_IF_ERROR(CreateDirectories(folder / "1_Pooling"));
  Json pooling = {{"word_embedding_dimension", dimension}};
  for (const PoolingName& known : kPoolings) pooling[known.flag] = known.pooling == SentencePooling::kMean;
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(folder / "1_Pooling/config.json", DumpJson(pooling, 2) + "\n"));
  return WriteFileAtomically(folder / "modules.json", DumpJson(modules, 2) + "\n");
}

}  // namespace qwen25
