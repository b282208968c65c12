// For tests that run on every instruction set of the machine.
#pragma once

#include <string>
#include <vector>

#include "kernels/isa.h"

namespace qwen25 {

// The names that ForceIsa takes here, best first.
inline std::vector<std::string> IsaNames() {
  std::vector<std::string> names;
  std::string all = AvailableIsas();
  for (size_t end; (end = all.find(", ")) != std::string::npos; all.erase(0, end + 2)) {
    names.push_back(all.substr(0, end));
  }
  names.push_back(all);
  return names;
}

}  // namespace qwen25
