// Line charts as SVG: axes with round ticks, grid, legend, colours that follow the reader's light or dark
// theme. No scripts, no fonts, no other files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

struct ChartPoint {
  double x, y;
};

// One line. Points are in ascending order of x; those that are not finite are left out.
struct ChartSeries {
  std::string name = {};  // in the legend; empty: not listed
  std::vector<ChartPoint> points = {};
  int color = 0;         // 0..3 of the palette
  bool faint = false;    // a thin, pale line under the others: raw data under its average
  bool markers = false;  // a dot per point, with its value on hover
};

// A second scale on the right: right = left * factor.
struct ChartRightAxis {
  std::string label = {};
  double factor = 0;  // 0: none
};

struct Chart {
  std::string title = {};
  std::string x_label = {}, y_label = {};
  std::vector<ChartSeries> series = {};
  ChartRightAxis right_axis = {};
  bool y_from_zero = false;
  double width = 760, height = 380;
};

// The chart as one <svg> element, with its own style: good as a file and inside a page. A chart without
// points says so.
std::string RenderSvg(const Chart& chart);

// Round numbers that divide [low, high] into about `count` parts (steps of 1, 2 or 5 times a power of ten),
// all inside the range.
std::vector<double> NiceTicks(double low, double high, int count);

// "0", "250", "1.5k", "12M", "0.0003", "2e-05".
std::string FormatTick(double value);

// Text for element content and attribute values of HTML and SVG; control characters other than tab and
// newline are dropped.
std::string EscapeMarkup(std::string_view text);

// At most `max_points`, each the mean of an equal share of neighbours.
std::vector<ChartPoint> Thin(const std::vector<ChartPoint>& points, size_t max_points);

// Each point's mean with `radius` neighbours on either side, fewer towards the ends, so that a falling curve
// is not delayed.
std::vector<ChartPoint> Smooth(const std::vector<ChartPoint>& points, size_t radius);

}  // namespace qwen25
