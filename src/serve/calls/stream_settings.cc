#include "serve/calls/stream_settings.h"

#include <sodium.h>

#include <algorithm>
#include <variant>

#include "base/clock.h"

namespace qwen25 {
namespace {

uint64_t RandomSeed() {
  uint64_t seed = 0;
  randombytes_buf(&seed, sizeof(seed));
  return seed;
}

// Who is served, and when.
std::optional<ApiError> SetPlace(const ServerCall& call, const ServerOptions& server, StreamRequest& stream) {
  stream.client = call.rights().name;
  stream.name_space = call.DefaultNamespace();
  if (server.memory && server.memory->name_space) stream.name_space = *server.memory->name_space;
  if (!call.MayUse(stream.name_space)) {
    return NotAllowed("memory.namespace", "This key may not use this namespace.");
  }
  const bool has_key = !call.rights().name.empty();
  stream.priority = static_cast<int>(-server.priority);  // the API's lower numbers come first
  // Who asks for none gets the best that the key may have, up to the usual one.
  if (has_key && stream.priority == 0) stream.priority = std::min(0, call.rights().max_priority);
  if (has_key && stream.priority > call.rights().max_priority) {
    return NotAllowed("priority",
                      fmt::format("This key may ask for a priority of {} or more, and {} was asked for.",
                                  -call.rights().max_priority, server.priority));
  }
  if (server.deadline_ms) stream.deadline = call.start() + static_cast<double>(*server.deadline_ms) / 1000;
  if (server.speculation) stream.speculation = *server.speculation ? Speculation::kOn : Speculation::kOff;
  return std::nullopt;
}

}  // namespace

ApiResult<StreamRequest> MakeStream(const ServerCall& call, const ServedModel& model,
                                    const StreamSettings& settings, size_t choice) {
  const LoadedModel& loaded = model.model();
  const SamplingRequest& sampling = settings.sampling;
  StreamRequest stream;
  if (const auto error = SetPlace(call, settings.server, stream)) return *error;
  if (settings.server.routing) {
    const Result<RoutingPolicy> routing = RoutingPolicy::Parse(*settings.server.routing);
    if (!routing.ok()) return InvalidRequest("routing", routing.status().message());
    if (const Status status = loaded.engine->CheckRouting(*routing); !status.ok()) {
      return InvalidRequest("routing",
                            status.message() + "; the server must be started with --keep-summaries");
    }
    stream.routing = *routing;
  }
  stream.sampling = sampling.ApplyTo(loaded.sampling);
  if (!sampling.seed) stream.sampling.seed = RandomSeed();
  stream.sampling.seed += choice;
  const auto vocabulary = static_cast<int64_t>(loaded.engine->model().config().vocab_size);
  for (const auto& [id, bias] : sampling.logit_bias) {
    if (id < vocabulary) continue;
    return InvalidRequest(
        fmt::format("logit_bias.{}", id),
        fmt::format("logit_bias names token {}, and the vocabulary has {}.", id, vocabulary));
  }
  stream.answer.stop = sampling.stop;
  if (!sampling.ignore_eos) stream.answer.stop_tokens = loaded.stop_tokens;
  stream.answer.max_new_tokens =
      settings.max_tokens ? static_cast<size_t>(*settings.max_tokens) : model.max_context_tokens();
  if (settings.num_top) stream.num_top = static_cast<uint32_t>(*settings.num_top);
  return stream;
}

ApiResult<std::vector<int32_t>> TokensOf(const PromptInput& input, const LoadedModel& model,
                                         const std::string& param) {
  if (const auto* text = std::get_if<std::string>(&input)) {
    std::vector<int32_t> tokens =
        model.tokenizer.Encode(*text, {.special = SpecialTokens::kParse, .add_bos = true});
    if (tokens.empty()) {
      return InvalidRequest(param,
                            fmt::format("{} is empty, and this model needs a token to begin with.", param));
    }
    return tokens;
  }
  const auto& tokens = std::get<std::vector<int32_t>>(input);
  const auto vocabulary = static_cast<int64_t>(model.engine->model().config().vocab_size);
  const auto wrong = std::ranges::find_if(tokens, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  if (wrong != tokens.end()) {
    return InvalidRequest(
        param, fmt::format("{} has token {}, and the vocabulary has {}.", param, *wrong, vocabulary));
  }
  return tokens;
}

std::optional<ApiError> CheckPromptFits(const std::vector<int32_t>& prompt, const ServedModel& model,
                                        const std::string& param) {
  const size_t limit = model.max_context_tokens();
  if (prompt.size() <= limit) return std::nullopt;
  ApiError error = InvalidRequest(
      param,
      fmt::format("The prompt has {} tokens, and this model's context holds {}.", prompt.size(), limit));
  error.code = "context_length_exceeded";
  return error;
}

void RefuseStream(ServerCall& call, const ServedModel& model, const Status& status) {
  if (status.code() != StatusCode::kResourceExhausted) return call.Refuse(status);
  call.Refuse(ApiErrorOf(status, {.message_is_public = true,
                                  .incident_id = call.id(),
                                  .limit_is_the_clients = true,
                                  .retry_after_seconds = model.scheduler().RetryAfterSeconds()}));
}

TokenLogprob ToLogprob(const Tokenizer& tokenizer, const TokenScore& score) {
  TokenLogprob result = {.id = score.token.id,
                         .bytes = std::string(tokenizer.TokenBytes(score.token.id)),
                         .logprob = score.token.log_probability};
  for (const TokenLogProbability& other : score.top) {
    result.top.push_back({other.id, std::string(tokenizer.TokenBytes(other.id)), other.log_probability});
  }
  return result;
}

}  // namespace qwen25
