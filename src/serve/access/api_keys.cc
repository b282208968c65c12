#include "serve/access/api_keys.h"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "store/namespace_name.h"

namespace qwen25 {
namespace {

constexpr std::pair<Scope, std::string_view> kScopeNames[] = {
    {Scope::kChat, "chat"}, {Scope::kMemory, "memory"}, {Scope::kAdmin, "admin"}};

// The hashes of this program's keys are those of no other use of the same bytes.
constexpr std::string_view kPurpose = "qwen25 API key";

}  // namespace

Result<Scope> ParseScope(std::string_view name) {
  for (const auto& [scope, known] : kScopeNames) {
    if (known == name) return scope;
  }
  return InvalidArgument("\"{}\" is no scope; expected chat, memory or admin", name);
}

std::string ScopeNames(uint8_t scopes) {
  std::string names;
  for (const auto& [scope, name] : kScopeNames) {
    if ((scopes & static_cast<uint8_t>(scope)) == 0) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

bool KeyRights::MayUse(std::string_view name_space) const {
  if (namespaces.empty()) return name_space == name;
  return std::ranges::find(namespaces, name_space) != namespaces.end();
}

ApiKeys::Hash ApiKeys::HashOf(std::string_view key) {
  Hash hash;
  QWEN25_CHECK(sodium_init() >= 0);
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                     reinterpret_cast<const unsigned char*>(kPurpose.data()), kPurpose.size());
  return hash;
}

const KeyRights* ApiKeys::Find(std::string_view key) const {
  const Hash hash = HashOf(key);
  const KeyRights* found = nullptr;
  for (size_t i = 0; i < hashes_.size(); ++i) {
    if (sodium_memcmp(hash.data(), hashes_[i].data(), hash.size()) == 0) found = &rights_[i];
  }
  return found;
}

Status ApiKeys::Check(const KeyRights& rights) const {
  if (rights.name.empty() || rights.name.size() > kMaxNamespaceBytes) {
    return InvalidArgument("the name of a key has {} bytes, expected 1 to {}", rights.name.size(),
                           kMaxNamespaceBytes);
  }
  if (std::ranges::any_of(rights.name, [](unsigned char letter) { return letter < ' ' || letter == 127; })) {
    return InvalidArgument("the name of a key has a control character");
  }
  if (std::ranges::find(rights_, rights.name, &KeyRights::name) != rights_.end()) {
    return InvalidArgument("there is a key named \"{}\" already; remove it first, or use another name",
                           rights.name);
  }
  if (rights.scopes == 0) {
    return InvalidArgument("key \"{}\" has no scope; expected one or more of chat, memory and admin",
                           rights.name);
  }
  for (const std::string& name_space : rights.namespaces) {
    QWEN25_RETURN_IF_ERROR(CheckNamespace(name_space));
  }
  return {};
}

Result<std::string> ApiKeys::Add(KeyRights rights) {
  QWEN25_RETURN_IF_ERROR(Check(rights));
  QWEN25_CHECK(sodium_init() >= 0);
  std::array<unsigned char, 32> random;
  randombytes_buf(random.data(), random.size());
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_ENCODED_LEN(random.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), random.data(), random.size(), kVariant);
  text.pop_back();  // the terminating zero
  std::string key = "qk-" + text;
  rights_.push_back(std::move(rights));
  hashes_.push_back(HashOf(key));
  return key;
}

Status ApiKeys::Remove(std::string_view name) {
  const auto found = std::ranges::find(rights_, name, &KeyRights::name);
  if (found == rights_.end())
    return Status(StatusCode::kNotFound, fmt::format("there is no key \"{}\"", name));
  hashes_.erase(hashes_.begin() + (found - rights_.begin()));
  rights_.erase(found);
  return {};
}

Status ApiKeys::ReadEntry(const Json& entry, std::string_view origin) {
  const auto corrupt = [&](std::string_view what) {
    return Status(StatusCode::kCorrupt, fmt::format("{}: key {}: {}", origin, rights_.size() + 1, what));
  };
  if (!entry.is_object()) return corrupt("is not an object");
  static constexpr std::string_view kKnown[] = {
      "name", "hash", "scopes", "namespaces", "requests_per_minute", "tokens_per_minute", "max_priority"};
  for (const auto& [field, value] : entry.items()) {
    if (std::ranges::find(kKnown, field) == std::end(kKnown)) {
      return corrupt(fmt::format("\"{}\" is no field of a key", field));
    }
  }
  KeyRights rights;
  std::string hash_text;
  std::vector<std::string> scopes;
  for (const auto& [field, list] : {std::pair("scopes", &scopes), {"namespaces", &rights.namespaces}}) {
    const auto found = entry.find(field);
    if (found == entry.end()) continue;
    if (!found->is_array()) return corrupt(fmt::format("\"{}\" is not a list", field));
    for (const Json& text : *found) {
      if (!text.is_string()) return corrupt(fmt::format("\"{}\" holds something other than text", field));
      list->push_back(text.get<std::string>());
    }
  }
  for (const std::string& scope : scopes) {
    const Result<Scope> parsed = ParseScope(scope);
    if (!parsed.ok()) return corrupt(parsed.status().message());
    rights.scopes |= static_cast<uint8_t>(*parsed);
  }
  Status status = ReadField(entry, "name", origin, rights.name);
  if (status.ok()) status = ReadField(entry, "hash", origin, hash_text);
  if (status.ok()) status = ReadField(entry, "requests_per_minute", origin, rights.requests_per_minute);
  if (status.ok()) status = ReadField(entry, "tokens_per_minute", origin, rights.tokens_per_minute);
  if (status.ok()) status = Check(rights);
  if (!status.ok()) return corrupt(status.message());
  if (const auto priority = entry.find("max_priority"); priority != entry.end()) {
    if (!priority->is_number_integer() || std::abs(priority->get<int64_t>()) > 1000) {
      return corrupt("\"max_priority\" is not a whole number from -1000 to 1000");
    }
    rights.max_priority = priority->get<int>();
  }
  Hash hash;
  size_t size = 0;
  if (sodium_hex2bin(hash.data(), hash.size(), hash_text.data(), hash_text.size(), nullptr, &size, nullptr) !=
          0 ||
      size != hash.size() || hash_text.size() != 2 * hash.size()) {
    return corrupt("\"hash\" is not 64 hexadecimal digits");
  }
  rights_.push_back(std::move(rights));
  hashes_.push_back(hash);
  return {};
}

Result<ApiKeys> ApiKeys::Parse(std::string_view text, std::string_view origin) {
  QWEN25_TRY(const Json json, ParseJson(text, origin));
  const auto list = json.is_object() ? json.find("keys") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array()) {
    return Status(
        StatusCode::kCorrupt,
        fmt::format("{}: expected an object with a list \"keys\", as `qwen25 keys add` writes it", origin));
  }
  ApiKeys keys;
  for (const Json& entry : *list) QWEN25_RETURN_IF_ERROR(keys.ReadEntry(entry, origin));
  return keys;
}

Result<ApiKeys> ApiKeys::Load(const std::filesystem::path& path) {
  QWEN25_TRY(const std::string text, ReadFile(path));
  return Parse(text, path.string());
}

Status ApiKeys::Save(const std::filesystem::path& path) const {
  Json list = Json::array();
  for (size_t i = 0; i < rights_.size(); ++i) {
    const KeyRights& rights = rights_[i];
    char hash_text[2 * sizeof(Hash) + 1];
    sodium_bin2hex(hash_text, sizeof(hash_text), hashes_[i].data(), hashes_[i].size());
    Json scopes = Json::array();
    for (const auto& [scope, name] : kScopeNames) {
      if (rights.Has(scope)) scopes.push_back(name);
    }
    Json entry = {{"name", rights.name}, {"hash", hash_text}, {"scopes", std::move(scopes)}};
    if (!rights.namespaces.empty()) entry["namespaces"] = rights.namespaces;
    if (rights.requests_per_minute != 0) entry["requests_per_minute"] = rights.requests_per_minute;
    if (rights.tokens_per_minute != 0) entry["tokens_per_minute"] = rights.tokens_per_minute;
    if (rights.max_priority != 0) entry["max_priority"] = rights.max_priority;
    list.push_back(std::move(entry));
  }
  return WriteFileAtomically(path, DumpJson({{"keys", std::move(list)}}, 2) + "\n");
}

}  // namespace qwen25
