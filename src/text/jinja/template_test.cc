#include "text/jinja/template.h"

#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"
#include "text/python_json.h"

namespace qwen25::jinja {
namespace {

using Variables = std::vector<std::pair<std::string, Value>>;

Result<MarkedText> Render(std::string_view source, const Variables& variables = {},
                          const RenderOptions& options = {}) {
  QWEN25_TRY(const Template compiled, Template::Parse(source, "t"));
  return compiled.Render(variables, options);
}

std::string Text(std::string_view source, const Variables& variables = {}) {
  const Result<MarkedText> text = Render(source, variables);
  EXPECT_OK(text);
  return text.ok() ? text->text() : "";
}

// make_jinja_fixtures.py writes what Python's Jinja renders.
TEST(JinjaTemplate, RendersEveryFixtureAsPythonDoes) {
  ASSERT_OK_AND_ASSIGN(const std::string file, ReadFile(SourcePath("tests/reference/fixtures/jinja.json")));
  ASSERT_OK_AND_ASSIGN(const Json fixtures, ParsePythonJson(file, "fixtures"));
  Variables variables;
  for (const auto& [name, value] : fixtures["variables"].items()) {
    variables.emplace_back(name, ValueOf(value, Mark::kSaid));
  }
  const RenderOptions options{.now = fixtures["now"].get<int64_t>()};
  ASSERT_GE(fixtures["cases"].size(), 200u);
  ::setenv("TZ", "UTC", 1);  // strftime_now shows local time
  for (const Json& fixture : fixtures["cases"]) {
    const std::string source = fixture["template"];
    SCOPED_TRACE(source);
    const Result<MarkedText> text = Render(source, variables, options);
    if (fixture["text"].is_null()) {
      EXPECT_FALSE(text.ok()) << text->text();
    } else {
      ASSERT_OK(text);
      EXPECT_EQ(text->text(), fixture["text"].get<std::string>());
    }
  }
}

TEST(JinjaTemplate, ErrorsNameOriginLineAndColumn) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\nb {{ x y }}", "t: line 2, column 8: found \"y\", expected \"}}\""},
      {"{% if x %}\n", "t: line 1, column 11: found the end of the template, expected \"{% elif %}\""},
      {"\n{% nope %}", "t: line 2, column 4: the statement \"nope\" is unknown"},
      {"{{ 'é' | nope }}", "t: line 1, column 10: there is no filter \"nope\""},
      {"{{ x is nope }}", "t: line 1, column 6: there is no test \"nope\""},
      {"{{ \"x }}", "t: line 1, column 4: this string does not end"},
      {"{# x", "t: line 1, column 3: this comment does not end"},
      {"{{ x", "t: line 1, column 3: this tag does not end"},
      {"{{ 1 $ 2 }}", "t: line 1, column 6: the character \"$\" has no meaning here"},
      {"{{ (1] }}", "\"]\" where \")\" was expected"},
      {"{% set true = 1 %}", "only names can be assigned to"},
      {"{% for loop in x %}{% endfor %}", "\"loop\" cannot be assigned to"},
      {"{% break %}", "\"break\" stands outside of a loop"},
      {"{{ f(1, a=2, 3) }}", "arguments must come in this order"},
      {"{{ x.y }}", "t: line 1, column 5: \"x\" is undefined"},
      {"{{ {}.a.b }}", "a value of type dict has no attribute \"a\""},
      {"{{ 1 + 'a' }}", "the operator + does not take int and str"},
      {"\n\n  {{ raise_exception('Roles must alternate') }}",
       "t: line 3, column 21: the chat template refuses this conversation: Roles must alternate"},
      {"{{ [].append(1) }}", "\"append\" of a list is not safe"},
      {"{{ 'x' | random }}", "the filter \"random\" is not available here"},
      {"{{ 'x' | replace('a') }}", "\"replace\" needs the argument \"new\""},
      {"{{ 'x' | trim(nope=1) }}", "\"trim\" has no parameter \"nope\""},
      {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "the macro \"f\" takes 1 arguments, not 2"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{% include 'x' %}", "\"include\" is not available"},
      {"{{ 5() }}", "a value of type int is no function"},
  };
  for (const auto& [source, message] : cases) {
    SCOPED_TRACE(source);
    EXPECT_ERROR_CONTAINS(Render(source), message);
  }
}

TEST(JinjaTemplate, EndsAtItsLimits) {
  const RenderOptions small{.limits = {.steps = 100000, .text_bytes = 100000, .memory_bytes = 1000000}};
  for (const char* source : {
           "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
           "{{ 'x' * 1000000000 }}",
           "{{ [1] * 1000000000 }}",
           "{{ range(100000) | list }}",
           "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
           "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
           "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s | replace('x', 'xx') %}"
           "{% endfor %}",
           "{% set ns = namespace(s=['x']) %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor "
           "%}",
           "{% set ns = namespace(s=['x']) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% endfor "
           "%}{{ ns.s }}",
           "{% set ns = namespace(s=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}",
           "{% for i in range(5000) %}{{ 'x' * 5000 }}{% endfor %}",
           "{{ '%1000000000d' % 1 }}",
           "{{ '{:1000000000}'.format(1) }}",
           "{{ 'x'.center(1000000000) }}",
           "{{ 'x' | center(1000000000) }}",
           "{{ 'x\ny' | indent(1000000000) }}",
           "{{ [1] | tojson(indent=1000000000) }}",
           "{{ (['x' * 1000] * 1000) | join('y' * 90000) }}",
           "{{ ([''] * 9000) | join('y' * 90000) }}",
           "{{ 'a\tb'.expandtabs(1000000000) }}",
           "{{ '1'.zfill(1000000000) }}",
           "{{ range(10) | batch(1000000000, 'x') | list }}",
           "{{ range(10) | slice(1000000000) | list }}",
           "{{ '%.1000000000f' % 1.5 }}",
           "{{ '{:.1000000000}'.format(1.5) }}",
       }) {
    SCOPED_TRACE(source);
    const Result<MarkedText> text = Render(source, {}, small);
    ASSERT_FALSE(text.ok());
    EXPECT_TRUE(text.status().code() == StatusCode::kResourceExhausted ||
                text.status().message().find("cannot be shown") != std::string::npos)
        << text.status().message();
  }
  // A value may hold itself through a namespace; printing it ends.
  EXPECT_ERROR_CONTAINS(Render("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}"),
                        "nested more than");
}

TEST(JinjaTemplate, IsParsedWithinItsLimits) {
  const auto nested = [](const std::string& open, const std::string& close, size_t times) {
    std::string text;
    for (size_t i = 0; i < times; ++i) text += open;
    for (size_t i = 0; i < times; ++i) text += close;
    return text;
  };
  for (const std::string& source : {
           "{{ " + nested("(", ")", 100000) + " }}",
           "{{ " + nested("[", "]", 100000) + " }}",
           "{{ " + nested("-", "", 100000) + "1 }}",
           "{{ " + nested("not ", "", 100000) + "1 }}",
           "{{ 1 " + nested("+ 1", "", 100000) + " }}",
           "{{ x" + nested(".y", "", 100000) + " }}",
           "{{ x" + nested("|e", "", 100000) + " }}",
           nested("{% if x %}", "{% endif %}", 100000),
           nested("{% for x in y %}", "{% endfor %}", 100000),
           "{{ 1 " + nested("if 1 else 1 ", "", 100000) + " }}",
       }) {
    EXPECT_ERROR_CONTAINS(Render(source), "nested deeper than");
  }
  EXPECT_EQ(Text("{{ 1 " + nested("+ 1", "", 200) + " }}"), "201");
}

// ---- Provenance

// The runs of a text: T for the template's, t for trusted ones, s for what was said.
std::string Runs(std::string_view source) {
  const Variables variables = {
      {"said", ValueOf("<said>", Mark::kSaid)},
      {"sys", ValueOf("<sys>", Mark::kTrusted)},
      {"o", ValueOf(Json{{"k", "v\"\n"}, {"n", {1, "x"}}}, Mark::kSaid)},
  };
  const Result<MarkedText> text = Render(source, variables);
  EXPECT_OK(text);
  std::string runs;
  if (!text.ok()) return runs;
  text->ForEachRun([&](std::string_view run, Mark mark) {
    runs += mark == Mark::kTemplate ? "T(" : mark == Mark::kTrusted ? "t(" : "s(";
    runs += std::string(run) + ")";
  });
  return runs;
}

TEST(JinjaTemplate, TextsKeepWhereTheyComeFrom) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a{{ said }}b", "T(a)s(<said>)T(b)"},
      {"{{ 'a' + said + sys }}", "T(a)s(<said>)t(<sys>)"},
      {"{{ 'a' ~ said ~ 1 }}", "T(a)s(<said>)T(1)"},
      {"{{ said[1:3] }}{{ (said + sys)[4:8] }}{{ (sys ~ 'x')[::-1] }}", "s(sad>)t(<s)T(x)t(>sys<)"},
      {"{{ said | upper }}{{ sys | title }}", "s(<SAID>)t(<Sys>)"},
      {"{{ ('  ' + said + '  ') | trim }}", "s(<said>)"},
      {"{{ said | replace('a', 'X') }}", "s(<s)T(X)s(id>)"},
      {"{{ 'a-b' | replace('-', said) }}", "T(a)s(<said>)T(b)"},
      {"{{ (said + ',' + sys).split(',') | join('|') }}", "s(<said>)T(|)t(<sys>)"},
      {"{{ [said, sys] }}", "T([')s(<said>)T(', ')t(<sys>)T('])"},
      {"{{ o | tojson }}", "T({\")s(k)T(\": \")s(v\\\"\\n)T(\", \")s(n)T(\": [1, \")s(x)T(\"]})"},
      {"{{ 'a %s %r' % (said, sys) }}", "T(a )s(<said>)T( ')t(<sys>)T(')"},
      {"{{ '{}-{:>7}'.format(said, sys) }}", "s(<said>)T(-  )t(<sys>)"},
      {"{{ said | length }}{{ said == sys }}", "T(6False)"},
      {"{% set x %}a{{ said }}{% endset %}{{ x }}{{ x | length }}", "T(a)s(<said>)T(7)"},
      {"{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(said) | indent }}", "T([)s(<said>)T(])"},
      {"{% filter upper %}a{{ said }}{% endfilter %}", "T(A)s(<SAID>)"},
      {"{% for c in said %}{{ c }}.{% endfor %}", "s(<)T(.)s(s)T(.)s(a)T(.)s(i)T(.)s(d)T(.)s(>)T(.)"},
      {"{{ said | e }}{{ said | urlencode }}", "s(&lt;said&gt;%3Csaid%3E)"},
      {"{{ o.n | map('string') | join }}{{ o.keys() | list | join }}", "T(1)s(xkn)"},
      {"{{ said.partition('a')[2] }}{{ said.removeprefix('<') }}{{ said | truncate(5, true, '..', 0) }}",
       "s(id>said><sa)T(..)"},
  };
  for (const auto& [source, runs] : cases) {
    SCOPED_TRACE(source);
    EXPECT_EQ(Runs(source), runs);
  }
}

// Whatever a template does to a text of a user, no byte of it is ever the template's. What is said is written
// in letters that no filter adds of its own: "&lt;", "&amp;" and "%3B" hold others. Only 'b', which one
// filter replaces, can be both.
TEST(JinjaTemplate, NothingSaidBecomesTheTemplates) {
  const std::vector<std::string> filters = {"upper",
                                            "trim",
                                            "title",
                                            "reverse",
                                            "replace('b', 'c')",
                                            "e",
                                            "indent(1)",
                                            "string",
                                            "capitalize",
                                            "center(9)",
                                            "list | join('')",
                                            "tojson",
                                            "urlencode",
                                            "truncate(3, true, '')"};
  EXPECT_TRUE(rc::check([&](const std::string& bytes) {
    constexpr std::string_view kLetters = "bhijknoqrsuvwxyz";
    std::string said;
    for (const char c : bytes) said += kLetters[static_cast<unsigned char>(c) % kLetters.size()];
    std::string chain = "{{ x";
    for (size_t i = 0; i < 4; ++i) chain += " | " + filters[*rc::gen::inRange<size_t>(0, filters.size())];
    const Result<MarkedText> text = Render(chain + " }}", {{"x", ValueOf(said, Mark::kSaid)}});
    RC_ASSERT(text.ok());
    text->ForEachRun([&](std::string_view run, Mark mark) {
      if (mark != Mark::kTemplate) return;
      for (const char c : run) {
        const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        RC_ASSERT(lower == 'b' || kLetters.find(lower) == std::string_view::npos);
      }
    });
  }));
}

TEST(MarkedText, PartsAndSumsAgree) {
  EXPECT_TRUE(rc::check([](const std::vector<std::pair<std::string, uint8_t>>& parts) {
    MarkedText text;
    std::string marks;
    for (const auto& [part, mark] : parts) {
      text.Append(part, static_cast<Mark>(mark % 3));
      marks.append(part.size(), static_cast<char>('0' + mark % 3));
    }
    RC_ASSERT(marks.size() == text.size());
    for (size_t i = 0; i < marks.size(); ++i) RC_ASSERT(static_cast<int>(text.MarkAt(i)) == marks[i] - '0');
    const size_t begin = *rc::gen::inRange<size_t>(0, marks.size() + 1);
    const size_t end = *rc::gen::inRange<size_t>(begin, marks.size() + 1);
    MarkedText whole = text.Part(0, begin);
    whole.Append(text.Part(begin, end));
    whole.AppendPart(text, end, text.size());
    RC_ASSERT(whole == text);
    std::string joined;
    Mark last = Mark::kTemplate;
    text.ForEachRun(begin, end, [&](std::string_view run, Mark mark) {
      RC_ASSERT(!run.empty());
      RC_ASSERT(joined.empty() || mark != last);
      last = mark;
      joined += run;
    });
    RC_ASSERT(joined == text.text().substr(begin, end - begin));
  }));
}

TEST(JinjaTemplate, KnowsWhatItReads) {
  ASSERT_OK_AND_ASSIGN(
      const Template compiled,
      Template::Parse("{% for m in x %}{% if m.a %}{{ m['b'] | e }}{% endif %}{% endfor %}", "t"));
  EXPECT_TRUE(compiled.Mentions("a"));
  EXPECT_TRUE(compiled.Mentions("b"));
  EXPECT_TRUE(compiled.Mentions("x"));
  EXPECT_FALSE(compiled.Mentions("for"));
}

TEST(JinjaTemplate, AByteOrderMarkAndLineEndsOfOtherSystemsDoNotCount) {
  EXPECT_EQ(Text("\xEF\xBB\xBF{% if true %}\r\nx\r\n{% endif %}\r\ny\rz\r\n"), "x\ny\nz");
}

}  // namespace
}  // namespace qwen25::jinja
