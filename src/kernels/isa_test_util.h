// For tests that run on every instruction set of the machine.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
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

// Runs body() once for each instruction set that this machine and this build have.
template <class Body>
void ForEachTarget(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace qwen25
