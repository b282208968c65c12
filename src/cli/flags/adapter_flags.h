// Which adapters a verb uses, as flags.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "pretrained/adapter/read_adapter.h"

namespace qwen25 {

struct AdapterFlags {
  std::vector<std::string> adapters;  // as ParseAdapterSource reads them
  bool merge = false;

  // The same, parsed. kInvalidArgument if there is nothing to merge.
  Result<std::vector<AdapterSource>> Sources() const;
};
// --adapter and --merge-adapters.
void AddAdapterFlags(CLI::App& verb, AdapterFlags& flags);
// --adapter alone, with that help.
void AddAdapterFlag(CLI::App& verb, std::vector<std::string>& adapters, const std::string& help);

}  // namespace qwen25
