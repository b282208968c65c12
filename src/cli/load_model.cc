#include "cli/load_model.h"

#include <algorithm>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/json.h"
#include "cli/gguf_tokenizer_io.h"
#include "model/weights_reader.h"
#include "text/chat_template_jinja.h"

namespace qwen25 {
namespace {

// A GGUF file names one end token; Qwen2.5's have two, of which generation_config.json would tell. Those that
// the vocabulary marks as control tokens end a text, whichever of them is named.
void AddTurnEnds(const Tokenizer& tokenizer, std::vector<int32_t>& stop_tokens) {
  for (const char* text : {"<|im_end|>", "<|endoftext|>"}) {
    const std::optional<int32_t> id = tokenizer.TokenId(text);
    if (id && tokenizer.IsSpecial(*id)) stop_tokens.push_back(*id);
  }
}

// The default system text of a model's chat template; kNotFound where it has no template.
Result<std::string> ReadSystem(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  if (!IsGgufPath(path)) return ReadChatTemplate(path);
  const std::string& jinja = tokenizer.spec().chat_template;
  if (jinja.empty()) return NotFound("{}: has no chat template", path.string());
  return RecogniseChatTemplate(jinja, path.string() + ": tokenizer.chat_template");
}

std::vector<std::string> KvNames() {
  const std::span<const std::string_view> names = KvFormatNames();
  return {names.begin(), names.end()};
}

}  // namespace

void AddModelFlags(CLI::App& verb, ModelFlags& flags, bool required) {
  verb.add_option("-m,--model", flags.directory,
                  "Model folder (config.json, model.safetensors, tokenizer.json) or .gguf file")
      ->required(required);
  verb.add_option("--threads", flags.num_threads, "Threads; default: every core this process may use");
  verb.add_option("--max-context", flags.max_context,
                  "Tokens to make room for; default: what the model was made for");
  verb.add_option("--weights", flags.weights,
                  "stored: as they are in the files; int8 and int4 are smaller and faster, and nearly as "
                  "exact (int4 keeps the output in int8)")
      ->check(CLI::IsMember({"stored", "float32", "bfloat16", "float16", "int8", "int4"}))
      ->capture_default_str();
  verb.add_flag("--cache-weights", flags.cache_weights,
                "Keep the packed weights in a file beside the model: the next start maps it");
  AddKvFlag(verb, flags.kv, "auto",
            "How keys and values are kept, in RAM and in the memory; int8 takes about half of float16; auto: "
            "float16 unless the weights are float32");
  AddRoutingFlag(verb, flags.routing);
  verb.add_option(
          "--recall-window", flags.recall_window,
          "Read inputs of any length: so many tokens back are seen as they stand, what is older is recalled "
          "by its content from a file (docs/memory.md); 0: off")
      ->capture_default_str();
  verb.add_option("--history-gib", flags.history_gib, "With a recall window: most GiB of keys and values")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  verb.add_option("--working-mib", flags.working_mib,
                  "With a recall window: about so many MiB of them in RAM")
      ->check(CLI::Range(1u, 1u << 24))
      ->capture_default_str();
  verb.add_option("--spill-directory", flags.spill_directory,
                  "With a recall window: the folder of that file; default: the system's for temporary files");
}

void AddKvFlag(CLI::App& verb, KvFormat& format) {
  verb.add_option_function<std::string>(
          "--kv", [&format](const std::string& name) { format = ParseKvFormat(name).value(); },
          "How keys and values are kept")
      ->check(CLI::IsMember(KvNames()))
      ->default_str(std::string(KvFormatName(format)));
}

void AddKvFlag(CLI::App& verb, std::optional<KvFormat>& format, const std::string& otherwise,
               const std::string& help) {
  std::vector<std::string> names = KvNames();
  names.insert(names.begin(), otherwise);
  const auto parse = [&format, otherwise](const std::string& name) {
    format = name == otherwise ? std::nullopt : std::optional(ParseKvFormat(name).value());
  };
  verb.add_option_function<std::string>("--kv", parse, help)
      ->check(CLI::IsMember(names))
      ->default_str(otherwise);
}

void AddRoutingFlag(CLI::App& verb, std::string& routing) {
  verb.add_option("--routing", routing,
                  "Which blocks of 64 tokens attention reads: auto (as the model was trained), dense (all), "
                  "top_p:0.95 (the fewest that hold this share) or top_k:16, then options such as "
                  "max_blocks=64,local=4,dense_below=2048 (docs/routing.md)")
      ->capture_default_str();
}

Result<std::optional<RoutingPolicy>> ParseRoutingFlag(const std::string& text) {
  if (text == "auto") return std::optional<RoutingPolicy>();
  QWEN25_TRY(const RoutingPolicy policy, RoutingPolicy::Parse(text));
  return std::optional(policy);
}

Result<std::unique_ptr<InferenceEngine>> LoadEngine(const ModelFlags& flags,
                                                    std::shared_ptr<ThreadPool> threads) {
  const std::filesystem::path path = flags.directory;
  if (!IsGgufPath(path) && !std::filesystem::is_directory(path)) {
    return NotFound(
        "{}: there is no such model folder; give one that holds config.json, model.safetensors and "
        "tokenizer.json, or a .gguf file",
        flags.directory);
  }
  QWEN25_TRY(const std::optional<RoutingPolicy> routing, ParseRoutingFlag(flags.routing));
  std::optional<WeightFormat> format;  // none: as stored
  if (flags.weights != "stored") {
    QWEN25_TRY(format, ParseWeightFormat(flags.weights));
  }
  if (!threads) {
    threads = std::make_shared<ThreadPool>(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  }
  QWEN25_TRY(Model model, Model::LoadPacked(path, format, *threads));
  if (flags.cache_weights) QWEN25_RETURN_IF_ERROR(model.WritePackedCache(path));
  const bool narrow = model.layers[0].down_proj.packed.format != WeightFormat::kFloat32;
  const KvFormat kv = flags.kv.value_or(narrow ? KvFormat::kFloat16 : KvFormat::kFloat32);
  InferenceEngine::Options options = {.threads = std::move(threads),
                                      .max_context_tokens = flags.max_context,
                                      .kv_format = kv,
                                      .routing = routing,
                                      .keep_summaries = flags.keep_summaries,
                                      .recall_window = flags.recall_window,
                                      .spill_directory = flags.spill_directory,
                                      .history_bytes = uint64_t{flags.history_gib} << 30,
                                      .working_bytes = size_t{flags.working_mib} << 20};
  QWEN25_RETURN_IF_ERROR(InferenceEngine::Check(model.config(), options));
  return std::make_unique<InferenceEngine>(std::move(model), options);
}

Result<LoadedModel> LoadModel(const ModelFlags& flags, std::shared_ptr<ThreadPool> threads) {
  const std::filesystem::path path = flags.directory;
  QWEN25_TRY(std::unique_ptr<InferenceEngine> engine, LoadEngine(flags, std::move(threads)));
  QWEN25_TRY(Tokenizer tokenizer, LoadTokenizer(path));
  const ModelConfig& config = engine->model().config();
  if (tokenizer.vocab_size() > config.vocab_size) {
    return InvalidArgument(
        "{}: the tokenizer has {} entries and the model only {} rows of embeddings; they do not belong "
        "together",
        flags.directory, tokenizer.vocab_size(), config.vocab_size);
  }
  LoadedModel loaded{.engine = std::move(engine), .tokenizer = std::move(tokenizer)};
  loaded.stop_tokens = config.eos_token_ids;
  if (IsGgufPath(path)) {
    AddTurnEnds(loaded.tokenizer, loaded.stop_tokens);
  } else {
    QWEN25_TRY(const GenerationConfig generation, GenerationConfig::Load(path / "generation_config.json"));
    loaded.sampling = generation.sampling;
    loaded.stop_tokens.insert(loaded.stop_tokens.end(), generation.eos_token_ids.begin(),
                              generation.eos_token_ids.end());
  }
  if (const auto eos = loaded.tokenizer.eos_id()) loaded.stop_tokens.push_back(*eos);
  const Result<std::string> system = ReadSystem(path, loaded.tokenizer);
  if (system.ok()) loaded.default_system = *system;
  if (!system.ok() && system.status().code() != StatusCode::kNotFound) {
    fmt::print(stderr, "note: {}\n", system.status().message());
  }
  return loaded;
}

std::optional<int32_t> FirstDifferentToken(const Tokenizer& a, const Tokenizer& b) {
  const auto count = static_cast<int32_t>(std::max(a.vocab_size(), b.vocab_size()));
  for (int32_t id = 0; id < count; ++id) {
    if (a.TokenBytes(id) != b.TokenBytes(id) || a.IsSpecial(id) != b.IsSpecial(id)) return id;
  }
  return std::nullopt;
}

SamplingOptions SamplingFlags::Over(const SamplingOptions& defaults) const {
  SamplingOptions options = defaults;
  // Who asks for a kind of sampling wants to sample: a model whose default is greedy must not keep ignoring
  // it.
  if (!temperature && defaults.temperature == 0 && (top_k || top_p || min_p || seed)) options.temperature = 1;
  if (temperature) options.temperature = *temperature;
  if (top_k) options.top_k = *top_k;
  if (top_p) options.top_p = *top_p;
  if (min_p) options.min_p = *min_p;
  if (repetition_penalty) options.repetition_penalty = *repetition_penalty;
  if (seed) options.seed = *seed;
  return options;
}

void AddSamplingFlags(CLI::App& verb, SamplingFlags& flags) {
  verb.add_option("--temperature", flags.temperature,
                  "0: always the most likely token; default: the model's own");
  verb.add_option("--top-k", flags.top_k, "Draw from the k most likely tokens; 0: all");
  verb.add_option("--top-p", flags.top_p, "Draw from the fewest tokens whose probabilities reach p");
  verb.add_option("--min-p", flags.min_p,
                  "Leave out tokens below min-p times the most likely one's probability");
  verb.add_option("--repetition-penalty", flags.repetition_penalty, "Above 1 makes repetition less likely");
  verb.add_option("--seed", flags.seed, "The same seed gives the same text");
}

Result<std::string> ReadTextFlag(const std::optional<std::string>& text, const std::string& file,
                                 const char* what) {
  if (text.has_value() != file.empty())
    return InvalidArgument("give either --{} TEXT or --{}-file FILE (- reads standard input)", what, what);
  if (file.empty()) return *text;
  if (file != "-") return ReadFile(file);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

}  // namespace qwen25
