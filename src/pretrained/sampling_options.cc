#include "pretrained/sampling_options.h"

#include <cmath>
#include <utility>

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
  for (const auto& [name, penalty] :
       {std::pair("frequency_penalty", frequency_penalty), {"presence_penalty", presence_penalty}}) {
    if (!(std::abs(penalty) <= 2)) {
      return InvalidArgument("{} is {}, expected -2 to 2; 0 is off", name, penalty);
    }
  }
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0) return InvalidArgument("logit_bias names token {}, expected an id of the vocabulary", id);
    if (!(std::abs(bias) <= 1000)) {
      return InvalidArgument("logit_bias of token {} is {}, expected -1000 to 1000", id, bias);
    }
  }
  return {};
}

}  // namespace qwen25
