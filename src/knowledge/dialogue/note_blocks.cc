#include "knowledge/dialogue/note_blocks.h"

#include "infer/passages.h"

namespace qwen25 {
namespace {

std::vector<int32_t> TokensOf(const LoadedModel& model, const NotePassage& passage) {
  if (passage.is_turn && model.chat_template) {
    return model.chat_template->EncodeTurn(model.tokenizer, {.role = "user", .content = passage.text});
  }
  return model.tokenizer.Encode(passage.text, {.special = SpecialTokens::kAsText, .add_bos = true});
}

}  // namespace

Result<StoredNotes> StoreNotesAsBlocks(const LoadedModel& model, const std::string& name_space,
                                       const std::vector<NotePassage>& passages,
                                       const std::function<bool(size_t done, size_t total)>& progress) {
  std::vector<Passage> wanted;
  for (const NotePassage& passage : passages) {
    wanted.push_back({.name = passage.name, .tokens = TokensOf(model, passage)});
  }
  QWEN25_TRY(const PassageReport report, SyncPassages(*model.engine, name_space, wanted, progress));
  StoredNotes notes = {.num_stored = report.num_known + report.num_computed,
                       .num_wanted = wanted.size(),
                       .status = report.status};
  for (size_t i = 0; i < passages.size(); ++i) {
    if (!report.is_stored[i]) continue;
    notes.by_passage[passages[i].name] = passages[i].note;
    notes.whole.insert(passages[i].note);
  }
  for (size_t i = 0; i < passages.size(); ++i) {
    if (!report.is_stored[i]) notes.whole.erase(passages[i].note);
  }
  return notes;
}

Status RemoveForgottenNotes(BlockStore& blocks, NoteStore& notes, const std::string& name_space, bool erase) {
  QWEN25_TRY(const auto names, NotePassageNames(notes, name_space));
  const auto is_forgotten = [&](const BlockFormat&, const Hash128& passage, const Hash128&) {
    return !names.contains(passage);
  };
  return blocks.RemovePassages(name_space, is_forgotten, erase).status();
}

Status RemoveForgottenNotes(const MemoryPlace& place, NoteStore& notes, bool erase, Status& later) {
  if (!HasBlockStore(place)) return {};
  const auto blocks = OpenBlockStore(place);
  if (!blocks.ok() && erase) {
    return Status(blocks.status().code(),
                  fmt::format("the notes are gone, but not the blocks that a chat may have computed from "
                              "them: {}; then run `qwen25 memory forget --erase` again",
                              blocks.status().message()));
  }
  if (!blocks.ok()) {
    later = blocks.status();
    return {};
  }
  for (const BlockStoreStats::Namespace& of : (*blocks)->Stats().namespaces) {
    if (of.num_passage_blocks == 0 && !erase) continue;
    QWEN25_RETURN_IF_ERROR(RemoveForgottenNotes(**blocks, notes, of.name, erase));
  }
  return {};
}

}  // namespace qwen25
