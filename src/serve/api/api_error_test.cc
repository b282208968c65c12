#include "serve/api/api_error.h"

#include <gtest/gtest.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(ApiErrorTest, EveryKindOfErrorHasItsStatus) {
  const struct {
    Status status;
    int wanted;
    std::string_view type, code;
  } cases[] = {
      {InvalidArgument("x"), 400, "invalid_request_error", ""},
      {Unsupported("x"), 400, "invalid_request_error", "unsupported"},
      {NotFound("x"), 404, "invalid_request_error", "not_found"},
      {ResourceExhausted("x"), 503, "overloaded_error", "overloaded"},
      {Cancelled("x"), 503, "overloaded_error", "cancelled"},
      {Corrupt("x"), 500, "server_error", "internal_error"},
      {Status(StatusCode::kIo, "x"), 500, "server_error", "internal_error"},
  };
  for (const auto& c : cases) {
    const ApiError error = ApiErrorOf(c.status, {.message_is_public = true, .incident_id = "i-7"});
    EXPECT_EQ(error.status, c.wanted);
    EXPECT_EQ(error.type, c.type) << c.wanted;
    EXPECT_EQ(error.code, c.code) << c.wanted;
  }
  const ApiError limit = ApiErrorOf(ResourceExhausted("x"), {.limit_is_the_clients = true});
  EXPECT_EQ(limit.status, 429);
  EXPECT_EQ(limit.type, "rate_limit_error");
  EXPECT_EQ(limit.code, "rate_limit_exceeded");
}

// Messages of the program name files. They reach a client only if the caller vouches for them, and those that
// speak of files by their nature never do.
TEST(ApiErrorTest, MessagesOfTheProgramStayInside) {
  const std::string secret = "/home/anna/model.safetensors";
  for (const Status& status :
       {InvalidArgument("{}: bad", secret), NotFound("{}: absent", secret), Unsupported("{}: old", secret),
        ResourceExhausted("{}: disk is full", secret), Cancelled("{}: stopped", secret),
        Corrupt("{}: bad sum", secret), Status(StatusCode::kIo, secret + ": refused")}) {
    const ApiError hidden = ApiErrorOf(status, {.incident_id = "i-42"});
    EXPECT_EQ(hidden.message.find("anna"), std::string::npos) << hidden.message;
    EXPECT_NE(hidden.message.find("i-42"), std::string::npos) << hidden.message;
    const ApiError shown = ApiErrorOf(status, {.message_is_public = true, .incident_id = "i-42"});
    const bool names_files = status.code() == StatusCode::kCorrupt || status.code() == StatusCode::kIo;
    EXPECT_EQ(shown.message == status.message(), !names_files) << shown.message;
  }
  EXPECT_EQ(InternalFailure("i-1").message,
            "The server failed to answer the request. The server's log has the reason under the id i-1.");
}

TEST(ApiErrorTest, OpenAiShape) {
  EXPECT_EQ(OpenAiErrorJson(InvalidRequest("messages[2].content", "is 7")).dump(),
            R"({"error":{"message":"is 7","type":"invalid_request_error","param":"messages[2].content",)"
            R"("code":null}})");
  const Json unknown = OpenAiErrorJson(UnknownModel("gpt\xFF"));
  EXPECT_EQ(unknown["error"]["code"], "model_not_found");
  EXPECT_EQ(unknown["error"]["message"],
            "The model \"gpt\xEF\xBF\xBD\" is not served here; GET /v1/models lists those that are.");
  EXPECT_EQ(OpenAiErrorJson(InternalFailure("i")).at("error").at("param"), nullptr);
}

TEST(ApiErrorTest, AnthropicShape) {
  EXPECT_EQ(AnthropicErrorJson(InvalidRequest("x", "This is 7.")).dump(),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"x: This is 7."}})");
  EXPECT_EQ(AnthropicErrorJson(InvalidRequest("x", "x is 7."))["error"]["message"], "x is 7.");
  EXPECT_EQ(AnthropicErrorJson(InvalidRequest("", "It is 7."))["error"]["message"], "It is 7.");
  const std::pair<int, std::string_view> types[] = {{400, "invalid_request_error"},
                                                    {401, "authentication_error"},
                                                    {403, "permission_error"},
                                                    {404, "not_found_error"},
                                                    {413, "request_too_large"},
                                                    {429, "rate_limit_error"},
                                                    {500, "api_error"},
                                                    {503, "overloaded_error"}};
  for (const auto& [status, type] : types) {
    EXPECT_EQ(AnthropicErrorJson({.status = status})["error"]["type"], type) << status;
  }
}

TEST(ApiErrorTest, ClientsRepeatOnlyWhatMaySucceed) {
  using Headers = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(RetryHeaders(InvalidRequest("", "")), Headers());
  EXPECT_EQ(RetryHeaders(InternalFailure("i")), (Headers{{"x-should-retry", "false"}}));
  const ApiError busy = ApiErrorOf(ResourceExhausted("x"), {.retry_after_seconds = 1.25});
  EXPECT_EQ(RetryHeaders(busy),
            (Headers{{"x-should-retry", "true"}, {"retry-after", "2"}, {"retry-after-ms", "1250"}}));
  EXPECT_FALSE(ApiErrorOf(InvalidArgument("x"), {.retry_after_seconds = 1}).retry_after_seconds.has_value());
}

}  // namespace
}  // namespace qwen25
