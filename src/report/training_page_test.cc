#include "report/training_page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
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

TrainingPage Example(size_t num_steps) {
  TrainingPage page;
  page.title = "nano <on> man pages";
  for (size_t i = 1; i <= num_steps; ++i) {
    const auto x = static_cast<double>(i);
    const double tokens = x * 8192;
    page.loss.push_back({tokens, 2 + 6 * std::exp(-x / 100) + 0.1 * std::sin(x * 7)});
    page.learning_rate.push_back({tokens, 1e-3 * std::min(1.0, x / 50)});
    page.gradient_norm.push_back({tokens, 1 + 1 / x});
    page.tokens_per_second.push_back({tokens, 20000 + 500 * std::sin(x)});
    if (i % 100 == 0) page.validation_loss.push_back({tokens, 2.1 + 6 * std::exp(-x / 100)});
  }
  page.num_steps = num_steps;
  page.seconds = static_cast<double>(num_steps) * 0.4;
  page.flop_utilization = 0.5;
  page.bytes_per_token = 3.6;
  page.configuration = {{"preset", "nano"}, {"optimizer", "muon & adamw"}};
  page.data = {{"sources", "man pages"}};
  page.bits_per_byte = 1.234;
  page.compressors = {{"gzip -9", 2.1}, {"xz -9e", 1.7}};
  page.completions = {{"def main(", "self):\n    return \"<&>\""}};
  return page;
}

TEST(TrainingPageTest, ThePageHoldsWhatItWasGiven) {
  const TrainingPage page = Example(600);
  const std::string html = RenderHtml(page);
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

TEST(TrainingPageTest, TheLossCurveIsAFileOfItsOwn) {
  TemporaryDirectory directory;
  ASSERT_OK(WriteTrainingPage(directory.path(), Example(300)));
  const std::string svg = *ReadFile(directory / "loss.svg");
  ExpectNestedTags(svg);
  EXPECT_EQ(svg.find("<svg xmlns=\"http://www.w3.org/2000/svg\""), 0u);
  EXPECT_EQ(CountOf(svg, "<circle"), 3u + 1u);  // three validations and the legend's
  EXPECT_EQ(*ReadFile(directory / "report.html"), RenderHtml(Example(300)));
}

TEST(TrainingPageTest, ARunWithoutDataStillGivesAPage) {
  const std::string html = RenderHtml({});
  ExpectNestedTags(html);
  EXPECT_EQ(CountOf(html, "no data yet"), 4u);
  TrainingPage one = Example(1);
  one.loss[0].y = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(RenderHtml(one).find("nan,"), std::string::npos);
}

}  // namespace
}  // namespace qwen25
