#include "pretrained/sampling_options.h"

namespace qwen25 {

Status SamplingOptions::Validate() const {
  if (!(temperature >= 0) || temperature > 100) {
    return InvalidArgument("temperature is {}, expected 0 (always the most likely token) to 100",
                           temperature);
  }
  if (!(top_p > 0) || top_p > 1) return InvalidArgument("top_p is {}, expected above 0 and at most 1", top_p);
  if (!(min_p >= 0) || min_p > 1) return InvalidArgument("min_p is {}, expected 0 to 1", min_p);
  if (!(repetition_penalty > 0) || repetition_penalty > 100) {
    return InvalidArgument("repetition_penalty is {}, expected above 0 and at most 100; 1 is off",
                           repetition_penalty);
  }
  return {};
}

}  // namespace qwen25
