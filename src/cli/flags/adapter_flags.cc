#include "cli/flags/adapter_flags.h"

#include <utility>

namespace qwen25 {

Result<std::vector<AdapterSource>> AdapterFlags::Sources() const {
  std::vector<AdapterSource> sources;
  for (const std::string& text : adapters) {
    QWEN25_TRY(AdapterSource source, ParseAdapterSource(text));
    sources.push_back(std::move(source));
  }
  if (merge && sources.empty())
    return InvalidArgument("--merge-adapters: there is none; give --adapter PATH");
  return sources;
}

void AddAdapterFlag(CLI::App& verb, std::vector<std::string>& adapters, const std::string& help) {
  verb.add_option("--adapter", adapters, help)->type_name("PATH[=SCALE]")->allow_extra_args(false);
}

void AddAdapterFlags(CLI::App& verb, AdapterFlags& flags) {
  AddAdapterFlag(
      verb, flags.adapters,
      "A LoRA adapter to use, and how much of it: the folder that PEFT saved, or a .gguf file; several add "
      "up (docs/adapters.md)");
  verb.add_flag(
      "--merge-adapters", flags.merge,
      "Add the adapters to the weights while they are loaded, instead of applying them beside the weights: "
      "faster, but rounded to the weights' format");
}

}  // namespace qwen25
