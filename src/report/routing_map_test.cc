#include "report/routing_map.h"

#include <gtest/gtest.h>

#include <string>

namespace qwen25 {
namespace {

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

RoutingMap SmallMap() {
  RoutingMap map = {.title = "a <model>", .policy = "top_k:2", .side = 2};
  for (size_t t = 0; t < 128; ++t) {
    map.tokens.push_back(t == 5 ? "<b>" : "x");
    map.blocks_read.push_back(t < 64 ? 1 : 1.5);
  }
  map.layers.push_back({.layer = 0, .cells = {1, 0, 1, 1}});
  map.layers.push_back({.layer = 1, .routed = true, .read_share = 0.75, .cells = {1, 0, 0.5, 1}});
  return map;
}

TEST(RoutingMapTest, ThePageShowsTableTextAndAMapOfEachLayer) {
  const std::string page = RenderRoutingMap(SmallMap());
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_EQ(Count(page, "<figcaption>"), 2u);
  EXPECT_NE(page.find("<figcaption>layer 0, dense</figcaption>"), std::string::npos);
  EXPECT_NE(page.find("<figcaption>layer 1</figcaption>"), std::string::npos);
  EXPECT_NE(page.find("<td>75.0 %</td>"), std::string::npos);
  EXPECT_NE(page.find("a &lt;model&gt;"), std::string::npos) << "markup in names is text";
  EXPECT_EQ(page.find("<b>"), std::string::npos) << "and so is that of tokens";
  EXPECT_EQ(Count(page, "<span title="), 128u);
  EXPECT_EQ(Count(page, "opacity=\"0.5\""), 1u) << "half of the second block's tokens read the first block";
}

TEST(RoutingMapTest, TokensWithoutTextOfTheirOwnAreLeftOut) {
  RoutingMap map = SmallMap();
  map.tokens[7].clear();
  EXPECT_EQ(Count(RenderRoutingMap(map), "<span title="), 127u);
}

TEST(RoutingMapTest, TheFigureIsOneElement) {
  const std::string figure = RenderRoutingFigure(SmallMap());
  EXPECT_TRUE(figure.starts_with("<svg "));
  EXPECT_TRUE(figure.ends_with("</svg>\n"));
  EXPECT_EQ(Count(figure, "class=\"caption\""), 2u);
  EXPECT_NE(figure.find("Blocks of 64 tokens"), std::string::npos);
}

}  // namespace
}  // namespace qwen25
