#include "knowledge/note_passages.h"

#include "knowledge/recalled_notes.h"

namespace qwen25 {
namespace {

Hash128 NameOf(const NoteHit& chunk) {
  const std::string content =
      fmt::format("note {} {} {}\n{}", chunk.note, chunk.range.begin, chunk.created_ms, chunk.text);
  return HashBytes128(std::as_bytes(std::span(content)));
}

}  // namespace

Result<std::vector<NotePassage>> NotePassages(NoteStore& store, const std::string& name_space,
                                              std::span<const std::string> control_texts, bool as_turns) {
  QWEN25_TRY(const std::vector<NoteHit> chunks, store.Chunks(name_space));
  std::vector<NotePassage> passages;
  for (const NoteHit& chunk : chunks) {
    passages.push_back({.note = chunk.note,
                        .name = NameOf(chunk),
                        .text = NoteLine(chunk, control_texts),
                        .is_turn = as_turns});
  }
  return passages;
}

Result<std::unordered_set<Hash128, Hash128Hasher>> NotePassageNames(NoteStore& store,
                                                                    const std::string& name_space) {
  QWEN25_TRY(const std::vector<NoteHit> chunks, store.Chunks(name_space));
  std::unordered_set<Hash128, Hash128Hasher> names;
  for (const NoteHit& chunk : chunks) names.insert(NameOf(chunk));
  return names;
}

}  // namespace qwen25
