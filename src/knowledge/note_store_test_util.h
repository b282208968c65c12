// Notes in a temporary folder. Included by *_test.cc only.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/test_util.h"
#include "knowledge/note_store.h"

namespace qwen25 {

inline std::unique_ptr<NoteStore> MustOpen(const std::filesystem::path& directory, Embedder* embedder,
                                           const NoteStoreOptions& options = {}) {
  auto store = NoteStore::Open(directory, embedder, options);
  EXPECT_TRUE(store.ok()) << MessageOf(store);
  return std::move(store).value();
}

inline int64_t MustAdd(NoteStore& store, const NewNote& note) {
  const auto id = store.Add(note);
  EXPECT_TRUE(id.ok()) << MessageOf(id);
  return *id;
}

inline std::vector<int64_t> NotesFound(NoteStore& store, const NoteSearch& search) {
  const auto hits = store.Search(search);
  EXPECT_TRUE(hits.ok()) << MessageOf(hits);
  std::vector<int64_t> notes;
  for (const NoteHit& hit : *hits) notes.push_back(hit.note);
  return notes;
}

inline bool AnyFileHolds(const std::filesystem::path& directory, const std::string& text) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const auto content = ReadFile(entry.path());
    if (content.ok() && content->find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace qwen25
