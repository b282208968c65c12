#include "text/bpe_trainer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/bpe_merger.h"
#include "text/normalizer.h"
#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kNumBytes = 256;

bool IsPrintableAscii(char c) {
  return c > 0x20 && c < 0x7f;
}

// The first position from `begin` on across which no pre-tokenizer or normaliser ever looks: after a newline
// between two printable ASCII characters. text.size() if there is none.
size_t SafeCut(std::string_view text, size_t begin) {
  for (size_t at = begin; (at = text.find('\n', at)) != std::string_view::npos; ++at) {
    if (at > 0 && at + 1 < text.size() && IsPrintableAscii(text[at - 1]) && IsPrintableAscii(text[at + 1])) {
      return at + 1;
    }
  }
  return text.size();
}

}  // namespace

Status BpeTrainerOptions::Validate() const {
  const size_t least = kNumBytes + special_tokens.size();
  if (vocab_size < least) {
    return InvalidArgument(
        "BPE training: vocab_size is {}, expected at least {}: 256 bytes and {} special tokens", vocab_size,
        least, special_tokens.size());
  }
  if (vocab_size > size_t{kMaxTokenId} + 1) {
    return InvalidArgument("BPE training: vocab_size is {}, expected at most {}", vocab_size,
                           kMaxTokenId + 1);
  }
  if (min_frequency == 0) return InvalidArgument("BPE training: min_frequency is 0, expected at least 1");
  if (task_bytes == 0) return InvalidArgument("BPE training: task_bytes is 0, expected at least 1");
  for (size_t i = 0; i < special_tokens.size(); ++i) {
    const std::string& token = special_tokens[i];
    if (token.size() < 2 || token.size() > kMaxTokenBytes || !IsValidUtf8(token)) {
      return InvalidArgument("BPE training: special_tokens[{}] is \"{}\", expected UTF-8 of 2 to {} bytes", i,
                             RepairUtf8(token.substr(0, 60)), kMaxTokenBytes);
    }
    if (std::find(special_tokens.begin(), special_tokens.begin() + static_cast<std::ptrdiff_t>(i), token) !=
        special_tokens.begin() + static_cast<std::ptrdiff_t>(i)) {
      return InvalidArgument("BPE training: special_tokens[{}] is \"{}\" a second time", i, token);
    }
  }
  return {};
}

std::vector<std::string> ByteAlphabet() {
  // GPT-2 numbers the bytes that print in Latin-1 first, then the others.
  const auto prints = [](unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
  };
  std::vector<std::string> alphabet;
  for (const bool printing : {true, false}) {
    for (unsigned byte = 0; byte < kNumBytes; ++byte) {
      if (prints(byte) == printing) alphabet.emplace_back(1, static_cast<char>(byte));
    }
  }
  return alphabet;
}

BpeTrainer::BpeTrainer(BpeTrainerOptions options, ThreadPool* pool)
    : options_(std::move(options)), pool_(pool), threads_(pool->num_threads()) {
  special_by_length_ = options_.special_tokens;
  std::stable_sort(special_by_length_.begin(), special_by_length_.end(),
                   [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  for (const std::string& token : special_by_length_)
    starts_special_[static_cast<unsigned char>(token[0])] = true;
}

Result<BpeTrainer> BpeTrainer::Create(BpeTrainerOptions options, ThreadPool* pool) {
  QWEN25_CHECK(pool != nullptr);
  QWEN25_RETURN_IF_ERROR(options.Validate());
  return BpeTrainer(std::move(options), pool);
}

void BpeTrainer::Add(std::string_view text) {
  size_t plain = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = SpecialTokenAt(text, at);
    if (length == 0) {
      ++at;
      continue;
    }
    AddPlain(text.substr(plain, at - plain));
    plain = at += length;
  }
  AddPlain(text.substr(plain));
}

// The length of the longest special token at `at`; 0 if there is none.
size_t BpeTrainer::SpecialTokenAt(std::string_view text, size_t at) const {
  if (!starts_special_[static_cast<unsigned char>(text[at])]) return 0;
  for (const std::string& token : special_by_length_) {
    if (text.substr(at).starts_with(token)) return token.size();
  }
  return 0;
}

void BpeTrainer::AddPlain(std::string_view text) {
  num_bytes_ += text.size();
  while (!text.empty()) {
    const size_t end = text.size() <= options_.task_bytes ? text.size() : SafeCut(text, options_.task_bytes);
    pending_ += text.substr(0, end);
    chunk_ends_.push_back(pending_.size());
    text.remove_prefix(end);
    // Enough for a few tasks per thread, so that threads wait little for the last task.
    if (pending_.size() >= 4 * threads_.size() * options_.task_bytes) CountPending();
  }
}

void BpeTrainer::CountPending() {
  // Neighbouring chunks form tasks of about task_bytes.
  std::vector<size_t> task_begins;
  size_t task_start_byte = 0;
  for (size_t chunk = 0; chunk < chunk_ends_.size(); ++chunk) {
    const size_t begin = chunk == 0 ? 0 : chunk_ends_[chunk - 1];
    if (chunk == 0 || begin - task_start_byte >= options_.task_bytes) {
      task_begins.push_back(chunk);
      task_start_byte = begin;
    }
  }
  task_begins.push_back(chunk_ends_.size());
  pool_->ParallelFor(task_begins.size() - 1, [&](size_t task, size_t thread) {
    for (size_t chunk = task_begins[task]; chunk < task_begins[task + 1]; ++chunk) {
      const size_t begin = chunk == 0 ? 0 : chunk_ends_[chunk - 1];
      CountChunk(std::string_view(pending_).substr(begin, chunk_ends_[chunk] - begin), threads_[thread]);
    }
  });
  pending_.clear();
  chunk_ends_.clear();
}

void BpeTrainer::CountChunk(std::string_view chunk, Thread& thread) const {
  std::string repaired, normalized;
  if (!IsValidUtf8(chunk)) {
    repaired = RepairUtf8(chunk);
    chunk = repaired;
  }
  if (options_.nfc && NeedsNfc(chunk)) {
    NormalizeNfc(chunk, normalized);
    chunk = normalized;
  }
  PreTokenizer(options_.pre_tokenizer).ForEachPiece(chunk, [&](std::string_view piece) {
    thread.pieces.Add(piece);
    ++thread.num_pieces;
  });
}

Result<TrainedBpe> BpeTrainer::Train() {
  CountPending();
  for (size_t thread = 1; thread < threads_.size(); ++thread) {
    threads_[0].pieces.Add(threads_[thread].pieces);
    threads_[0].num_pieces += threads_[thread].num_pieces;
    threads_[thread] = {};
  }
  const PieceCounter& pieces = threads_[0].pieces;
  if (pieces.size() == 0) {
    return InvalidArgument(
        "BPE training: the corpus has no text outside special tokens; give it at least one text that is not "
        "empty");
  }
  const size_t num_tokens = options_.vocab_size - options_.special_tokens.size();
  QWEN25_TRY(LearnedMerges learned, LearnMerges(pieces, ByteAlphabet(), num_tokens, options_.min_frequency));
  return TrainedBpe{
      .tokenizer = {.tokens = std::move(learned.tokens),
                    .merges = std::move(learned.merges),
                    .special_tokens = options_.special_tokens,
                    .pre_tokenizer = options_.pre_tokenizer,
                    .nfc = options_.nfc,
                    .bos_token = {},
                    .eos_token = {},
                    .pad_token = {},
                    .chat_template = {}},
      .requested_vocab_size = options_.vocab_size,
      .num_bytes = num_bytes_,
      .num_pieces = threads_[0].num_pieces,
      .num_different_pieces = pieces.size(),
      .last_count = learned.last_count,
  };
}

Result<TrainedBpe> TrainBpe(std::span<const std::string_view> texts, const BpeTrainerOptions& options,
                            ThreadPool& pool) {
  QWEN25_TRY(BpeTrainer trainer, BpeTrainer::Create(options, &pool));
  for (const std::string_view text : texts) trainer.Add(text);
  return trainer.Train();
}

}  // namespace qwen25
