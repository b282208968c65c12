#include "knowledge/dialogue_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/json.h"

namespace qwen25 {
namespace {

constexpr std::string_view kExtension = ".json";

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

std::optional<uint32_t> NumberOf(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  if (path.extension() != kExtension || error != std::errc() || end != stem.data() + stem.size()) {
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

}  // namespace

DialogueLog::DialogueLog(const std::filesystem::path& memory, std::string_view name_space)
    : directory_(memory / "dialogues" / FileName(name_space)) {}

std::filesystem::path DialogueLog::PathOf(uint32_t number) const {
  return directory_ / fmt::format("{:06}{}", number, kExtension);
}

std::vector<DialogueLog::Entry> DialogueLog::List() const {
  std::vector<Entry> entries;
  for (const std::filesystem::path& path : FilesIn(directory_)) {
    const std::optional<uint32_t> number = NumberOf(path);
    if (!number) continue;
    const auto messages = ReadDialogueFile(path);
    if (!messages.ok()) continue;
    Entry entry = {.number = *number};
    for (const ChatMessage& message : *messages) {
      if (message.role == "system") continue;
      if (entry.num_messages++ == 0) entry.first_question = message.content;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

uint32_t DialogueLog::Latest() const {
  uint32_t latest = 0;
  for (const std::filesystem::path& path : FilesIn(directory_)) {
    latest = std::max(latest, NumberOf(path).value_or(0));
  }
  return latest;
}

Result<std::vector<ChatMessage>> DialogueLog::Load(uint32_t number) const {
  return ReadDialogueFile(PathOf(number));
}

Status DialogueLog::Save(uint32_t number, std::span<const ChatMessage> messages) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory_));
  return WriteFileAtomically(PathOf(number), RenderDialogue(messages));
}

Result<size_t> DialogueLog::Erase() const {
  std::error_code error;
  const size_t count = FilesIn(directory_).size();
  std::filesystem::remove_all(directory_, error);
  if (error) return ErrnoStatus(error.value(), "remove", directory_.string());
  return count;
}

std::vector<std::string> DialogueLog::Namespaces(const std::filesystem::path& memory) {
  std::vector<std::string> names;
  for (const std::filesystem::path& path : FilesIn(memory / "dialogues")) {
    if (auto name = NameOfFile(path.filename().string())) names.push_back(std::move(*name));
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

Result<std::vector<ChatMessage>> ReadDialogueFile(const std::filesystem::path& path) {
  QWEN25_TRY(const Json document, ReadJsonFile(path));
  if (!document.is_object() || !document.contains("messages")) {
    return InvalidArgument("{}: expected an object with \"messages\", as /save writes it", path.string());
  }
  return ParseMessages(document["messages"]);
}

}  // namespace qwen25
