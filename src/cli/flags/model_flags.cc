#include "cli/flags/model_flags.h"

#include "cli/flags/check_numbers.h"

namespace qwen25 {
namespace {

std::vector<std::string> KvNames() {
  const std::span<const std::string_view> names = KvFormatNames();
  return {names.begin(), names.end()};
}

}  // namespace

void AddModelFlags(CLI::App& verb, ModelFlags& flags, bool required) {
  verb.add_option("-m,--model", flags.directory,
                  "Model folder, .gguf file, or the name of a fetched model: ORGANISATION/NAME[:FORMAT] "
                  "(qwen25 pull)")
      ->required(required);
  verb.add_option("--threads", flags.num_threads, "Threads; default: every core this process may use")
      ->check(kThreadCount);
  verb.add_option("--max-context", flags.max_context,
                  "Tokens to make room for; default: what the model was made for");
  verb.add_option("--weights", flags.weights,
                  "stored: as they are in the files; int8 and int4 are smaller and faster, and nearly as "
                  "exact (int4 keeps the output in int8)")
      ->check(CLI::IsMember({"stored", "float32", "bfloat16", "float16", "int8", "int4"}))
      ->capture_default_str();
  AddAdapterFlags(verb, flags.adapters);
  verb.add_flag(
      "--cache-weights", flags.cache_weights,
      "Keep the packed weights in a file beside the model, and map it at the next start with this flag");
  AddKvFlag(verb, flags.kv, "auto",
            "How keys and values are kept, in RAM and in the memory; int8 takes about half of float16; auto: "
            "float16 unless the weights are float32");
  AddRoutingFlag(verb, flags.routing);
  verb.add_option(
          "--recall-window", flags.recall_window,
          "Read inputs of any length: the last N tokens are seen as they are, and older blocks are recalled "
          "from a file by their content (docs/memory.md); 0: off")
      ->capture_default_str();
  verb.add_option("--history-gib", flags.history_gib, "With a recall window: most GiB of keys and values")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  verb.add_option("--working-mib", flags.working_mib,
                  "With a recall window: MiB of these keys and values in RAM, about")
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
                  "Which blocks of 64 tokens attention reads: auto (as the model was calibrated or trained), "
                  "dense (all), "
                  "top_p:0.95 (the fewest that hold this share) or top_k:16, then options such as "
                  "rerank=3,local=4,dense_below=2048 (docs/routing.md)")
      ->capture_default_str();
}

Result<std::optional<RoutingPolicy>> ParseRoutingFlag(const std::string& text) {
  if (text == "auto") return std::optional<RoutingPolicy>();
  QWEN25_TRY(const RoutingPolicy policy, RoutingPolicy::Parse(text));
  return std::optional(policy);
}

Result<ModelSource> ModelFlags::Source() const {
  ModelSource source = {.path = directory,
                        .chat_template = chat_template,
                        .merge_adapters = adapters.merge,
                        .cache_weights = cache_weights,
                        .num_threads = num_threads,
                        .kv = kv,
                        .max_context_tokens = max_context,
                        .keep_summaries = keep_summaries,
                        .recall_window = recall_window,
                        .history_bytes = uint64_t{history_gib} << 30,
                        .working_bytes = size_t{working_mib} << 20,
                        .spill_directory = spill_directory};
  QWEN25_TRY(source.adapters, adapters.Sources());
  QWEN25_TRY(source.routing, ParseRoutingFlag(routing));
  if (weights != "stored") {
    QWEN25_TRY(source.format, ParseWeightFormat(weights));
  }
  return source;
}

void PrintNotes(std::span<const std::string> remarks) {
  for (const std::string& remark : remarks) fmt::print(stderr, "note: {}\n", remark);
}

Result<LoadedModel> LoadModel(const ModelFlags& flags) {
  QWEN25_TRY(const ModelSource source, flags.Source());
  QWEN25_TRY(LoadedModel model, LoadModel(source));
  PrintNotes(model.remarks);
  return model;
}

}  // namespace qwen25
