// The notes of the semantic memory, and the requests and results of a search.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "knowledge/chunker.h"

namespace qwen25 {

// A remembered text: a sentence that somebody wanted to keep, or a whole document.
struct Note {
  int64_t id = 0;
  std::string name_space = "default";
  std::string text;    // UTF-8
  std::string title;   // may be empty
  std::string source;  // where it comes from: a path, "chat"; may be empty
  // Of a turn of a conversation; may be empty.
  std::string speaker;
  std::string session;  // notes of one session, in the order in which they were added, are its turns
  std::vector<std::string> tags;
  int64_t created_ms = 0;  // since 1970, UTC
  int64_t updated_ms = 0;
  std::optional<int64_t> superseded_by;  // the note that replaced this one
  size_t num_chunks = 0;
};

// A note to be stored.
struct NewNote {
  std::string text;
  std::string name_space = "default";
  std::string title, source, speaker, session;
  std::vector<std::string> tags;
  int64_t created_ms = 0;             // 0: now
  std::optional<int64_t> supersedes;  // the note of the same namespace that this one replaces
  bool replaces_source = false;       // it replaces all older notes of its source
};

enum class SearchMode { kWords, kVectors, kHybrid };

struct NoteSearch {
  std::string query;
  std::vector<std::string> namespaces = {"default"};  // only these are looked at
  SearchMode mode = SearchMode::kHybrid;
  size_t limit = 10;
  size_t candidates = 100;        // taken from each ranking before fusion
  std::vector<std::string> tags;  // the note has all of these
  std::string source;             // the note's, if not empty
  bool include_superseded = false;
};

// A chunk of a note that was found. Ranks count from 1; 0: not in that list. A hit without ranks is a
// neighbour of other hits.
struct NoteHit {
  int64_t note = 0;
  int64_t chunk = 0;
  std::string name_space, title, source, speaker, session, text;  // the chunk's text
  TextRange range;                                                // its place in the note, in bytes
  int64_t created_ms = 0;
  bool superseded = false;
  double score = 0;  // note_ranking.h; compares the hits of one search
  size_t word_rank = 0, vector_rank = 0;
  double bm25 = 0, cosine = 0;
};

// A note as one JSON object, and back. kInvalidArgument names `origin`, the member and what was wanted.
Json NoteToJson(const Note& note);
Result<Note> NoteFromJson(const Json& json, std::string_view origin);

// What a search found as one JSON object.
Json NoteHitToJson(const NoteHit& hit);

}  // namespace qwen25
