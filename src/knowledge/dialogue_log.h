// Dialogues that go on after a restart: their messages, one file each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"

namespace qwen25 {

// The dialogues of one namespace in a memory folder: <folder>/dialogues/<namespace>/<number>.json, each a
// JSON object with OpenAI messages under "messages". A file is replaced as a whole, so that a killed process
// leaves the dialogue as it was after its last complete answer. The folder appears with the first dialogue.
class DialogueLog {
 public:
  DialogueLog(const std::filesystem::path& memory, std::string_view name_space);

  struct Entry {
    uint32_t number = 0;
    size_t num_messages = 0;  // without system messages
    std::string first_question;
  };
  // Ascending by number. Files that are not dialogues are left out.
  std::vector<Entry> List() const;
  // The number of the newest; 0 where there is none.
  uint32_t Latest() const;
  Result<std::vector<ChatMessage>> Load(uint32_t number) const;
  Status Save(uint32_t number, std::span<const ChatMessage> messages) const;
  // Removes all files. Returns how many there were.
  Result<size_t> Erase() const;

  const std::filesystem::path& directory() const { return directory_; }

  // The namespaces that have dialogues in a memory folder, sorted.
  static std::vector<std::string> Namespaces(const std::filesystem::path& memory);

 private:
  std::filesystem::path PathOf(uint32_t number) const;

  std::filesystem::path directory_;
};

// The document that DialogueLog and /save write, and back: kInvalidArgument with `origin` for anything else.
std::string RenderDialogue(std::span<const ChatMessage> messages);
Result<std::vector<ChatMessage>> ReadDialogueFile(const std::filesystem::path& path);

}  // namespace qwen25
