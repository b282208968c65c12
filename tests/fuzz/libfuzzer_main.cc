// What libFuzzer calls; QWEN25_FUZZ_FUNCTION is one of targets.h.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  qwen25::QWEN25_FUZZ_FUNCTION({data, size});
  return 0;
}
