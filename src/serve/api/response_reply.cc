#include "serve/api/response_reply.h"

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr std::string_view kInProgress = "in_progress", kCompleted = "completed", kIncomplete = "incomplete";

Json ResponseUsageJson(const TokenUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json LogprobsJson(std::span<const TokenLogprob> logprobs) {
  return ChatLogprobsJson(logprobs)["content"];
}

Json TextJson(const AnswerPart& part) {
  return {{"type", "output_text"},
          {"text", part.text},
          {"annotations", Json::array()},
          {"logprobs", LogprobsJson(part.logprobs)}};
}

std::string_view FailureCode(const ApiError& error) {
  if (error.status == 429) return "rate_limit_exceeded";
  return error.status < 500 ? "invalid_prompt" : "server_error";
}

}  // namespace

ResponseReplyWriter::ResponseReplyWriter(ReplyHead head, Json shown)
    : head_(std::move(head)), shown_(std::move(shown)) {}

// As the response's, with the part's number.
std::string ResponseReplyWriter::ItemId(const AnswerPart& part) const {
  const std::string own = head_.id.substr(head_.id.find('_') + 1);
  return fmt::format("{}_{}_{}", part.call ? "fc" : "msg", own, part.index);
}

Json ResponseReplyWriter::ItemJson(const AnswerPart& part, std::string_view status) const {
  if (part.call) {
    return {{"id", ItemId(part)},       {"type", "function_call"}, {"status", status},
            {"call_id", part.call->id}, {"name", part.call->name}, {"arguments", part.call->arguments}};
  }
  // A message that begins has no part yet.
  Json content = part.text.empty() ? Json::array() : Json::array({TextJson(part)});
  return {{"id", ItemId(part)},
          {"type", "message"},
          {"status", status},
          {"role", "assistant"},
          {"content", std::move(content)}};
}

Json ResponseReplyWriter::ResponseJson(std::string_view status, Json output, Json usage) const {
  Json response = {{"id", head_.id},
                   {"object", "response"},
                   {"created_at", head_.created},
                   {"status", status},
                   {"error", nullptr},
                   {"incomplete_details", nullptr},
                   {"model", RepairUtf8(head_.model)},
                   {"output", std::move(output)},
                   {"usage", std::move(usage)}};
  for (const auto& member : shown_.items()) response[member.key()] = member.value();
  return response;
}

Json ResponseReplyWriter::EndedJson(std::span<const AnswerPart> parts, const AnswerEnd& why,
                                    const TokenUsage& usage) const {
  const std::string_view status = IsCut(why) ? kIncomplete : kCompleted;
  Json output = Json::array();
  for (const AnswerPart& part : parts) {
    const bool is_last = part.index + 1 == parts.size();
    output.push_back(ItemJson(part, is_last ? status : kCompleted));
  }
  Json response = ResponseJson(status, std::move(output), ResponseUsageJson(usage));
  if (IsCut(why)) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  return response;
}

Json ResponseReplyWriter::Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) {
  QWEN25_CHECK(choices.size() == 1);
  return EndedJson(PartsOf(choices[0]), choices[0].end, usage);
}

Json ResponseReplyWriter::Event(std::string_view type, Json members) {
  Json event = {{"type", type}, {"sequence_number", sequence_number_++}};
  for (auto& member : members.items()) event[member.key()] = std::move(member.value());
  return event;
}

Json ResponseReplyWriter::PartEvent(std::string_view type, const AnswerPart& part, Json members) {
  Json all = {{"item_id", ItemId(part)}, {"output_index", part.index}};
  if (!part.call) all["content_index"] = 0;
  for (auto& member : members.items()) all[member.key()] = std::move(member.value());
  return Event(type, std::move(all));
}

void ResponseReplyWriter::BeginReply(std::vector<Json>& events) {
  const Json response = ResponseJson(kInProgress, Json::array(), nullptr);
  events.push_back(Event("response.created", {{"response", response}}));
  events.push_back(Event("response.in_progress", {{"response", response}}));
}

void ResponseReplyWriter::BeginPart(const AnswerPart& part, std::vector<Json>& events) {
  events.push_back(Event("response.output_item.added",
                         {{"output_index", part.index}, {"item", ItemJson(part, kInProgress)}}));
  if (!part.call)
    events.push_back(PartEvent("response.content_part.added", part, {{"part", TextJson(part)}}));
}

void ResponseReplyWriter::ContinuePart(const AnswerPart& part, std::string_view more,
                                       std::span<const TokenLogprob> logprobs, std::vector<Json>& events) {
  if (part.call) {
    events.push_back(PartEvent("response.function_call_arguments.delta", part, {{"delta", more}}));
  } else {
    events.push_back(PartEvent("response.output_text.delta", part,
                               {{"delta", more}, {"logprobs", LogprobsJson(logprobs)}}));
  }
}

void ResponseReplyWriter::EndPart(const AnswerPart& part, bool is_cut, std::vector<Json>& events) {
  if (part.call) {
    events.push_back(PartEvent("response.function_call_arguments.done", part,
                               {{"name", part.call->name}, {"arguments", part.call->arguments}}));
  } else {
    events.push_back(PartEvent("response.output_text.done", part,
                               {{"text", part.text}, {"logprobs", LogprobsJson(part.logprobs)}}));
    events.push_back(PartEvent("response.content_part.done", part, {{"part", TextJson(part)}}));
  }
  events.push_back(
      Event("response.output_item.done",
            {{"output_index", part.index}, {"item", ItemJson(part, is_cut ? kIncomplete : kCompleted)}}));
}

std::vector<Json> ResponseReplyWriter::End(const TokenUsage& usage) {
  const std::string_view type = IsCut(end()) ? "response.incomplete" : "response.completed";
  return {Event(type, {{"response", EndedJson(parts(), end(), usage)}})};
}

std::vector<Json> ResponseReplyWriter::Fail(const ApiError& error) {
  Json output = Json::array();
  for (const AnswerPart& part : parts()) output.push_back(ItemJson(part, kIncomplete));
  Json response = ResponseJson("failed", std::move(output), nullptr);
  response["error"] = {{"code", FailureCode(error)}, {"message", RepairUtf8(error.message)}};
  return {Event("response.failed", {{"response", std::move(response)}})};
}

}  // namespace qwen25
