#include "cli/note_blocks.h"

#include "base/progress.h"
#include "cli/terminal/interrupt.h"
#include "infer/passages.h"
#include "text/chat_template.h"

namespace qwen25 {
namespace {

std::vector<int32_t> TokensOf(const Tokenizer& tokenizer, const NotePassage& passage) {
  if (passage.is_turn) {
    return EncodeTurn(tokenizer, {.role = "user", .content = passage.text}, /*add_bos=*/true);
  }
  return tokenizer.Encode(passage.text, {.special = SpecialTokens::kAsText, .add_bos = true});
}

}  // namespace

Result<StoredNotes> StoreNotesAsBlocks(const LoadedModel& model, const std::string& name_space,
                                       const std::vector<NotePassage>& passages) {
  std::vector<Passage> wanted;
  for (const NotePassage& passage : passages) {
    wanted.push_back({.name = passage.name, .tokens = TokensOf(model.tokenizer, passage)});
  }
  const InterruptGuard guard;
  std::optional<Progress> progress;
  const auto show = [&](size_t done, size_t total) {
    if (!progress) progress.emplace("notes", "chunks", total);
    progress->Update(done);
    return !InterruptGuard::requested();
  };
  QWEN25_TRY(const PassageReport report, SyncPassages(*model.engine, name_space, wanted, show));
  progress.reset();
  if (!report.status.ok()) {
    fmt::print("[notes as blocks: {} of {} chunks are stored; the others are recalled as text: {}]\n",
               report.num_known + report.num_computed, wanted.size(), report.status.message());
  }
  StoredNotes notes;
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

Status RemoveForgottenNotes(const MemoryFlags& memory, NoteStore& notes, bool erase) {
  if (!HasBlockStore(memory)) return {};
  const auto blocks = OpenBlockStore(memory);
  if (!blocks.ok() && erase) {
    return Status(
        blocks.status().code(),
        fmt::format("the notes are gone, but not what a chat may have computed of them: {}; then run "
                    "`qwen25 memory forget --erase` again",
                    blocks.status().message()));
  }
  if (!blocks.ok()) {
    fmt::print(stderr,
               "note: what a chat may have computed of forgotten notes goes when it starts again: {}\n",
               blocks.status().message());
    return {};
  }
  for (const BlockStoreStats::Namespace& of : (*blocks)->Stats().namespaces) {
    if (of.num_passage_blocks == 0 && !erase) continue;
    QWEN25_RETURN_IF_ERROR(RemoveForgottenNotes(**blocks, notes, of.name, erase));
  }
  return {};
}

}  // namespace qwen25
