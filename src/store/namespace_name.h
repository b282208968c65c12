// The names of namespaces: one rule for notes, dialogues and stored blocks.
#pragma once

#include <string_view>

#include "base/status.h"

namespace qwen25 {

inline constexpr size_t kMaxNamespaceBytes = 200;

// kInvalidArgument if the name does not have 1 to kMaxNamespaceBytes bytes.
inline Status CheckNamespace(std::string_view name) {
  if (name.empty()) return InvalidArgument("the name of a namespace is empty");
  if (name.size() <= kMaxNamespaceBytes) return {};
  return InvalidArgument("the name of a namespace has {} bytes, expected at most {}: \"{}…\"", name.size(),
                         kMaxNamespaceBytes, name.substr(0, 40));
}

}  // namespace qwen25
