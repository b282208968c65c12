// How every command reads text: byte order marks, compressed files, JSON lines, and what is not text.
#include "data/read/text_files.h"

#include <rapidcheck.h>
#include <zstd.h>

#include <filesystem>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "data/read/compression.h"
#include "data/read/compression_test_util.h"
#include "data/read/text_kind.h"
#include "data/read/text_stream.h"

namespace qwen25 {
namespace {

using std::string_literals::operator""s;

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  EXPECT_FALSE(ZSTD_isError(size));
  out.resize(size);
  return out;
}

// Words that compress to about a third.
std::string Prose(size_t bytes) {
  Rng rng(5);
  std::string text;
  while (text.size() < bytes) text += fmt::format("word{} ", rng.Below(1 << 20));
  text.resize(bytes);
  return text;
}

class TextFilesTest : public testing::Test {
 protected:
  std::string Put(const std::string& name, const std::string& content) {
    EXPECT_OK(WriteFileAtomically(directory_ / name, content));
    return directory_ / name;
  }

  TemporaryDirectory directory_;
};

TEST_F(TextFilesTest, AByteOrderMarkIsNoText) {
  EXPECT_EQ(*ReadText(Put("a.txt", "\xEF\xBB\xBFhello\n")), "hello\n");
  EXPECT_EQ(*ReadText(Put("b.txt", "\xEF\xBB\xBF")), "");
  EXPECT_EQ(*ReadText(Put("c.txt", "")), "");
  const std::string line = "{\"text\": \"one\"}\n", mark = "\xEF\xBB\xBF";
  EXPECT_EQ(*ReadTexts(Put("a.jsonl", mark + line + line)), (std::vector<std::string>{"one", "one"}));
  // Two files put together.
  EXPECT_EQ(*ReadTexts(Put("b.jsonl", mark + line + mark + line)), (std::vector<std::string>{"one", "one"}));
}

TEST_F(TextFilesTest, CompressedFilesAreReadByTheirNames) {
  const std::string text = Prose(3 << 20);
  EXPECT_EQ(*ReadText(Put("a.txt.gz", Gzip(text))), text);
  EXPECT_EQ(*ReadText(Put("a.txt.zst", Zstd(text))), text);
  EXPECT_EQ(*ReadText(Put("two.txt.gz", Gzip(text) + Gzip("\xEF\xBB\xBFtail"))), text + "\xEF\xBB\xBFtail");
  EXPECT_EQ(*ReadText(Put("two.txt.zst", Zstd("\xEF\xBB\xBF" + text) + Zstd("tail"))), text + "tail");
  EXPECT_EQ(*ReadText(Put("empty.gz", Gzip(""))), "");
  EXPECT_EQ(*ReadText(Put("empty.zst", Zstd(""))), "");
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += fmt::format("{{\"text\": \"document {}\"}}\n", i);
  for (const char* name : {"a.jsonl", "a.ndjson", "a.jsonl.gz", "a.ndjson.gz", "a.jsonl.zst", "a.json"}) {
    const Compression compression = CompressionOf(name);
    ASSERT_OK_AND_ASSIGN(const auto texts,
                         ReadTexts(Put(name, compression == Compression::kGzip   ? Gzip(lines)
                                             : compression == Compression::kZstd ? Zstd(lines)
                                                                                 : lines)));
    ASSERT_EQ(texts.size(), 5000u) << name;
    EXPECT_EQ(texts[4999], "document 4999");
  }
}

TEST_F(TextFilesTest, DamagedArchivesAreCorrupt) {
  const std::string text = Prose(2000);
  for (const bool gzip : {true, false}) {
    const std::string packed = gzip ? Gzip(text) : Zstd(text), name = gzip ? "a.gz" : "a.zst";
    const Compression compression = gzip ? Compression::kGzip : Compression::kZstd;
    for (size_t n = 0; n < packed.size(); n += 1 + n / 40) {
      // Zstandard: no frame at all is an empty file for its tools, but nobody's compressed text.
      EXPECT_EQ(Decompress(compression, packed.substr(0, n), 1 << 20, "cut").status().code(),
                StatusCode::kCorrupt)
          << name << " " << n;
    }
    EXPECT_ERROR_CONTAINS(ReadText(Put(name, packed.substr(0, packed.size() / 2))), "cut short");
    EXPECT_ERROR_CONTAINS(ReadText(Put(name, "plain text")), gzip ? "not valid gzip" : "not valid zstd");
    EXPECT_EQ(Decompress(compression, packed, 1999, "small").status().code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(*Decompress(compression, packed, 2000, "fits"), text);
  }
}

TEST_F(TextFilesTest, WhatIsNotTextIsRefusedByItsName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Gzip("hello"), "is gzip data, not text; it is read if its name ends in .gz"},
      {Zstd("hello"), "is zstd data, not text; it is read if its name ends in .zst"},
      {"\x89PNG\r\n\x1A\n123", "is a PNG image, not text"},
      {"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n", "is a PDF document, not text"},
      {"PK\x03\x04\x14\0\0\0"s, "is a ZIP archive"},
      {"GGUF\x03\0\0\0\1\0\0\0"s, "is a GGUF model, not text"},
      {"\x20\0\0\0\0\0\0\0{\"a\":{}}"s, "is a safetensors file, not text"},
      {"SQLite format 3\0abc"s, "is an SQLite database, not text"},
      {"name" + std::string(253, '\0') + "ustar  \0"s, "is a tar archive, not text"},
      {"\x7F"
       "ELF\x02\x01\x01\0"s,
       "is a program, not text"},
      {"\xFF\xFEh\0i\0"s, "is UTF-16 text, expected UTF-8; `iconv -f UTF-16 -t UTF-8` converts it"},
      {"\xFE\xFF\0h\0i"s, "is UTF-16 text"},
      {"\xFF\xFE\0\0h\0\0\0"s, "is UTF-32 text"},
      {"h\0e\0l\0l\0o\0"s, "is UTF-16 text"},
      {"abc\0def"s, "is binary data (it holds NUL bytes), not text"},
      {Prose(1 << 20) + "\0"s, "is binary data (it holds NUL bytes), not text"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
       "is the pointer of a Git LFS file"},
  };
  for (const auto& [content, message] : cases) {
    SCOPED_TRACE(message);
    for (const char* name : {"a.txt", "a.jsonl"}) {
      const std::string path = Put(name, content);
      EXPECT_ERROR_CONTAINS(ReadTexts(path), path + ": " + message);
    }
    if (!content.starts_with("\x1F") && !content.starts_with("\x28")) {
      EXPECT_ERROR_CONTAINS(ReadText(Put("a.txt.gz", Gzip(content))), message);
    }
  }
  EXPECT_ERROR_CONTAINS(ReadText(directory_ / "nowhere"), "nowhere");
  // Bytes that would be replaced are named before.
  EXPECT_ERROR_CONTAINS(ReadTexts(Put("a.txt", "tr\xC3\xA8s bon caf\xE9")),
                        "a.txt: is not UTF-8: byte 13 is 0xE9; if it is Latin-1, `iconv -f LATIN1 -t UTF-8`");
  EXPECT_ERROR_CONTAINS(ReadText(Put("a.txt", "cut \xE2\x82")), "is not UTF-8: byte 4 is 0xE2");
}

TEST_F(TextFilesTest, TextIsNeverTakenForSomethingElse) {
  for (const char* text : {"GGUF is a format.", "PAR1", "MZ", "GIF89a is old", "RIFF", "BZ", "PK", "Obj",
                           "caf\xC3\xA9", "II*", "ID3"}) {
    EXPECT_EQ(*ReadText(Put("a.txt", text)), text);
  }
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& bytes) {
    std::string text;
    for (const uint8_t byte : bytes) text += static_cast<char>(0x20 + byte % 0x5F);
    RC_ASSERT(!NameOfBinary(text).has_value());
  }));
}

// Other programs' members, names that are numbers, numbers that only Python has, members that come twice.
TEST_F(TextFilesTest, WhatStandsBesideTheTextDoesNotMatter) {
  for (
      const char* line : {
          R"({"id": 7, "text": "x"})",
          R"({"id": null, "source": ["a"], "text": "x"})",
          R"({"text": "x", "meta": {"a": [1, {"text": "y"}]}, "score": NaN, "range": [-Infinity, Infinity]})",
          R"({"text": "y", "text": "x"})",
          R"({"text": "x", "note": "NaN \" NaN", "score": NaN})",
      }) {
    EXPECT_EQ(*ReadTexts(Put("a.jsonl", line)), std::vector<std::string>{"x"}) << line;
  }
  EXPECT_EQ(ParseJsonLine(R"({"id": 7, "text": "x"})")->id, "7");
  EXPECT_EQ(ParseJsonLine(R"({"id": true, "text": "x"})")->id, "");
  EXPECT_ERROR_CONTAINS(ParseJsonLine(R"({"text": null})"), "\"text\" is not a string but null");
}

TEST_F(TextFilesTest, AJsonListOfDocumentsIsThoseDocuments) {
  const std::string one = "{\n  \"text\": \"x\"\n}";
  EXPECT_EQ(*ReadTexts(Put("a.json", one)), std::vector<std::string>{"x"});
  EXPECT_EQ(*ReadTexts(Put("a.json", "\n[" + one + ",\n" + one + "]\n")),
            (std::vector<std::string>{"x", "x"}));
  EXPECT_ERROR_CONTAINS(ReadTexts(Put("a.json", "[" + one + ", {\"test\": 1}]")), "has no \"text\"");
  // Other documents are text, as is what only looks like one.
  for (const char* text : {"[]", "[1, 2]", "{\"a\": 1}", "[{\"a\": 1}]", "{ code; }", "[see below]"}) {
    EXPECT_EQ(*ReadTexts(Put("a.json", text)), std::vector<std::string>{text});
  }
  EXPECT_TRUE(ReadTexts(Put("a.txt", ""))->empty());
}

TEST_F(TextFilesTest, LinesThatAreNoDocumentsAreNamed) {
  const std::string good = "{\"text\": \"x\"}\n";
  EXPECT_ERROR_CONTAINS(ReadTexts(Put("a.jsonl", good + "\n" + good + "{\"test\": 1}\n")),
                        "a.jsonl line 4: the object has no \"text\"");
  EXPECT_ERROR_CONTAINS(ReadTexts(Put("a.jsonl.gz", Gzip(good + "nonsense"))),
                        "a.jsonl.gz line 2: not valid JSON");
  // The first line of other files has to be a document.
  EXPECT_EQ(ReadTexts(Put("a.json", "{\"test\": 1}\n" + good))->size(), 1u);
}

TEST_F(TextFilesTest, LongLinesCrossThePiecesThatAreRead) {
  EXPECT_TRUE(rc::check([&](const std::vector<uint32_t>& lengths) {
    std::string lines;
    std::vector<std::string> texts;
    for (const uint32_t length : lengths) {
      texts.push_back(Prose(length % (1 << 18)));
      lines += "{\"text\":\"" + texts.back() + "\"}\r\n";
    }
    if (!lines.empty() && lengths[0] % 2 == 0) lines.resize(lines.size() - 2);
    RC_ASSERT(*ReadTexts(Put("a.jsonl", lines)) == texts);
  }));
}

TEST_F(TextFilesTest, FoldersGiveTextFilesCompressedOrNot) {
  for (const char* name : {"b.txt", "a.md.gz", "c.rst.zst", "d.png", "e.jsonl"}) Put(name, "x");
  ASSERT_OK_AND_ASSIGN(const auto files, TextFilesIn(directory_.path()));
  EXPECT_EQ(files, (std::vector<std::filesystem::path>{directory_ / "a.md.gz", directory_ / "b.txt",
                                                       directory_ / "c.rst.zst"}));
}

}  // namespace
}  // namespace qwen25
