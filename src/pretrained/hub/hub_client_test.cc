#include "pretrained/hub/hub_client.h"

#include <gtest/gtest.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

constexpr const char* kGit = "ce013625030ba8dba906f756967f9e9ca394464a";
constexpr const char* kSha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

TEST(FileListTest, LargeFilesHaveTheDigestOfTheirContent) {
  const std::string json = fmt::format(
      R"([{{"type":"directory","oid":"{0}","size":0,"path":"1_Pooling"}},
          {{"type":"file","oid":"{0}","size":6,"path":"1_Pooling/config.json"}},
          {{"type":"file","oid":"{0}","size":7,"path":"model.safetensors","xetHash":"x",
            "lfs":{{"oid":"{1}","size":7,"pointerSize":134}}}}])",
      kGit, kSha256);
  ASSERT_OK_AND_ASSIGN(const auto files, ParseFileList(json, "list"));
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "1_Pooling/config.json");
  EXPECT_EQ(files[0].digest, kGit);
  EXPECT_EQ(files[1].digest, kSha256);
  EXPECT_EQ(files[1].size, 7u);
}

TEST(FileListTest, RefusesWhatNoHubSends) {
  const auto list = [](std::string_view path, std::string_view digest) {
    return fmt::format(R"([{{"type":"file","oid":"{}","size":6,"path":"{}"}}])", digest, path);
  };
  EXPECT_OK(ParseFileList(list("a/b", kGit), "list"));
  EXPECT_ERROR_CONTAINS(ParseFileList(list("../b", kGit), "list"), "leads outside of the repository");
  EXPECT_ERROR_CONTAINS(ParseFileList(list("/b", kGit), "list"), "leads outside of the repository");
  EXPECT_ERROR_CONTAINS(ParseFileList(list("a", "../../x"), "list"), "no git digest for a");
  EXPECT_ERROR_CONTAINS(ParseFileList(list("a", ""), "list"), "no git digest for a");
  EXPECT_ERROR_CONTAINS(ParseFileList("{}", "list"), "list: expected a list");
  EXPECT_ERROR_CONTAINS(ParseFileList("[1]", "list"), "expected objects");
  EXPECT_ERROR_CONTAINS(ParseFileList("[", "list"), "list");
  EXPECT_ERROR_CONTAINS(ParseFileList(R"([{"type":"file","size":-1,"path":"a"}])", "list"), "size");
  EXPECT_ERROR_CONTAINS(ParseFileList(R"([{"type":1}])", "list"), "type");
}

TEST(FileListTest, AddressesAreQuoted) {
  HubSettings settings;
  settings.endpoint = "http://localhost:1";
  EXPECT_EQ(FileUrl(settings, "a/b", "c", "d e/f#?%.json"),
            "http://localhost:1/a/b/resolve/c/d%20e/f%23%3F%25.json");
}

TEST(AddressTest, RelativeRedirects) {
  ASSERT_OK_AND_ASSIGN(std::string url, ResolveUrl("http://host:1/a/b?c", "/d"));
  EXPECT_EQ(url, "http://host:1/d");
  ASSERT_OK_AND_ASSIGN(url, ResolveUrl("http://host:1/a/b?c", "https://other/x?y"));
  EXPECT_EQ(url, "https://other/x?y");
  for (const char* location : {"file:///etc/passwd", "ftp://host/x", "gopher://host/x"}) {
    EXPECT_ERROR_CONTAINS(ResolveUrl("http://host/", location), "redirects to");
  }
}

TEST(AddressTest, AnOriginIsSchemeHostAndPort) {
  EXPECT_TRUE(IsSameOrigin("https://host/a", "https://HOST:443/b"));
  EXPECT_FALSE(IsSameOrigin("https://host/a", "http://host/a"));
  EXPECT_FALSE(IsSameOrigin("https://host/a", "https://host:444/a"));
  EXPECT_FALSE(IsSameOrigin("https://host/a", "https://host.evil/a"));
  EXPECT_FALSE(IsSameOrigin("https://host/a", "https://host@evil/a"));
  EXPECT_FALSE(IsSameOrigin("https://host/a", "no address"));
}

TEST(AddressTest, TheNextPageOfAList) {
  EXPECT_EQ(NextLink(R"(<https://h/x?cursor=1>; rel="next")"), "https://h/x?cursor=1");
  EXPECT_EQ(NextLink(R"(<https://h/a>; rel="first", <https://h/b>; rel="next")"), "https://h/b");
  EXPECT_EQ(NextLink(R"(<https://h/a>; rel="last")"), "");
  EXPECT_EQ(NextLink("<"), "");
  EXPECT_EQ(NextLink(""), "");
}

TEST(EndpointTest, IsHttp) {
  EXPECT_OK(CheckEndpoint("https://huggingface.co"));
  EXPECT_OK(CheckEndpoint("http://localhost:8080/hub"));
  for (const char* text : {"", "huggingface.co", "ftp://x", "https://", "https:///x", "https://a b",
                           "https://user:password@host", "https://host?x"}) {
    EXPECT_ERROR_CONTAINS(CheckEndpoint(text), "expected one as in https://huggingface.co") << text;
  }
}

TEST(EndpointTest, ATokenIsOneWord) {
  EXPECT_OK(CheckToken(""));
  EXPECT_OK(CheckToken("hf_aBc"));
  for (const char* token : {"a b", "a\r\nHost: evil", "a\t"}) {
    EXPECT_ERROR_CONTAINS(CheckToken(token), "HF_TOKEN");
  }
}

// Answers that say no, with what to do; the rest is tests/e2e/hub.sh, against a server.
TEST(RetryTest, FinalAnswersSayWhatToDo) {
  const auto answer = [](int status, const std::string& code, bool has_token) {
    HttpResult result;
    result.response.status = status;
    if (!code.empty()) result.response.headers["x-error-code"] = code;
    result.body = R"({"error": "said\u001b[31m so"})";
    return Retry("org/model", has_token, 3, {}).Next(result);
  };
  EXPECT_ERROR_CONTAINS(answer(403, "GatedRepo", true), "accept the model's terms");
  EXPECT_ERROR_CONTAINS(answer(403, "", false), "set HF_TOKEN");
  EXPECT_ERROR_CONTAINS(answer(401, "RepoNotFound", false), "needs HF_TOKEN");
  EXPECT_ERROR_CONTAINS(answer(401, "", true), "refuses the token");
  EXPECT_ERROR_CONTAINS(answer(404, "RevisionNotFound", false), "no such revision");
  EXPECT_ERROR_CONTAINS(answer(404, "EntryNotFound", false), "no such file");
  EXPECT_ERROR_CONTAINS(answer(404, "", true), "your token may read it");
  EXPECT_ERROR_CONTAINS(answer(400, "", true),
                        "answers 400 (said [31m so)");  // nothing that a terminal obeys
}

TEST(RetryTest, APauseThatIsTooLongIsAnError) {
  HttpResult result;
  result.response.status = 429;
  result.response.retry_after = 3600;
  EXPECT_ERROR_CONTAINS(Retry("org/model", false, 3, {}).Next(result), "3600 s more");
}

TEST(RetryTest, AWaitCanBeStopped) {
  HttpResult result;
  result.response.status = 503;
  std::string shown;
  const auto stop = [&](const std::string& reason) {
    shown = reason;
    return false;
  };
  EXPECT_ERROR_CONTAINS(Retry("org/model", false, 3, stop).Next(result), "stopped");
  EXPECT_EQ(shown, "the hub answers 503; trying again in 1 s");
}

TEST(RetryTest, FailuresOfTheConnectionEnd) {
  HttpResult result;
  result.status = Status(StatusCode::kIo, "host: no route");
  EXPECT_ERROR_CONTAINS(Retry("org/model", false, 0, {}).Next(result), "host: no route");  // it will not pass
  result.may_pass = true;
  EXPECT_ERROR_CONTAINS(Retry("org/model", false, 0, {}).Next(result), "is there a network?");
}

}  // namespace
}  // namespace qwen25
