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
#include "store/cipher.h"
#include "text/chat_template.h"

namespace qwen25 {

// The dialogues of one namespace in a memory folder: <folder>/dialogues/<namespace>/<number>.json, each a
// JSON object with OpenAI messages under "messages". A file is replaced as a whole, so that a killed process
// leaves the dialogue as it was after its last complete answer. The folder appears with the first dialogue.
//
// With a key, files and the names of namespaces are sealed (docs/formats/encrypted_notes.md).
class DialogueLog {
 public:
  // The key has 32 bytes. kInvalidArgument where the folder's dialogues are encrypted and there is no key,
  // are not and there is one, or were made with another.
  static Result<DialogueLog> Open(const std::filesystem::path& memory, std::string_view name_space,
                                  const std::optional<std::string>& key = {});

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
  // Reads all; returns how many there are, or the error of the first that is damaged.
  Result<size_t> Verify() const;
  // Removes all files. Returns how many dialogues there were.
  Result<size_t> Erase() const;

  const std::filesystem::path& directory() const { return directory_; }

  // The namespaces that have dialogues in a memory folder, sorted. Errors as those of Open.
  static Result<std::vector<std::string>> Namespaces(const std::filesystem::path& memory,
                                                     const std::optional<std::string>& key = {});

 private:
  DialogueLog(std::filesystem::path directory, std::string_view name_space, std::optional<Cipher> cipher)
      : directory_(std::move(directory)), name_space_(name_space), cipher_(std::move(cipher)) {}

  std::filesystem::path PathOf(uint32_t number) const;
  std::vector<uint32_t> Numbers() const;  // ascending
  std::string ContextOf(uint32_t number) const;

  std::filesystem::path directory_;
  std::string name_space_;
  std::optional<Cipher> cipher_;
};

// The document that DialogueLog and /save write, and back: kInvalidArgument with `origin` for anything else.
std::string RenderDialogue(std::span<const ChatMessage> messages);
Result<std::vector<ChatMessage>> ParseDialogue(std::string_view text, const std::string& origin);
Result<std::vector<ChatMessage>> ReadDialogueFile(const std::filesystem::path& path);

}  // namespace qwen25
