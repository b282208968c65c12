#include "train/run_report.h"

#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

TEST(RunReportTest, ShowsTheMetricsAndTheModelOfARun) {
  TemporaryDirectory directory;
  {
    ASSERT_OK_AND_ASSIGN(MetricsWriter writer, MetricsWriter::Open(directory.path(), 0));
    for (uint64_t step = 1; step <= 3; ++step) {
      ASSERT_OK(writer.Append(StepMetrics{.step = step,
                                          .tokens = 1000 * step,
                                          .loss = 4.0 - static_cast<double>(step),
                                          .learning_rate = 1e-3,
                                          .gradient_norm = 1,
                                          .tokens_per_second = 500.0 * static_cast<double>(step),
                                          .flop_utilization = 0.25 * static_cast<double>(step),
                                          .seconds = 60.0 * static_cast<double>(step)}));
    }
    ASSERT_OK(writer.Append(ValidationMetrics{.step = 3,
                                              .tokens = 3000,
                                              .validation_tokens = 100,
                                              .validation_bytes = 400,
                                              .loss = 1.5,
                                              .bits_per_byte = 0.75}));
  }
  Model model(TinyModel());
  ASSERT_OK(model.Save(directory.path() / "model"));
  ASSERT_OK(WriteRunReport(
      directory.path(), {.compressors = {{"xz -9e", 1.25}}, .completions = {}, .data = {{"files", "12"}}}));
  ASSERT_OK_AND_ASSIGN(const std::string page, ReadFile(directory / "report.html"));
  for (const char* text : {"<b>0.750</b><span>held-out bits per byte", "<b>1.500</b><span>validation loss",
                           "<b>1.000</b><span>training loss", "<b>3</b><span>steps", "<b>3k</b><span>tokens",
                           "<b>3:00</b>", "<b>1k</b><span>tokens per second, mean", "<b>50%</b>", "xz -9e",
                           "<th>files</th><td>12</td>", "<th>layers x heads (kv)</th><td>2 x 4 (2)</td>"}) {
    EXPECT_NE(page.find(text), page.npos) << text;
  }
  EXPECT_TRUE(std::filesystem::exists(directory / "loss.svg"));
}

TEST(RunReportTest, AFolderWithoutMetricsIsAnError) {
  TemporaryDirectory directory;
  EXPECT_ERROR_CONTAINS(WriteRunReport(directory.path(), {}), "metrics.jsonl");
}

}  // namespace
}  // namespace qwen25
