// Lists, checks and removes the models on this machine.
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>

#include "base/format.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "pretrained/hub/hub_cache.h"
#include "pretrained/hub/model_inventory.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {
namespace {

struct ModelsFlags {
  std::string name;
  bool json = false, yes = false;
};

std::string ModelBytes(uint64_t bytes) {
  return FormatBytes(static_cast<double>(bytes));
}

// Local time; "2026-11-30 14:02".
std::string ModelTime(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm local{};
  char text[32] = "";
  if (::localtime_r(&time, &local) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

std::vector<ModelStore> AllStores() {
  std::vector<ModelStore> stores = ModelStores(HubSettings::FromEnvironment());
  ModelStore near = ModelsNear(".");
  if (!near.models.empty()) stores.push_back(std::move(near));
  return stores;
}

Status PrintModelsAsJson(const std::vector<ModelStore>& stores) {
  Json models = Json::array(), others = Json::array();
  for (const ModelStore& store : stores) {
    for (const NamedModel& named : store.models) {
      models.push_back({{"name", named.name},
                        {"format", named.model.format},
                        {"architecture", named.model.architecture},
                        {"bytes", named.model.bytes},
                        {"modified", named.model.modified},
                        {"path", named.model.path.string()},
                        {"store", store.folder.string()}});
    }
    for (const OtherRepository& other : store.others) {
      others.push_back({{"name", other.name},
                        {"bytes", other.bytes},
                        {"unfinished_bytes", other.unfinished_bytes},
                        {"store", store.folder.string()}});
    }
  }
  fmt::print("{}\n", DumpJson({{"models", models}, {"others", others}}));
  return {};
}

Status ListModels(const ModelsFlags& flags) {
  const std::vector<ModelStore> stores = AllStores();
  if (flags.json) return PrintModelsAsJson(stores);
  if (stores.empty()) {
    fmt::print("No models are here yet. Get one: qwen25 pull Qwen/Qwen2.5-0.5B-Instruct\n");
    return {};
  }
  size_t name_width = 0, format_width = 0;
  for (const ModelStore& store : stores) {
    for (const NamedModel& named : store.models) {
      name_width = std::max(name_width, named.name.size());
      format_width = std::max(format_width, named.model.format.size());
    }
    for (const OtherRepository& other : store.others) name_width = std::max(name_width, other.name.size());
  }
  for (const ModelStore& store : stores) {
    fmt::print("{}\n", store.folder == "." ? "here" : store.folder.string());
    for (const NamedModel& named : store.models) {
      fmt::print("  {:<{}}  {:<{}}  {:>10}  {}\n", named.name, name_width, named.model.format, format_width,
                 ModelBytes(named.model.bytes), ModelTime(named.model.modified));
    }
    for (const OtherRepository& other : store.others) {
      fmt::print("  {:<{}}  {}\n", other.name, name_width,
                 other.unfinished_bytes > 0
                     ? fmt::format("{} of a download that was not finished; qwen25 pull goes on",
                                   ModelBytes(other.unfinished_bytes))
                     : fmt::format("{} without a model that this program reads", ModelBytes(other.bytes)));
    }
  }
  return {};
}

// The caches that hold the repository.
Result<std::vector<HubCache>> CachesWith(const std::string& repository) {
  const HubSettings settings = HubSettings::FromEnvironment();
  std::vector<HubCache> caches;
  for (const std::filesystem::path& root : settings.Caches()) {
    if (HubCache(root).Find(repository)) caches.emplace_back(root);
  }
  if (!caches.empty()) return caches;
  return NotFound("{}: there is no such model in {}; `qwen25 models` lists them", repository,
                  settings.cache.empty() ? "a cache" : settings.cache.string());
}

Status RemoveModel(const ModelsFlags& flags) {
  if (flags.name.starts_with("ollama/")) {
    return Unsupported("{}: belongs to Ollama; remove it there (ollama rm)", flags.name);
  }
  QWEN25_TRY(const ModelName name, ModelName::Parse(flags.name));
  if (!name.revision.empty()) {
    return Unsupported("{}: revisions share their files; remove the whole model, or one format of it",
                       flags.name);
  }
  QWEN25_TRY(const std::vector<HubCache> caches, CachesWith(name.repository));
  for (const HubCache& cache : caches) {
    const auto repository = cache.Find(name.repository);
    if (!repository) continue;
    uint64_t bytes = repository->bytes;
    if (!name.format.empty()) {
      const auto model = FindModel(*repository, name);
      bytes = model ? model->bytes : 0;
    }
    fmt::print("{}  {}  {}\n", name.Text(), ModelBytes(bytes), repository->folder.string());
  }
  if (!flags.yes) {
    if (::isatty(STDIN_FILENO) == 0) return Cancelled("nothing was removed; --yes removes it without asking");
    fmt::print("Remove {}{}? [y/N] ", name.Text(), name.format.empty() ? "" : ", this format only");
    std::fflush(stdout);
    std::string answer;
    if (!std::getline(std::cin, answer) || (answer != "y" && answer != "yes")) {
      return Cancelled("nothing was removed");
    }
  }
  for (const HubCache& cache : caches) {
    QWEN25_TRY(const uint64_t bytes, cache.Remove(name.repository, name.format));
    fmt::print("removed; {} are free\n", ModelBytes(bytes));
  }
  return {};
}

Status VerifyModels(const ModelsFlags& flags) {
  std::vector<std::pair<HubCache, CachedRepository>> repositories;
  for (const std::filesystem::path& root : HubSettings::FromEnvironment().Caches()) {
    for (CachedRepository& repository : HubCache(root).List()) {
      if (flags.name.empty() || repository.name == flags.name) {
        repositories.emplace_back(HubCache(root), std::move(repository));
      }
    }
  }
  if (repositories.empty() && !flags.name.empty()) {
    return CachesWith(flags.name).status();
  }
  const InterruptGuard guard;
  Status first_error;
  for (const auto& [cache, repository] : repositories) {
    Progress progress("verify", "MiB", repository.bytes >> 20);
    const Result<size_t> count = cache.Verify(repository, [&](uint64_t done) {
      progress.Update(done >> 20, repository.name);
      return !InterruptGuard::requested();
    });
    progress.Finish();
    if (count.ok()) {
      fmt::print("{}: {} files are what their digests say\n", repository.name, *count);
      continue;
    }
    if (count.status().code() == StatusCode::kCancelled) return count.status();
    if (!first_error.ok()) fmt::print(stderr, "{}\n", first_error.message());
    first_error = count.status();
  }
  return first_error;
}

Status PrintModelPath(const ModelsFlags& flags) {
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(flags.name));
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return NotFound("{}: there is no such file or folder", flags.name);
  fmt::print("{}\n", path.string());
  return {};
}

}  // namespace

void AddModelsVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("models", "List the models that are here, check and remove them");
  auto list = std::make_shared<ModelsFlags>();
  verb->add_flag("--json", list->json, "Print one JSON object");
  verb->callback([verb, list, &run] {
    if (verb->get_subcommands().empty()) run = [list] { return ListModels(*list); };
  });
  const auto [remove, remove_flags] = AddVerb(*verb, run, "remove", "Remove a fetched model", RemoveModel);
  remove->add_option("name", remove_flags->name, "ORGANISATION/NAME, or with one format of it: NAME:FORMAT")
      ->required();
  remove->add_flag("--yes", remove_flags->yes, "Do not ask");
  remove->footer(
      "Also removes packed weights that --cache-weights has kept of it, and unfinished downloads.\n"
      "Examples:\n"
      "  qwen25 models remove Qwen/Qwen2.5-0.5B-Instruct\n"
      "  qwen25 models remove Qwen/Qwen2.5-7B-Instruct-GGUF:Q8_0 --yes");
  const auto [verify, verify_flags] =
      AddVerb(*verb, run, "verify", "Compare fetched files with their digests", VerifyModels);
  verify->add_option("name", verify_flags->name, "ORGANISATION/NAME; default: all");
  verify->footer("Example:\n  qwen25 models verify Qwen/Qwen2.5-0.5B-Instruct");
  const auto [path, path_flags] = AddVerb(*verb, run, "path", "Print where a model lies", PrintModelPath);
  path->add_option("name", path_flags->name, "As -m takes it")->required();
  path->footer("Example:\n  qwen25 models path Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M");
  verb->footer(
      "Lists the caches of huggingface_hub (HF_HUB_CACHE, HF_HOME) and llama.cpp (LLAMA_CACHE), the models "
      "of\n"
      "Ollama, and model folders and .gguf files here and in ./runs.\n\n"
      "Examples:\n"
      "  qwen25 models\n"
      "  qwen25 models --json\n"
      "  qwen25 models remove Qwen/Qwen2.5-0.5B-Instruct");
}

}  // namespace qwen25
