#include "cli/bench_recall.h"

#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/interrupt.h"
#include "cli/recall_map.h"
#include "data/recall_task.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

Status WriteDocuments(const RecallBenchFlags& flags) {
  if (flags.document_tokens < 16 || flags.fact_every < 1 || flags.question_every < 1) {
    return InvalidArgument(
        "--document-tokens must be at least 16, --fact-every and --question-every at least 1");
  }
  QWEN25_TRY(IndexedDatasetWriter writer,
             IndexedDatasetWriter::Create(flags.write_data, RecallVocabulary::kSize));
  Progress progress("documents", "documents", flags.documents);
  for (uint64_t i = 0; i < flags.documents; ++i) {
    RecallTask task(flags.seed, i);
    QWEN25_RETURN_IF_ERROR(writer.AddDocument(
        flags.repetitions ? task.Repetition(flags.document_tokens)
                          : task.Document(flags.document_tokens, flags.fact_every, flags.question_every)));
    progress.Update(i + 1);
  }
  return writer.Finish();
}

// One length.
struct LengthResult {
  uint64_t length;
  std::vector<uint32_t> right;  // [depths], of flags.histories
  double seconds_per_token = 0;
  double read_share = 1;
};

class RecallBench {
 public:
  RecallBench(const RecallBenchFlags& flags, InferenceEngine& engine) : flags_(flags), engine_(engine) {}

  Status Run(uint64_t length, LengthResult& result) {
    result = {.length = length, .right = std::vector<uint32_t>(flags_.depths)};
    engine_.ResetRoutingCounts();
    double seconds = 0;
    Progress progress(fmt::format("{} tokens", length), "tokens", length * flags_.histories);
    for (uint32_t history = 0; history < flags_.histories; ++history) {
      const auto show = [&](uint64_t done) { progress.Update(history * length + done); };
      QWEN25_RETURN_IF_ERROR(RunHistory(history, result, seconds, show));
    }
    result.seconds_per_token = seconds / static_cast<double>(length * flags_.histories);
    uint64_t visible = 0, read = 0;
    for (const RoutingCounts& counts : engine_.routing_counts()) {
      visible += counts.blocks_visible;
      read += counts.blocks_read;
    }
    if (visible > 0) result.read_share = static_cast<double>(read) / static_cast<double>(visible);
    return {};
  }

 private:
  // Reads a history, then asks for each fact, taking back the question before the next one.
  template <typename Show>
  Status RunHistory(uint64_t number, LengthResult& result, double& seconds, const Show& show) {
    std::vector<size_t> positions;
    const size_t last = result.length - 3;
    for (uint32_t i = 0; i < flags_.depths; ++i) {
      const size_t at = flags_.depths == 1 ? 0 : last * i / (flags_.depths - 1);
      positions.push_back(positions.empty() ? at : std::max(at, positions.back() + 3));
    }
    if (positions.back() > last) {
      return InvalidArgument("{} tokens hold no {} facts; take longer histories or fewer depths",
                             result.length, flags_.depths);
    }
    std::vector<RecallFact> facts;
    const std::vector<int32_t> history =
        RecallTask(flags_.seed, number).History(result.length, positions, facts);
    Session session(engine_);
    const double start = NowSeconds();
    QWEN25_RETURN_IF_ERROR(session.Append(history, [&](size_t done) {
      show(done);
      return !InterruptGuard::requested();
    }));
    seconds += NowSeconds() - start;
    for (size_t i = 0; i < facts.size(); ++i) {
      const int32_t question[] = {RecallVocabulary::kAsk, facts[i].key};
      QWEN25_RETURN_IF_ERROR(session.Append(question));
      const std::span<float> logits = session.logits();
      result.right[i] += std::ranges::max_element(logits) - logits.begin() == facts[i].value;
      session.Truncate(history.size());
    }
    return {};
  }

  const RecallBenchFlags& flags_;
  InferenceEngine& engine_;
};

double Accuracy(const LengthResult& result, uint32_t histories) {
  double right = 0;
  for (const uint32_t count : result.right) right += count;
  return right / static_cast<double>(result.right.size() * histories);
}

void Print(const RecallBenchFlags& flags, const std::vector<LengthResult>& results,
           const std::string& policy) {
  if (flags.json) {
    Json json = {{"policy", policy}, {"histories", flags.histories}, {"results", Json::array()}};
    for (const LengthResult& result : results) {
      json["results"].push_back({{"length", result.length},
                                 {"accuracy", Accuracy(result, flags.histories)},
                                 {"right", result.right},
                                 {"read_share", result.read_share},
                                 {"seconds_per_token", result.seconds_per_token}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("policy {}\n{:>10}{:>11}{:>9}{:>14}  by depth, of {}\n", policy, "length", "accuracy", "read",
             "us per token", flags.histories);
  for (const LengthResult& result : results) {
    std::string depths;
    for (const uint32_t count : result.right) depths += fmt::format(" {}", count);
    fmt::print("{:>10}{:>9.1f} %{:>7.1f} %{:>14.1f} {}\n", result.length,
               100 * Accuracy(result, flags.histories), 100 * result.read_share,
               1e6 * result.seconds_per_token, depths);
  }
}

}  // namespace

Status RunRecallBench(const RecallBenchFlags& flags) {
  if (!flags.write_data.empty()) return WriteDocuments(flags);
  if (flags.model.directory.empty()) return InvalidArgument("give a model with -m, or --write-data");
  if (flags.lengths.empty() || std::ranges::min(flags.lengths) < 16 || flags.depths < 1 ||
      flags.depths > static_cast<uint32_t>(RecallVocabulary::kNumKeys) || flags.histories < 1) {
    return InvalidArgument("--length must be at least 16, --depths 1 to {}, --histories at least 1",
                           RecallVocabulary::kNumKeys);
  }
  QWEN25_TRY(const std::unique_ptr<InferenceEngine> engine, LoadEngine(flags.model));
  if (engine->model().config().vocab_size < static_cast<uint32_t>(RecallVocabulary::kSize)) {
    return InvalidArgument("{}: the model has {} tokens and the task {}: train one on --write-data",
                           flags.model.directory, engine->model().config().vocab_size,
                           RecallVocabulary::kSize);
  }
  const InterruptGuard guard;
  RecallBench bench(flags, *engine);
  std::vector<LengthResult> results(flags.lengths.size());
  for (size_t i = 0; i < results.size(); ++i) QWEN25_RETURN_IF_ERROR(bench.Run(flags.lengths[i], results[i]));
  Print(flags, results, engine->routing().ToString());
  if (flags.output.empty()) return {};
  RecallMap map{.title = fmt::format("Facts recalled, {}", engine->routing().ToString())};
  for (const LengthResult& result : results) {
    std::vector<double> row;
    for (const uint32_t count : result.right) row.push_back(count / static_cast<double>(flags.histories));
    map.rows.push_back({result.length, row});
  }
  return WriteFileAtomically(flags.output, RenderRecallMap(map));
}

}  // namespace qwen25
