// qwen25 bench retrieval: how well and how fast the notes are searched.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"

namespace qwen25 {

struct RetrievalBenchFlags {
  EmbedderChoice embedder;
  std::string set;  // folder with notes.jsonl and questions.jsonl
  // Where the notes are put, and taken from if they are there, and the key. Folder empty: a temporary one.
  MemoryPlace memory;
  size_t max_questions = 0;  // 0: all
  bool json = false;
};

Status RunRetrievalBench(const RetrievalBenchFlags& flags);

}  // namespace qwen25
