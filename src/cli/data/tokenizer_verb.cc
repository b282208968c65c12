#include "base/clock.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "cli/flags/text_flag.h"
#include "cli/verb.h"
#include "data/shards/tokenize_corpus.h"
#include "data/train_tokenizer.h"
#include "pretrained/load_tokenizer.h"
#include "text/tokenizer.h"

namespace qwen25 {
namespace {

struct TrainFlags {
  std::vector<std::string> inputs;
  std::string output;
  BpeTrainerOptions options;
  std::string pattern = "qwen2";
};

Status RunTrain(TrainFlags& flags) {
  if (flags.pattern == "gpt2") {
    flags.options.pre_tokenizer = PreTokenizerKind::kGpt2;
    flags.options.nfc = false;
  } else if (flags.pattern != "qwen2") {
    return InvalidArgument("--pattern is \"{}\", expected qwen2 or gpt2", flags.pattern);
  }
  ThreadPool threads(DefaultNumThreads());
  const double start = NowSeconds();
  QWEN25_TRY(const TrainedBpe trained, TrainTokenizer(flags.inputs, flags.options, threads));
  if (!trained.complete()) {
    fmt::print(stderr, "note: the text holds only {} frequent pairs: the vocabulary has {} entries, not {}\n",
               trained.tokenizer.merges.size(), trained.vocab_size(), trained.requested_vocab_size);
  }
  QWEN25_TRY(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(trained.tokenizer));
  QWEN25_RETURN_IF_ERROR(tokenizer.Save(flags.output));
  fmt::print("{} entries from {:.1f} MB of text ({} different pieces) in {:.1f} s: {}\n",
             trained.vocab_size(), static_cast<double>(trained.num_bytes) / 1e6, trained.num_different_pieces,
             NowSeconds() - start, flags.output);
  return {};
}

struct ApplyFlags {
  size_t cut_tokens = 0;
  std::string tokenizer, documents, output;
};

Status RunApply(const ApplyFlags& flags) {
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(flags.tokenizer));
  ThreadPool threads(DefaultNumThreads());
  const double start = NowSeconds();
  QWEN25_TRY(const TokenizeReport report,
             TokenizeCorpus(flags.documents, tokenizer, flags.output, threads, flags.cut_tokens));
  fmt::print("{} documents, {} tokens from {:.2f} MB ({:.2f} bytes per token) in {:.1f} s: {}.bin, {}.idx\n",
             report.documents, report.tokens, static_cast<double>(report.bytes) / 1e6,
             static_cast<double>(report.bytes) / static_cast<double>(report.tokens), NowSeconds() - start,
             flags.output, flags.output);
  return {};
}

struct EncodeFlags {
  std::string tokenizer, file;
  std::optional<std::string> text;
  bool pieces = false;
};

Status RunEncode(const EncodeFlags& flags) {
  QWEN25_TRY(const std::string text, ReadTextFlag(flags.text, flags.file, "text"));
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(flags.tokenizer));
  for (int32_t id : tokenizer.Encode(text)) {
    if (flags.pieces) {
      fmt::print("{:>8}  {}\n", id, DumpJson(std::string(tokenizer.TokenBytes(id))));
    } else {
      fmt::print("{} ", id);
    }
  }
  if (!flags.pieces) fmt::print("\n");
  return {};
}

struct DecodeFlags {
  std::string tokenizer;
  std::vector<int32_t> ids;
};

Status RunDecode(const DecodeFlags& flags) {
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(flags.tokenizer));
  for (int32_t id : flags.ids) {
    if (id < 0 || static_cast<size_t>(id) >= tokenizer.vocab_size()) {
      return InvalidArgument("id {} is outside the vocabulary of {}", id, tokenizer.vocab_size());
    }
  }
  fmt::print("{}\n", tokenizer.Decode(flags.ids));
  return {};
}

}  // namespace

// Long: flags and help texts only.
void AddTokenizerVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("tokenizer", "Train or use a byte-level BPE tokenizer");
  verb->require_subcommand(1);

  verb->footer("`qwen25 tokenizer COMMAND --help` has examples.");

  const auto [train_verb, train] = AddVerb(*verb, run, "train", "Train a vocabulary on text", RunTrain);
  train_verb
      ->add_option("input", train->inputs,
                   "Text files, or JSON lines with a \"text\" each (.jsonl, .ndjson); also as .gz or .zst")
      ->required();
  train_verb->add_option("-o,--output", train->output, "Folder for tokenizer.json, vocab.json, merges.txt")
      ->required();
  train_verb->add_option("--vocab-size", train->options.vocab_size, "Entries, special tokens included")
      ->capture_default_str();
  train_verb->add_option("--pattern", train->pattern, "How text is cut before merging: qwen2 or gpt2")
      ->capture_default_str();
  train_verb->footer(
      "Example:\n  qwen25 tokenizer train runs/demo/data/documents.train.jsonl --vocab-size 4096 -o "
      "runs/demo/tokenizer");

  const auto [apply_verb, apply] = AddVerb(
      *verb, run, "apply", "Documents to token shards for training (Megatron .bin and .idx)", RunApply);
  apply_verb
      ->add_option("documents", apply->documents,
                   "JSON lines with a \"text\" each (.jsonl, .ndjson), or one text; also as .gz or .zst")
      ->required();
  apply_verb->add_option("--tokenizer", apply->tokenizer, "Folder of a tokenizer, or a model")->required();
  apply_verb->add_option("-o,--output", apply->output, "The shard, without .bin")->required();
  apply_verb
      ->add_option(
          "--cut-tokens", apply->cut_tokens,
          "Store longer documents as pieces of about this many tokens, so that training shuffles them; 0: "
          "leave them whole")
      ->capture_default_str();
  apply_verb->footer(
      "Example:\n  qwen25 tokenizer apply runs/demo/data/documents.train.jsonl --tokenizer "
      "runs/demo/tokenizer \\\n"
      "    -o runs/demo/data/train");

  const auto [encode_verb, encode] = AddVerb(*verb, run, "encode", "Text to token ids", RunEncode);
  encode_verb->add_option("tokenizer", encode->tokenizer, "Model or tokenizer folder, or tokenizer.json")
      ->required();
  encode_verb->add_option("--text", encode->text, "The text");
  encode_verb->add_option("--text-file", encode->file, "Read it from a file; - is standard input");
  encode_verb->add_flag("--pieces", encode->pieces, "One token per line, with its text");
  encode_verb->footer("Example:\n  qwen25 tokenizer encode runs/demo/model --text \"import os\" --pieces");

  const auto [decode_verb, decode] = AddVerb(*verb, run, "decode", "Token ids to text", RunDecode);
  decode_verb->add_option("tokenizer", decode->tokenizer, "Model or tokenizer folder, or tokenizer.json")
      ->required();
  decode_verb->add_option("ids", decode->ids, "The ids")->required();
  decode_verb->footer("Example:\n  qwen25 tokenizer decode runs/demo/model 1785 318");
}

}  // namespace qwen25
