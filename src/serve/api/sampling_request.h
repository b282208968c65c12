// The members that requests for generated text share: how tokens are drawn, what form the text must have, and
// this server's extensions. docs/server_api.md lists them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "pretrained/sampling_options.h"
#include "serve/api/object_reader.h"

namespace qwen25 {

// What is absent is the model's own default.
struct SamplingRequest {
  std::optional<double> temperature;         // 0 to 2
  std::optional<double> top_p;               // above 0, up to 1
  std::optional<double> min_p;               // 0 to 1
  std::optional<double> repetition_penalty;  // above 0, up to 100
  std::optional<int64_t> top_k;              // 0 and above; 0 keeps all tokens
  std::optional<int64_t> seed;               // any; absent: the server draws one
  double presence_penalty = 0;               // -2 to 2
  double frequency_penalty = 0;              // -2 to 2
  // What is added to the logits of tokens, -100 to 100, ascending by id. Ids are at least 0; whether the
  // vocabulary has them is for the server to check.
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<std::string> stop;  // at most 16, none empty
  int64_t num_choices = 1;        // 1 to 16
  bool ignore_eos = false;        // go on after the end of the text, as benchmarks want

  // `defaults` with the members that the request has.
  SamplingOptions ApplyTo(SamplingOptions defaults) const;
};

// The form that the generated text must have.
struct OutputConstraint {
  enum class Kind { kNone, kJsonObject, kJsonSchema, kRegex, kGrammar, kChoice };
  Kind kind = Kind::kNone;
  std::string field;                 // of the request, for messages: "guided_regex"
  std::string name;                  // of kJsonSchema, as the client calls it; may be ""
  bool strict = false;               // of kJsonSchema: what cannot be enforced is refused
  Json schema = nullptr;             // of kJsonSchema: an object; big integers as ParsePythonJson gives them
  std::string text;                  // of kRegex and kGrammar
  std::vector<std::string> choices;  // of kChoice: at least one, none empty
};

// Which notes and dialogues a request may read.
struct RequestedMemory {
  std::optional<std::string> name_space;  // 1 to 128 bytes
  std::optional<bool> recall;
  std::optional<std::string> notes_as;  // "text" or "blocks"
};

// This server's own members.
struct ServerOptions {
  int64_t priority = 0;                // -1000 to 1000; lower runs first
  std::optional<int64_t> deadline_ms;  // 1 to 86,400,000, from the arrival of the request
  std::optional<std::string> routing;  // a policy of docs/routing.md, at most 256 bytes
  std::optional<bool> speculation;
  std::optional<RequestedMemory> memory;
};

// What chats and completions of OpenAI's API take.
void ReadSampling(ObjectReader& body, SamplingRequest& out);
// Parts of it, for other APIs: `temperature`, `top_p`, `min_p`, `repetition_penalty`, `top_k` and `seed`;
// `presence_penalty` and `frequency_penalty`; and the texts that end an answer.
void ReadDrawing(ObjectReader& body, double max_temperature, SamplingRequest& out);
void ReadPenalties(ObjectReader& body, SamplingRequest& out);
void ReadStops(ObjectReader& body, std::string_view key, std::vector<std::string>& out);
// A number above 0, up to `high`.
void ReadAboveZero(ObjectReader& body, std::string_view key, double high, std::optional<double>& out);
// `response_format`, `guided_json`, `guided_regex`, `guided_grammar` and `guided_choice`, of which one may be
// there.
void ReadConstraint(ObjectReader& body, OutputConstraint& out);
// {"type": "text", "json_object" or "json_schema", "name", "schema", "strict"}, as the newer APIs have it.
void ReadFormat(ObjectReader& parent, std::string_view key, OutputConstraint& out);
void ReadServerOptions(ObjectReader& body, ServerOptions& out);
// `stream` and `stream_options`, which is refused without `stream`. Null: streams of this API always have the
// usage.
void ReadStreaming(ObjectReader& body, bool& stream, bool* include_usage);
// The members that OpenAI's clients send and that have no effect here; the names of those that are there are
// appended to `ignored`.
void ReadIgnored(ObjectReader& body, std::vector<std::string>& ignored);

}  // namespace qwen25
