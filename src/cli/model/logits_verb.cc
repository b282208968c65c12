#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "base/all_finite.h"
#include "cli/flags/model_flags.h"
#include "cli/verb.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/not_finite.h"
#include "pretrained/hub/resolve_model.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

struct LogitsFlags {
  std::string model, tokens, output;
  std::vector<int32_t> ids;
};

struct Sequences {
  std::vector<int32_t> tokens, starts;
};

Status ReadInts(const SafetensorsReader& file, const std::string& path, const char* name,
                std::vector<int32_t>& out) {
  const TensorInfo* tensor = file.Find(name);
  if (tensor == nullptr) return {};
  if (tensor->dtype != DType::kI32) {
    return InvalidArgument("{}: {} is {}, expected I32", path, name, DTypeName(tensor->dtype));
  }
  out.resize(tensor->NumElements());
  std::memcpy(out.data(), tensor->bytes.data(), tensor->bytes.size());
  return {};
}

// Ids from the command line are one sequence; a file may hold several.
Result<Sequences> ReadSequences(const LogitsFlags& flags, const ModelConfig& config) {
  Sequences sequences{flags.ids, {}};
  if (!flags.tokens.empty()) {
    QWEN25_TRY(const SafetensorsReader file, SafetensorsReader::Open(flags.tokens));
    QWEN25_RETURN_IF_ERROR(ReadInts(file, flags.tokens, "tokens", sequences.tokens));
    QWEN25_RETURN_IF_ERROR(ReadInts(file, flags.tokens, "sequence_starts", sequences.starts));
  }
  const auto count = static_cast<int32_t>(sequences.tokens.size());
  if (count == 0) return InvalidArgument("give token ids, or --tokens with a file that holds \"tokens\"");
  if (sequences.starts.empty()) sequences.starts = {0, count};
  if (sequences.starts.front() != 0 || sequences.starts.back() != count ||
      !std::ranges::is_sorted(sequences.starts, std::less_equal<int32_t>())) {
    return InvalidArgument("{}: sequence_starts do not ascend from 0 to the number of tokens, {}",
                           flags.tokens, count);
  }
  for (size_t s = 0; s + 1 < sequences.starts.size(); ++s) {
    const auto length = static_cast<size_t>(sequences.starts[s + 1] - sequences.starts[s]);
    if (length > config.MaxContext()) {
      return InvalidArgument("sequence {} has {} tokens, the model {} positions", s, length,
                             config.MaxContext());
    }
  }
  for (int32_t token : sequences.tokens) {
    if (token < 0 || static_cast<uint32_t>(token) >= config.vocab_size) {
      return InvalidArgument("token {} is outside the vocabulary of {}", token, config.vocab_size);
    }
  }
  return sequences;
}

// kCorrupt, with the layer, if hidden states or logits are not finite.
Status CheckFinite(Execution& execution, const Model& model, const TokenBatch& batch, const Tensor& hidden,
                   const Tensor& logits) {
  const bool logits_are_finite = AllFinite({logits.data(), logits.rows() * logits.cols()});
  bool suspicious = !logits_are_finite;
  for (size_t row = 0; !suspicious && row < hidden.rows(); ++row) {
    suspicious = MayHaveOverflowed({hidden.view().Row(row), hidden.cols()});
  }
  return suspicious ? ExplainOverflow(execution, model, batch, {}, logits_are_finite) : Status();
}

Status RunLogits(const LogitsFlags& flags) {
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(flags.model));
  QWEN25_TRY(const Model model, Model::Load(path));
  PrintNotes(model.remarks());
  QWEN25_TRY(const Sequences sequences, ReadSequences(flags, model.config()));
  const std::vector<int32_t>& tokens = sequences.tokens;
  ThreadPool threads(DefaultNumThreads());
  TensorPool tensors;
  Scratch scratch(threads.num_threads());
  Execution execution{threads, tensors, scratch, nullptr};
  std::vector<int32_t> positions(tokens.size()), rows(tokens.size());
  for (size_t s = 0; s + 1 < sequences.starts.size(); ++s) {
    for (int32_t i = sequences.starts[s]; i < sequences.starts[s + 1]; ++i) {
      positions[static_cast<size_t>(i)] = i - sequences.starts[s];
    }
  }
  std::iota(rows.begin(), rows.end(), 0);
  const TokenBatch batch = {tokens, positions, sequences.starts};
  const Tensor hidden = DecoderForward(execution, model, batch);
  const Tensor logits = Logits(execution, model, hidden, rows);
  QWEN25_RETURN_IF_ERROR(CheckFinite(execution, model, batch, hidden, logits));
  const std::vector<TensorToWrite> out = {
      TensorToWrite::FromBytes("tokens", DType::kI32, {tokens.size()}, std::as_bytes(std::span(tokens))),
      TensorToWrite::FromBytes("sequence_starts", DType::kI32, {sequences.starts.size()},
                               std::as_bytes(std::span(sequences.starts))),
      TensorToWrite::FromFloat("logits", {logits.rows(), logits.cols()},
                               std::span<const float>(logits.data(), logits.rows() * logits.cols()))};
  QWEN25_RETURN_IF_ERROR(WriteSafetensors(flags.output, out));
  fmt::print("{} x {} logits: {}\n", logits.rows(), logits.cols(), flags.output);
  return {};
}

}  // namespace

void AddLogitsVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(
      app, run, "logits", "Write the logits of a token sequence, to compare with other programs", RunLogits);
  verb->add_option("-m,--model", flags->model, "Folder, .gguf file or name of a model")->required();
  verb->add_option("ids", flags->ids, "Token ids of one sequence");
  verb->add_option(
      "--tokens", flags->tokens,
      "Or a safetensors file with \"tokens\" and, for several sequences, \"sequence_starts\" (I32)");
  verb->add_option("-o,--output", flags->output, "safetensors file with \"tokens\" and \"logits\"")
      ->required();
  verb->footer("Example:\n  qwen25 logits -m runs/demo/model 12 7 300 -o logits.safetensors");
}

}  // namespace qwen25
