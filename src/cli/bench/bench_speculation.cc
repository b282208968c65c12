// qwen25 bench speculation: generation with and without prompt lookup, in turn, and what verifying costs.
#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/quantile.h"
#include "cli/bench/bench_model.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "data/read/text_stream.h"
#include "infer/drafter.h"
#include "infer/session.h"
#include "infer/token_stream.h"
#include "kernels/isa.h"
#include "pretrained/load_tokenizer.h"

namespace qwen25 {
namespace {

struct SpeculationBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder or file
  std::string weights = "int8";
  KvFormat kv = KvFormat::kFloat16;
  std::string tokenizer;  // where it is not the model's
  std::string prompt_file, answer_file;
  uint32_t new_tokens = 512, draft_tokens = 16, rounds = 3, num_threads = 0;
  bool json = false;
};

// One text that was written.
struct Answer {
  std::vector<int32_t> tokens;
  double seconds = 0;
  SpeculationStats stats;

  double TokensPerSecond() const { return static_cast<double>(tokens.size()) / seconds; }
};

class SpeculationBench {
 public:
  SpeculationBench(const SpeculationBenchFlags& flags, Model model)
      : flags_(flags),
        engine_(std::move(model), {.num_threads = flags.num_threads, .kv_format = flags.kv}),
        session_(engine_) {}

  InferenceEngine& engine() { return engine_; }

  Status Read(std::span<const int32_t> prompt) {
    prompt_.assign(prompt.begin(), prompt.end());
    return session_.HoldExactly(prompt_).status();
  }

  // Writes after the prompt: `given`, or the most likely tokens if that is empty. `drafter` may be null.
  // The model computes in both cases, and every row's most likely token is looked for: given tokens are made
  // the most likely ones.
  Result<Answer> Write(Drafter* drafter, std::span<const int32_t> given, size_t count) {
    QWEN25_RETURN_IF_ERROR(session_.HoldExactly(prompt_).status());
    if (drafter) QWEN25_RETURN_IF_ERROR(drafter->Start(prompt_, nullptr));
    TokenStream stream(session_, {.temperature = 0}, drafter, flags_.draft_tokens);
    Answer answer;
    size_t num_rows = 1;
    const double start = NowSeconds();
    while (true) {
      for (size_t row = 0; row < num_rows && answer.tokens.size() + row < given.size(); ++row) {
        const auto token = static_cast<size_t>(given[answer.tokens.size() + row]);
        session_.logits(row)[token] = std::numeric_limits<float>::infinity();
      }
      QWEN25_TRY(const std::span<const int32_t> tokens, stream.Take());
      answer.tokens.insert(answer.tokens.end(), tokens.begin(), tokens.end());
      if (answer.tokens.size() >= count) break;
      const SessionTokens proposal = stream.Propose(count - answer.tokens.size());
      num_rows = proposal.num_logit_rows;
      QWEN25_RETURN_IF_ERROR(session_.Append(proposal.tokens, nullptr, num_rows));
    }
    answer.seconds = NowSeconds() - start;
    answer.stats = stream.stats();
    return answer;
  }

  // Seconds of a forward pass over the last token and `num_proposed` more, after the prompt.
  Result<double> VerifySeconds(size_t num_proposed) {
    constexpr size_t kPasses = 8;
    std::vector<int32_t> batch(num_proposed + 1, prompt_.back());
    std::vector<double> seconds;
    for (size_t i = 0; i < kPasses; ++i) {
      session_.Truncate(prompt_.size());
      const double start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session_.Append(batch, nullptr, batch.size()));
      seconds.push_back(NowSeconds() - start);
    }
    return Median(seconds);
  }

 private:
  const SpeculationBenchFlags& flags_;
  InferenceEngine engine_;
  Session session_;
  std::vector<int32_t> prompt_;
};

Result<std::vector<int32_t>> ReadTokens(const Tokenizer& tokenizer, const std::string& path, bool add_bos) {
  QWEN25_TRY(const std::string text, ReadText(path));
  std::vector<int32_t> tokens = tokenizer.Encode(text, EncodeOptions{.add_bos = add_bos});
  if (tokens.empty()) return InvalidArgument("{}: holds no text", path);
  return tokens;
}

// Time of a pass over k + 1 tokens in that of one, for several k.
Result<Json> VerificationCosts(SpeculationBench& bench) {
  Json costs = Json::array();
  double single = 0;
  for (const size_t k : {0, 0, 1, 2, 3, 4, 6, 8, 12, 16}) {  // the first one warms up
    QWEN25_TRY(const double seconds, bench.VerifySeconds(k));
    if (k == 0) {
      single = seconds;
      continue;
    }
    costs.push_back({{"proposed", k}, {"cost", seconds / single}});
  }
  return costs;
}

Result<Json> Compare(const SpeculationBenchFlags& flags, SpeculationBench& bench,
                     const std::vector<int32_t>& given) {
  const size_t count = given.empty() ? flags.new_tokens : std::min<size_t>(given.size(), flags.new_tokens);
  std::vector<double> plain_speeds, speeds, ratios;
  SpeculationStats stats;
  for (uint32_t round = 0; round < flags.rounds; ++round) {
    LookupDrafter drafter(bench.engine().max_context_tokens());
    QWEN25_TRY(const Answer plain, bench.Write(nullptr, given, count));
    QWEN25_TRY(const Answer speculated, bench.Write(&drafter, given, count));
    QWEN25_CHECK(plain.tokens == speculated.tokens);  // what speculation promises
    plain_speeds.push_back(plain.TokensPerSecond());
    speeds.push_back(speculated.TokensPerSecond());
    ratios.push_back(plain.seconds / speculated.seconds);
    stats = speculated.stats;
  }
  return Json({{"new_tokens", count},
               {"plain_tokens_per_second", Median(plain_speeds)},
               {"tokens_per_second", Median(speeds)},
               {"speedup", Median(ratios)},
               {"forward_passes", stats.num_passes},
               {"proposed_tokens", stats.num_proposed},
               {"accepted_tokens", stats.num_accepted},
               {"tokens_per_pass", stats.TokensPerPass()}});
}

void Print(const Json& report) {
  fmt::print("{}, {} weights, {} threads, {}; {} tokens of prompt\n", report["model"].get<std::string>(),
             report["weights"].get<std::string>(), report["threads"].get<size_t>(),
             report["isa"].get<std::string>(), report["prompt_tokens"].get<size_t>());
  const Json& result = report["result"];
  fmt::print(
      "{} tokens{}: {:.1f} tokens/s without, {:.1f} with prompt lookup: {:.2f} times, the same text\n"
      "{} of {} proposed tokens accepted, {:.2f} tokens per forward pass\n",
      result["new_tokens"].get<size_t>(), report["given"].get<bool>() ? " (given)" : "",
      result["plain_tokens_per_second"].get<double>(), result["tokens_per_second"].get<double>(),
      result["speedup"].get<double>(), result["accepted_tokens"].get<size_t>(),
      result["proposed_tokens"].get<size_t>(), result["tokens_per_pass"].get<double>());
  fmt::print("tokens proposed and the time of their pass, in that of a pass without:");
  for (const Json& cost : report["verification"]) {
    fmt::print("  {}: {:.2f}", cost["proposed"].get<size_t>(), cost["cost"].get<double>());
  }
  fmt::print("\n");
}

Status RunSpeculationBench(const SpeculationBenchFlags& flags) {
  if (flags.rounds < 1 || flags.new_tokens < 2 || flags.draft_tokens < 1 ||
      flags.draft_tokens >= Session::kMaxLogitRows) {
    return InvalidArgument(
        "expected --rounds of at least 1, --generate of at least 2 and --draft-tokens of 1 to {}",
        Session::kMaxLogitRows - 1);
  }
  if (flags.model.empty() && flags.tokenizer.empty()) {
    return InvalidArgument(
        "a shape with random weights has no tokenizer: give --tokenizer FOLDER, or --model");
  }
  QWEN25_TRY(const WeightFormat format, ParseWeightFormat(flags.weights));
  QWEN25_TRY(const Tokenizer tokenizer,
             LoadTokenizer(flags.tokenizer.empty() ? flags.model : flags.tokenizer));
  QWEN25_TRY(const std::vector<int32_t> prompt, ReadTokens(tokenizer, flags.prompt_file, /*add_bos=*/true));
  std::vector<int32_t> given;
  if (!flags.answer_file.empty()) {
    QWEN25_TRY(given, ReadTokens(tokenizer, flags.answer_file, /*add_bos=*/false));
  }
  QWEN25_TRY(Model model, BenchModel(flags.preset, flags.model, format, flags.num_threads));
  if (const auto vocabulary = static_cast<int32_t>(model.config().vocab_size);
      !given.empty() && std::ranges::max(given) >= vocabulary) {
    return InvalidArgument("{}: token {} is outside the vocabulary of {}", flags.answer_file,
                           std::ranges::max(given), vocabulary);
  }
  SpeculationBench bench(flags, std::move(model));
  QWEN25_RETURN_IF_ERROR(bench.Read(prompt));
  Json report = {{"model", flags.model.empty() ? flags.preset : flags.model},
                 {"weights", flags.weights},
                 {"threads", bench.engine().execution().threads.num_threads()},
                 {"isa", CurrentIsa()},
                 {"prompt_tokens", prompt.size()},
                 {"given", !given.empty()}};
  QWEN25_TRY(report["verification"], VerificationCosts(bench));
  QWEN25_TRY(report["result"], Compare(flags, bench, given));
  if (flags.json) {
    fmt::print("{}\n", report.dump());
  } else {
    Print(report);
  }
  return {};
}

}  // namespace

void AddSpeculationBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] = AddVerb(
      verb, run, "speculation", "Generation with and without prompt lookup, and what verifying tokens costs",
      RunSpeculationBench);
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model: its folder, .gguf file or name");
  AddWeightsFlag(*what, flags->weights);
  AddKvFlag(*what, flags->kv);
  what->add_option("--tokenizer", flags->tokenizer, "Tokenizer folder, if it is not the model's");
  what->add_option("--prompt-file", flags->prompt_file, "The text to continue")->required();
  what->add_option(
      "--answer-file", flags->answer_file,
      "The answer that the model is made to write, whatever it computes; default: the most likely tokens");
  what->add_option("-n,--generate", flags->new_tokens, "Most tokens to generate")->capture_default_str();
  what->add_option("--draft-tokens", flags->draft_tokens, "Most tokens proposed at once")
      ->capture_default_str();
  AddRoundsFlag(*what, flags->rounds);
  AddThreadsFlag(*what, flags->num_threads);
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n  qwen25 bench speculation -m MODEL --prompt-file edit.txt\n"
      "  qwen25 bench speculation --preset 0.5b --tokenizer MODEL --prompt-file old.txt --answer-file "
      "new.txt");
}

}  // namespace qwen25
