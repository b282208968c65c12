#include "knowledge/dialogue/dialogue_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/temporary_file.h"
#include "store/namespace_name.h"
#include "text/python_json.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr std::string_view kPlainExtension = ".json";
// For files and folders of an encrypted log. Plain folders have no dot (FileName).
constexpr std::string_view kSealedExtension = ".sealed";
constexpr std::string_view kSealedMagic = "q25talk1";  // the last character is the version
// Files with the namespace's name, beside its dialogues, since the folder hides it. The second is a copy: one
// damaged file must not hide whose dialogues the others are.
constexpr std::array<std::string_view, 2> kSealedNames = {"name.sealed", "name2.sealed"};
constexpr std::string_view kNameContext = "name";
constexpr std::string_view kPlainName = "name";
constexpr char kHashedFolder = '~';      // FileName never writes it
constexpr size_t kMaxFolderBytes = 200;  // file systems take 255

// How a file with a checksum begins; it covers all bytes after kSumEnd.
constexpr std::string_view kSumBegin = "{\n  \"crc32c\": \"", kSumEnd = "\",";
constexpr size_t kSumDigits = 8;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// A name as a file name: other bytes as %XX.
std::string FileName(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (IsPlain(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// The name that FileName wrote as `file`; nothing if it cannot have.
std::optional<std::string> NameOfFile(std::string_view file) {
  std::string name;
  for (size_t i = 0; i < file.size(); ++i) {
    if (IsPlain(file[i])) {
      name += file[i];
      continue;
    }
    unsigned value = 0;
    if (file[i] != '%' || i + 3 > file.size()) return std::nullopt;
    const char* begin = file.data() + i + 1;
    if (std::from_chars(begin, begin + 2, value, 16).ptr != begin + 2) return std::nullopt;
    name += static_cast<char>(value);
    i += 2;
  }
  return name;
}

// The folder of a namespace: its name, or a hash if that is too long for a file system.
std::string PlainFolder(std::string_view name_space) {
  std::string name = FileName(name_space);
  if (name.size() <= kMaxFolderBytes) return name;
  const Hash128 hash = HashBytes128(std::as_bytes(std::span(name_space)));
  return fmt::format("{}{:016x}{:016x}", kHashedFolder, hash.high, hash.low);
}

std::optional<uint32_t> NumberOf(const std::filesystem::path& path, std::string_view extension) {
  const std::string stem = path.stem().string();
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  if (path.extension() != extension || error != std::errc() || end != stem.data() + stem.size()) {
    return std::nullopt;
  }
  return number;
}

std::vector<std::filesystem::path> FilesIn(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    paths.push_back(it->path());
  }
  std::ranges::sort(paths);
  return paths;
}

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string HiddenFolder(const Cipher& cipher, std::string_view name_space) {
  std::string name;
  for (const std::byte byte : cipher.Hide(BytesOf(name_space))) {
    name += fmt::format("{:02x}", static_cast<unsigned>(byte));
  }
  return name.append(kSealedExtension);
}

std::string Sealed(const Cipher& cipher, std::string_view context, std::string_view text) {
  const std::vector<std::byte> sealed = cipher.Seal(BytesOf(text), BytesOf(context));
  std::string content(kSealedMagic);
  content.append(reinterpret_cast<const char*>(sealed.data()), sealed.size());
  return content;
}

Result<std::string> Unsealed(std::string_view content, const std::filesystem::path& path,
                             const Cipher& cipher, std::string_view context) {
  if (!content.starts_with(kSealedMagic)) {
    return Corrupt(
        "{}: does not begin with {}, as this version's encrypted dialogues do; restore it from a backup, or "
        "remove it",
        path.string(), kSealedMagic);
  }
  const auto opened = cipher.Unseal(BytesOf(content).subspan(kSealedMagic.size()), BytesOf(context));
  if (!opened) {
    return Corrupt(
        "{}: cannot be decrypted: it was cut, changed or moved here, or has another key; restore it from a "
        "backup, or remove it",
        path.string());
  }
  return std::string(reinterpret_cast<const char*>(opened->data()), opened->size());
}

Result<std::string> ReadSealed(const std::filesystem::path& path, const Cipher& cipher,
                               std::string_view context) {
  QWEN25_TRY(const std::string content, ReadFile(path));
  return Unsealed(content, path, cipher, context);
}

Result<std::optional<Cipher>> DialogueCipher(const std::optional<std::string>& key) {
  if (!key) return std::optional<Cipher>();
  QWEN25_TRY(Cipher cipher, Cipher::Create(*key, KeyPurpose::kDialogues));
  return std::optional<Cipher>(std::move(cipher));
}

// The namespace of a folder; nothing if it is unknown.
std::optional<std::string> NamespaceOf(const std::filesystem::path& folder,
                                       const std::optional<Cipher>& cipher) {
  const std::string file = folder.filename().string();
  if (cipher) {
    for (const std::string_view copy : kSealedNames) {
      Result<std::string> name = ReadSealed(folder / copy, *cipher, kNameContext);
      if (name.ok() && HiddenFolder(*cipher, *name) == file) return std::move(*name);
    }
    return std::nullopt;
  }
  if (!file.starts_with(kHashedFolder)) return NameOfFile(file);
  Result<std::string> name = ReadFile(folder / kPlainName);
  return name.ok() && PlainFolder(*name) == file ? std::optional(std::move(*name)) : std::nullopt;
}

// Checks that the dialogues were encrypted with `cipher`, or are plain if there is none. A folder whose
// hidden name is that of the namespace `expected` proves the key by itself.
Status CheckKey(const std::filesystem::path& dialogues, const std::optional<Cipher>& cipher,
                std::string_view expected) {
  size_t num_sealed = 0, num_opened = 0;
  std::error_code ignored;
  for (const std::filesystem::path& folder : FilesIn(dialogues)) {
    if (!std::filesystem::is_directory(folder, ignored)) continue;
    const bool is_sealed = folder.extension() == kSealedExtension;
    if (is_sealed && !cipher) {
      return InvalidArgument(
          "{}: these dialogues are encrypted; give the key that they were made with (--memory-key FILE)",
          dialogues.string());
    }
    if (!is_sealed && cipher) {
      return InvalidArgument(
          "{}: these dialogues are not encrypted; open them without a key, or keep encrypted ones in another "
          "folder",
          dialogues.string());
    }
    if (!is_sealed || FilesIn(folder).empty()) continue;  // it is just being created
    ++num_sealed;
    num_opened += NamespaceOf(folder, cipher) || HiddenFolder(*cipher, expected) == folder.filename() ? 1 : 0;
  }
  if (num_sealed == 0 || num_opened > 0) return {};
  return InvalidArgument(
      "{}: the key is not the one that these dialogues were made with, or the files with the names of "
      "namespaces (name.sealed) are damaged; give that key, or restore these files from a backup",
      dialogues.string());
}

// The document with a checksum of itself as its first member.
std::string WithSum(std::string_view document) {
  const std::string_view rest = document.substr(1);  // without the brace
  return fmt::format("{}{:08x}{}{}", kSumBegin, Crc32c(BytesOf(rest)), kSumEnd, rest);
}

// False if there is no checksum; kCorrupt if it is wrong.
Result<bool> CheckSum(std::string_view text, const std::string& origin) {
  if (!text.starts_with(kSumBegin)) return false;
  const std::string_view rest = text.substr(kSumBegin.size());
  const std::string_view content = rest.substr(std::min(rest.size(), kSumDigits + kSumEnd.size()));
  const std::string wanted = fmt::format("{:08x}{}", Crc32c(BytesOf(content)), kSumEnd);
  if (rest.starts_with(wanted)) return true;
  return Corrupt(
      "{}: is damaged: its content does not match its checksum; restore it from a backup or remove it (if "
      "you have changed it yourself, remove its line \"crc32c\")",
      origin);
}

// Files from before there were checksums begin with their messages; any other file of a log is damaged.
Result<Dialogue> ParseKept(std::string_view text, const std::string& origin) {
  QWEN25_TRY(const bool has_sum, CheckSum(text, origin));
  QWEN25_TRY(Dialogue dialogue, ParseDialogue(text, origin));
  const size_t first = text.find('"');
  if (!has_sum && !text.substr(std::min(first, text.size())).starts_with("\"messages\"")) {
    return Corrupt("{}: is damaged: it begins neither with a checksum nor with \"messages\"", origin);
  }
  return dialogue;
}

// Keeps other processes from saving to a folder. If it cannot be locked, it is used without a lock.
class SavingLock {
 public:
  explicit SavingLock(const std::filesystem::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~SavingLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  SavingLock(const SavingLock&) = delete;
  SavingLock& operator=(const SavingLock&) = delete;

 private:
  const int descriptor_;
};

std::filesystem::path DialoguesIn(const std::filesystem::path& memory) {
  return memory / "dialogues";
}

}  // namespace

Result<DialogueLog> DialogueLog::Open(const std::filesystem::path& memory, std::string_view name_space,
                                      const std::optional<std::string>& key) {
  // Without a name, its folder would be the one that holds those of all namespaces.
  QWEN25_RETURN_IF_ERROR(CheckNamespace(name_space));
  QWEN25_TRY(std::optional<Cipher> cipher, DialogueCipher(key));
  QWEN25_RETURN_IF_ERROR(CheckKey(DialoguesIn(memory), cipher, name_space));
  const std::string folder = cipher ? HiddenFolder(*cipher, name_space) : PlainFolder(name_space);
  // Files that killed chats were writing, in all namespaces: nobody would look for text in them.
  RemoveLeftovers(DialoguesIn(memory));
  for (const std::filesystem::path& path : FilesIn(DialoguesIn(memory))) RemoveLeftovers(path);
  return DialogueLog(DialoguesIn(memory) / folder, name_space, std::move(cipher));
}

std::filesystem::path DialogueLog::PathOf(uint32_t number) const {
  return directory_ / fmt::format("{:06}{}", number, cipher_ ? kSealedExtension : kPlainExtension);
}

// Binds an encrypted file to its place.
std::string DialogueLog::ContextOf(uint32_t number) const {
  return fmt::format("dialogue {} of {}", number, name_space_);
}

std::vector<uint32_t> DialogueLog::Numbers() const {
  std::vector<uint32_t> numbers;
  for (const std::filesystem::path& path : FilesIn(directory_)) {
    if (const auto number = NumberOf(path, cipher_ ? kSealedExtension : kPlainExtension)) {
      numbers.push_back(*number);
    }
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::vector<DialogueLog::Entry> DialogueLog::List() const {
  std::vector<Entry> entries;
  for (const uint32_t number : Numbers()) {
    const auto dialogue = Load(number);
    if (!dialogue.ok()) continue;
    Entry entry = {.number = number};
    for (const ChatMessage& message : dialogue->messages) {
      if (message.role == "system") continue;
      if (entry.num_messages++ == 0) entry.first_question = message.content;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

uint32_t DialogueLog::Latest() const {
  const std::vector<uint32_t> numbers = Numbers();
  return numbers.empty() ? 0 : numbers.back();
}

Result<Dialogue> DialogueLog::Load(uint32_t number, Place* place) const {
  const std::filesystem::path path = PathOf(number);
  QWEN25_TRY(const std::string content, ReadFile(path));
  if (place != nullptr) *place = {.number = number, .content = Hash64(BytesOf(content))};
  if (!cipher_) return ParseKept(content, path.string());
  QWEN25_TRY(const std::string text, Unsealed(content, path, *cipher_, ContextOf(number)));
  return ParseDialogue(text, path.string());
}

Status DialogueLog::WriteNames() const {
  if (!cipher_) {
    if (!directory_.filename().string().starts_with(kHashedFolder) || NamespaceOf(directory_, cipher_))
      return {};
    return WriteFileAtomically(directory_ / kPlainName, name_space_);
  }
  for (const std::string_view copy : kSealedNames) {
    if (ReadSealed(directory_ / copy, *cipher_, kNameContext).ok()) continue;
    QWEN25_RETURN_IF_ERROR(
        WriteFileAtomically(directory_ / copy, Sealed(*cipher_, kNameContext, name_space_)));
  }
  return {};
}

Status DialogueLog::Save(const Dialogue& dialogue, Place& place) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory_));
  const SavingLock lock(directory_);
  QWEN25_RETURN_IF_ERROR(WriteNames());
  uint32_t number = place.number;
  if (number != 0) {
    const Result<std::string> now = ReadFile(PathOf(number));
    if (now.ok() && Hash64(BytesOf(*now)) != place.content) number = 0;  // another process has changed it
  }
  if (number == 0) number = Latest() + 1;
  const std::string document = RenderDialogue(dialogue);
  const std::string content = cipher_ ? Sealed(*cipher_, ContextOf(number), document) : WithSum(document);
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(PathOf(number), content));
  place = {.number = number, .content = Hash64(BytesOf(content))};
  return {};
}

DialogueLog::Report DialogueLog::Verify() const {
  const std::vector<uint32_t> numbers = Numbers();
  Report report = {.num_dialogues = numbers.size()};
  for (const uint32_t number : numbers) {
    if (const Status status = Load(number).status(); !status.ok()) report.damaged.push_back(status.message());
  }
  std::error_code missing;
  for (const std::string_view copy : kSealedNames) {
    if (!cipher_ || !std::filesystem::exists(directory_ / copy, missing)) continue;
    const Status status = ReadSealed(directory_ / copy, *cipher_, kNameContext).status();
    if (!status.ok()) report.damaged.push_back(status.message() + " (the next chat writes it again)");
  }
  return report;
}

Result<size_t> DialogueLog::Erase() const {
  std::error_code error;
  const size_t count = Numbers().size();
  std::filesystem::remove_all(directory_, error);
  if (error) return ErrnoStatus(error.value(), "remove", directory_.string());
  return count;
}

Result<std::vector<std::string>> DialogueLog::Namespaces(const std::filesystem::path& memory,
                                                         const std::optional<std::string>& key,
                                                         std::vector<std::string>* damaged) {
  QWEN25_TRY(const std::optional<Cipher> cipher, DialogueCipher(key));
  QWEN25_RETURN_IF_ERROR(CheckKey(DialoguesIn(memory), cipher, "default"));
  std::vector<std::string> names;
  std::error_code ignored;
  for (const std::filesystem::path& path : FilesIn(DialoguesIn(memory))) {
    if (!std::filesystem::is_directory(path, ignored)) continue;
    if (auto name = NamespaceOf(path, cipher)) {
      names.push_back(std::move(*name));
    } else if (cipher && HiddenFolder(*cipher, "default") == path.filename()) {
      names.emplace_back("default");
    } else if (damaged != nullptr) {
      damaged->push_back(
          fmt::format("{}: the namespace of these dialogues is unknown, since the file with its name is "
                      "missing or damaged; a chat in that namespace writes it again",
                      path.string()));
    }
  }
  std::ranges::sort(names);
  return names;
}

std::string RenderDialogue(const Dialogue& dialogue) {
  Json document = {{"messages", Json::array()}};
  for (const ChatMessage& message : dialogue.messages) document["messages"].push_back(MessageJson(message));
  for (const auto& [key, value] : dialogue.other.items()) document[key] = value;
  return RepairUtf8(PythonJson(document, 2)) + "\n";
}

Result<Dialogue> ParseDialogue(std::string_view text, const std::string& origin) {
  QWEN25_TRY(const bool has_sum, CheckSum(text, origin));
  QWEN25_TRY(Json document, ParsePythonJson(text, origin));
  if (has_sum) document.erase("crc32c");
  return DialogueOf(std::move(document), origin);
}

Result<Dialogue> DialogueOf(Json document, const std::string& origin) {
  if (!document.is_object() || !document.contains("messages")) {
    return InvalidArgument("{}: expected an object with \"messages\", as /save writes it", origin);
  }
  Dialogue dialogue;
  // All messages may have been taken back.
  const bool is_empty = document["messages"].is_array() && document["messages"].empty();
  Result<std::vector<ChatMessage>> messages =
      is_empty ? std::vector<ChatMessage>() : ParseMessages(document["messages"]);
  if (!messages.ok()) {
    return Status(messages.status().code(), fmt::format("{}: {}", origin, messages.status().message()));
  }
  dialogue.messages = std::move(*messages);
  document.erase("messages");
  dialogue.other = std::move(document);
  return dialogue;
}

}  // namespace qwen25
