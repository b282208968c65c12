// Dialogues that go on after a restart: one file each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "store/cipher.h"
#include "text/chat_message.h"

namespace qwen25 {

// A conversation as a file holds it: an object with OpenAI messages under "messages".
struct Dialogue {
  std::vector<ChatMessage> messages;
  Json other = Json::object();  // the other members of the object ("tools", "model", ...), kept as they are
};

// The dialogues of one namespace in a memory folder: <folder>/dialogues/<namespace>/<number>.json. A file is
// replaced as a whole, so that a killed process leaves the dialogue as it was after its last complete answer,
// and holds a sum over its content. The folder appears with the first dialogue.
//
// With a key, files and the names of namespaces are sealed (docs/formats/encrypted_notes.md).
class DialogueLog {
 public:
  // The key has 32 bytes. kInvalidArgument if the folder's dialogues are encrypted and there is no key,
  // are not and there is one, or were made with another.
  static Result<DialogueLog> Open(const std::filesystem::path& memory, std::string_view name_space,
                                  const std::optional<std::string>& key = {});

  // A dialogue that is open here: its number (0: it has none yet), and a hash of what its file held when it
  // was last read or written here.
  struct Place {
    uint32_t number = 0;
    uint64_t content = 0;
  };
  struct Entry {
    uint32_t number = 0;
    size_t num_messages = 0;  // without system messages
    std::string first_question;
  };
  // Ascending by number. Files that are not dialogues, or are damaged, are left out.
  std::vector<Entry> List() const;
  // The number of the newest; 0: there is none.
  uint32_t Latest() const;
  // `place`: where it is, to be saved to; may be null. kCorrupt: it is not what was written.
  Result<Dialogue> Load(uint32_t number, Place* place = nullptr) const;
  // Writes the dialogue to its place. A place without a number gets the next one. So does a place whose file
  // another process has changed meanwhile: both dialogues are kept.
  Status Save(const Dialogue& dialogue, Place& place) const;

  struct Report {
    size_t num_dialogues = 0;
    std::vector<std::string> damaged;  // a message for each file that is
  };
  // Reads all.
  Report Verify() const;
  // Removes all files. Returns how many dialogues there were.
  Result<size_t> Erase() const;

  const std::filesystem::path& directory() const { return directory_; }

  // The namespaces that have dialogues in a memory folder, sorted. Errors as those of Open. `damaged`, if not
  // null, gets a message for each folder whose namespace cannot be told.
  static Result<std::vector<std::string>> Namespaces(const std::filesystem::path& memory,
                                                     const std::optional<std::string>& key = {},
                                                     std::vector<std::string>* damaged = nullptr);

 private:
  DialogueLog(std::filesystem::path directory, std::string_view name_space, std::optional<Cipher> cipher)
      : directory_(std::move(directory)), name_space_(name_space), cipher_(std::move(cipher)) {}

  std::filesystem::path PathOf(uint32_t number) const;
  std::vector<uint32_t> Numbers() const;  // ascending
  std::string ContextOf(uint32_t number) const;
  Status WriteNames() const;

  std::filesystem::path directory_;
  std::string name_space_;
  std::optional<Cipher> cipher_;
};

// The document that /save writes, and back: kInvalidArgument with `origin` for anything else, kCorrupt for a
// file of a DialogueLog whose sum is wrong. What is read and rendered again has all that was there.
std::string RenderDialogue(const Dialogue& dialogue);
Result<Dialogue> ParseDialogue(std::string_view text, const std::string& origin);
Result<Dialogue> ReadDialogueFile(const std::filesystem::path& path);

}  // namespace qwen25
