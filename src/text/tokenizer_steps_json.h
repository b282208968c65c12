// The components of tokenizer.json that are lists of steps, in both directions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer_steps.h"

namespace qwen25 {

// The "type" of a component; "null" for none, "?" for what is none.
std::string ComponentType(const Json& component);
// A component as the steps it consists of: none for null, those of a Sequence (whose list is under
// `sequence_key`), or itself.
std::vector<Json> ComponentSteps(const Json& component, const char* sequence_key);
std::vector<std::string> ComponentTypes(const std::vector<Json>& steps);

// object[key] as text, flag or number; `absent` if it is missing or of another type.
std::string ComponentText(const Json& object, const char* key, std::string_view absent = "");
bool ComponentFlag(const Json& object, const char* key, bool absent);

// kUnsupported for a step that this program does not have: the message names `origin`, the component and the
// step, and lists those that are handled.
Result<std::vector<NormalizerStep>> ParseNormalizer(const Json& component, std::string_view origin);
Result<std::vector<SplitStep>> ParsePreTokenizer(const Json& component, std::string_view origin);
Result<std::vector<DecoderStep>> ParseDecoder(const Json& component, std::string_view origin);

// null for no steps, the step itself for one, a Sequence for more.
Json NormalizerJson(const std::vector<NormalizerStep>& steps);
Json PreTokenizerJson(const std::vector<SplitStep>& steps);
Json DecoderJson(const std::vector<DecoderStep>& steps);

}  // namespace qwen25
