#include "serve/http/query_parameters.h"

#include "base/test_util.h"

namespace qwen25 {
namespace {

using Parameters = std::map<std::string, std::string>;

TEST(ParseQueryTest, NamesAndValues) {
  EXPECT_EQ(ParseQuery("").value(), Parameters());
  EXPECT_EQ(ParseQuery("a=1&b=x%20y+z&c&&d=").value(),
            (Parameters{{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"d", ""}}));
  EXPECT_EQ(ParseQuery("n=%C3%86r%c3%b8&x=a=b").value(), (Parameters{{"n", "Ærø"}, {"x", "a=b"}}));
}

TEST(ParseQueryTest, RefusesWhatIsUnclear) {
  for (const char* text : {"a=%", "a=%2", "a=%2x", "a=%+1", "%zz=1", "a=%-1"}) {
    EXPECT_ERROR_CONTAINS(ParseQuery(text), "hexadecimal") << text;
  }
  EXPECT_ERROR_CONTAINS(ParseQuery("a=1&b=2&a=3"), "\"a\" twice");
}

}  // namespace
}  // namespace qwen25
