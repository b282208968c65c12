// Dialogues that continue after a restart, one file each.
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

// The dialogues of one namespace in a memory folder: <folder>/dialogues/<namespace>/<number>.json. A file
// holds a checksum of its content, and is replaced as a whole: a killed process leaves the dialogue as it was
// after its last complete answer. The folder is created with the first dialogue.
//
// With a key, files and the names of namespaces are encrypted (docs/formats/encrypted_notes.md).
class DialogueLog {
 public:
  // `key` has 32 bytes. Errors of CheckNamespace; kInvalidArgument if the folder's dialogues are encrypted
  // and there is no key, are plain and there is one, or were made with another key.
  static Result<DialogueLog> Open(const std::filesystem::path& memory, std::string_view name_space,
                                  const std::optional<std::string>& key = {});

  // Where an open dialogue is kept: its number (0: it has none yet), and a hash of its file as it was last
  // read or written here.
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
  // Sets `place`, unless null, for a later Save. kCorrupt if the file is not what was written.
  Result<Dialogue> Load(uint32_t number, Place* place = nullptr) const;
  // Writes the dialogue to its place. A place without a number gets the next one. So does a place whose file
  // another process has changed meanwhile: both dialogues are kept.
  Status Save(const Dialogue& dialogue, Place& place) const;

  struct Report {
    size_t num_dialogues = 0;
    std::vector<std::string> damaged;  // one message per damaged file
  };
  // Reads all files.
  Report Verify() const;
  // Removes all files. Returns how many dialogues there were.
  Result<size_t> Erase() const;

  const std::filesystem::path& directory() const { return directory_; }

  // The namespaces that have dialogues in a memory folder, sorted. Errors as those of Open. `damaged`, if not
  // null, gets a message for each folder whose namespace is unknown.
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

// Writes and reads the document of /save. kInvalidArgument, naming `origin`, for anything else; kCorrupt for
// a file of a DialogueLog with a wrong checksum. A document that is read and rendered again loses nothing.
std::string RenderDialogue(const Dialogue& dialogue);
Result<Dialogue> ParseDialogue(std::string_view text, const std::string& origin);
// The same of a document that was parsed by ParsePythonJson.
Result<Dialogue> DialogueOf(Json document, const std::string& origin);

}  // namespace qwen25
