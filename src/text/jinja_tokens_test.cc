#include "text/jinja_tokens.h"

#include <rapidcheck.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

using Kind = JinjaPiece::Kind;

JinjaPiece Text(std::string text) {
  return {Kind::kText, std::move(text)};
}
JinjaPiece Print(std::string code) {
  return {Kind::kPrint, std::move(code)};
}
JinjaPiece Statement(std::string code) {
  return {Kind::kStatement, std::move(code)};
}

std::vector<JinjaPiece> Pieces(std::string_view source) {
  Result<std::vector<JinjaPiece>> pieces = JinjaPieces(source);
  EXPECT_OK(pieces);
  return pieces.ok() ? *pieces : std::vector<JinjaPiece>();
}

// What Jinja 3.1 with trim_blocks and lstrip_blocks prints for these templates, piece by piece.
TEST(JinjaPieces, StripsWhiteSpaceAsJinjaDoes) {
  const std::vector<std::pair<std::string, std::vector<JinjaPiece>>> cases = {
      {"", {}},
      {"a\n", {Text("a")}},
      {"a\n\n", {Text("a\n")}},
      {"a \n {{- x -}} \n b", {Text("a"), Print("x"), Text("b")}},
      {"a \n {{ x }} \n b", {Text("a \n "), Print("x"), Text(" \n b")}},
      {"a\n  {% if x %}\n  b\n  {% endif %}\nc",
       {Text("a\n"), Statement("if x"), Text("  b\n"), Statement("endif"), Text("c")}},
      {"a  {% if x %} b", {Text("a  "), Statement("if x"), Text(" b")}},
      {"  {%+ if x +%}\nb", {Text("  "), Statement("if x"), Text("\nb")}},
      {"{% if x %}  {% endif %}", {Statement("if x"), Text("  "), Statement("endif")}},
      {"a {#- note #}\n b {# %} {{ #} c", {Text("a b  c")}},
      {"{{ '}}' }}{{ {'a': {}} }}", {Text("}}"), Print("{ \"a\" : { } }")}},
      {"{{ x }}\n{{ y }}", {Print("x"), Text("\n"), Print("y")}},
  };
  for (const auto& [source, pieces] : cases) EXPECT_EQ(Pieces(source), pieces) << source;
}

TEST(JinjaPieces, SpellingDoesNotMatter) {
  const std::string one =
      "{%- if messages[0]['role'] == 'system' %}\n    {{- '<s>\\n' + m.content + \"</s>\\n\" }}\n{%- endif "
      "%}\n";
  const std::vector<std::string> same = {
      "{%-if messages[0].role==\"system\"-%}{{-\"<s>\\n\"~m['content']~'</s>\\n'-}}{%-endif%}",
      "\xEF\xBB\xBF{%- if messages[0]['role'] == 'system' %}\r\n{{- '<s>' }}{{- '\\n' + m.content }}"
      "{#- a note #}{{- \"</s>\\n\" }}\r\n{%- endif %}\r\n",
      "{%- if messages[0]['role'] == 'system' -%} <s>\n{{ m.content }}</s>\n{% endif %}",
  };
  for (const std::string& other : same) EXPECT_EQ(Pieces(other), Pieces(one)) << other;
  const std::vector<std::string> different = {
      "{%- if messages[0]['role'] == 'system' %}\n    {{- '<s>\\n' + m.content + \"</s>\" }}\n{%- endif %}",
      "{%- if messages[0]['role'] == 'system' %}\n    {{ '<s>\\n' + m.content + \"</s>\\n\" }}\n{%- endif %}",
      "{%- if messages[1]['role'] == 'system' %}\n    {{- '<s>\\n' + m.content + \"</s>\\n\" }}\n{%- endif "
      "%}",
      "{%- if messages[0]['role'] == 'system' %}\n    {{- '<s>\\n' + m.content|trim + \"</s>\\n\" }}\n{%- "
      "endif %}",
  };
  for (const std::string& other : different) EXPECT_NE(Pieces(other), Pieces(one)) << other;
}

TEST(JinjaPieces, OnlyConcatenationsAreTakenApart) {
  EXPECT_EQ(Pieces("{{ 'a' + x if y else 'b' + z }}"), (std::vector{Print("\"a\" + x if y else \"b\" + z")}));
  EXPECT_EQ(Pieces("{{ 'a' * 2 + x }}"), (std::vector{Print("\"a\" * 2 + x")}));
  EXPECT_EQ(Pieces("{{ ('a' + x) ~ 'b' }}"), (std::vector{Print("( \"a\" + x )"), Text("b")}));
  EXPECT_EQ(Pieces(R"({{ 'it\'s \\n \x41\u00e9\q' }})"), (std::vector{Text("it's \\n A\xC3\xA9\\q")}));
}

TEST(JinjaPieces, RawBlocksAreText) {
  EXPECT_EQ(Pieces("a{% raw %}{{ x }}{% endraw %}b"), (std::vector{Text("a{{ x }}b")}));
}

TEST(JinjaPieces, RefusesWhatDoesNotEnd) {
  for (const char* source : {"{{ x", "{% if", "{# note", "{{ 'a }}", "{{ \"a\\", "{% raw %}{{ x }}"}) {
    EXPECT_FALSE(JinjaPieces(source).ok()) << source;
  }
  EXPECT_TRUE(rc::check([] {
    constexpr std::string_view kCharacters = "{}%#-+'\"\\ \nax[].u1";
    std::string source;
    for (const size_t c :
         *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, kCharacters.size()))) {
      source += kCharacters[c];
    }
    const auto pieces = JinjaPieces(source);
    if (!pieces.ok()) return;
    for (size_t i = 1; i < pieces->size(); ++i) {
      RC_ASSERT((*pieces)[i].kind != Kind::kText || (*pieces)[i - 1].kind != Kind::kText);
    }
  }));
}

}  // namespace
}  // namespace qwen25
