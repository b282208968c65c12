#include "serve/api/infill_request.h"

#include <utility>

namespace qwen25 {
namespace {

using Kind = ObjectReader::Kind;

void ReadContext(ObjectReader& body, std::vector<InfillContext>& out) {
  const Json* extra = body.Find("input_extra");
  if (extra == nullptr) return;
  if (!extra->is_array()) return body.Refuse("input_extra", "an array of {\"filename\", \"text\"}");
  for (size_t i = 0; i < extra->size() && body.ok(); ++i) {
    ObjectReader file((*extra)[i], fmt::format("input_extra[{}]", i), body.error());
    InfillContext context;
    file.Read("filename", context.file_name);
    file.Read("text", context.text);
    if (file.ok() && file.Find("text") == nullptr) file.Refuse("text", "a string");
    file.Ignore(Kind::kNumber, {"time"});  // when the client last looked at it
    file.Finish();
    out.push_back(std::move(context));
  }
}

// The names that llama.cpp has for what ReadDrawing reads.
void ReadLlamaDrawing(ObjectReader& body, SamplingRequest& out) {
  constexpr double kMaxTemperature = 2;
  ReadDrawing(body, kMaxTemperature, out);
  ReadPenalties(body, out);
  if (out.seed == -1) out.seed.reset();  // drawn
  ReadAboveZero(body, "repeat_penalty", 100, out.repetition_penalty);
  body.Read("ignore_eos", out.ignore_eos);
}

}  // namespace

ApiResult<InfillRequest> ReadInfillRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  InfillRequest request;
  ReadModel(body, request.model);
  std::string prompt;  // the rest of the prefix: the line that is being written
  body.Read("input_prefix", request.prefix);
  body.Read("prompt", prompt);
  body.Read("input_suffix", request.suffix);
  request.prefix += prompt;
  for (const char* required : {"input_prefix", "input_suffix"}) {
    if (body.ok() && body.Find(required) == nullptr) body.Refuse(required, "a string");
  }
  ReadContext(body, request.context);
  body.Read("n_predict", -1, INT32_MAX, request.max_tokens);
  if (request.max_tokens == -1) request.max_tokens.reset();
  ReadLlamaDrawing(body, request.sampling);
  ReadStops(body, "stop", request.sampling.stop);
  body.Read("stream", request.stream);
  ReadServerOptions(body, request.server);
  // What editors send to tune llama.cpp: its slots, its cache, its order of samplers and its limits of time.
  body.Ignore(Kind::kBool, {"cache_prompt"}, &request.ignored);
  body.Ignore(Kind::kArray, {"samplers", "response_fields"}, &request.ignored);
  body.Ignore(Kind::kNumber, {"id_slot", "n_indent", "t_max_prompt_ms", "t_max_predict_ms"},
              &request.ignored);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25
