#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace qwen25 {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: internal error: %s does not hold\n", file, line, expression);
  std::abort();
}

}  // namespace qwen25
