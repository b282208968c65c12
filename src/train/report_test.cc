#include "train/report.h"

#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/test_util.h"

namespace qwen25 {
namespace {

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Tags of an XML document must nest; `void_tags` need no end (HTML's <meta>).
void ExpectNestedTags(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
    const size_t end = text.find('>', at);
    ASSERT_NE(end, text.npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" \n"));
    if (tag.front() == '!' || tag.back() == '/' || name == "meta") continue;
    if (tag.front() == '/') {
      ASSERT_FALSE(open.empty()) << tag;
      ASSERT_EQ(tag.substr(1), open.back());
      open.pop_back();
    } else {
      open.push_back(name);
    }
  }
  EXPECT_TRUE(open.empty());
}

ReportInput Example(size_t num_steps) {
  ReportInput input;
  input.title = "nano <on> man pages";
  for (size_t i = 1; i <= num_steps; ++i) {
    const auto x = static_cast<double>(i);
    input.history.steps.push_back({.step = i,
                                   .tokens = i * 8192,
                                   .loss = 2 + 6 * std::exp(-x / 100) + 0.1 * std::sin(x * 7),
                                   .learning_rate = 1e-3 * std::min(1.0, x / 50),
                                   .gradient_norm = 1 + 1 / x,
                                   .tokens_per_second = 20000 + 500 * std::sin(x),
                                   .flop_utilization = 0.5,
                                   .seconds = x * 0.4});
    if (i % 100 == 0) {
      input.history.validations.push_back({.step = i,
                                           .tokens = i * 8192,
                                           .validation_tokens = 1000,
                                           .loss = 2.1 + 6 * std::exp(-x / 100),
                                           .bits_per_byte = 1.2});
    }
  }
  input.bytes_per_token = 3.6;
  input.configuration = {{"preset", "nano"}, {"optimizer", "muon & adamw"}};
  input.data = {{"sources", "man pages"}};
  input.bits_per_byte = 1.234;
  input.compressors = {{"gzip -9", 2.1}, {"xz -9e", 1.7}};
  input.completions = {{"def main(", "self):\n    return \"<&>\""}};
  return input;
}

TEST(ReportTest, ThePageHoldsWhatItWasGiven) {
  const ReportInput input = Example(600);
  const std::string html = RenderHtml(input);
  ExpectNestedTags(html);
  for (const char* text :
       {"nano &lt;on&gt; man pages", "1.234", "gzip -9", "2.100", "xz -9e", "muon &amp; adamw", "man pages",
        "<b>def main(</b>self):\n    return &quot;&lt;&amp;&gt;&quot;", "validation", "Learning rate",
        "Gradient norm", "tokens/s", "nats per token", "bits per byte", "50%", "4:00", "this model"}) {
    EXPECT_NE(html.find(text), html.npos) << text;
  }
  EXPECT_EQ(CountOf(html, "<svg"), 4u);
  // Self-contained: nothing is fetched from anywhere.
  for (const char* text : {"src=", "href=", "url(", "@import"}) EXPECT_EQ(html.find(text), html.npos) << text;
  // This model stands before the worse compressors.
  EXPECT_LT(html.find("this model"), html.find("xz -9e"));
}

TEST(ReportTest, TheLossCurveIsAFileOfItsOwn) {
  TemporaryDirectory directory;
  ASSERT_OK(WriteReport(directory.path(), Example(300)));
  const std::string svg = *ReadFile(directory / "loss.svg");
  ExpectNestedTags(svg);
  EXPECT_EQ(svg.find("<svg xmlns=\"http://www.w3.org/2000/svg\""), 0u);
  EXPECT_EQ(CountOf(svg, "<circle"), 3u + 1u);  // three validations and the legend's
  EXPECT_EQ(*ReadFile(directory / "report.html"), RenderHtml(Example(300)));
}

TEST(ReportTest, ARunWithoutDataStillGivesAPage) {
  const std::string html = RenderHtml({});
  ExpectNestedTags(html);
  EXPECT_EQ(CountOf(html, "no data yet"), 4u);
  ReportInput one = Example(1);
  one.history.steps[0].loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(RenderHtml(one).find("nan,"), std::string::npos);
}

}  // namespace
}  // namespace qwen25
