#include "report/recall_map.h"

#include <fmt/format.h>

#include <cmath>

#include "report/chart.h"

namespace qwen25 {
namespace {

constexpr double kLeft = 90, kTop = 48, kCell = 30, kRight = 20, kBottom = 44;

// Green if everything is recalled, red if nothing is.
std::string Color(double accuracy) {
  constexpr double kRed[] = {190, 55, 55}, kGreen[] = {81, 205, 81};
  std::string color = "#";
  for (size_t i = 0; i < 3; ++i) {
    color += fmt::format("{:02x}", std::lround(kRed[i] + accuracy * accuracy * (kGreen[i] - kRed[i])));
  }
  return color;
}

}  // namespace

std::string RenderRecallMap(const RecallMap& map) {
  const size_t depths = map.rows.empty() ? 0 : map.rows[0].accuracy.size();
  const double width = kLeft + kCell * static_cast<double>(depths) + kRight;
  const double height = kTop + kCell * static_cast<double>(map.rows.size()) + kBottom;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
      "{1:.0f}\" font-family=\"system-ui,DejaVu Sans,sans-serif\" font-size=\"11\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      "<text x=\"{2}\" y=\"20\" font-size=\"14\" font-weight=\"600\">{3}</text>\n"
      "<text x=\"{2}\" y=\"38\" font-size=\"10\">{4}</text>\n",
      width, height, kLeft, EscapeMarkup(map.title), EscapeMarkup(map.detail));
  for (size_t row = 0; row < map.rows.size(); ++row) {
    const double y = kTop + kCell * static_cast<double>(row);
    out += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", kLeft - 8,
                       y + kCell / 2 + 4, FormatTick(static_cast<double>(map.rows[row].length)));
    for (size_t i = 0; i < map.rows[row].accuracy.size(); ++i) {
      const double accuracy = map.rows[row].accuracy[i], x = kLeft + kCell * static_cast<double>(i);
      out += fmt::format(
          "<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{:.0f} "
          "%</title></rect>"
          "<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{:.0f}</text>\n",
          x, y, kCell - 1, kCell - 1, Color(accuracy), 100 * accuracy, x + kCell / 2, y + kCell / 2 + 4,
          100 * accuracy);
    }
  }
  out += fmt::format(
      "<text x=\"{:.0f}\" y=\"{:.0f}\">depth of the fact: beginning of the history to its end; % recalled, "
      "by "
      "length in tokens</text>\n</svg>\n",
      kLeft, height - 16);
  return out;
}

}  // namespace qwen25
