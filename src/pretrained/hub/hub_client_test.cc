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

}  // namespace
}  // namespace qwen25
