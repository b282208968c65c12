#include "report/training_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <string_view>

#include "base/file.h"
#include "base/format.h"

namespace qwen25 {
namespace {

constexpr size_t kMaxPoints = 600;   // about one per pixel of a chart
constexpr size_t kSmoothParts = 80;  // the average of a point reaches over 1/80 of the run to either side

constexpr std::string_view kPageStyle = R"(<style>
:root{color-scheme:light dark;--ink:#1f2328;--soft:#656d76;--edge:#d8dee4;--paper:#ffffff;--card:#f6f8fa;--accent:#2563c9;
--other:#8c959f}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--edge:#30363d;--paper:#0d1117;--card:#161b22;
--accent:#6ea8fe;--other:#6e7681}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:64rem;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;margin:0 0 1.25rem}h2{font-size:1.15rem;margin:2.25rem 0 .75rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.75rem}
.fact{background:var(--card);border:1px solid var(--edge);border-radius:.6rem;padding:.7rem .9rem}
.fact b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}.fact span{color:var(--soft);font-size:.85rem}
svg.chart{width:100%;height:auto;border:1px solid var(--edge);border-radius:.6rem}
.three{display:grid;margin-top:.75rem;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:.75rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--edge);padding:.35rem .6rem;text-align:left;
vertical-align:top}th{font-weight:500;color:var(--soft);width:16rem}td{overflow-wrap:anywhere}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:.45rem .9rem;align-items:center}
.bar{height:1.1rem;border-radius:.25rem;background:var(--other)}.own .bar{background:var(--accent)}.own{font-weight:600}
.row{display:contents}.number{font-variant-numeric:tabular-nums}
pre{background:var(--card);border:1px solid var(--edge);border-radius:.6rem;padding:.8rem 1rem;white-space:pre-wrap;
overflow-wrap:anywhere;font:14px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;margin:0 0 .75rem}
pre b{color:var(--accent)}
</style>
)";

// A raw line and its moving average, both thinned to what a chart can show.
void AddSmoothed(Chart& chart, std::string name, int color, const std::vector<ChartPoint>& points) {
  chart.series.push_back({.name = "", .points = Thin(points, kMaxPoints), .color = color, .faint = true});
  chart.series.push_back({.name = std::move(name),
                          .points = Thin(Smooth(points, points.size() / kSmoothParts), kMaxPoints),
                          .color = color});
}

Chart SmallChart(std::string title, std::string y_label, int color, const std::vector<ChartPoint>& points) {
  Chart chart{.title = std::move(title), .x_label = "tokens", .y_label = std::move(y_label)};
  chart.width = 420;
  chart.height = 260;
  chart.y_from_zero = true;
  chart.series.push_back({.points = Thin(points, kMaxPoints), .color = color});
  return chart;
}

class HtmlWriter {
 public:
  explicit HtmlWriter(const TrainingPage& page) : page_(page) {}

  std::string Run() {
    out_ +=
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
    Add("<title>{}</title>\n", EscapeMarkup(page_.title));
    out_ += kPageStyle;
    Add("</head>\n<body>\n<h1>{}</h1>\n", EscapeMarkup(page_.title));
    Facts();
    Heading("Course");
    out_ += RenderSvg(LossChart(page_));
    out_ += "<div class=\"three\">\n";
    out_ += RenderSvg(SmallChart("Learning rate", "", 2, page_.learning_rate));
    out_ += RenderSvg(SmallChart("Gradient norm", "", 3, page_.gradient_norm));
    out_ += RenderSvg(SmallChart("Speed", "tokens/s", 0, page_.tokens_per_second));
    out_ += "</div>\n";
    Compressors();
    Completions();
    Table("Configuration", page_.configuration);
    Table("Data", page_.data);
    out_ += "</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void Heading(std::string_view text) { Add("<h2>{}</h2>\n", text); }
  void Fact(const std::string& value, std::string_view name) {
    Add("<div class=\"fact\"><b>{}</b><span>{}</span></div>\n", EscapeMarkup(value), name);
  }

  void Facts() {
    out_ += "<div class=\"facts\">\n";
    if (page_.bits_per_byte) Fact(fmt::format("{:.3f}", *page_.bits_per_byte), "held-out bits per byte");
    if (!page_.validation_loss.empty()) {
      Fact(fmt::format("{:.3f}", page_.validation_loss.back().y), "validation loss, nats");
    }
    if (!page_.loss.empty()) {
      Fact(fmt::format("{:.3f}", page_.loss.back().y), "training loss, nats");
      Fact(FormatTick(static_cast<double>(page_.num_steps)), "steps");
      Fact(FormatTick(page_.loss.back().x), "tokens");
      Fact(FormatDuration(page_.seconds), "training time");
      double rate = 0;
      for (const ChartPoint& point : page_.tokens_per_second) rate += point.y;
      const auto count = static_cast<double>(page_.tokens_per_second.size());
      Fact(FormatTick(std::round(rate / count)), "tokens per second, mean");
      if (page_.flop_utilization > 0) {
        Fact(fmt::format("{:.0f}%", 100 * page_.flop_utilization), "of the machine's matrix-product rate");
      }
    }
    out_ += "</div>\n";
  }

  void Compressors() {
    if (page_.compressors.empty()) return;
    Heading("Bits per byte of the held-out text (less is better)");
    std::vector<TrainingPage::Compressor> rows = page_.compressors;
    const std::string own = "this model";
    if (page_.bits_per_byte) rows.push_back({own, *page_.bits_per_byte});
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& a, const auto& b) { return a.bits_per_byte < b.bits_per_byte; });
    double longest = 0;
    for (const auto& row : rows) longest = std::max(longest, row.bits_per_byte);
    out_ += "<div class=\"bars\">\n";
    for (const auto& row : rows) {
      Add("<div class=\"row{}\"><span>{}</span><div class=\"bar\" style=\"width:{:.1f}%\"></div>"
          "<span class=\"number\">{:.3f}</span></div>\n",
          row.name == own ? " own" : "", EscapeMarkup(row.name), 100 * row.bits_per_byte / longest,
          row.bits_per_byte);
    }
    out_ += "</div>\n";
  }

  void Completions() {
    if (page_.completions.empty()) return;
    Heading("What it writes");
    for (const TrainingPage::Completion& completion : page_.completions) {
      Add("<pre><b>{}</b>{}</pre>\n", EscapeMarkup(completion.prompt), EscapeMarkup(completion.text));
    }
  }

  void Table(std::string_view heading, const std::vector<TrainingPage::Row>& rows) {
    if (rows.empty()) return;
    Heading(heading);
    out_ += "<table>\n";
    for (const TrainingPage::Row& row : rows) {
      Add("<tr><th>{}</th><td>{}</td></tr>\n", EscapeMarkup(row.name), EscapeMarkup(row.value));
    }
    out_ += "</table>\n";
  }

  const TrainingPage& page_;
  std::string out_;
};

}  // namespace

Chart LossChart(const TrainingPage& page) {
  Chart chart{.title = "Loss", .x_label = "tokens", .y_label = "nats per token"};
  if (page.bytes_per_token > 0) {
    chart.right_axis = {"bits per byte", 1 / std::numbers::ln2 / page.bytes_per_token};
  }
  AddSmoothed(chart, "training", 0, page.loss);
  if (!page.validation_loss.empty()) {
    chart.series.push_back(
        {.name = "validation", .points = page.validation_loss, .color = 1, .markers = true});
  }
  return chart;
}

std::string RenderHtml(const TrainingPage& page) {
  return HtmlWriter(page).Run();
}

Status WriteTrainingPage(const std::filesystem::path& directory, const TrainingPage& page) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(directory / "loss.svg", RenderSvg(LossChart(page))));
  return WriteFileAtomically(directory / "report.html", RenderHtml(page));
}

}  // namespace qwen25
