#include "eval/recall_measurement.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/quantile.h"
#include "data/recall_task.h"
#include "infer/passages.h"
#include "infer/session.h"
#include "kernels/elementwise.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"
#include "ops/routing/layer_routing.h"

namespace qwen25 {
namespace {

constexpr std::string_view kNamespace = "recall";

// Each dialogue ends on a whole block, since the rest of it would not be stored, and not within a fact.
std::vector<size_t> DialogueEnds(size_t length, uint32_t dialogues, std::span<const RecallFact> facts) {
  std::vector<size_t> ends;
  for (uint32_t i = 1; i < dialogues; ++i) {
    size_t end = length * i / dialogues / kBlockTokens * kBlockTokens;
    const auto cuts = [&](const RecallFact& fact) {
      return fact.position < end && end < fact.position + RecallTask::kFactTokens;
    };
    while (std::ranges::any_of(facts, cuts)) end += kBlockTokens;
    if (end < length) ends.push_back(end);
  }
  ends.push_back(length);
  return ends;
}

class RecallMeasurement {
 public:
  using Progress = std::function<bool(uint64_t num_tokens)>;

  RecallMeasurement(InferenceEngine& engine, const RecallMeasurementOptions& options, uint64_t length,
                    const Progress& progress)
      : engine_(engine),
        options_(options),
        progress_(progress),
        score_{.length = length,
               .histories = options.histories,
               .right = std::vector<uint32_t>(options.depths)} {}

  Result<RecallScore> Run() {
    for (uint32_t history = 0; history < options_.histories; ++history) {
      QWEN25_RETURN_IF_ERROR(RunHistory(history));
    }
    score_.seconds_per_token = seconds_ / static_cast<double>(score_.length * options_.histories);
    score_.seconds_per_question = Median(std::move(question_seconds_));
    score_.read_share = routing_.ReadShare();
    return std::move(score_);
  }

 private:
  // Where the facts stand, from the beginning to the end; those of notes follow the history, which is as
  // long as `length`.
  Result<std::vector<size_t>> Positions(size_t length) const {
    std::vector<size_t> positions;
    const size_t last = score_.length - RecallTask::kFactTokens;
    for (uint32_t i = 0; i < options_.depths; ++i) {
      const size_t at = options_.depths == 1 ? 0 : last * i / (options_.depths - 1);
      positions.push_back(positions.empty() ? at : std::max(at, positions.back() + RecallTask::kFactTokens));
    }
    if (positions.back() > last) {
      return InvalidArgument("{} tokens hold no {} facts; take longer histories or fewer depths",
                             score_.length, options_.depths);
    }
    for (uint32_t i = 0; i < options_.notes; ++i) positions.push_back(length + RecallTask::kFactTokens * i);
    return positions;
  }

  // Reads a history, then asks for its facts.
  Status RunHistory(uint64_t number) {
    // Tokens after the last whole block of a dialogue are not stored.
    const size_t length = options_.dialogues == 0 ? score_.length : BlocksFor(score_.length) * kBlockTokens;
    QWEN25_TRY(const std::vector<size_t> positions, Positions(length));
    std::vector<RecallFact> facts;
    std::vector<int32_t> history =
        RecallTask(options_.seed, number, options_.filler)
            .History(length + RecallTask::kFactTokens * options_.notes, positions, facts);
    history.resize(length);
    GrowthWatch growth(score_, /*records=*/number == 0);
    const auto watch = [&](size_t done) {
      growth.Note(done);
      return !progress_ || progress_(number * score_.length + done);
    };
    if (options_.dialogues > 0 || options_.notes > 0) return TellAndForget(history, facts, watch);
    Session session(engine_);
    QWEN25_RETURN_IF_ERROR(session.Append(history, watch));
    watch(history.size());
    seconds_ += growth.seconds();
    return Ask(session, facts);
  }

  // With a store that goes away afterwards.
  Status TellAndForget(std::span<const int32_t> history, std::span<const RecallFact> facts,
                       const Session::Progress& watch) {
    const std::filesystem::path folder = options_.folder / "history";
    Status told = CreateDirectories(folder);
    if (told.ok()) {
      auto store = BlockStore::Open(folder, {});
      told = store.ok() ? Tell(*store, history, facts, watch) : store.status();
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return told;
  }

  Status Tell(BlockStore& store, std::span<const int32_t> history, std::span<const RecallFact> facts,
              const Session::Progress& watch) {
    engine_.SetStore(&store);
    const Status told = TellAround(store, history, facts, watch);
    engine_.SetStore(nullptr);
    return told;
  }

  // Tells the history in dialogues that end, or in the session that is asked, and the facts of notes in
  // passages.
  Status TellAround(const BlockStore& store, std::span<const int32_t> history,
                    std::span<const RecallFact> facts, const Session::Progress& watch) {
    const double start = NowSeconds();
    size_t begin = 0;
    if (options_.dialogues > 0) {
      for (const size_t end : DialogueEnds(history.size(), options_.dialogues, facts)) {
        Session dialogue(engine_, std::string(kNamespace));
        QWEN25_RETURN_IF_ERROR(dialogue.Append(history.subspan(begin, end - begin),
                                               [&](size_t done) { return watch(begin + done); }));
        QWEN25_RETURN_IF_ERROR(dialogue.Remember().status());
        routing_.Add(dialogue.routing_counts());
        begin = end;
      }
    }
    QWEN25_RETURN_IF_ERROR(TellInNotes(facts.subspan(options_.depths)));
    QWEN25_TRY(const auto recalled, RecalledBlocks::Load(store, kNamespace, engine_.block_format(),
                                                         engine_.block_shape(), engine_.execution().threads));
    Session session(engine_, std::string(kNamespace));
    if (recalled) QWEN25_RETURN_IF_ERROR(session.Recall(*recalled));
    if (begin < history.size()) QWEN25_RETURN_IF_ERROR(session.Append(history.subspan(begin), watch));
    seconds_ += NowSeconds() - start;
    return Ask(session, facts);
  }

  Status TellInNotes(std::span<const RecallFact> facts) {
    std::vector<Passage> passages;
    for (const RecallFact& fact : facts) {
      passages.push_back({.name = {.low = static_cast<uint64_t>(fact.key)},
                          .tokens = {RecallVocabulary::kFact, fact.value, fact.key}});
    }
    QWEN25_TRY(const PassageReport report, SyncPassages(engine_, kNamespace, passages, nullptr));
    return report.status;
  }

  // Asks for each fact after what the session holds, taking back the question before the next one.
  Status Ask(Session& session, std::span<const RecallFact> facts) {
    const size_t held = session.tokens().size();
    for (size_t i = 0; i < facts.size(); ++i) {
      const int32_t question[] = {RecallVocabulary::kAsk, facts[i].key};
      const double asked = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session.Append(question));
      question_seconds_.push_back(NowSeconds() - asked);
      const std::span<float> logits = session.logits();
      const bool right = ArgMax(logits.data(), logits.size()) == static_cast<size_t>(facts[i].value);
      (i < options_.depths ? score_.right[i] : score_.notes_right) += right;
      session.Truncate(held);
    }
    routing_.Add(session.routing_counts());
    return {};
  }

  InferenceEngine& engine_;
  const RecallMeasurementOptions& options_;
  const Progress& progress_;
  RecallScore score_;
  double seconds_ = 0;  // of all histories
  std::vector<double> question_seconds_;
  RoutingTotals routing_;
};

}  // namespace

Result<RecallScore> MeasureRecall(InferenceEngine& engine, const RecallMeasurementOptions& options,
                                  uint64_t length, const std::function<bool(uint64_t num_tokens)>& progress) {
  return RecallMeasurement(engine, options, length, progress).Run();
}

}  // namespace qwen25
