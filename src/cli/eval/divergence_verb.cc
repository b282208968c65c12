// What a weight format costs: perplexity, and how far the predictions are from those of a reference.
#include <algorithm>
#include <cmath>
#include <memory>

#include "base/json.h"
#include "base/progress.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "data/read/text_files.h"
#include "model/decoder.h"
#include "pretrained/load_tokenizer.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {
namespace {

struct DivergenceFlags {
  std::string model, reference = "float32";
  std::vector<std::string> formats = {"bfloat16", "int8", "int4"}, against, files;
  uint32_t window = 512;
  uint64_t max_tokens = 20000;
  bool json = false;
};

// Predictions of one model.
class Predictor {
 public:
  Predictor(Model model, ThreadPool& threads)
      : model_(std::move(model)),
        scratch_(threads.num_threads()),
        execution_{threads, tensors_, scratch_, nullptr} {}

  const Model& model() const { return model_; }
  double BitsPerWeight() const {
    return 8.0 * static_cast<double>(model_.packed_bytes()) /
           static_cast<double>(model_.config().NumParameters());
  }

  // Reads a window of text.
  void Start(std::span<const int32_t> tokens) {
    positions_.resize(tokens.size());
    for (size_t i = 0; i < positions_.size(); ++i) positions_[i] = static_cast<int32_t>(i);
    starts_ = {0, static_cast<int32_t>(tokens.size())};
    hidden_ = DecoderForward(execution_, model_, {tokens, positions_, starts_});
  }
  // [end - begin, vocab] logarithms of the chances of every token behind tokens [begin, end) of the window.
  Tensor LogProbabilities(size_t begin, size_t end) {
    rows_.resize(end - begin);
    for (size_t i = 0; i < rows_.size(); ++i) rows_[i] = static_cast<int32_t>(begin + i);
    Tensor logits = Logits(execution_, model_, hidden_, rows_);
    execution_.threads.ParallelFor(rows_.size(), [&](size_t row, size_t) {
      const std::span<float> x(logits.data() + row * logits.cols(), logits.cols());
      const float max = *std::ranges::max_element(x);
      double sum = 0;
      for (float value : x) sum += std::exp(value - max);
      const auto log_sum = static_cast<float>(max + std::log(sum));
      for (float& value : x) value -= log_sum;
    });
    return logits;
  }

 private:
  Model model_;
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_;
  Tensor hidden_;
  std::vector<int32_t> positions_, starts_, rows_;
};

// One model beside the reference.
struct Divergence {
  std::string name;
  double bits_per_weight = 0;
  double nats = 0;                 // of the text
  std::vector<float> divergences;  // KL(reference || model) at each position, in nats
  uint64_t same_top = 0;           // positions where both hold the same token most likely

  void Add(const Tensor& reference, const Tensor& other, std::span<const int32_t> targets,
           ThreadPool& threads) {
    const size_t first = divergences.size(), cols = reference.cols();
    divergences.resize(first + targets.size());
    std::vector<uint8_t> same(targets.size());
    threads.ParallelFor(targets.size(), [&](size_t row, size_t) {
      const float *p = reference.data() + row * cols, *q = other.data() + row * cols;
      double sum = 0;
      for (size_t i = 0; i < cols; ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
      divergences[first + row] = static_cast<float>(sum);
      same[row] = std::max_element(p, p + cols) - p == std::max_element(q, q + cols) - q;
    });
    for (size_t row = 0; row < targets.size(); ++row) {
      nats -= other.data()[row * cols + static_cast<size_t>(targets[row])];
      same_top += same[row];
    }
  }
};

// Several models on the same text.
class Comparison {
 public:
  explicit Comparison(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  ThreadPool& threads() { return threads_; }
  // The first model is the reference.
  Status AddModel(std::string name, Model model, const Tokenizer& tokenizer) {
    if (const auto id = FirstDifferentToken(tokenizer_, tokenizer)) {
      return InvalidArgument(
          "{}: token {} is \"{}\" there and \"{}\" in the reference; their predictions cannot "
          "be compared",
          name, *id, tokenizer.TokenBytes(*id), tokenizer_.TokenBytes(*id));
    }
    const uint32_t rows = model.config().vocab_size;
    const uint32_t wanted = predictors_.empty() ? rows : predictors_[0]->model().config().vocab_size;
    if (rows != wanted || rows < tokenizer.vocab_size()) {
      return InvalidArgument(
          "{}: the model has {} rows of embeddings, the reference {}, and the tokenizer {} "
          "tokens; their predictions cannot be compared",
          name, rows, wanted, tokenizer.vocab_size());
    }
    max_window_ = std::min(max_window_, model.config().max_position_embeddings);
    predictors_.push_back(std::make_unique<Predictor>(std::move(model), threads_));
    results_.push_back({.name = std::move(name), .bits_per_weight = predictors_.back()->BitsPerWeight()});
    return {};
  }
  // The least number of positions of all models.
  uint32_t max_window() const { return max_window_; }

  // Predicts every token of the window but the first.
  Status AddWindow(std::span<const int32_t> window) {
    for (auto& predictor : predictors_) predictor->Start(window);
    constexpr size_t kRows = 64;  // of log-probabilities at a time: 39 MB each for Qwen2.5's vocabulary
    for (size_t row = 0; row + 1 < window.size(); row += kRows) {
      const size_t end = std::min(window.size() - 1, row + kRows);
      const auto targets = window.subspan(row + 1, end - row);
      const Tensor expected = predictors_[0]->LogProbabilities(row, end);
      results_[0].Add(expected, expected, targets, threads_);
      for (size_t i = 1; i < predictors_.size(); ++i) {
        results_[i].Add(expected, predictors_[i]->LogProbabilities(row, end), targets, threads_);
      }
      num_tokens_ += targets.size();
      if (InterruptGuard::requested()) return Cancelled("stopped after {} tokens", num_tokens_);
    }
    return {};
  }
  uint64_t num_tokens() const { return num_tokens_; }

  // A row for each model.
  Json Report() {
    Json rows = Json::array();
    const double count = static_cast<double>(num_tokens_);
    for (Divergence& result : results_) {
      std::ranges::sort(result.divergences);
      double sum = 0;
      for (float value : result.divergences) sum += value;
      const double perplexity = std::exp(result.nats / count);
      rows.push_back({{"model", result.name},
                      {"bits_per_weight", result.bits_per_weight},
                      {"perplexity", perplexity},
                      {"perplexity_change", perplexity / std::exp(results_[0].nats / count) - 1},
                      {"mean_divergence", sum / count},
                      {"divergence_99", result.divergences[static_cast<size_t>(0.99 * (count - 1))]},
                      {"same_top", static_cast<double>(result.same_top) / count}});
    }
    return rows;
  }

 private:
  const Tokenizer& tokenizer_;
  ThreadPool threads_{DefaultNumThreads()};
  std::vector<std::unique_ptr<Predictor>> predictors_;
  std::vector<Divergence> results_;
  uint32_t max_window_ = UINT32_MAX;
  uint64_t num_tokens_ = 0;
};

Status LoadModels(const DivergenceFlags& flags, const Tokenizer& tokenizer, Comparison& comparison) {
  std::vector<std::string> formats = {flags.reference};
  formats.insert(formats.end(), flags.formats.begin(), flags.formats.end());
  for (const std::string& name : formats) {
    QWEN25_TRY(const WeightFormat format, ParseWeightFormat(name));
    QWEN25_TRY(Model model, Model::LoadPacked(flags.model, format, comparison.threads()));
    QWEN25_RETURN_IF_ERROR(comparison.AddModel(name, std::move(model), tokenizer));
  }
  for (const std::string& path : flags.against) {
    QWEN25_TRY(const Tokenizer its_tokenizer, LoadTokenizer(path));
    QWEN25_TRY(Model model, Model::LoadPacked(path, std::nullopt, comparison.threads()));
    QWEN25_RETURN_IF_ERROR(comparison.AddModel(path, std::move(model), its_tokenizer));
  }
  return {};
}

void PrintTable(const Json& report) {
  size_t width = 8;
  for (const Json& row : report) width = std::max(width, row["model"].get<std::string>().size());
  fmt::print("{:<{}}{:>13}{:>12}{:>9}{:>12}{:>12}{:>10}\n", "weights", width, "bits/weight", "perplexity",
             "change", "mean KL", "99 % KL", "same top");
  for (const Json& row : report) {
    const auto number = [&](const char* key) { return row[key].get<double>(); };
    fmt::print("{:<{}}{:>13.2f}{:>12.4f}{:>8.2f}%{:>12.6f}{:>12.6f}{:>9.2f}%\n",
               row["model"].get<std::string>(), width, number("bits_per_weight"), number("perplexity"),
               100 * number("perplexity_change"), number("mean_divergence"), number("divergence_99"),
               100 * number("same_top"));
  }
}

Status RunDivergence(const DivergenceFlags& flags) {
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(flags.model));
  Comparison comparison(tokenizer);
  QWEN25_RETURN_IF_ERROR(LoadModels(flags, tokenizer, comparison));
  if (flags.window < 2 || flags.window > comparison.max_window()) {
    return InvalidArgument("--window is {}, expected 2 to {}, the models' positions", flags.window,
                           comparison.max_window());
  }
  const InterruptGuard guard;
  const uint64_t limit = flags.max_tokens == 0 ? UINT64_MAX / 2 : flags.max_tokens;
  Progress progress("divergence", "tokens", flags.max_tokens);
  for (const std::string& file : flags.files) {
    QWEN25_TRY(const std::vector<std::string> texts, ReadTexts(file));
    for (const std::string& text : texts) {
      const std::vector<int32_t> tokens = tokenizer.Encode(text, EncodeOptions{.add_bos = true});
      for (size_t begin = 0; begin + 1 < tokens.size(); begin += flags.window) {
        // One more token than is predicted.
        const size_t size =
            std::min<uint64_t>({flags.window, tokens.size() - begin, limit - comparison.num_tokens() + 1});
        if (size < 2) break;
        QWEN25_RETURN_IF_ERROR(comparison.AddWindow(std::span(tokens).subspan(begin, size)));
        progress.Update(comparison.num_tokens());
      }
    }
  }
  progress.Finish();
  if (comparison.num_tokens() == 0) return InvalidArgument("the files hold no text to predict");
  const Json report = comparison.Report();
  if (flags.json) {
    fmt::print("{}\n", Json({{"tokens", comparison.num_tokens()}, {"models", report}}).dump());
  } else {
    fmt::print("{} tokens; divergence from {} in nats per token\n", comparison.num_tokens(), flags.reference);
    PrintTable(report);
  }
  return {};
}

}  // namespace

void AddDivergenceVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<DivergenceFlags>();
  CLI::App* verb =
      app.add_subcommand("divergence", "What weight formats cost: perplexity and divergence on texts");
  verb->add_option("-m,--model", flags->model, "Model folder or .gguf file")->required();
  verb->add_option("files", flags->files, "Text files, or .jsonl files with a \"text\" per line")->required();
  verb->add_option("--reference", flags->reference, "Weight format to compare with")->capture_default_str();
  verb->add_option("--weights", flags->formats,
                   "Weight formats, with commas between: float32, bfloat16, float16, int8, int4")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  verb->add_option("--against", flags->against,
                   "Another model folder or .gguf file, as stored, beside the formats; may be given several "
                   "times")
      ->allow_extra_args(false);
  verb->add_option("--window", flags->window,
                   "Tokens of a window; each token is predicted from those before it")
      ->capture_default_str();
  verb->add_option("--max-tokens", flags->max_tokens, "Stop after this many tokens; 0: all")
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "All models are in memory together.\n"
      "Examples:\n"
      "  qwen25 divergence -m runs/demo/model --weights int8,int4 book.txt\n"
      "  qwen25 divergence -m MODEL book.txt --against model-q8_0.gguf --against model-q4_k.gguf");
  verb->callback([flags, &run] { run = [flags] { return RunDivergence(*flags); }; });
}

}  // namespace qwen25
