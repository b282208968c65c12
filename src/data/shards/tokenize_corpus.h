// Turns documents (text_files.h) into token shards (store/indexed_dataset.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct TokenizeReport {
  uint64_t documents = 0;
  uint64_t tokens = 0;  // the end-of-text tokens included
  uint64_t bytes = 0;   // of text: bits per byte = bits per token * tokens / bytes
};

// Encodes every document of `documents_path` in order, each followed by the end-of-text token
// ("<|endoftext|>" if the vocabulary has it, else the tokenizer's end of sequence), into the shard
// `prefix`.bin/.idx. Text that looks like a special token is ordinary text. The shard is the same for any
// number of threads, and memory is bounded by one batch of documents.
//
// `cut_tokens` not 0: longer documents are stored as pieces of about that many tokens, which a loader
// shuffles like documents. A stream that reads one long document for many rows makes neighbouring batches
// alike, and a short run then learns that document instead of the language.
//
// kCorrupt names the file and line that cannot be read, kInvalidArgument a file without documents or a
// tokenizer without an end of text; nothing is written then.
Result<TokenizeReport> TokenizeCorpus(const std::string& documents_path, const Tokenizer& tokenizer,
                                      const std::filesystem::path& prefix, ThreadPool& pool,
                                      size_t cut_tokens = 0);

}  // namespace qwen25
