#include "serve/access/access_control.h"

#include <utility>

namespace qwen25 {

Result<std::unique_ptr<AccessControl>> AccessControl::Open(const std::filesystem::path& key_file) {
  auto access = std::unique_ptr<AccessControl>(new AccessControl(key_file));
  if (!key_file.empty()) QWEN25_RETURN_IF_ERROR(access->Reload());
  return access;
}

Status AccessControl::Reload() {
  if (key_file_.empty()) return {};
  QWEN25_TRY(ApiKeys keys, ApiKeys::Load(key_file_));
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
  limits_.clear();  // they may have changed
  return {};
}

AccessControl::Limits& AccessControl::LimitsOf(const KeyRights& rights, double now) {
  const auto found = limits_.find(rights.name);
  if (found != limits_.end()) return found->second;
  return limits_
      .emplace(rights.name,
               Limits{RateLimit(rights.requests_per_minute, now), RateLimit(rights.tokens_per_minute, now)})
      .first->second;
}

AccessControl::Decision AccessControl::Admit(std::optional<std::string_view> key, Scope scope, double now) {
  if (!needs_key()) return {};
  if (!key) return {.verdict = Verdict::kNoKey};
  const std::lock_guard lock(mutex_);
  const KeyRights* rights = keys_.Find(*key);
  if (rights == nullptr) return {.verdict = Verdict::kWrongKey};
  Decision decision = {.rights = *rights};
  if (!rights->Has(scope)) {
    decision.verdict = Verdict::kNotAllowed;
    return decision;
  }
  Limits& limits = LimitsOf(*rights, now);
  const std::optional<double> for_request = limits.requests.Wait(now), for_tokens = limits.tokens.Wait(now);
  if (for_request || for_tokens) {
    decision.verdict = Verdict::kTooMany;
    decision.limit = for_request ? "requests" : "tokens";
    decision.retry_after_seconds = std::max(for_request.value_or(0), for_tokens.value_or(0));
    return decision;
  }
  limits.requests.Take(now, 1);
  return decision;
}

void AccessControl::ChargeTokens(const std::string& name, size_t num_tokens, double now) {
  const std::lock_guard lock(mutex_);
  const auto found = limits_.find(name);
  if (found != limits_.end()) found->second.tokens.Take(now, static_cast<double>(num_tokens));
}

}  // namespace qwen25
