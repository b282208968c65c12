#include "cli/flags/no_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/format.h"
#include "pretrained/hub/model_inventory.h"

namespace qwen25 {

std::string NoModelMessage(const std::string& verb) {
  std::vector<NamedModel> models;
  for (ModelStore& store : ModelStores(HubSettings::FromEnvironment())) {
    std::ranges::move(store.models, std::back_inserter(models));
  }
  std::ranges::move(ModelsNear(".").models, std::back_inserter(models));
  std::erase_if(models, [](const NamedModel& named) { return !MayGenerate(named.model); });
  std::string text;
  size_t width = 0;
  for (const NamedModel& named : models) width = std::max(width, named.name.size());
  for (const NamedModel& named : models) {
    // Names with blanks are paths of the user.
    const bool plain = named.name.find_first_of(" '\"$`\\()&;<>|*?#~") == std::string::npos;
    text += fmt::format("  qwen25 {} -m {:<{}}  {:>10}  {}\n", verb,
                        plain ? named.name : fmt::format("'{}'", named.name), width,
                        FormatBytes(static_cast<double>(named.model.bytes)), named.model.format);
  }
  return fmt::format(
      "--model is required: the name, folder or .gguf file of a model. {}\n{}Get {}one:\n"
      "  qwen25 pull Qwen/Qwen2.5-0.5B-Instruct\n",
      models.empty() ? "None is here yet." : "These are here:", text, models.empty() ? "" : "another ");
}

}  // namespace qwen25
