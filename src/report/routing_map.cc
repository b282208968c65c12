#include "report/routing_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "report/chart.h"

namespace qwen25 {
namespace {

constexpr size_t kShownTokens = 2000;  // of the text, its last ones
constexpr int kLevels = 8;             // of darkness
constexpr double kCellPixels = 4;

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Attention routing</title><style>
body{font:14px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;margin:24px;color:#1f2328;background:#fff}
table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #d8dee4}
figure{display:inline-block;margin:8px}figcaption{font-size:12px;color:#656d76}
pre{white-space:pre-wrap;max-width:960px;line-height:1.5}svg.map{background:#f3f5f7}
svg.map rect{fill:#2563c9}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#30363d}
svg.map{background:#161b22}svg.map rect{fill:#6ea8fe}figcaption{color:#9aa4af}}
</style></head><body>
)";

std::string LayerTable(const RoutingMap& map) {
  std::string out =
      "<table><tr><th>layer</th><th>blocks read</th><th>attention held, estimated</th><th>at least</th>"
      "<th>dense after all</th><th>GFLOP</th><th>saved</th><th>ms</th><th>ms dense</th></tr>\n";
  for (const RoutingMapLayer& layer : map.layers) {
    out += fmt::format(
        "<tr><td>{}</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:.2f}</td>"
        "<td>{:.2f}</td><td>{:.1f}</td><td>{:.1f}</td></tr>\n",
        layer.layer, 100 * layer.read_share, 100 * layer.estimated_share, 100 * layer.certain_share,
        100 * layer.dense_again, layer.gflops, layer.saved_gflops, 1e3 * layer.seconds,
        1e3 * layer.dense_seconds);
  }
  return out + "</table>\n";
}

double MapPixels(size_t side) {
  return std::max(kCellPixels * static_cast<double>(side), 192.0);
}

// One <svg> element. Equal neighbours of a row become one rectangle.
std::string LayerMap(const RoutingMapLayer& layer, size_t side) {
  std::string out = fmt::format(
      "<svg class=\"map\" width=\"{0:.0f}\" height=\"{0:.0f}\" viewBox=\"0 0 {1} {1}\" "
      "shape-rendering=\"crispEdges\" role=\"img\">\n",
      MapPixels(side), side);
  const auto level = [&](size_t row, size_t col) {
    return static_cast<int>(std::ceil(layer.cells[row * side + col] * kLevels));
  };
  for (size_t row = 0; row < side; ++row) {
    for (size_t col = 0, end; col < side; col = end) {
      for (end = col + 1; end < side && level(row, end) == level(row, col);) ++end;
      if (level(row, col) == 0) continue;
      out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"1\" opacity=\"{:.3g}\"/>", col, row,
                         end - col, static_cast<double>(level(row, col)) / kLevels);
    }
  }
  return out + "\n</svg>";
}

std::string LayerCaption(const RoutingMapLayer& layer) {
  return fmt::format("layer {}{}", layer.layer, layer.routed ? "" : ", dense");
}

std::string BudgetChart(const RoutingMap& map) {
  const std::vector<double>& read = map.blocks_read;
  ChartSeries visible = {.name = "visible", .color = 1}, budget = {.name = "read", .color = 0},
              raw = {.color = 0, .faint = true};
  for (size_t t = 0; t < read.size(); ++t) {
    visible.points.push_back({static_cast<double>(t), static_cast<double>(t / map.block_tokens + 1)});
    raw.points.push_back({static_cast<double>(t), read[t]});
  }
  budget.points = Smooth(Thin(raw.points, 400), 2);
  raw.points = Thin(raw.points, 800);
  visible.points = Thin(visible.points, 200);
  return RenderSvg({.title = fmt::format("Blocks of {} tokens that a token reads", map.block_tokens),
                    .x_label = "position",
                    .y_label = "blocks, mean over routed layers",
                    .series = {raw, visible, budget},
                    .y_from_zero = true});
}

// The text, dark where tokens read much.
std::string BudgetText(const RoutingMap& map) {
  const std::vector<double>& read = map.blocks_read;
  const size_t begin = read.size() > kShownTokens ? read.size() - kShownTokens : 0;
  const auto [low, high] = std::ranges::minmax(std::span(read).subspan(begin));
  std::string out = "<pre>";
  for (size_t t = begin; t < read.size(); ++t) {
    if (map.tokens[t].empty()) continue;
    const double strength = high > low ? (read[t] - low) / (high - low) : 0;
    out += fmt::format("<span title=\"{:.1f}\" style=\"background:rgba(37,99,201,{:.2f})\">{}</span>",
                       read[t], 0.6 * strength, EscapeMarkup(map.tokens[t]));
  }
  return out + "</pre>\n";
}

}  // namespace

std::string RenderRoutingMap(const RoutingMap& map) {
  std::string out(kHead);
  out += fmt::format("<h1>Attention routing</h1>\n<p>{}, {} tokens; policy <code>{}</code></p>\n",
                     EscapeMarkup(map.title), map.tokens.size(), EscapeMarkup(map.policy));
  out += LayerTable(map);
  out += "<h2>Budget per token</h2>\n" + BudgetChart(map);
  out += fmt::format("<p>The text{}, dark where a token reads many blocks:</p>\n",
                     map.tokens.size() > kShownTokens ? fmt::format("'s last {} tokens", kShownTokens) : "");
  out += BudgetText(map);
  out += "<h2>Who reads what</h2>\n<p>Tokens downwards, the blocks that they read to the right.</p>\n";
  for (const RoutingMapLayer& layer : map.layers) {
    out += fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", LayerMap(layer, map.side),
                       EscapeMarkup(LayerCaption(layer)));
  }
  return out + "</body></html>\n";
}

std::string RenderRoutingFigure(const RoutingMap& map) {
  constexpr size_t kColumns = 3;
  constexpr double kMargin = 16, kCaption = 24;
  const Chart sizes;
  const size_t layers = map.layers.size();
  const double step = MapPixels(map.side) + kMargin;
  const double width =
      std::max(sizes.width, kMargin + step * static_cast<double>(std::min(kColumns, layers)));
  const double height =
      sizes.height + (step + kCaption) * static_cast<double>((layers + kColumns - 1) / kColumns) + kMargin;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
      "{1:.0f}\" font-family=\"system-ui,DejaVu Sans,sans-serif\" font-size=\"12\">\n"
      "<style>svg.map "
      "rect{{fill:#2563c9}}.page{{fill:#ffffff}}.ground{{fill:#f3f5f7}}.caption{{fill:#656d76}}\n"
      "@media (prefers-color-scheme:dark){{svg.map rect{{fill:#6ea8fe}}.page{{fill:#0d1117}}"
      ".ground{{fill:#161b22}}.caption{{fill:#9aa4af}}}}</style>\n"
      "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{2}",
      width, height, BudgetChart(map));
  for (size_t layer = 0; layer < layers; ++layer) {
    const double x = kMargin + step * static_cast<double>(layer % kColumns);
    const double y = sizes.height + kCaption + (step + kCaption) * static_cast<double>(layer / kColumns);
    out += fmt::format(
        "<text class=\"caption\" x=\"{0:.0f}\" y=\"{1:.0f}\">{2}</text><g transform=\"translate({0:.0f} "
        "{3:.0f})\"><rect class=\"ground\" width=\"{4:.0f}\" height=\"{4:.0f}\"/>{5}</g>\n",
        x, y - 6, EscapeMarkup(LayerCaption(map.layers[layer])), y, step - kMargin,
        LayerMap(map.layers[layer], map.side));
  }
  return out + "</svg>\n";
}

}  // namespace qwen25
