// Decides about each request: who sends it, what it may do, and whether it may do so now.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "serve/access/api_keys.h"
#include "serve/access/rate_limit.h"

namespace qwen25 {

// Thread-safe.
class AccessControl {
 public:
  enum class Verdict { kAdmitted, kNoKey, kWrongKey, kNotAllowed, kTooMany };
  struct Decision {
    Verdict verdict = Verdict::kAdmitted;
    KeyRights rights;                     // of the key, if there is one
    double retry_after_seconds = 0;       // of kTooMany
    std::string_view limit = "requests";  // of kTooMany: or "tokens"
  };

  // Without a file everybody may do everything, as one client without a name. Errors of ApiKeys::Load.
  static Result<std::unique_ptr<AccessControl>> Open(const std::filesystem::path& key_file);
  // Reads the file again. On an error the old keys stay.
  Status Reload();
  bool needs_key() const { return !key_file_.empty(); }

  // Decides about a request, and counts it if it is admitted. `key`: what the client sent; nothing if it sent
  // none. `now`: seconds on a clock that does not jump.
  Decision Admit(std::optional<std::string_view> key, Scope scope, double now);
  // Counts the tokens of a request that was admitted, when they are known.
  void ChargeTokens(const std::string& name, size_t num_tokens, double now);

 private:
  struct Limits {
    RateLimit requests, tokens;
  };
  explicit AccessControl(std::filesystem::path key_file) : key_file_(std::move(key_file)) {}
  Limits& LimitsOf(const KeyRights& rights, double now);

  const std::filesystem::path key_file_;
  std::mutex mutex_;
  ApiKeys keys_;
  std::map<std::string, Limits> limits_;  // by name of the key
};

}  // namespace qwen25
