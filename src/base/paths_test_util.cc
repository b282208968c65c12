// Part of every test program.
#include "base/test_util.h"

namespace qwen25 {

std::string SourcePath(const std::string& below) {
  return std::string(QWEN25_SOURCE_DIR) + "/" + below;
}

std::string SharedDataFolder() {
  return QWEN25_SHARED_DATA;
}

}  // namespace qwen25
