// qwen25 bench load: how a server does with many clients at once. Any server of the OpenAI API.
#include "base/json.h"
#include "base/rng.h"
#include "cli/bench/bench_verb.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "eval/server_load.h"

namespace qwen25 {
namespace {

struct LoadBenchFlags {
  LoadOptions options = {.base_url = "http://127.0.0.1:8080/v1", .model = "default"};
  std::vector<uint32_t> clients = {1, 4, 16, 64};
  uint32_t requests = 0;
  uint32_t prompt_bytes = 400, answer_tokens = 64, shared_bytes = 0, long_every = 0, long_bytes = 16000;
  std::vector<std::string> texts;
  uint64_t seed = 1;
  bool json = false;
};

// Requests about passages of a text, each from another place, so that no two prompts begin alike.
class Passages {
 public:
  Passages(std::string text, uint64_t seed) : text_(std::move(text)), rng_(seed) {}

  // A passage of about `size` bytes, whole words.
  std::string Next(size_t size) {
    size = std::min(size, text_.size());
    size_t begin = rng_.Below(text_.size() - size + 1), end = begin + size;
    while (begin > 0 && text_[begin - 1] != ' ') --begin;
    while (end < text_.size() && text_[end] != ' ') ++end;
    return text_.substr(begin, end - begin);
  }

 private:
  std::string text_;
  Rng rng_;
};

std::vector<LoadRequest> RequestsOf(const LoadBenchFlags& flags, Passages& passages,
                                    const std::string& shared, size_t count) {
  std::vector<LoadRequest> requests(count);
  for (size_t i = 0; i < count; ++i) {
    LoadRequest& request = requests[i];
    request.is_long = flags.long_every > 0 && i % flags.long_every == flags.long_every - 1;
    request.system = shared;
    request.user =
        passages.Next(request.is_long ? flags.long_bytes : flags.prompt_bytes) + "\n\nGo on with this text.";
    request.answer_tokens = flags.answer_tokens;
  }
  return requests;
}

Json ToJson(size_t clients, const LoadResult& result) {
  Json json = {{"clients", clients},
               {"answers", result.num_answers},
               {"refused", Json::object()},
               {"seconds", result.seconds},
               {"tokens_per_second", result.TokensPerSecond()},
               {"prompt_tokens", result.prompt_tokens},
               {"cached_tokens", result.cached_tokens},
               {"answer_tokens", result.answer_tokens}};
  for (const auto& [status, count] : result.refused) json["refused"][std::to_string(status)] = count;
  if (!result.first_error.empty()) json["first_error"] = result.first_error;
  const auto times = [&](const char* name, const LoadTimes& seconds) {
    if (seconds.seconds.empty()) return;
    json[name] = {{"p50", seconds.Percentile(0.5)}, {"p99", seconds.Percentile(0.99)}};
  };
  times("first_token_seconds", result.first_token);
  times("long_first_token_seconds", result.long_first_token);
  times("between_tokens_seconds", result.between_tokens);
  return json;
}

void PrintLine(size_t clients, const LoadResult& result) {
  size_t num_refused = 0;
  for (const auto& [status, count] : result.refused) num_refused += count;
  const auto milliseconds = [](const LoadTimes& times, double share) {
    return 1e3 * times.Percentile(share);
  };
  fmt::print("{:>8}{:>9}{:>9}{:>10.1f}{:>11.0f}{:>9.0f}{:>10.1f}{:>9.1f}{:>11.0f}\n", clients,
             result.num_answers, num_refused, result.TokensPerSecond(), milliseconds(result.first_token, 0.5),
             milliseconds(result.first_token, 0.99), milliseconds(result.between_tokens, 0.5),
             milliseconds(result.between_tokens, 0.99), milliseconds(result.long_first_token, 0.5));
  if (!result.first_error.empty()) fmt::print(stderr, "note: first refusal: {}\n", result.first_error);
}

Status RunLoadBench(const LoadBenchFlags& flags) {
  QWEN25_TRY(std::string text, ReadTexts(flags.texts));
  Passages passages(std::move(text), flags.seed);
  const std::string shared = flags.shared_bytes == 0 ? "" : passages.Next(flags.shared_bytes);
  const InterruptGuard guard;
  Json all = Json::array();
  if (!flags.json) {
    fmt::print(
        "milliseconds: median and 99th percentile\n{:>8}{:>9}{:>9}{:>10}{:>11}{:>9}{:>10}{:>9}{:>11}\n",
        "clients", "answers", "refused", "tokens/s", "1st token", "p99", "between", "p99", "1st, long");
  }
  for (const uint32_t clients : flags.clients) {
    LoadOptions options = flags.options;
    options.num_clients = clients;
    const size_t count = flags.requests != 0 ? flags.requests : std::max<size_t>(16, 4 * size_t{clients});
    Progress progress(fmt::format("{} clients", clients), "requests", count);
    QWEN25_TRY(const LoadResult result,
               MeasureServerLoad(options, RequestsOf(flags, passages, shared, count), [&](size_t done) {
                 progress.Update(done);
                 return !InterruptGuard::requested();
               }));
    progress.Finish();
    if (flags.json) {
      all.push_back(ToJson(clients, result));
    } else {
      PrintLine(clients, result);
    }
  }
  if (flags.json) fmt::print("{}\n", all.dump());
  return {};
}

}  // namespace

void AddLoadBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "load",
              "A server of the OpenAI API with many clients: tokens per second, waiting times", RunLoadBench);
  what->add_option("--url", flags->options.base_url, "Address of the API, with /v1")->capture_default_str();
  what->add_option("-m,--model", flags->options.model, "Name of the model in requests")
      ->capture_default_str();
  what->add_option("--key", flags->options.key, "API key");
  what->add_option("--text", flags->texts, "Files of text that prompts are passages of, such as books")
      ->delimiter(',')
      ->required();
  AddListFlag(*what, "--clients", flags->clients, "Clients at once, one measurement each");
  what->add_option("--requests", flags->requests,
                   "Requests of each measurement; default: 4 for each client, at least 16");
  what->add_option("--prompt-bytes", flags->prompt_bytes, "Length of prompts")->capture_default_str();
  what->add_option("--answer-tokens", flags->answer_tokens, "Length of answers")->capture_default_str();
  what->add_option("--shared-bytes", flags->shared_bytes,
                   "Length of a system text that all prompts begin with")
      ->capture_default_str();
  what->add_option("--long-every", flags->long_every,
                   "Every so many requests, one has a long prompt; 0: none")
      ->capture_default_str();
  what->add_option("--long-bytes", flags->long_bytes, "Length of long prompts")->capture_default_str();
  what->add_option("--timeout", flags->options.timeout_seconds, "Seconds until a request has failed")
      ->capture_default_str();
  what->add_option("--seed", flags->seed, "Seed of the choice of passages")->capture_default_str();
  what->add_flag("--json", flags->json, "Print one JSON array");
  what->footer(
      "Examples:\n"
      "  qwen25 bench load --text book.txt --clients 1,16,64\n"
      "  qwen25 bench load --text book.txt --url http://127.0.0.1:8081/v1 --shared-bytes 8000\n"
      "  qwen25 bench load --text book.txt --clients 16 --long-every 8 --json");
}

}  // namespace qwen25
