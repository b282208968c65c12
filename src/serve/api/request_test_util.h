// Requests of tests: read, or refused as they must be.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "serve/api/request_json.h"

namespace qwen25 {

// A request that is wrong in one way.
struct RefusedCase {
  std::string body;
  std::string param;
  std::string text;  // a part of the message
};

template <typename Request>
void ExpectRefused(const RefusedCase& c, ApiResult<Request> (*read)(const Json&)) {
  const ApiResult<Json> json = ParseRequestJson(c.body);
  const ApiResult<Request> request = json.ok() ? read(*json) : ApiResult<Request>(json.error());
  ASSERT_FALSE(request.ok()) << c.body;
  EXPECT_EQ(request.error().status, 400);
  EXPECT_EQ(request.error().type, "invalid_request_error");
  EXPECT_EQ(request.error().param, c.param) << c.body << "\n" << request.error().message;
  EXPECT_NE(request.error().message.find(c.text), std::string::npos) << c.body << "\n"
                                                                     << request.error().message;
}

template <typename Request>
Request ReadRequest(const std::string& body, ApiResult<Request> (*read)(const Json&)) {
  const ApiResult<Json> json = ParseRequestJson(body);
  EXPECT_TRUE(json.ok()) << json.error().message;
  const ApiResult<Request> request = read(*json);
  EXPECT_TRUE(request.ok()) << body << "\n" << request.error().param << ": " << request.error().message;
  return request.ok() ? *request : Request();
}

}  // namespace qwen25
