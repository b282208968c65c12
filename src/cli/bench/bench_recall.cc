// qwen25 bench recall: whether a model finds facts far back in a history, by length and depth.
#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/quantile.h"
#include "cli/bench/bench_folder.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "data/read/text_stream.h"
#include "data/recall_task.h"
#include "data/shards/loader.h"
#include "infer/passages.h"
#include "infer/session.h"
#include "kernels/elementwise.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"
#include "memory/spill_file.h"
#include "report/chart.h"
#include "report/recall_map.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

struct RecallBenchFlags {
  ModelFlags model;
  std::vector<uint64_t> lengths = {1024, 2048, 4096};
  uint32_t depths = 20;    // places of facts in a history, evenly from its beginning to its end
  uint32_t histories = 5;  // of each length
  uint64_t seed = 1;
  uint32_t dialogues =
      0;               // that a history is told in; asked for in one more, which recalls them. 0: in the same
  uint32_t notes = 0;  // more facts, each told as a passage of its own beside the history
  std::string output;  // heat map, SVG; empty: none
  std::string growth_output;       // cost of a token and memory over the longest history, SVG; empty: none
  std::string write_data;          // instead: training documents into this shard
  std::vector<std::string> texts;  // files whose bytes are the filler; empty: counts
  uint64_t documents = 1000, document_tokens = 1024, fact_every = 48;
  bool json = false;
};

constexpr std::string_view kNamespace = "bench";

// The texts one behind the other.
Result<std::string> ReadFiller(const RecallBenchFlags& flags) {
  std::string all;
  for (const std::string& path : flags.texts) {
    QWEN25_TRY(const std::string text, ReadText(path));
    all += text;
  }
  if (all.empty() && !flags.texts.empty()) {
    return InvalidArgument("{}: --text names no byte of text; give a file that has some", flags.texts[0]);
  }
  return all;
}

Status WriteDocuments(const RecallBenchFlags& flags, std::string_view filler) {
  if (flags.document_tokens < 16 || flags.fact_every < RecallTask::kFactTokens) {
    return InvalidArgument("--document-tokens must be at least 16, --fact-every at least {}",
                           RecallTask::kFactTokens);
  }
  QWEN25_TRY(IndexedDatasetWriter writer,
             IndexedDatasetWriter::Create(flags.write_data, RecallVocabulary::kSize));
  QWEN25_TRY(IndexedDatasetWriter mask, IndexedDatasetWriter::Create(LossMaskPrefix(flags.write_data), 2));
  Progress progress("documents", "documents", flags.documents);
  for (uint64_t i = 0; i < flags.documents; ++i) {
    const std::vector<int32_t> document =
        RecallTask(flags.seed, i, filler).Document(flags.document_tokens, flags.fact_every);
    QWEN25_RETURN_IF_ERROR(writer.AddDocument(document));
    QWEN25_RETURN_IF_ERROR(mask.AddDocument(RecallTask::LossMask(document)));
    progress.Update(i + 1);
  }
  QWEN25_RETURN_IF_ERROR(mask.Finish());
  return writer.Finish();
}

// A point of a history that is being read.
struct GrowthPoint {
  uint64_t tokens;
  double seconds;           // since its beginning
  uint64_t resident_bytes;  // of the whole process, the most since the last point
};

// One length.
struct LengthResult {
  uint64_t length;
  std::vector<uint32_t> right;  // [depths], of flags.histories
  uint32_t notes_right = 0;     // of flags.histories * flags.notes
  double seconds_per_token = 0;
  double seconds_per_question = 0;  // two tokens behind the whole history, median
  double read_share = 1;
  uint64_t resident_bytes = 0;      // of the whole process, the most while reading
  std::vector<GrowthPoint> growth;  // of the first history
};

class RecallBench {
 public:
  RecallBench(const RecallBenchFlags& flags, std::string_view filler, InferenceEngine& engine)
      : flags_(flags), filler_(filler), engine_(engine) {}

  Status Run(uint64_t length, LengthResult& result) {
    result = {.length = length, .right = std::vector<uint32_t>(flags_.depths)};
    visible_ = read_ = 0;
    double seconds = 0;
    Progress progress(fmt::format("{} tokens", length), "tokens", length * flags_.histories);
    for (uint32_t history = 0; history < flags_.histories; ++history) {
      const auto show = [&](uint64_t done) { progress.Update(history * length + done); };
      QWEN25_RETURN_IF_ERROR(RunHistory(history, result, seconds, show));
    }
    result.seconds_per_token = seconds / static_cast<double>(length * flags_.histories);
    result.seconds_per_question = Median(std::move(question_seconds_));
    question_seconds_.clear();
    if (visible_ > 0) result.read_share = static_cast<double>(read_) / static_cast<double>(visible_);
    return {};
  }

 private:
  // Reads a history, then asks for its facts.
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
    // What is behind the last whole block of a dialogue is not stored.
    const size_t length = flags_.dialogues == 0 ? result.length : BlocksFor(result.length) * kBlockTokens;
    // Facts of notes come behind the history, and are cut off.
    for (uint32_t i = 0; i < flags_.notes; ++i) positions.push_back(length + RecallTask::kFactTokens * i);
    std::vector<int32_t> history =
        RecallTask(flags_.seed, number, filler_)
            .History(length + RecallTask::kFactTokens * flags_.notes, positions, facts);
    history.resize(length);
    ResetPeakResidentBytes();
    const double start = NowSeconds();
    const auto watch = [&](size_t done) {
      show(done);
      const uint64_t resident = ReadPeakResidentBytes();
      ResetPeakResidentBytes();
      result.resident_bytes = std::max(result.resident_bytes, resident);
      if (number == 0) result.growth.push_back({done, NowSeconds() - start, resident});
      return !InterruptGuard::requested();
    };
    if (flags_.dialogues > 0 || flags_.notes > 0) return TellAround(history, facts, result, seconds, watch);
    Session session(engine_);
    QWEN25_RETURN_IF_ERROR(session.Append(history, watch));
    watch(history.size());
    seconds += NowSeconds() - start;
    return Ask(session, facts, result);
  }

  // Each dialogue ends on a whole block, since the rest of it would not be stored, and not within a fact.
  static std::vector<size_t> DialogueEnds(size_t length, uint32_t dialogues,
                                          const std::vector<RecallFact>& facts) {
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

  // Tells the history in dialogues that end, or in the session that is asked, and the facts of notes in
  // passages.
  template <typename Watch>
  Status TellAround(std::span<const int32_t> history, const std::vector<RecallFact>& facts,
                    LengthResult& result, double& seconds, const Watch& watch) {
    QWEN25_TRY(const BenchFolder folder, BenchFolder::Make("", flags_.model.spill_directory));
    QWEN25_TRY(BlockStore store, BlockStore::Open(folder.path(), {}));
    engine_.SetStore(&store);
    const Status told = [&]() -> Status {
      const double start = NowSeconds();
      size_t begin = 0;
      if (flags_.dialogues > 0) {
        for (const size_t end : DialogueEnds(history.size(), flags_.dialogues, facts)) {
          Session dialogue(engine_, std::string(kNamespace));
          QWEN25_RETURN_IF_ERROR(dialogue.Append(history.subspan(begin, end - begin),
                                                 [&](size_t done) { return watch(begin + done); }));
          QWEN25_RETURN_IF_ERROR(dialogue.Remember().status());
          CountReads(dialogue);
          begin = end;
        }
      }
      QWEN25_RETURN_IF_ERROR(TellInNotes(std::span(facts).subspan(flags_.depths)));
      QWEN25_TRY(const auto recalled,
                 RecalledBlocks::Load(store, kNamespace, engine_.block_format(), engine_.block_shape(),
                                      engine_.execution().threads));
      Session session(engine_, std::string(kNamespace));
      if (recalled) QWEN25_RETURN_IF_ERROR(session.Recall(*recalled));
      if (begin < history.size()) QWEN25_RETURN_IF_ERROR(session.Append(history.subspan(begin), watch));
      seconds += NowSeconds() - start;
      return Ask(session, facts, result);
    }();
    engine_.SetStore(nullptr);
    return told;
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

  // Asks for each fact behind what the session holds, taking back the question before the next one.
  Status Ask(Session& session, const std::vector<RecallFact>& facts, LengthResult& result) {
    const size_t held = session.tokens().size();
    for (size_t i = 0; i < facts.size(); ++i) {
      const int32_t question[] = {RecallVocabulary::kAsk, facts[i].key};
      const double asked = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session.Append(question));
      question_seconds_.push_back(NowSeconds() - asked);
      const std::span<float> logits = session.logits();
      const bool right = PlaceOfGreatest(logits.data(), logits.size()) == static_cast<size_t>(facts[i].value);
      (i < flags_.depths ? result.right[i] : result.notes_right) += right;
      session.Truncate(held);
    }
    CountReads(session);
    return {};
  }

  void CountReads(const Session& session) {
    for (const RoutingCounts& counts : session.routing_counts()) {
      visible_ += counts.blocks_visible;
      read_ += counts.blocks_read;
    }
  }

  const RecallBenchFlags& flags_;
  std::string_view filler_;
  InferenceEngine& engine_;
  // Of the length that is running.
  std::vector<double> question_seconds_;
  uint64_t visible_ = 0, read_ = 0;  // blocks, summed over tokens
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
                                 {"notes_right", result.notes_right},
                                 {"read_share", result.read_share},
                                 {"seconds_per_token", result.seconds_per_token},
                                 {"seconds_per_question", result.seconds_per_question},
                                 {"resident_bytes", result.resident_bytes}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("policy {}\n{:>10}{:>11}{:>9}{:>14}{:>17}{:>7}  by depth, of {}\n", policy, "length", "accuracy",
             "read", "us per token", "ms per question", "MiB", flags.histories);
  for (const LengthResult& result : results) {
    std::string depths;
    for (const uint32_t count : result.right) depths += fmt::format(" {}", count);
    fmt::print("{:>10}{:>9.1f} %{:>7.1f} %{:>14.1f}{:>17.2f}{:>7} {}\n", result.length,
               100 * Accuracy(result, flags.histories), 100 * result.read_share,
               1e6 * result.seconds_per_token, 1e3 * result.seconds_per_question, result.resident_bytes >> 20,
               depths);
    if (flags.notes > 0) {
      fmt::print("{:>21} of {} in notes\n", result.notes_right, flags.histories * flags.notes);
    }
  }
}

// What a token costs and how much memory the process takes, over the longest history.
std::string RenderGrowth(const std::vector<LengthResult>& results) {
  const std::vector<GrowthPoint>& growth =
      std::ranges::max_element(results, {}, [](const LengthResult& r) { return r.length; })->growth;
  constexpr uint64_t kPoints = 100;
  const uint64_t interval = growth.back().tokens / kPoints;
  ChartSeries cost = {.name = "µs per token"}, memory = {.name = "MiB in RAM", .color = 1};
  GrowthPoint last = {};
  uint64_t most = 0;  // since `last`
  for (const GrowthPoint& point : growth) {
    most = std::max(most, point.resident_bytes);
    if (point.tokens - last.tokens < interval) continue;
    const auto x = static_cast<double>(point.tokens);
    cost.points.push_back(
        {x, 1e6 * (point.seconds - last.seconds) / static_cast<double>(point.tokens - last.tokens)});
    memory.points.push_back({x, static_cast<double>(most) / (1 << 20)});
    last = point;
    most = 0;
  }
  // Both scales end at about the same height.
  const auto value = [](const ChartPoint& point) { return point.y; };
  const double factor =
      std::ranges::max(memory.points, {}, value).y / std::ranges::max(cost.points, {}, value).y;
  for (ChartPoint& point : memory.points) point.y /= factor;
  return RenderSvg({.title = "Reading a history: cost of a token, memory of the process",
                    .x_label = "tokens of history",
                    .y_label = "µs per token",
                    .series = {cost, memory},
                    .right_axis = {.label = "MiB in RAM", .factor = factor},
                    .y_from_zero = true});
}

Status RunRecallBench(const RecallBenchFlags& flags) {
  QWEN25_TRY(const std::string filler, ReadFiller(flags));
  if (!flags.write_data.empty()) return WriteDocuments(flags, filler);
  if (flags.dialogues + flags.notes > 0 && flags.model.recall_window == 0) {
    return InvalidArgument(
        "--dialogues and --notes need --recall-window: a dialogue recalls others, and notes, through it");
  }
  if (flags.model.directory.empty()) return InvalidArgument("give a model with -m, or --write-data");
  if (flags.lengths.empty() || std::ranges::min(flags.lengths) < 16 || flags.depths < 1 ||
      uint64_t{flags.depths} + flags.notes > uint64_t{RecallVocabulary::kNumKeys} || flags.histories < 1) {
    return InvalidArgument(
        "--length must be at least 16, --depths 1 to {} less --notes, --histories at least 1",
        RecallVocabulary::kNumKeys);
  }
  QWEN25_TRY(const ModelSource source, flags.model.Source());
  std::vector<std::string> remarks;
  QWEN25_TRY(const std::unique_ptr<InferenceEngine> engine, LoadEngine(source, remarks));
  PrintNotes(remarks);
  if (engine->model().config().vocab_size < static_cast<uint32_t>(RecallVocabulary::kSize)) {
    return InvalidArgument("{}: the model has {} tokens and the task {}: train one on --write-data",
                           flags.model.directory, engine->model().config().vocab_size,
                           RecallVocabulary::kSize);
  }
  const InterruptGuard guard;
  RecallBench bench(flags, filler, *engine);
  std::vector<LengthResult> results(flags.lengths.size());
  for (size_t i = 0; i < results.size(); ++i) QWEN25_RETURN_IF_ERROR(bench.Run(flags.lengths[i], results[i]));
  Print(flags, results, engine->routing().ToString());
  if (!flags.growth_output.empty()) {
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(flags.growth_output, RenderGrowth(results)));
  }
  if (flags.output.empty()) return {};
  RecallMap map{.title = "Facts recalled", .detail = engine->routing().ToString()};
  for (const LengthResult& result : results) {
    std::vector<double> row;
    for (const uint32_t count : result.right) row.push_back(count / static_cast<double>(flags.histories));
    map.rows.push_back({result.length, row});
  }
  return WriteFileAtomically(flags.output, RenderRecallMap(map));
}

}  // namespace

void AddRecallBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "recall",
              "Whether a model finds facts far back in a history, by its length and the depth of the fact",
              RunRecallBench);
  AddModelFlags(*what, flags->model, /*required=*/false);
  AddListFlag(*what, "--length", flags->lengths, "Tokens of the histories");
  what->add_option("--depths", flags->depths, "Places of facts in a history")->capture_default_str();
  what->add_option("--histories", flags->histories, "Histories of each length")->capture_default_str();
  what->add_option(
          "--dialogues", flags->dialogues,
          "Tell each history in this many dialogues, which are stored, and ask in a new one that recalls "
          "them; 0: ask in the same dialogue")
      ->capture_default_str();
  what->add_option("--notes", flags->notes,
                   "More facts, each stored as a note beside the history and recalled by attention")
      ->capture_default_str();
  what->add_option("--seed", flags->seed, "Seed of the histories or documents")->capture_default_str();
  what->add_option("-o,--output", flags->output, "Heat map to write, SVG");
  what->add_option("--growth", flags->growth_output,
                   "Chart of a token's cost and of memory over the longest history to write, SVG");
  what->add_option("--text", flags->texts,
                   "Files whose bytes stand between the facts, back to back; default: numbers that count up")
      ->delimiter(',');
  what->add_option("--write-data", flags->write_data, "Instead, write training documents into this shard");
  what->add_option("--documents", flags->documents, "Number of documents")->capture_default_str();
  what->add_option("--document-tokens", flags->document_tokens, "Tokens of each document")
      ->capture_default_str();
  what->add_option("--fact-every", flags->fact_every, "Tokens to a fact")->capture_default_str();
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n  qwen25 bench recall --write-data recall/train --documents 20000 --document-tokens 512\n"
      "  qwen25 bench recall -m recall/model --length 1024,4096 --routing top_k:4,dense_below=0 -o "
      "recall.svg\n"
      "  qwen25 bench recall -m recall/model --length 100000 --recall-window 1024 --text book.txt");
}

}  // namespace qwen25
