#include "knowledge/dialogue/attention_recall.h"

#include <algorithm>
#include <map>

namespace qwen25 {
namespace {

constexpr size_t kShown = 5;       // shares of TakeReads
constexpr int64_t kDialogues = 0;  // in place of a note's id

}  // namespace

Result<AttentionRecall> AttentionRecall::Load(const LoadedModel& model, BlockStore& store,
                                              const Options& options,
                                              const std::vector<NotePassage>& passages,
                                              const ConversationEventSink& on_event) {
  InferenceEngine& engine = *model.engine;
  if (engine.recall_window() == 0) {
    return InvalidArgument(
        "--recall-dialogues and --notes-as blocks need --recall-window N, the number of last tokens that the "
        "model sees as they are");
  }
  AttentionRecall recall(store, options);
  if (options.notes && !store.IsEncrypted()) {
    QWEN25_TRY(recall.notes_, StoreNotesAsBlocks(model, options.name_space, passages, options.progress));
    if (const StoredNotes& stored = recall.notes_; !stored.status.ok()) {
      on_event(NotesPartlyStored{
          .num_stored = stored.num_stored, .num_wanted = stored.num_wanted, .why = stored.status});
    }
  }
  QWEN25_TRY(recall.blocks_,
             RecalledBlocks::Load(store, options.name_space, engine.block_format(), engine.block_shape(),
                                  engine.execution().threads,
                                  {.dialogues = options.dialogues, .passages = options.notes}));
  on_event(
      AttentionReady{.num_notes = options.notes ? std::optional(recall.HeldNotes().size()) : std::nullopt,
                     .dialogues = options.dialogues,
                     .num_blocks = recall.blocks_ ? recall.blocks_->num_blocks() : 0});
  return recall;
}

Status AttentionRecall::NotesChanged(NoteStore& notes, bool erase) {
  QWEN25_RETURN_IF_ERROR(RemoveForgottenNotes(*store_, notes, options_.name_space, erase));
  if (blocks_) QWEN25_RETURN_IF_ERROR(blocks_->DropRemovedPassages());
  QWEN25_TRY(const auto names, NotePassageNames(notes, options_.name_space));
  std::erase_if(notes_.by_passage, [&](const auto& entry) {
    if (names.contains(entry.first)) return false;
    notes_.whole.erase(entry.second);
    return true;
  });
  return {};
}

AttentionRead AttentionRecall::TakeReads() {
  std::map<int64_t, uint64_t> by_note;
  uint64_t total = 0;
  if (blocks_) {
    for (const auto& [passage, count] : blocks_->TakeReads()) {
      const auto note = notes_.by_passage.find(passage);
      if (passage != Hash128() && note == notes_.by_passage.end()) continue;  // forgotten meanwhile
      by_note[passage == Hash128() ? kDialogues : note->second] += count;
      total += count;
    }
  }
  std::vector<std::pair<int64_t, uint64_t>> most(by_note.begin(), by_note.end());
  std::ranges::stable_sort(most, std::greater(), &std::pair<int64_t, uint64_t>::second);
  most.resize(std::min(most.size(), kShown));
  AttentionRead read;
  for (const auto& [note, count] : most) {
    read.shares.push_back({.note = note == kDialogues ? std::nullopt : std::optional(note),
                           .share = static_cast<double>(count) / static_cast<double>(total)});
  }
  return read;
}

}  // namespace qwen25
