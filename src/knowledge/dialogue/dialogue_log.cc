#include "knowledge/dialogue/dialogue_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/json.h"

namespace qwen25 {
namespace {

constexpr std::string_view kPlainExtension = ".json";
// Of files and folders of an encrypted log; FileName gives no plain one a dot.
constexpr std::string_view kSealedExtension = ".sealed";
constexpr std::string_view kSealedMagic = "q25talk1";  // and the version
// Beside the dialogues of an encrypted namespace, whose folder does not tell it: its name.
constexpr std::string_view kNameFile = "name.sealed";
constexpr std::string_view kNameContext = "name";

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

// The name again; none for what FileName cannot have written.
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

Status WriteSealed(const std::filesystem::path& path, const Cipher& cipher, std::string_view context,
                   std::string_view text) {
  const std::vector<std::byte> sealed = cipher.Seal(BytesOf(text), BytesOf(context));
  std::string content(kSealedMagic);
  content.append(reinterpret_cast<const char*>(sealed.data()), sealed.size());
  return WriteFileAtomically(path, content);
}

Result<std::string> ReadSealed(const std::filesystem::path& path, const Cipher& cipher,
                               std::string_view context) {
  QWEN25_TRY(const std::string content, ReadFile(path));
  if (!content.starts_with(kSealedMagic)) {
    return Corrupt("{}: does not begin with {}, as this version's encrypted dialogues do", path.string(),
                   kSealedMagic);
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

Result<std::optional<Cipher>> DialogueCipher(const std::optional<std::string>& key) {
  if (!key) return std::optional<Cipher>();
  QWEN25_TRY(Cipher cipher, Cipher::Create(*key, KeyPurpose::kDialogues));
  return std::optional<Cipher>(std::move(cipher));
}

// The name of the namespace whose folder it is; none where it cannot be told.
std::optional<std::string> NamespaceOf(const std::filesystem::path& folder,
                                       const std::optional<Cipher>& cipher) {
  if (!cipher) return NameOfFile(folder.filename().string());
  Result<std::string> name = ReadSealed(folder / kNameFile, *cipher, kNameContext);
  if (!name.ok() || HiddenFolder(*cipher, *name) != folder.filename()) return std::nullopt;
  return std::move(*name);
}

// Whether the dialogues in the folder are of this key, or of none, as `cipher` says.
Status CheckKey(const std::filesystem::path& dialogues, const std::optional<Cipher>& cipher) {
  size_t num_sealed = 0, num_opened = 0;
  for (const std::filesystem::path& folder : FilesIn(dialogues)) {
    const bool is_sealed = folder.extension() == kSealedExtension;
    if (is_sealed && !cipher) {
      return InvalidArgument(
          "{}: these dialogues are encrypted; give the key that they were made with (--memory-key FILE)",
          dialogues.string());
    }
    if (!is_sealed && cipher) {
      return InvalidArgument(
          "{}: these dialogues are not encrypted; open them without a key, or give encrypted ones another "
          "folder",
          dialogues.string());
    }
    std::error_code ignored;
    if (!is_sealed || !std::filesystem::exists(folder / kNameFile, ignored)) continue;  // just being made
    ++num_sealed;
    num_opened += NamespaceOf(folder, cipher) ? 1 : 0;
  }
  if (num_sealed == 0 || num_opened > 0) return {};
  return InvalidArgument("{}: the key is not the one that these dialogues were made with",
                         dialogues.string());
}

std::filesystem::path DialoguesIn(const std::filesystem::path& memory) {
  return memory / "dialogues";
}

}  // namespace

Result<DialogueLog> DialogueLog::Open(const std::filesystem::path& memory, std::string_view name_space,
                                      const std::optional<std::string>& key) {
  QWEN25_TRY(std::optional<Cipher> cipher, DialogueCipher(key));
  QWEN25_RETURN_IF_ERROR(CheckKey(DialoguesIn(memory), cipher));
  const std::string folder = cipher ? HiddenFolder(*cipher, name_space) : FileName(name_space);
  // What chats were writing when they were killed, in all namespaces: text that nobody looks for there.
  RemoveLeftovers(DialoguesIn(memory));
  for (const std::filesystem::path& path : FilesIn(DialoguesIn(memory))) RemoveLeftovers(path);
  return DialogueLog(DialoguesIn(memory) / folder, name_space, std::move(cipher));
}

std::filesystem::path DialogueLog::PathOf(uint32_t number) const {
  return directory_ / fmt::format("{:06}{}", number, cipher_ ? kSealedExtension : kPlainExtension);
}

// Binds a file to its place.
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
    const auto messages = Load(number);
    if (!messages.ok()) continue;
    Entry entry = {.number = number};
    for (const ChatMessage& message : *messages) {
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

Result<std::vector<ChatMessage>> DialogueLog::Load(uint32_t number) const {
  const std::filesystem::path path = PathOf(number);
  if (!cipher_) return ReadDialogueFile(path);
  QWEN25_TRY(const std::string text, ReadSealed(path, *cipher_, ContextOf(number)));
  return ParseDialogue(text, path.string());
}

Status DialogueLog::Save(uint32_t number, std::span<const ChatMessage> messages) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory_));
  if (!cipher_) return WriteFileAtomically(PathOf(number), RenderDialogue(messages));
  if (!NamespaceOf(directory_, cipher_)) {
    QWEN25_RETURN_IF_ERROR(WriteSealed(directory_ / kNameFile, *cipher_, kNameContext, name_space_));
  }
  return WriteSealed(PathOf(number), *cipher_, ContextOf(number), RenderDialogue(messages));
}

Result<size_t> DialogueLog::Verify() const {
  const std::vector<uint32_t> numbers = Numbers();
  for (const uint32_t number : numbers) QWEN25_RETURN_IF_ERROR(Load(number).status());
  return numbers.size();
}

Result<size_t> DialogueLog::Erase() const {
  std::error_code error;
  const size_t count = Numbers().size();
  std::filesystem::remove_all(directory_, error);
  if (error) return ErrnoStatus(error.value(), "remove", directory_.string());
  return count;
}

Result<std::vector<std::string>> DialogueLog::Namespaces(const std::filesystem::path& memory,
                                                         const std::optional<std::string>& key) {
  QWEN25_TRY(const std::optional<Cipher> cipher, DialogueCipher(key));
  QWEN25_RETURN_IF_ERROR(CheckKey(DialoguesIn(memory), cipher));
  std::vector<std::string> names;
  for (const std::filesystem::path& path : FilesIn(DialoguesIn(memory))) {
    if (auto name = NamespaceOf(path, cipher)) names.push_back(std::move(*name));
  }
  std::ranges::sort(names);
  return names;
}

std::string RenderDialogue(std::span<const ChatMessage> messages) {
  Json array = Json::array();
  for (const ChatMessage& message : messages) {
    array.push_back({{"role", message.role}, {"content", message.content}});
  }
  return Json{{"messages", array}}.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::vector<ChatMessage>> ParseDialogue(std::string_view text, const std::string& origin) {
  QWEN25_TRY(const Json document, ParseJson(text, origin));
  if (!document.is_object() || !document.contains("messages")) {
    return InvalidArgument("{}: expected an object with \"messages\", as /save writes it", origin);
  }
  return ParseMessages(document["messages"]);
}

Result<std::vector<ChatMessage>> ReadDialogueFile(const std::filesystem::path& path) {
  QWEN25_TRY(const std::string text, ReadFile(path));
  return ParseDialogue(text, path.string());
}

}  // namespace qwen25
