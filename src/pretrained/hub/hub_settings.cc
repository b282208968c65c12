#include "pretrained/hub/hub_settings.h"

#include <algorithm>
#include <cstdlib>

#include "base/file.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// Empty if it is not set.
std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path Home() {
  return Variable("HOME");
}

// "~" and "~/..." as a shell reads them.
fs::path WithHome(const std::string& text) {
  if (text == "~") return Home();
  return text.starts_with("~/") ? Home() / text.substr(2) : fs::path(text);
}

bool IsTrue(std::string value) {
  for (char& c : value) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string Trimmed(std::string text) {
  constexpr const char* kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
  return text;
}

// HF_HOME and what stands for it; empty without a home.
fs::path HubHome() {
  if (const std::string home = Variable("HF_HOME"); !home.empty()) return WithHome(home);
  if (const std::string cache = Variable("XDG_CACHE_HOME"); !cache.empty()) {
    return WithHome(cache) / "huggingface";
  }
  return Home().empty() ? fs::path() : Home() / ".cache" / "huggingface";
}

}  // namespace

HubSettings HubSettings::FromEnvironment() {
  HubSettings settings;
  const fs::path home = HubHome();
  if (!home.empty()) settings.cache = home / "hub";
  for (const char* name : {"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"}) {
    if (const std::string cache = Variable(name); !cache.empty()) settings.cache = WithHome(cache);
  }
  if (const std::string cache = Variable("LLAMA_CACHE"); !cache.empty()) {
    settings.more_caches.push_back(WithHome(cache));
  }
  if (const std::string models = Variable("OLLAMA_MODELS"); !models.empty()) {
    settings.ollama = WithHome(models);
  } else if (!Home().empty()) {
    settings.ollama = Home() / ".ollama" / "models";
  }
  if (const std::string endpoint = Trimmed(Variable("HF_ENDPOINT")); !endpoint.empty()) {
    settings.endpoint = endpoint;
    while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  }
  settings.token = Trimmed(Variable("HF_TOKEN"));
  if (settings.token.empty()) {
    const std::string path = Variable("HF_TOKEN_PATH");
    const fs::path file = !path.empty() ? WithHome(path) : home.empty() ? fs::path() : home / "token";
    if (const Result<std::string> text = ReadFile(file); text.ok()) settings.token = Trimmed(*text);
  }
  settings.offline = IsTrue(Variable("HF_HUB_OFFLINE")) || IsTrue(Variable("TRANSFORMERS_OFFLINE"));
  return settings;
}

std::vector<fs::path> HubSettings::Caches() const {
  std::vector<fs::path> caches;
  if (!cache.empty()) caches.push_back(cache);
  for (const fs::path& more : more_caches) {
    if (std::ranges::find(caches, more) == caches.end()) caches.push_back(more);
  }
  return caches;
}

Status CheckEndpoint(const std::string& endpoint) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const std::string_view rest = std::string_view(endpoint).substr(std::min(scheme.size(), endpoint.size()));
    const bool plain =
        std::ranges::all_of(rest, [](char c) { return c > ' ' && c != '@' && c != '?' && c != '#'; });
    if (endpoint.starts_with(scheme) && !rest.empty() && rest.front() != '/' && plain) return {};
  }
  return InvalidArgument("the address of the hub (HF_ENDPOINT, --endpoint) is \"{}\"; expected one as in {}",
                         endpoint, kDefaultEndpoint);
}

Status CheckToken(const std::string& token) {
  if (std::ranges::all_of(token, [](char c) { return c > ' ' && c < 127; })) return {};
  return InvalidArgument("the token (HF_TOKEN, or the token file) holds blanks or control characters");
}

}  // namespace qwen25
