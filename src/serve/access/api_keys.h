// Who may use the server: keys, and what each of them may do.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

// What a key may do. More than one may be set.
enum class Scope : uint8_t {
  kChat = 1,    // answers, embeddings, tokens
  kMemory = 2,  // notes and dialogues that are kept
  kAdmin = 4,   // metrics, models, reloading
};

struct KeyRights {
  std::string name;                          // of 1 to 200 bytes; appears in logs and metrics
  uint8_t scopes = 0;                        // of Scope
  std::vector<std::string> namespaces = {};  // of the memory; empty: one with the key's own name
  uint32_t requests_per_minute = 0;          // 0: no limit
  uint32_t tokens_per_minute = 0;            // of prompts and answers; 0: no limit
  int max_priority = 0;                      // the highest that its requests may ask for

  bool Has(Scope scope) const { return (scopes & static_cast<uint8_t>(scope)) != 0; }
  bool MayUse(std::string_view name_space) const;
  // Where the memory of its requests lies if they name no namespace.
  const std::string& DefaultNamespace() const { return namespaces.empty() ? name : namespaces.front(); }
};

// A set of keys, of which only hashes are kept: BLAKE2b of keys that are random numbers of 256 bits, so that
// a slow hash would add nothing.
class ApiKeys {
 public:
  // The file that `qwen25 keys` writes. kNotFound, or kCorrupt naming the entry and the field.
  static Result<ApiKeys> Load(const std::filesystem::path& path);
  static Result<ApiKeys> Parse(std::string_view text, std::string_view origin);
  Status Save(const std::filesystem::path& path) const;

  // Makes a key and returns it; it can be read nowhere else. kInvalidArgument if the name is taken or not
  // valid, or if there is no scope.
  Result<std::string> Add(KeyRights rights);
  // kNotFound if there is none of that name.
  Status Remove(std::string_view name);

  // Null if it is none. Takes the same time whichever key it is, and however much of a wrong one is right.
  const KeyRights* Find(std::string_view key) const;
  const std::vector<KeyRights>& rights() const { return rights_; }
  bool empty() const { return rights_.empty(); }

 private:
  using Hash = std::array<uint8_t, 32>;
  static Hash HashOf(std::string_view key);
  Status Check(const KeyRights& rights) const;
  Status ReadEntry(const Json& entry, std::string_view origin);

  std::vector<KeyRights> rights_;
  std::vector<Hash> hashes_;  // of the same keys
};

// "chat", "memory" or "admin".
Result<Scope> ParseScope(std::string_view name);
std::string ScopeNames(uint8_t scopes);  // "chat, memory"

}  // namespace qwen25
