#include <memory>

#include "base/json.h"
#include "cli/flags/grammar_flags.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/flags/sampling_flags.h"
#include "cli/flags/speculation_flags.h"
#include "cli/flags/text_flag.h"
#include "cli/talk/show_events.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "infer/generate.h"
#include "infer/grammar_rule.h"

namespace qwen25 {
namespace {

struct GenerateFlags {
  ModelFlags model;
  SamplingFlags sampling;
  DraftChoice speculation;
  GrammarFlags grammar;
  MemoryPlace memory;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::vector<std::string> stop;
  size_t max_new_tokens = 256;
  bool json = false, ignore_eos = false, verbose = false, no_parse_special = false;
};

Json ToJson(const GenerateResult& result, const std::string& prompt) {
  Json json;
  json["prompt"] = prompt;
  json["text"] = result.text;
  json["finish_reason"] = FinishReasonName(result.finish_reason);
  if (!result.error.ok()) json["error"] = result.error.message();
  json["tokens"] = result.tokens;
  json["usage"] = {{"prompt_tokens", result.num_prompt_tokens},
                   {"completion_tokens", result.tokens.size()},
                   {"prompt_tokens_details", {{"cached_tokens", result.reuse.total()}}}};
  json["timings"] = {{"prompt_seconds", result.prompt_seconds}, {"decode_seconds", result.decode_seconds}};
  json["speculation"] = {{"forward_passes", result.speculation.num_passes},
                         {"proposed_tokens", result.speculation.num_proposed},
                         {"accepted_tokens", result.speculation.num_accepted}};
  return json;
}

// Null without a grammar.
Result<std::unique_ptr<LogitsRule>> RuleOf(const Grammar::Pointer& grammar, const LoadedModel& model) {
  if (!grammar) return std::unique_ptr<LogitsRule>();
  QWEN25_TRY(std::unique_ptr<GrammarRule> rule,
             GrammarRule::Create(grammar, std::make_shared<TokenTrie>(model.tokenizer), model.stop_tokens));
  return std::unique_ptr<LogitsRule>(std::move(rule));
}

Status RunGenerate(const GenerateFlags& flags) {
  QWEN25_TRY(const std::string prompt, ReadTextFlag(flags.prompt, flags.prompt_file, "prompt"));
  QWEN25_TRY(const Grammar::Pointer grammar, flags.grammar.Load());
  std::unique_ptr<BlockStore> store;  // outlives the engine
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  // Unlike a chat, a single text is remembered only where that was asked for.
  if (!flags.memory.folder.empty()) store = AttachBlockStore(flags.memory, *model.engine);
  GenerateOptions options;
  options.sampling = flags.sampling.Over(model.sampling);
  options.max_new_tokens = flags.max_new_tokens;
  options.stop = flags.stop;
  if (!flags.ignore_eos) options.stop_tokens = model.stop_tokens;
  QWEN25_TRY(const LoadedDrafter drafter,
             LoadDrafter(flags.speculation, flags.model, model, options.sampling));
  options.drafter = drafter.drafter.get();
  options.max_draft_tokens = flags.speculation.draft_tokens;

  QWEN25_TRY(const std::unique_ptr<LogitsRule> rule, RuleOf(grammar, model));
  options.rule = rule.get();

  EncodeOptions encode;
  encode.add_bos = true;  // where the tokenizer's own template puts one (Llama); Qwen2.5's puts none
  if (flags.no_parse_special) encode.special = SpecialTokens::kAsText;
  std::vector<int32_t> tokens;
  model.tokenizer.Encode(prompt, tokens, encode);
  Session session(*model.engine, flags.memory.name_space);
  const InterruptGuard guard;
  if (!flags.json) fmt::print("{}", prompt);
  const auto on_text = [&](std::string_view piece) {
    if (!flags.json) {
      fmt::print("{}", piece);
      std::fflush(stdout);
    }
    return !InterruptGuard::requested();
  };
  QWEN25_TRY(const GenerateResult result, Generate(session, model.tokenizer, tokens, options, on_text));
  if (flags.json) {
    fmt::print("{}\n", DumpJson(ToJson(result, prompt)));
  } else {
    fmt::print("\n");
  }
  if (const Status status = session.Remember().status(); !status.ok()) {
    fmt::print(stderr, "note: not remembered: {}\n", status.message());
  }
  if (flags.verbose) {
    const size_t computed = result.num_prompt_tokens - result.reuse.total();
    fmt::print(stderr,
               "prompt: {} tokens in {:.3f} s ({}), {:.1f} tokens/s; answer: {} tokens, {:.1f} tokens/s; "
               "ended by {}\n",
               result.num_prompt_tokens, result.prompt_seconds,
               ReuseSummary(result.reuse, result.num_prompt_tokens),
               static_cast<double>(computed) / result.prompt_seconds, result.tokens.size(),
               static_cast<double>(result.tokens.size()) / result.decode_seconds,
               FinishReasonName(result.finish_reason));
    if (drafter.drafter) fmt::print(stderr, "speculation: {}\n", SpeculationSummary(result.speculation));
  }
  QWEN25_RETURN_IF_ERROR(result.error);
  if (result.finish_reason == FinishReason::kCancelled) return Cancelled("stopped by Ctrl-C");
  return {};
}

}  // namespace

void AddGenerateVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(app, run, "generate", "Continue a text", RunGenerate);
  AddModelFlags(*verb, flags->model);
  verb->add_option("-p,--prompt", flags->prompt, "The text to continue");
  verb->add_option("--prompt-file", flags->prompt_file, "Read it from a file; - is standard input");
  verb->add_option("-n,--max-new-tokens", flags->max_new_tokens, "Most tokens to draw")
      ->capture_default_str();
  verb->add_option("--stop", flags->stop, "A text that ends the answer; may be given several times");
  verb->add_flag("--ignore-eos", flags->ignore_eos, "Go on after the end-of-text token");
  verb->add_flag(
      "--no-parse-special", flags->no_parse_special,
      "Control tokens in the prompt (\"<|im_end|>\") are text. Without this they are tokens, so that "
      "a prompt can be a whole conversation in the model's own format");
  AddSamplingFlags(*verb, flags->sampling);
  AddSpeculationFlags(*verb, flags->speculation);
  AddGrammarFlags(*verb, flags->grammar);
  AddMemoryFlags(*verb, flags->memory, /*needs_folder=*/false);
  verb->add_flag("--json", flags->json, "Print one JSON object with text, tokens, usage and timings");
  verb->add_flag("-v,--verbose", flags->verbose, "Print speeds to standard error");
  verb->footer(
      "Examples:\n"
      "  qwen25 generate -m runs/demo/model -p \"def main():\" -n 64 --temperature 0.7 --seed 1\n"
      "  git diff | qwen25 generate -m MODEL --prompt-file - --json\n"
      "  qwen25 generate -m MODEL --prompt-file edit.txt --speculate -v\n"
      "  qwen25 generate -m Qwen2.5-7B-Instruct -p \"...\" --weights int4 --speculate Qwen2.5-0.5B-Instruct");
}

}  // namespace qwen25
