#include "serve/metrics.h"

#include <fmt/format.h>

#include <iterator>

namespace qwen25 {
namespace {

std::string Escaped(std::string_view value) {
  std::string text;
  for (const char letter : value) {
    if (letter == '\\' || letter == '"') text += '\\';
    if (letter == '\n') {
      text += "\\n";
    } else {
      text += letter;
    }
  }
  return text;
}

}  // namespace

void MetricsText::Begin(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsText::Line(std::string_view suffix, const Labels& labels, double value) {
  text_ += name_;
  text_ += suffix;
  if (!labels.empty()) {
    char before = '{';
    for (const auto& [label, content] : labels) {
      fmt::format_to(std::back_inserter(text_), "{}{}=\"{}\"", before, label, Escaped(content));
      before = ',';
    }
    text_ += '}';
  }
  fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

void MetricsText::Sample(const Labels& labels, double value) {
  Line("", labels, value);
}

void MetricsText::Sample(const Labels& labels, const Histogram& histogram) {
  Labels with_bound = labels;
  with_bound.emplace_back("le", "");
  uint64_t count = 0;
  for (size_t i = 0; i < histogram.bounds().size(); ++i) {
    count += histogram.counts()[i];
    with_bound.back().second = fmt::format("{:g}", histogram.bounds()[i]);
    Line("_bucket", with_bound, static_cast<double>(count));
  }
  with_bound.back().second = "+Inf";
  Line("_bucket", with_bound, static_cast<double>(histogram.count()));
  Line("_sum", labels, histogram.sum());
  Line("_count", labels, static_cast<double>(histogram.count()));
}

void WriteModelMetrics(const std::vector<ModelMetrics>& models, MetricsText& out) {
  const auto write = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    out.Begin(name, type, help);
    for (const ModelMetrics& model : models) out.Sample({{"model", model.name}}, value(model.stats));
  };
  using Stats = const SchedulerStats&;
  const auto number = [](auto value) { return static_cast<double>(value); };
  write("qwen25_requests_waiting", "gauge", "Requests that wait for a stream.",
        [&](Stats stats) { return number(stats.num_waiting); });
  write("qwen25_requests_running", "gauge", "Requests that have a stream.",
        [&](Stats stats) { return number(stats.num_running); });
  out.Begin("qwen25_requests_total", "counter", "Requests that have ended, by reason.");
  for (const ModelMetrics& model : models) {
    for (const auto& [reason, count] : model.stats.num_ended) {
      const std::string name(reason == FinishReason::kContextFull ? "context full"
                             : reason == FinishReason::kStopText  ? "stop text"
                                                                  : FinishReasonName(reason));
      out.Sample({{"model", model.name}, {"reason", name}}, number(count));
    }
  }
  write("qwen25_requests_refused_total", "counter", "Requests refused since too many waited.",
        [&](Stats stats) { return number(stats.num_refused); });
  write("qwen25_preemptions_total", "counter", "Streams that gave way and were continued later.",
        [&](Stats stats) { return number(stats.num_preempted); });
  write("qwen25_prompt_tokens_total", "counter", "Tokens of prompts.",
        [&](Stats stats) { return number(stats.num_prompt_tokens); });
  out.Begin("qwen25_prompt_tokens_known_total", "counter",
            "Tokens of prompts whose keys and values were there, in RAM (shared) or in the store.");
  for (const ModelMetrics& model : models) {
    out.Sample({{"model", model.name}, {"tier", "shared"}}, number(model.stats.num_shared_tokens));
    out.Sample({{"model", model.name}, {"tier", "store"}}, number(model.stats.num_stored_tokens));
  }
  write("qwen25_answer_tokens_total", "counter", "Tokens of answers.",
        [&](Stats stats) { return number(stats.num_answer_tokens); });
  write("qwen25_proposed_tokens_total", "counter", "Tokens proposed by speculation.",
        [&](Stats stats) { return number(stats.num_proposed_tokens); });
  write("qwen25_accepted_tokens_total", "counter", "Proposed tokens that were accepted.",
        [&](Stats stats) { return number(stats.num_accepted_tokens); });
  write("qwen25_kv_blocks_used", "gauge", "Blocks of 64 tokens' keys and values that streams hold.",
        [&](Stats stats) { return number(stats.num_blocks_used); });
  write("qwen25_kv_blocks", "gauge", "Blocks of 64 tokens' keys and values that there may be.",
        [&](Stats stats) { return number(stats.num_blocks); });
  write("qwen25_queue_seconds", "histogram", "From a request to its stream.",
        [](Stats stats) -> const Histogram& { return stats.queue_seconds; });
  write("qwen25_first_token_seconds", "histogram", "From the stream to the first token.",
        [](Stats stats) -> const Histogram& { return stats.first_token_seconds; });
  write("qwen25_token_seconds", "histogram", "Between the tokens of an answer, its mean.",
        [](Stats stats) -> const Histogram& { return stats.token_seconds; });
  write("qwen25_step_seconds", "histogram", "Forward passes with all that goes with them.",
        [](Stats stats) -> const Histogram& { return stats.step_seconds; });
}

}  // namespace qwen25
