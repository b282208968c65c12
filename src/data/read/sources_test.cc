#include "data/read/sources.h"

#include <rapidcheck.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/test_util.h"
#include "data/prepare.h"
#include "data/read/compression.h"
#include "data/read/compression_test_util.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

void Put(const std::string& path, const std::string& content) {
  ASSERT_OK(CreateDirectories(fs::path(path).parent_path()));
  ASSERT_OK(WriteFileAtomically(path, content));
}

std::string Prose(int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += "Line " + std::to_string(i) + " has words of its own, number " + std::to_string(i * 31) + ".\n";
  return text;
}

std::vector<std::string> SortedPaths(const SourceListing& listing) {
  std::vector<std::string> paths;
  for (const SourceFile& file : listing.files) paths.push_back(file.path);
  std::ranges::sort(paths);
  return paths;
}

std::vector<PreparedDocument> ReadAll(const SourceSpec& spec, const std::string& path,
                                      uint64_t split_bytes = 1 << 20) {
  std::vector<PreparedDocument> documents;
  for (const Split& split : SplitFile(spec, {path, fs::file_size(path)}, split_bytes))
    for (PreparedDocument& document : PrepareSplit(spec, {}, {}, split))
      documents.push_back(std::move(document));
  return documents;
}

TEST(GzipTest, MembersLimitsAndDamage) {
  const std::string text = Prose(1000), packed = Gzip(text);
  EXPECT_EQ(*Decompress(Compression::kGzip, packed, text.size(), "x"), text);
  EXPECT_EQ(*Decompress(Compression::kGzip, packed + Gzip("tail"), 1 << 20, "x"), text + "tail");
  EXPECT_EQ(*Decompress(Compression::kGzip, packed + std::string(9, '\0'), 1 << 20, "x"),
            text);  // padding, as gzip allows
  EXPECT_EQ(*Decompress(Compression::kGzip, Gzip(""), 0, "x"), "");
  EXPECT_EQ(Decompress(Compression::kGzip, packed, text.size() - 1, "x").status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_ERROR_CONTAINS(Decompress(Compression::kGzip, "plain text", 100, "name.gz"),
                        "name.gz: not valid gzip data");
  EXPECT_ERROR_CONTAINS(Decompress(Compression::kGzip, "", 100, "name.gz"), "cut short");
}

TEST(GzipTest, EveryCutAndEveryFlipIsAnErrorOrTheSameText) {
  const std::string text = Prose(12), packed = Gzip(text);
  for (size_t n = 0; n < packed.size(); ++n) {
    EXPECT_EQ(Decompress(Compression::kGzip, packed.substr(0, n), 1 << 16, "cut").status().code(),
              StatusCode::kCorrupt)
        << n;
  }
  for (size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string bad = packed;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    const Result<std::string> read = Decompress(Compression::kGzip, bad, 1 << 16, "flip");
    // Some header fields hold nothing that matters: the time, the system.
    if (read.ok()) {
      EXPECT_EQ(*read, text) << "bit " << bit;
    }
  }
}

TEST(ListFilesTest, PatternsLinksAndLoops) {
  TemporaryDirectory directory;
  Put(directory / "root/a.py", "a");
  Put(directory / "root/sub/b.py", "bb");
  Put(directory / "root/sub/c.txt", "c");
  Put(directory / "root/test/d.py", "d");
  Put(directory / "other/e.py", "e");
  fs::create_symlink("..", directory / "root/sub/loop");
  fs::create_symlink("b.py", directory / "root/sub/A_link.py");
  fs::create_symlink(directory / "other", directory / "root/linked");
  fs::create_symlink("nowhere", directory / "root/broken");
  const SourceSpec spec{.kind = "k",
                        .roots = {directory / "roo?", directory / "none"},
                        .names = {"*.py"},
                        .excluded = {"/test/*"}};
  const SourceListing listing = ListFiles(spec);
  EXPECT_EQ(listing.roots, std::vector<std::string>{directory / "root"});
  EXPECT_EQ(SortedPaths(listing),
            (std::vector<std::string>{directory / "root/a.py", directory / "root/linked/e.py",
                                      directory / "root/sub/b.py"}));
  EXPECT_EQ(listing.bytes, 4u);
  EXPECT_EQ(listing.aliases, 2u);     // the loop and the second name of b.py
  EXPECT_EQ(listing.unreadable, 1u);  // the link to nowhere
}

TEST(ListFilesTest, TheOrderIsTheSameAndAFileMoreMovesNoOther) {
  TemporaryDirectory directory;
  for (int i = 0; i < 50; ++i) Put(directory / "r/" + std::to_string(i) + ".py", "x");
  const SourceSpec spec{.kind = "k", .roots = {directory / "r"}};
  const SourceListing before = ListFiles(spec);
  Put(directory / "r/new.py", "x");
  SourceListing after = ListFiles(spec);
  std::erase_if(after.files, [](const SourceFile& file) { return file.path.ends_with("new.py"); });
  ASSERT_EQ(before.files.size(), after.files.size());
  for (size_t i = 0; i < before.files.size(); ++i) EXPECT_EQ(before.files[i].path, after.files[i].path);
  EXPECT_FALSE(
      std::ranges::is_sorted(before.files, {}, &SourceFile::path));  // a sample, not the first letters
}

TEST(ListFilesTest, AUserSourceTakesAFileOrAFolderWithoutHiddenOnes) {
  TemporaryDirectory directory;
  Put(directory / "d[1]/a.weird", "a");
  Put(directory / "d[1]/.git/config", "b");
  EXPECT_EQ(SortedPaths(ListFiles(UserSource(directory / "d[1]/"))),
            std::vector<std::string>{directory / "d[1]/a.weird"});
  EXPECT_EQ(SortedPaths(ListFiles(UserSource(directory / "d[1]/.git/config"))),
            std::vector<std::string>{directory / "d[1]/.git/config"});
}

TEST(PythonLibraryTest, FollowsTheFirstPython3) {
  TemporaryDirectory directory;
  Put(directory / "prefix/bin/python3.12", "");
  Put(directory / "empty/x", "");
  fs::create_symlink("python3.12", directory / "prefix/bin/python3");
  const std::string path = std::string(directory / "empty") + "::" + (directory / "prefix/bin");
  EXPECT_EQ(PythonLibraryPattern(path), fs::canonical(directory / "prefix").string() + "/lib/python3.*");
  EXPECT_EQ(PythonLibraryPattern(directory / "empty"), "");
  EXPECT_EQ(PythonLibraryPattern(""), "");
}

TEST(SystemSourcesTest, EveryKindIsNamedAndHasAShare) {
  std::vector<std::string> kinds;
  for (const SourceSpec& spec : SystemSources()) {
    EXPECT_FALSE(spec.title.empty());
    EXPECT_FALSE(spec.roots.empty());
    EXPECT_GT(spec.share, 0);
    kinds.push_back(spec.kind);
  }
  std::ranges::sort(kinds);
  EXPECT_EQ(std::ranges::unique(kinds).size(), 0u);
}

TEST(ReadersTest, EachKindByItsName) {
  TemporaryDirectory directory;
  const SourceSpec spec = UserSource(directory.path());
  Put(directory / "a.txt", Prose(10));
  Put(directory / "b.md.gz", Gzip(Prose(11)));
  Put(directory / "c.1", ".TH C 1\n.SH NAME\n" + Prose(12));
  Put(directory / "d.pm", "=head1 D\n\n" + Prose(13) + "\n=cut\n\n" + Prose(14));
  Put(directory / "e.jsonl", "{\"text\":\"" + std::string(300, 'e') + "\",\"id\":\"one\"}\nbroken\n");
  Put(directory / "f.7", Prose(15));  // named like a manual page, but not one
  EXPECT_EQ(ReadAll(spec, directory / "a.txt")[0].document.text, Prose(10));
  EXPECT_EQ(ReadAll(spec, directory / "b.md.gz")[0].document.text, Prose(11));
  EXPECT_TRUE(ReadAll(spec, directory / "c.1")[0].document.text.starts_with("C(1)\n\nNAME\n    Line 0"));
  const auto perl = ReadAll(spec, directory / "d.pm");
  ASSERT_EQ(perl.size(), 2u);
  EXPECT_TRUE(perl[0].document.text.starts_with("D\n    Line 0"));
  EXPECT_EQ(perl[1].document.id, directory / "d.pm#code");
  EXPECT_EQ(perl[1].document.text, Prose(14));
  const auto lines = ReadAll(spec, directory / "e.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].document.id, directory / "e.jsonl#0:one");
  EXPECT_EQ(lines[0].document.text, std::string(300, 'e') + "\n");
  EXPECT_EQ(lines[1].drop, DropReason::kBadJson);
  EXPECT_NE(lines[1].detail.find("e.jsonl#"), std::string::npos);
  EXPECT_EQ(ReadAll(spec, directory / "f.7")[0].document.text, Prose(15));
}

TEST(ReadersTest, WhatCannotBeReadIsNamed) {
  TemporaryDirectory directory;
  SourceSpec spec = UserSource(directory.path());
  Put(directory / "bad.gz", "no gzip at all");
  Put(directory / "zero", std::string(300, '\0'));
  Put(directory / "empty", "");
  Put(directory / "big.txt", Prose(100));
  EXPECT_EQ(ReadAll(spec, directory / "bad.gz")[0].drop, DropReason::kBadArchive);
  EXPECT_EQ(ReadAll(spec, directory / "zero")[0].drop, DropReason::kBinary);
  EXPECT_EQ(ReadAll(spec, directory / "empty")[0].drop, DropReason::kTooShort);
  const Split gone{directory / "gone", 10, 0, 10};
  EXPECT_EQ(PrepareSplit(spec, {}, {}, gone)[0].drop, DropReason::kUnreadable);
  spec.max_file_bytes = 1000;
  EXPECT_EQ(ReadAll(spec, directory / "big.txt")[0].drop, DropReason::kTooLarge);
  Put(directory / "bomb.txt.gz", Gzip(std::string(100000, 'a')));
  EXPECT_EQ(ReadAll(spec, directory / "bomb.txt.gz")[0].drop, DropReason::kTooLarge);
}

TEST(ReadersTest, PartsOfAFileHoldEachLineOnce) {
  TemporaryDirectory directory;
  const SourceSpec spec = UserSource(directory.path());
  rc::check("any line lengths, any split", [&](const std::vector<uint8_t>& lengths) {
    const uint64_t split_bytes = *rc::gen::inRange<uint64_t>(1, 400);
    std::string content;
    for (size_t i = 0; i < lengths.size(); ++i)
      content += "{\"id\":\"" + std::to_string(i) + "\",\"text\":\"" + std::string(lengths[i], 'x') + "\"}\n";
    if (!content.empty() && lengths[0] % 2) content.pop_back();  // no new-line at the end
    Put(directory / "f.jsonl", content);
    std::vector<size_t> seen;
    for (const PreparedDocument& document : ReadAll(spec, directory / "f.jsonl", split_bytes)) {
      const std::string& id = document.document.id;
      RC_ASSERT(id.rfind(':') != std::string::npos);
      seen.push_back(std::stoul(id.substr(id.rfind(':') + 1)));
    }
    RC_ASSERT(seen.size() == lengths.size());
    RC_ASSERT(std::ranges::is_sorted(seen));
    RC_ASSERT(std::ranges::adjacent_find(seen) == seen.end());
  });
}

TEST(ReadersTest, ALongTextIsCutIntoDocumentsThatTileIt) {
  TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 40000; ++i)
    text += "Paragraph " + std::to_string(i) + " of a long book, with some words.\n\n";
  Put(directory / "book.txt", text);
  const auto documents = ReadAll(UserSource(directory.path()), directory / "book.txt");
  EXPECT_GT(documents.size(), 5u);
  std::string joined;
  for (const PreparedDocument& document : documents) {
    EXPECT_FALSE(document.drop);
    EXPECT_LE(document.document.text.size(), size_t{160} << 10);
    joined += document.document.text + "\n";
  }
  EXPECT_EQ(joined, text);
}

}  // namespace
}  // namespace qwen25
