#include <cstring>
#include <iostream>
#include <iterator>

#include "base/file.h"
#include "base/progress.h"
#include "cli/flags/check_numbers.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/train/embed_training.h"
#include "cli/verb.h"
#include "data/read/text_files.h"
#include "data/read/text_stream.h"
#include "pretrained/hub/resolve_model.h"
#include "store/npy.h"

namespace qwen25 {
namespace {

// Texts handed to the embedder at a time, between two looks at the progress.
constexpr size_t kBatch = 64;

struct EmbedFlags {
  EmbedderChoice embedder;
  std::string model;
  std::vector<std::string> texts;
  std::string file, output;
  bool lines = false, query = false, similarity = false, text = false, make_pairs = false;
  EmbedTrainingFlags training;
  uint64_t seed = 1;
};

Result<std::vector<std::string>> ReadInputs(const EmbedFlags& flags) {
  std::vector<std::string> texts = flags.texts;
  if (flags.file.empty()) return texts;
  if (!flags.lines) {
    QWEN25_TRY(const std::vector<std::string> read, ReadTexts(flags.file));
    texts.insert(texts.end(), read.begin(), read.end());
    return texts;
  }
  QWEN25_TRY(const std::string content, ReadText(flags.file));
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    if (end > begin) texts.push_back(content.substr(begin, end - begin));
    begin = end + 1;
  }
  return texts;
}

Status Report(const EmbedFlags& flags, const std::vector<std::string>& texts, std::span<const float> vectors,
              size_t dimension) {
  if (flags.similarity) {
    for (size_t i = 0; i < texts.size(); ++i) {
      for (size_t j = 0; j < texts.size(); ++j) {
        fmt::print(
            "{}{:.4f}", j == 0 ? "" : "\t",
            DotProduct(vectors.subspan(i * dimension, dimension), vectors.subspan(j * dimension, dimension)));
      }
      fmt::print("\n");
    }
    return {};
  }
  if (flags.output.ends_with(".npy")) return WriteNpy(flags.output, vectors, texts.size(), dimension);
  std::string lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    lines += flags.text ? fmt::format("{{\"text\":{},", DumpJson(texts[i])) : "{";
    lines += fmt::format("\"embedding\":[{}]}}\n", fmt::join(vectors.subspan(i * dimension, dimension), ","));
  }
  if (!flags.output.empty()) return WriteFileAtomically(flags.output, lines);
  fmt::print("{}", lines);
  return {};
}

Status RunEmbed(EmbedFlags flags) {
  if (flags.make_pairs) return WritePairs(flags.texts, flags.output, flags.seed);
  if (!flags.training.pairs.empty()) {
    flags.training.output = flags.output;
    if (flags.embedder.pooling != "auto") flags.training.pooling = flags.embedder.pooling;
    flags.training.settings.insert(flags.training.settings.begin(), fmt::format("run.seed={}", flags.seed));
    if (flags.model.empty()) return InvalidArgument("--train needs -m FOLDER, the model to start from");
    QWEN25_TRY(const std::filesystem::path path, ResolveModel(flags.model));
    flags.training.model = path.string();
    return TrainEmbeddings(flags.training);
  }
  if (!flags.model.empty()) flags.embedder.embedder = "model:" + flags.model;
  if (flags.embedder.embedder == "none") return InvalidArgument("--embedder none makes no vectors");
  QWEN25_TRY(const std::vector<std::string> texts, ReadInputs(flags));
  if (texts.empty()) return InvalidArgument("give texts, or --file FILE (- reads standard input)");
  if (flags.similarity && texts.size() < 2) return InvalidArgument("--similarity compares two texts or more");
  QWEN25_TRY(const LoadedEmbedder loaded, LoadEmbedder(flags.embedder));
  PrintNotes(loaded.remarks());
  const size_t dimension = loaded.embedder->id().dimension;
  std::vector<float> vectors(texts.size() * dimension);
  const InterruptGuard guard;
  {
    Progress progress("embed", "texts", texts.size());
    for (size_t begin = 0; begin < texts.size(); begin += kBatch) {
      if (InterruptGuard::requested()) return Cancelled("stopped after {} of {} texts", begin, texts.size());
      const size_t count = std::min(kBatch, texts.size() - begin);
      QWEN25_RETURN_IF_ERROR(loaded.embedder->Embed(
          flags.query ? EmbedKind::kQuery : EmbedKind::kPassage, std::span(texts).subspan(begin, count),
          std::span(vectors).subspan(begin * dimension, count * dimension)));
      progress.Update(begin + count);
    }
  }
  return Report(flags, texts, vectors, dimension);
}

}  // namespace

void AddEmbedVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "embed", "Texts as vectors whose dot product says how alike they are", RunEmbed);
  verb->add_option("texts", flags->texts, "Texts");
  verb->add_option("-m,--model", flags->model,
                   "Folder, .gguf file or name of a model; the same as --embedder model:NAME");
  verb->add_option("-f,--file", flags->file,
                   "A text, a .jsonl with a \"text\" per line, or - for standard input");
  verb->add_flag("--lines", flags->lines, "Every line of the file is a text");
  verb->add_flag("--query", flags->query, "Embed as questions, if the embedder tells them from passages");
  verb->add_flag("--similarity", flags->similarity, "Print the cosines between all texts instead");
  verb->add_flag("--text", flags->text, "Put each text beside its vector");
  verb->add_option("-o,--output", flags->output, "A .npy file, or any other for JSON lines");
  verb->add_flag("--make-pairs", flags->make_pairs,
                 "Make training pairs of the files and folders given, by the inverse cloze task; -o names "
                 "the file");
  EmbedTrainingFlags& training = flags->training;
  verb->add_option("--train", training.pairs,
                   "Train -m's model on these pairs, {\"query\": ..., \"passage\": ...} per line; -o names "
                   "the folder of the run");
  verb->add_option("--validation", training.validation_pairs, "Other pairs; default: one in 20 is held out");
  verb->add_option("--max-steps", training.max_steps, "Length of the training in steps,");
  verb->add_option("--max-minutes", training.max_minutes, "or in minutes");
  verb->add_option("--set", training.settings,
                   "Any setting of a recipe as KEY=VALUE: objective.temperature, batch.tokens_per_step, ...");
  verb->add_flag("--resume", training.resume, "Go on from the newest checkpoint of the run");
  verb->add_option("--threads", training.num_threads, "Of the training; default: every core")
      ->check(kThreadCount);
  verb->add_option("--seed", flags->seed, "Of pairs and their order")->capture_default_str();
  AddEmbedderFlags(*verb, flags->embedder);
  verb->footer(
      "Examples:\n  qwen25 embed -m all-MiniLM-L6-v2 \"a text\" \"another one\" --similarity\n"
      "  qwen25 embed -m e5-small-v2 --query \"how far is the moon?\"\n"
      "  qwen25 embed -m Qwen2.5-0.5B \"a text\" \"another one\" --similarity\n"
      "  qwen25 embed --embedder hashed -f passages.jsonl -o passages.npy\n"
      "  qwen25 embed --make-pairs documents.jsonl ~/notes -o pairs.jsonl\n"
      "  qwen25 embed --train pairs.jsonl -m runs/demo/model --max-minutes 10 -o runs/embed");
}

}  // namespace qwen25
