#include <rapidcheck.h>
#include <unistd.h>

#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/mmap.h"
#include "base/quantile.h"
#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

// Bytes of files in this process's memory.
size_t MappedBytes() {
  const std::string text = *ReadFile("/proc/self/statm");  // in pages: all, resident, resident and of files
  const size_t pages = std::stoul(text.substr(text.find(' ', text.find(' ') + 1)));
  return pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(QuantileTest, IsOneOfTheValues) {
  EXPECT_EQ(Median({5, 1, 4}), 4);
  EXPECT_EQ(Median({4, 1, 2, 3}), 3) << "the upper one of the middle";
  EXPECT_EQ(Quantile({3, 1, 2}, 0), 1);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.99), 3);
  EXPECT_EQ(Quantile({3, 1, 2}, 1), 3);
  EXPECT_EQ(Quantile({}, 0.5), 0);
}

TEST(JsonTest, LinesAreReadOneByOneAndMistakesNamed) {
  const std::string text = "{\"a\": 1}\n \r\n[2]\n{";
  JsonLines lines(text, "file");
  ASSERT_OK_AND_ASSIGN(auto value, lines.Next());
  EXPECT_EQ(DumpJson(*value), R"({"a":1})");
  EXPECT_EQ(lines.origin(), "file: line 1");
  EXPECT_EQ(lines.position(), 9u);
  ASSERT_OK_AND_ASSIGN(value, lines.Next());
  EXPECT_EQ(DumpJson(*value), "[2]");
  EXPECT_ERROR_CONTAINS(lines.Next(), "file: line 4: not valid JSON");
  ASSERT_OK_AND_ASSIGN(value, JsonLines("\n\n", "file").Next());
  EXPECT_FALSE(value.has_value());
  EXPECT_EQ(DumpJson(Json("\xff")), "\"\xEF\xBF\xBD\"") << "what is no UTF-8 is replaced";
}

TEST(JsonTest, NumbersThatOnlyPythonHasAreStringsWhereNobodyNeedsThem) {
  const std::string text =
      R"({"a": NaN, "b": [-Infinity, 1e400, 1.5e3, -7], "c": "NaN \" 1e999", "NaN": true})";
  EXPECT_EQ(WithQuotedNumbers(text, "x"),
            R"({"a": "xNaN", "b": ["x-Infinity", "x1e400", 1.5e3, -7], "c": "NaN \" 1e999", "NaN": true})");
  EXPECT_EQ(WithQuotedNumbers("\"open"), "\"open");
  EXPECT_EQ(WithQuotedNumbers("\"\\"), "\"\\");
  TemporaryDirectory directory;
  ASSERT_OK(WriteFileAtomically(directory / "a.json", text));
  ASSERT_OK_AND_ASSIGN(const Json json, ReadJsonFile(directory / "a.json"));
  EXPECT_EQ(json["b"], (Json{"-Infinity", "1e400", 1500.0, -7}));
  double number = 0;
  EXPECT_ERROR_CONTAINS(ReadField(json, "a", "a.json", number), "\"a\" is \"NaN\", expected a number");
  EXPECT_EQ((*JsonLines(text, "file").Next())->size(), 4u);
  ASSERT_OK(WriteFileAtomically(directory / "a.json", "{NaN}"));
  EXPECT_ERROR_CONTAINS(ReadJsonFile(directory / "a.json"), "a.json: not valid JSON");
}

TEST(MmapTest, BytesThatLeftMemoryReadTheSameAgain) {
  TemporaryDirectory directory;
  std::string text(size_t{20} << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
  ASSERT_OK(WriteFileAtomically(directory / "data", text));
  ASSERT_OK_AND_ASSIGN(const MappedFile file, MappedFile::Open(directory / "data"));
  const auto same = [&] { return std::memcmp(file.bytes().data(), text.data(), text.size()) == 0; };
  for (size_t begin = 0; begin < text.size(); begin += 100'000) {
    MappedFile::ReleaseBehind(file.bytes(), begin, std::min(text.size(), begin + 100'000));
    ASSERT_EQ(std::memcmp(file.bytes().data() + begin, text.data() + begin,
                          std::min<size_t>(100'000, text.size() - begin)),
              0);
  }
  EXPECT_TRUE(same());
  const size_t before = MappedBytes();
  MappedFile::Release(file.bytes().subspan(5000, 12'345'678));
  EXPECT_LT(MappedBytes() + 8'000'000, before);
  MappedFile::Release(file.bytes().subspan(1, 1));
  EXPECT_TRUE(same());
}

TEST(JsonTest, ErrorsNameTheOriginAndTheField) {
  EXPECT_ERROR_CONTAINS(ParseJson("{\"a\": ", "config.json"), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(ParseJson(std::string(1000, '[') + std::string(1000, ']'), "x"), "nested deeper");
  const Json object = *ParseJson(R"({"count": -1, "big": 4294967296, "name": 3, "none": null})", "x");
  uint32_t number = 7;
  EXPECT_ERROR_CONTAINS(ReadField(object, "count", "x", number), "x: \"count\" is -1, expected an integer");
  EXPECT_ERROR_CONTAINS(ReadField(object, "big", "x", number), "4294967296");
  EXPECT_OK(ReadField(object, "none", "x", number));
  EXPECT_OK(ReadField(object, "absent", "x", number));
  EXPECT_EQ(number, 7u);
  std::string name;
  EXPECT_ERROR_CONTAINS(ReadField(object, "name", "x", name), "expected a string");
}

TEST(RngTest, StateIsTheCounter) {
  EXPECT_TRUE(rc::check("a generator continues from its counter", [](uint64_t seed, uint8_t skip) {
    Rng first(seed, 3);
    for (int i = 0; i < skip; ++i) first.Next();
    Rng second(seed, 3);
    second.set_counter(first.counter());
    RC_ASSERT(first.Next() == second.Next());
  }));
  Rng rng(1);
  double sum = 0, sum_sq = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.Normal();
    sum += x;
    sum_sq += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0.0, 0.02);
  EXPECT_NEAR(sum_sq / 1e5, 1.0, 0.02);
}

}  // namespace
}  // namespace qwen25
