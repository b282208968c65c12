// qwen25 keys: who may use a server.
#include <filesystem>

#include "cli/verb.h"
#include "serve/access/api_keys.h"

namespace qwen25 {
namespace {

struct KeysFlags {
  std::string file = "keys.json";
  std::vector<std::string> scopes = {"chat"};
  KeyRights rights;
  int priority = 0;
};

// The keys of the file; none if there is no such file yet.
Result<ApiKeys> LoadOrBegin(const std::string& file) {
  if (!std::filesystem::exists(file)) return ApiKeys();
  return ApiKeys::Load(file);
}

Status AddKey(const KeysFlags& flags) {
  QWEN25_TRY(ApiKeys keys, LoadOrBegin(flags.file));
  KeyRights rights = flags.rights;
  rights.max_priority = -flags.priority;  // the API's lower numbers come first
  for (const std::string& name : flags.scopes) {
    QWEN25_TRY(const Scope scope, ParseScope(name));
    rights.scopes |= static_cast<uint8_t>(scope);
  }
  QWEN25_TRY(const std::string key, keys.Add(std::move(rights)));
  QWEN25_RETURN_IF_ERROR(keys.Save(flags.file));
  fmt::print(stderr, "This key is shown once; {} holds only its hash.\n", flags.file);
  fmt::print("{}\n", key);
  return {};
}

Status ListKeys(const KeysFlags& flags) {
  QWEN25_TRY(const ApiKeys keys, ApiKeys::Load(flags.file));
  for (const KeyRights& rights : keys.rights()) {
    std::string line = fmt::format("{}: {}", rights.name, ScopeNames(rights.scopes));
    for (const std::string& name : rights.namespaces) line += fmt::format("; namespace {}", name);
    if (rights.requests_per_minute != 0)
      line += fmt::format("; {} requests a minute", rights.requests_per_minute);
    if (rights.tokens_per_minute != 0) line += fmt::format("; {} tokens a minute", rights.tokens_per_minute);
    if (rights.max_priority != 0) line += fmt::format("; priority from {}", -rights.max_priority);
    fmt::print("{}\n", line);
  }
  return {};
}

Status RemoveKey(const KeysFlags& flags) {
  QWEN25_TRY(ApiKeys keys, ApiKeys::Load(flags.file));
  QWEN25_RETURN_IF_ERROR(keys.Remove(flags.rights.name));
  return keys.Save(flags.file);
}

void AddFileFlag(CLI::App& verb, KeysFlags& flags) {
  verb.add_option("--file", flags.file, "The file of keys, which `qwen25 serve --keys` reads")
      ->capture_default_str();
}

}  // namespace

void AddKeysVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("keys", "Make and take away the keys of a server");
  verb->require_subcommand(1);
  const auto [add, added] = AddVerb(*verb, run, "add", "Make a key and print it", AddKey);
  add->add_option("name", added->rights.name, "Whose key it is; appears in logs, never the key")->required();
  AddFileFlag(*add, *added);
  add->add_option("--scope", added->scopes, "chat, memory, admin")->delimiter(',')->capture_default_str();
  add->add_option("--namespace", added->rights.namespaces,
                  "Namespaces of the memory that it may use, the first where none is named; default: one of "
                  "its own name");
  add->add_option("--requests-per-minute", added->rights.requests_per_minute, "0: no limit")
      ->capture_default_str();
  add->add_option("--tokens-per-minute", added->rights.tokens_per_minute,
                  "Of prompts and answers; 0: no limit")
      ->capture_default_str();
  add->add_option("--priority", added->priority,
                  "The lowest \"priority\" that its requests may have; lower ones are served first")
      ->check(CLI::Range(-1000, 1000))
      ->capture_default_str();
  add->footer(
      "Examples:\n"
      "  qwen25 keys add alice\n"
      "  qwen25 keys add operator --scope chat,memory,admin --file keys.json\n"
      "A server that runs reads its keys again on SIGHUP.");
  const auto [list, listed] = AddVerb(*verb, run, "list", "Names and rights", ListKeys);
  AddFileFlag(*list, *listed);
  list->footer("Example:\n  qwen25 keys list --file keys.json");
  const auto [remove, removed] = AddVerb(*verb, run, "remove", "Take a key away", RemoveKey);
  remove->add_option("name", removed->rights.name, "Whose key")->required();
  AddFileFlag(*remove, *removed);
  remove->footer("Example:\n  qwen25 keys remove alice");
  verb->footer("Example:\n  qwen25 keys add alice --requests-per-minute 60");
}

}  // namespace qwen25
