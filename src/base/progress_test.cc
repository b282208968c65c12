#include "base/progress.h"

#include <gtest/gtest.h>

#include <string>

namespace qwen25 {
namespace {

double fake_now = 0;

ProgressOptions Capture(std::string& out, bool terminal) {
  ProgressOptions options;
  options.terminal = terminal;
  options.columns = 60;
  options.clock = [] { return fake_now; };
  options.write = [&out](std::string_view text) { out += text; };
  return options;
}

TEST(ProgressTest, PlainLinesComeNowAndThen) {
  fake_now = 0;
  std::string out;
  {
    Progress progress("train", "steps", 100, 20, Capture(out, false));
    progress.Update(21, "loss 4.00");
    EXPECT_EQ(out, "train   21%  21/100 steps  0:00 left  loss 4.00\n");
    fake_now = 5;
    progress.Update(25);  // too early for another line
    EXPECT_EQ(out.find("25/100"), std::string::npos);
    fake_now = 10;
    progress.Update(30);  // 10 steps in 10 s, the 20 of the earlier run not counted: 70 s for the other 70
    EXPECT_NE(out.find("30/100 steps  1:10 left\n"), std::string::npos) << out;
    fake_now = 61;
    progress.Update(100, "loss 3.00");
  }
  EXPECT_NE(out.find("100%  100/100 steps  in 1:01  loss 3.00\n"), std::string::npos) << out;
  EXPECT_EQ(out.find('\r'), std::string::npos);
}

TEST(ProgressTest, ATerminalLineIsRedrawnAndCutToItsWidth) {
  fake_now = 0;
  std::string out;
  ProgressOptions options = Capture(out, true);
  options.utf8 = true;
  Progress progress("train", "steps", 2, 0, options);
  progress.Update(1, std::string(300, 'x'));
  ASSERT_EQ(out.substr(0, 4), "\r\x1b[K");
  EXPECT_EQ(out.find('\n'), std::string::npos);
  size_t columns = 0;
  for (const char c : out.substr(4)) columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  EXPECT_EQ(columns, 59u);
  EXPECT_NE(out.find("▕████████████            ▏  50%"), std::string::npos) << out;
  progress.Finish();
  EXPECT_EQ(out.back(), '\n');
  const size_t size = out.size();
  progress.Update(2);
  progress.Finish();
  EXPECT_EQ(out.size(), size);
}

TEST(ProgressTest, AnUnknownTotalCountsOnly) {
  fake_now = 0;
  std::string out;
  Progress progress("curate", "documents", 0, 0, Capture(out, false));
  progress.Update(7);
  EXPECT_EQ(out, "curate  7 documents\n");
}

}  // namespace
}  // namespace qwen25
