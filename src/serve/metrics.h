// Figures of a server in the text format of Prometheus.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "infer/scheduler/scheduler.h"

namespace qwen25 {

// Writes the exposition format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
class MetricsText {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string>>;

  // Begins a metric: "counter", "gauge" or "histogram". Its samples follow.
  void Begin(std::string_view name, std::string_view type, std::string_view help);
  void Sample(const Labels& labels, double value);
  void Sample(const Labels& labels, const Histogram& histogram);

  const std::string& text() const { return text_; }

 private:
  void Line(std::string_view suffix, const Labels& labels, double value);

  std::string name_, text_;
};

struct ModelMetrics {
  std::string name;
  SchedulerStats stats;
};
// All figures of the models' schedulers.
void WriteModelMetrics(const std::vector<ModelMetrics>& models, MetricsText& out);

}  // namespace qwen25
