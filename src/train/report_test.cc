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

TEST(ChartTest, TicksAreRoundAndInside) {
  EXPECT_EQ(NiceTicks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_TRUE(NiceTicks(1, 1, 5).empty());
  EXPECT_TRUE(rc::check("between 2 and 2 * count + 1 ticks, inside the range, equally spaced", [] {
    const double low = *rc::gen::inRange(-100000, 100000) * std::pow(10.0, *rc::gen::inRange(-8, 8));
    const double width = *rc::gen::inRange(1, 100000) * std::pow(10.0, *rc::gen::inRange(-6, 8));
    RC_PRE(width > std::abs(low) * 1e-6);
    const double high = low + width;
    const std::vector<double> ticks = NiceTicks(low, high, 6);
    RC_ASSERT(ticks.size() >= 3u && ticks.size() <= 11u);
    const double slack = 1e-6 * width;
    RC_ASSERT(ticks.front() >= low - slack && ticks.back() <= high + slack);
    for (size_t i = 2; i < ticks.size(); ++i) {
      RC_ASSERT(std::abs((ticks[i] - ticks[i - 1]) - (ticks[1] - ticks[0])) <= slack);
    }
  }));
}

TEST(ChartTest, Numbers) {
  EXPECT_EQ(FormatTick(0), "0");
  EXPECT_EQ(FormatTick(250), "250");
  EXPECT_EQ(FormatTick(1500), "1.5k");
  EXPECT_EQ(FormatTick(12e6), "12M");
  EXPECT_EQ(FormatTick(-2e9), "-2B");
  EXPECT_EQ(FormatTick(0.0003), "0.0003");
  EXPECT_EQ(FormatTick(2e-5), "2e-05");
}

TEST(ChartTest, ThinningAndSmoothingKeepTheMean) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 1000; ++i) points.push_back({double(i), i % 2 ? 3.0 : 1.0});
  EXPECT_EQ(Thin(points, 2000).size(), 1000u);
  const std::vector<ChartPoint> thin = Thin(points, 10);
  ASSERT_EQ(thin.size(), 10u);
  for (const ChartPoint& point : thin) EXPECT_DOUBLE_EQ(point.y, 2.0);
  EXPECT_DOUBLE_EQ(thin[0].x, 49.5);
  const std::vector<ChartPoint> smooth = Smooth(points, 50);
  ASSERT_EQ(smooth.size(), 1000u);
  EXPECT_DOUBLE_EQ(smooth[0].y, 1.0);  // nothing on its left, so itself
  EXPECT_NEAR(smooth[500].y, 2.0, 0.02);
  EXPECT_DOUBLE_EQ(smooth.back().y, 3.0);
}

}  // namespace
}  // namespace qwen25
