#include "cli/chat_recall.h"

#include <algorithm>
#include <map>

namespace qwen25 {
namespace {

constexpr size_t kShown = 5;       // of TakeReads
constexpr int64_t kDialogues = 0;  // in the place of a note

std::string Counted(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

Result<ChatRecall> ChatRecall::Load(const LoadedModel& model, BlockStore& store, const Options& options,
                                    const std::vector<NotePassage>& passages) {
  InferenceEngine& engine = *model.engine;
  if (engine.recall_window() == 0) {
    return InvalidArgument(
        "--recall-dialogues and --notes-as blocks need --recall-window: how far back the model sees as it "
        "is");
  }
  ChatRecall recall(store, options);
  if (options.notes && !store.IsEncrypted()) {
    QWEN25_TRY(recall.notes_, StoreNotesAsBlocks(model, options.name_space, passages));
  }
  QWEN25_TRY(recall.blocks_,
             RecalledBlocks::Load(store, options.name_space, engine.block_format(), engine.block_shape(),
                                  engine.execution().threads,
                                  {.dialogues = options.dialogues, .passages = options.notes}));
  std::vector<std::string> what;
  if (options.notes) what.push_back(Counted(recall.HeldNotes().size(), "note"));
  if (options.dialogues) what.push_back("earlier dialogues");
  fmt::print("[attention recalls {}: {}]\n", fmt::join(what, " and "),
             Counted(recall.blocks_ ? recall.blocks_->num_blocks() : 0, "block"));
  return recall;
}

Status ChatRecall::NotesChanged(NoteStore& notes, bool erase) {
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

std::string ChatRecall::TakeReads() {
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
  std::vector<std::string> shown;
  for (const auto& [note, count] : most) {
    shown.push_back(fmt::format("{} ({:.0f} %)",
                                note == kDialogues ? "dialogues" : fmt::format("note {}", note),
                                100 * static_cast<double>(count) / static_cast<double>(total)));
  }
  return fmt::format("{}", fmt::join(shown, ", "));
}

}  // namespace qwen25
