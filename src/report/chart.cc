#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace qwen25 {
namespace {

// Room around the plot, in SVG units (pixels at 100 %).
constexpr double kLeft = 62, kRight = 20, kRightWithAxis = 62, kTop = 48, kBottom = 50;
constexpr double kLegendSwatch = 18, kLegendGap = 22, kCharacterWidth = 6.6;  // of 12 px text, about

// Plain rules and no CSS variables: image viewers know the former only.
constexpr std::string_view kStyle = R"(<style>
.chart{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.chart .paper{fill:#ffffff}.chart .title{font-size:15px;font-weight:600}.chart .tick{fill:#656d76}
.chart .grid{stroke:#d8dee4;stroke-width:1;shape-rendering:crispEdges}
.chart .axis{stroke:#656d76;stroke-width:1;shape-rendering:crispEdges}
.chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart .faint{stroke-width:1;opacity:.35}.chart .dot{stroke:#ffffff;stroke-width:1.5}
.s0{stroke:#2563c9}.s1{stroke:#d1600a}.s2{stroke:#1a7f4b}.s3{stroke:#8b45c4}
.f0{fill:#2563c9}.f1{fill:#d1600a}.f2{fill:#1a7f4b}.f3{fill:#8b45c4}
@media (prefers-color-scheme:dark){.chart{fill:#e6edf3}.chart .paper{fill:#0d1117}.chart .tick{fill:#9aa4af}
.chart .grid{stroke:#30363d}.chart .axis{stroke:#9aa4af}.chart .dot{stroke:#0d1117}
.s0{stroke:#6ea8fe}.s1{stroke:#ffa657}.s2{stroke:#56d394}.s3{stroke:#d2a8ff}
.f0{fill:#6ea8fe}.f1{fill:#ffa657}.f2{fill:#56d394}.f3{fill:#d2a8ff}}
</style>
)";

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  // A range of no width is given some, so that it can be drawn.
  void Widen() {
    if (high > low) return;
    const double margin = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= margin;
    high += margin;
  }
};

bool IsFinite(const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

// Draws one chart into `out`.
class Renderer {
 public:
  explicit Renderer(const Chart& chart)
      : chart_(chart),
        left_(kLeft),
        right_(chart.width - (chart.right_axis.factor > 0 ? kRightWithAxis : kRight)),
        top_(kTop),
        bottom_(chart.height - kBottom) {
    for (const ChartSeries& series : chart.series) {
      for (const ChartPoint& point : series.points) {
        if (!IsFinite(point)) continue;
        x_.Add(point.x);
        y_.Add(point.y);
      }
    }
    if (x_.empty()) return;
    if (chart.y_from_zero) y_.Add(0);
    x_.Widen();
    y_.Widen();
    const double margin = (y_.high - y_.low) * 0.04;
    y_.high += margin;
    if (!chart.y_from_zero) y_.low -= margin;
  }

  std::string Run() {
    Add(R"(<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {0:g} {1:g}" width="{0:g}" )"
        R"(height="{1:g}" role="img" aria-label="{2}">)",
        chart_.width, chart_.height, EscapeMarkup(chart_.title));
    out_ += '\n';
    out_ += kStyle;
    Add("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n");
    Add("<text class=\"title\" x=\"{:.1f}\" y=\"22\">{}</text>\n", left_, EscapeMarkup(chart_.title));
    if (x_.empty()) {
      Add("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">no data yet</text>\n",
          (left_ + right_) / 2, (top_ + bottom_) / 2);
    } else {
      Axes();
      for (const bool faint : {true, false}) {
        for (const ChartSeries& series : chart_.series) {
          if (series.faint == faint) Line(series);
        }
      }
      Legend();
    }
    Add("</svg>\n");
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  double X(double x) const { return left_ + (x - x_.low) / (x_.high - x_.low) * (right_ - left_); }
  double Y(double y) const { return bottom_ - (y - y_.low) / (y_.high - y_.low) * (bottom_ - top_); }

  void Axes() {
    for (const double tick : NiceTicks(y_.low, y_.high, 6)) {
      Add("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", left_, right_,
          Y(tick), Y(tick));
      Add("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left_ - 8,
          Y(tick) + 4, FormatTick(tick));
    }
    for (const double tick : NiceTicks(x_.low, x_.high, 7)) {
      Add("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", X(tick),
          bottom_, bottom_ + 5);
      Add("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", X(tick),
          bottom_ + 19, FormatTick(tick));
    }
    Add("<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", left_, right_,
        bottom_, bottom_);
    Add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", (left_ + right_) / 2,
        chart_.height - 10, EscapeMarkup(chart_.x_label));
    SideLabel(chart_.y_label, 14);
    const ChartRightAxis& axis = chart_.right_axis;
    if (axis.factor <= 0) return;
    for (const double tick : NiceTicks(y_.low * axis.factor, y_.high * axis.factor, 6)) {
      const double y = Y(tick / axis.factor);
      Add("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>", right_,
          right_ + 5, y);
      Add("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", right_ + 9, y + 4, FormatTick(tick));
    }
    SideLabel(axis.label, chart_.width - 6);
  }

  void SideLabel(const std::string& label, double x) {
    Add("<text transform=\"translate({:.1f},{:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", x,
        (top_ + bottom_) / 2, EscapeMarkup(label));
  }

  void Line(const ChartSeries& series) {
    Add("<path class=\"line s{}{}\" d=\"", series.color, series.faint ? " faint" : "");
    char command = 'M';
    for (const ChartPoint& point : series.points) {
      if (!IsFinite(point)) continue;
      Add("{}{:.1f} {:.1f}", command, X(point.x), Y(point.y));
      command = 'L';
    }
    Add("\"/>\n");
    if (!series.markers) return;
    for (const ChartPoint& point : series.points) {
      if (!IsFinite(point)) continue;
      Add("<circle class=\"dot f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}: {:.4g} at "
          "{}</title></circle>\n",
          series.color, X(point.x), Y(point.y), EscapeMarkup(series.name), point.y, FormatTick(point.x));
    }
  }

  void Legend() {
    double x = left_;
    for (const ChartSeries& series : chart_.series) {
      if (series.name.empty()) continue;
      const std::string_view faint = series.faint ? " faint" : "";
      Add("<line class=\"line s{0}{1}\" x1=\"{2:.1f}\" x2=\"{3:.1f}\" y1=\"37\" y2=\"37\"/>", series.color,
          faint, x, x + kLegendSwatch);
      if (series.markers) {
        Add("<circle class=\"dot f{}\" cx=\"{:.1f}\" cy=\"37\" r=\"4\"/>", series.color,
            x + kLegendSwatch / 2);
      }
      x += kLegendSwatch + 6;
      Add("<text x=\"{:.1f}\" y=\"41\">{}</text>\n", x, EscapeMarkup(series.name));
      x += kCharacterWidth * static_cast<double>(series.name.size()) + kLegendGap;
    }
  }

  const Chart& chart_;
  const double left_, right_, top_, bottom_;
  Range x_, y_;
  std::string out_;
};

}  // namespace

std::string RenderSvg(const Chart& chart) {
  return Renderer(chart).Run();
}

std::vector<double> NiceTicks(double low, double high, int count) {
  std::vector<double> ticks;
  if (!(high > low) || count < 1 || !std::isfinite(high - low)) return ticks;
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double unit = rough / power;  // 1..10
  const double step = power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10);
  // The index keeps ticks round where adding up steps would drift; the slack keeps ends that rounding moved.
  const double slack = 1e-9;
  for (double index = std::ceil(low / step - slack); index <= high / step + slack; ++index) {
    ticks.push_back(index == 0 ? 0 : index * step);  // no "-0"
  }
  return ticks;
}

std::string FormatTick(double value) {
  constexpr struct {
    double unit;
    const char* suffix;
  } kUnits[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}};
  for (const auto& [unit, suffix] : kUnits) {
    if (std::abs(value) >= unit) return fmt::format("{:.4g}{}", value / unit, suffix);
  }
  return fmt::format("{:.4g}", value);
}

std::string EscapeMarkup(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') escaped += c;
    }
  }
  return escaped;
}

std::vector<ChartPoint> Thin(const std::vector<ChartPoint>& points, size_t max_points) {
  if (points.size() <= max_points) return points;
  std::vector<ChartPoint> thinned;
  thinned.reserve(max_points);
  for (size_t i = 0; i < max_points; ++i) {
    const size_t begin = i * points.size() / max_points, end = (i + 1) * points.size() / max_points;
    ChartPoint sum{0, 0};
    for (size_t j = begin; j < end; ++j) {
      sum.x += points[j].x;
      sum.y += points[j].y;
    }
    const auto count = static_cast<double>(end - begin);
    thinned.push_back({sum.x / count, sum.y / count});
  }
  return thinned;
}

std::vector<ChartPoint> Smooth(const std::vector<ChartPoint>& points, size_t radius) {
  std::vector<double> sums = {0};  // of all y before each point
  std::vector<ChartPoint> smoothed;
  for (const ChartPoint& point : points) {
    if (!IsFinite(point)) continue;
    smoothed.push_back(point);
    sums.push_back(sums.back() + point.y);
  }
  for (size_t i = 0; i < smoothed.size(); ++i) {
    const size_t reach = std::min({radius, i, smoothed.size() - 1 - i});
    smoothed[i].y = (sums[i + reach + 1] - sums[i - reach]) / static_cast<double>(2 * reach + 1);
  }
  return smoothed;
}

}  // namespace qwen25
