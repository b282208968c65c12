// What grammars of JSON Schema accept. tests/reference/check_json_schema.py compares much more with the
// standard's own test suite.
#include <gtest/gtest.h>

#include "base/json.h"
#include "grammar/grammar_test_util.h"

namespace qwen25 {
namespace {

Result<Grammar::Pointer> Compile(std::string_view schema, const SchemaOptions& options = {}) {
  QWEN25_TRY(const Json json, ParseJson(schema, "schema"));
  return Grammar::FromJsonSchema(json, options);
}

void Check(std::string_view schema, const std::vector<std::string_view>& valid,
           const std::vector<std::string_view>& invalid) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, Compile(schema));
  for (const auto text : valid) EXPECT_TRUE(Matches(grammar, text)) << schema << "\nand " << text;
  for (const auto text : invalid) EXPECT_FALSE(Matches(grammar, text)) << schema << "\nand " << text;
}

TEST(JsonSchemaTest, Types) {
  Check(R"({"type": "null"})", {"null"}, {"true", ""});
  Check(R"({"type": ["boolean", "null"]})", {"true", "false", "null"}, {"0"});
  Check(R"({"type": "integer"})", {"0", "-12", "123"}, {"01", "1.0", "1e3", "-", "+1"});
  Check(R"({"type": "number"})", {"0", "-1.50", "1e9", "2.5E-3"}, {"1.", ".5", "1e999", "01"});
  Check(R"({"type": "array"})", {"[]", "[1,\"a\",{},[null]]"}, {"[1,]", "[,]", "["});
  Check("true", {"1", "{}", "\"a\""}, {"", "nul"});
  Check("{}", {"{\"a\":{\"b\":[]}}"}, {"{a:1}"});
  EXPECT_ERROR_CONTAINS(Compile("false"), "no text matches");
}

TEST(JsonSchemaTest, Strings) {
  Check(R"({"type": "string"})", {R"("")", R"("a\n\u00e9\ud83d\ude00\/")", "\"\xC3\xA9\""},
        {"\"\n\"", R"("\ud83d")", R"("\ude00")", R"("\x")", "\"\xC3\"", "\"\xED\xA0\x80\""});
  // An escape, a pair of escaped surrogates and a character of four bytes are one code point each.
  Check(R"({"type": "string", "minLength": 2, "maxLength": 3})",
        {R"("ab")", R"("a\n")", R"("\ud83d\ude00a\u0041")", "\"\xF0\x9F\x98\x80\xC3\xA9\""},
        {R"("a")", R"("abcd")"});
  const std::string long_text = "\"" + std::string(70001, 'x') + "\"";
  Check(R"({"type": "string", "minLength": 70000})", {long_text}, {"\"x\""});
  Check(R"({"type": "string", "pattern": "b+"})", {R"("abc")", R"("\"b")", R"("b\\")"},
        {R"("ac")", "\"b\n\""});
  Check(R"({"type": "string", "pattern": "^[\"\\\\\\n]$"})", {R"("\"")", R"("\\")", R"("\n")"},
        {R"("""")", "\"\\\""});
  Check(R"({"type": "string", "pattern": "^a*$", "maxLength": 2})", {R"("")", R"("aa")"}, {R"("aaa")"});
  Check(R"({"type": "string", "pattern": "^a", "allOf": [{"pattern": "z$"}]})", {R"("az")"},
        {R"("a")", R"("z")"});
}

TEST(JsonSchemaTest, Numbers) {
  Check(R"({"type": "integer", "minimum": -12, "maximum": 103})", {"-12", "-1", "0", "99", "103"},
        {"-13", "104", "1000", "-20"});
  Check(R"({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10})", {"1", "9"}, {"0", "10"});
  Check(R"({"minimum": 5})", {"5", "1000", "\"4\"", "5.5"}, {"4", "-6", "4.99"});
  Check(R"({"type": "number", "minimum": -0.5, "exclusiveMaximum": 2.25})",
        {"-0.5", "-0.499", "0", "2.2499", "2"}, {"-0.51", "2.25", "2.2500", "3", "-1"});
  Check(R"({"type": "number", "maximum": -1.5})", {"-1.5", "-1.50", "-2", "-100"}, {"-1.4", "-1", "1.5"});
  Check(R"({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 50})", {"7", "49"},
        {"0", "1", "56"});
  Check(R"({"type": "number", "multipleOf": 0.25})", {"0.25", "-1.5", "3", "3.00"}, {"0.3", "0.251"});
  // Numbers have at most 64 digits, and none in scientific notation where there is a bound.
  EXPECT_ERROR_CONTAINS(Compile(R"({"type": "number", "minimum": 1e300})"), "no text matches");
  Check(R"({"type": "number", "maximum": 1e300})", {"123"}, {"null"});
}

TEST(JsonSchemaTest, Constants) {
  Check(R"({"enum": [1, "a\"b", null, {"k": [1, 2]}]})",
        {"1", R"("a\"b")", "null", R"({"k":[1,2]})", R"({ "k": [ 1, 2 ] })"}, {"2", R"({"k":[1]})"});
  Check(R"({"const": "x", "type": "string"})", {"\"x\""}, {"\"y\""});
  Check(R"({"type": "integer", "enum": [1, "a", 3.5, 12], "minimum": 2})", {"12"}, {"1", "\"a\"", "3.5"});
}

TEST(JsonSchemaTest, ObjectsHaveTheirPropertiesInOrder) {
  constexpr std::string_view kSchema = R"({"type": "object", "properties": {"a": {"type": "integer"},
      "b": {"type": "string"}, "c": {"type": "null"}}, "required": ["b"], "additionalProperties": false})";
  Check(kSchema, {R"({"b":""})", R"({"a":1,"b":"","c":null})", R"({"b":"","c":null})", "{\n  \"b\": \"\"\n}"},
        {"{}", R"({"a":1})", R"({"b":"","a":1})", R"({"a":"","b":""})", R"({"b":"","d":1})", R"({"b":"",})",
         R"({,"b":""})", R"({"b":"" "c":null})"});
  Check(
      R"({"type": "object", "properties": {"a": false}, "required": ["z"], "additionalProperties": {"type": "integer"}})",
      {R"({"z":1})", R"({"z":1,"q":2})"}, {R"({"q":2})", R"({"z":1,"a":1})", R"({"z":null})"});
  Check(R"({"type": "object", "minProperties": 2, "maxProperties": 3, "properties": {"a": {}, "b": {}}})",
        {R"({"a":1,"b":1})", R"({"a":1,"x":1})", R"({"x":1,"y":1,"z":1})"},
        {"{}", R"({"a":1})", R"({"a":1,"b":1,"x":1,"y":1})"});
}

TEST(JsonSchemaTest, NamesByPattern) {
  Check(
      R"({"type": "object", "patternProperties": {"^i": {"type": "integer"}, "s$": {"type": ["string", "integer"]}},
            "additionalProperties": false})",
      {R"({"i1":1})", R"({"as":"x"})", R"({"is":3})"}, {R"({"is":"x"})", R"({"a":1})", R"({"i":"x"})"});
  Check(R"({"type": "object", "propertyNames": {"pattern": "^[a-c]$"}})", {R"({"a":1,"c":{}})"},
        {R"({"d":1})"});
  Check(
      R"({"type": "object", "properties": {"in": {"minimum": 3}}, "patternProperties": {"^i": {"type": "integer"}}})",
      {R"({"in":3})"}, {R"({"in":2})", R"({"in":"x"})"});
}

TEST(JsonSchemaTest, NoKeyComesTwice) {
  Check(R"({"type": "object"})", {R"({"a":1,"ab":{"a":1},"b":[{"a":1}]})"},
        {R"({"a":1,"a":2})", R"({"x":{"k":1,"k":1}})", R"({"\u0061":1})"});
  Check(R"({"type": "object", "properties": {"a": {}}})", {R"({"a":1,"b":2})"},
        {R"({"a":1,"a":2})", R"({"b":1,"a":2})"});
  Check(R"({"anyOf": [{"properties": {"a": {"type": "null"}}}, {"required": ["b"]}]})", {R"({"b":1,"a":2})"},
        {R"({"a":1,"b":1,"a":2})"});
}

TEST(JsonSchemaTest, Arrays) {
  Check(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
        {"[1]", "[1, 2,3]"}, {"[]", "[1,2,3,4]", "[\"a\"]"});
  Check(R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})",
        {"[]", "[1]", "[1,\"a\"]"}, {"[\"a\"]", "[1,\"a\",1]"});
  Check(
      R"({"type": "array", "items": [{"type": "integer"}], "additionalItems": {"type": "null"}, "minItems": 2})",
      {"[1,null]", "[1,null,null]"}, {"[1]", "[1,2]"});
  Check(R"({"type": "array", "maxItems": 0})", {"[]", "[ ]"}, {"[1]"});
  Check(R"({"type": "array", "items": {"type": "integer"}, "minItems": 500, "maxItems": 501})", {},
        {"[]", "[1]"});
}

TEST(JsonSchemaTest, Combinations) {
  Check(R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})", {"1", "\"a\""},
        {"\"ab\"", "null"});
  Check(R"({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false,
            "allOf": [{"properties": {"a": {"minimum": 3}}, "required": ["a"]}]})",
        {R"({"a":3})"}, {"{}", R"({"a":2})", R"({"a":3,"b":1})"});
  Check(R"({"oneOf": [{"properties": {"k": {"const": "a"}}, "required": ["k"], "type": "object"},
                      {"properties": {"k": {"const": "b"}, "n": {"type": "integer"}}, "required": ["k", "n"],
                       "type": "object"}]})",
        {R"({"k":"a"})", R"({"k":"b","n":1})"}, {R"({"k":"b"})", R"({"k":"c"})"});
  Check(R"({"oneOf": [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 7}]})", {"4", "8"},
        {"5", "6", "7"});
  Check(R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
        {R"({"a":1})", R"({"b":1})"}, {"{}", R"({"a":1,"b":1})"});
  Check(R"({"type": "string", "not": {"enum": ["a", "b"]}})", {"\"c\"", "\"\"", "\"ab\""},
        {"\"a\"", "\"b\""});
  Check(R"({"not": {"type": ["object", "array"]}})", {"1", "null"}, {"[]", "{}"});
  Check(R"({"type": "object", "properties": {"t": {"enum": ["x", "y"]}, "v": {}}, "required": ["t"],
            "if": {"properties": {"t": {"const": "x"}}}, "then": {"required": ["v"]}, "additionalProperties": false})",
        {R"({"t":"x","v":1})", R"({"t":"y"})"}, {R"({"t":"x"})"});
  Check(R"({"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}})",
        {"{}", R"({"b":1})", R"({"a":1,"b":1})"}, {R"({"a":1})"});
}

TEST(JsonSchemaTest, PropertiesOfBranchesStandWhereTheBranchesDo) {
  Check(R"({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "null"},
            "allOf": [{"anyOf": [{"properties": {"b": {}}, "if": {"required": ["b"]}, "then": {"properties": {"c": {}}}}]},
                      {"properties": {"d": {}}}]})",
        {R"({"a":null,"b":null,"c":null,"d":null})", R"({"a":null,"d":null})"},
        {R"({"a":null,"d":null,"b":null})", R"({"d":null,"a":null})"});
}

TEST(JsonSchemaTest, References) {
  Check(R"({"$ref": "#/$defs/list", "$defs": {"list": {"anyOf": [{"type": "null"}, {"type": "object",
            "properties": {"next": {"$ref": "#/$defs/list"}}, "required": ["next"], "additionalProperties": false}]}}})",
        {"null", R"({"next":{"next":null}})"}, {"{}", R"({"next":1})"});
  Check(R"({"items": {"$ref": "#"}, "type": "array"})", {"[]", "[[],[[]]]"}, {"[1]"});
  Check(R"({"$ref": "#name", "$defs": {"x": {"$anchor": "name", "type": "integer"}}})", {"1"}, {"\"1\""});
  Check(R"({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}})", {"1"}, {"\"1\""});
  EXPECT_ERROR_CONTAINS(Compile(R"({"properties": {"a": {"$ref": "other.json"}}})"),
                        "\"$ref\" at #/properties/a: \"other.json\" leads outside of this document");
  EXPECT_ERROR_CONTAINS(Compile(R"({"$ref": "#/nowhere"})"), "there is nothing at \"#/nowhere\"");
  EXPECT_ERROR_CONTAINS(Compile(R"({"$ref": "#"})"), "leads back to itself");
  EXPECT_ERROR_CONTAINS(Compile(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})"), "leads back to itself");
  // Values that would have no end.
  EXPECT_ERROR_CONTAINS(
      Compile(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})"),
      "no text matches");
}

TEST(JsonSchemaTest, Formats) {
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"date-time", "2024-02-29T23:59:59.5+01:00", "2023-02-29T00:00:00Z"},
      {"date", "2000-02-29", "1900-02-29"},
      {"time", "08:30:06Z", "24:00:00Z"},
      {"duration", "P1DT2H", "P"},
      {"email", "joe.b+x@example.com", "joe@"},
      {"hostname", "a-b.example", "-a.example"},
      {"ipv4", "192.168.0.255", "256.0.0.1"},
      {"ipv6", "::ffff:1.2.3.4", "1::2::3"},
      {"uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"},
      {"uri", "https://a.b/c?d#e", "a b"},
      {"uri-reference", "../a?b", "a\\\\b"},
      {"json-pointer", "/a/~1", "/~2"}};
  for (const auto& [format, valid, invalid] : cases) {
    const std::string good = "\"" + std::string(valid) + "\"", bad = "\"" + std::string(invalid) + "\"";
    Check(fmt::format(R"({{"type": "string", "format": "{}"}})", format), {good}, {bad});
  }
  Check(R"({"type": "integer", "format": "int32"})", {"2147483647"}, {"2147483648"});
  EXPECT_ERROR_CONTAINS(Compile(R"({"format": "nonsense"})"), "the format \"nonsense\" is not handled");
  EXPECT_OK(Compile(R"({"format": "nonsense"})", {.ignore_unknown_formats = true}));
}

TEST(JsonSchemaTest, WhitespaceIsBounded) {
  constexpr std::string_view kSchema = R"({"type": "array", "items": {"type": "object"}})";
  ASSERT_OK_AND_ASSIGN(const auto compact, Compile(kSchema, {.allow_whitespace = false}));
  EXPECT_TRUE(Matches(compact, R"([{"a":1},{}])"));
  EXPECT_FALSE(Matches(compact, R"([{"a": 1}])"));
  EXPECT_FALSE(Matches(compact, "[ ]"));
  ASSERT_OK_AND_ASSIGN(const auto loose, Compile(kSchema));
  EXPECT_TRUE(Matches(loose, "[\n  {\n    \"a\": 1\n  }, {}\n]"));
  EXPECT_FALSE(Matches(loose, "[  ]"));
  EXPECT_FALSE(Matches(loose, "[\n\n]"));
  EXPECT_FALSE(Matches(loose, "[\n" + std::string(41, ' ') + "]"));
}

TEST(JsonSchemaTest, RefusesByNameWithThePlace) {
  const std::pair<std::string_view, std::string> cases[] = {
      {R"({"properties": {"a/b": {"contains": {}}}})", "\"contains\" at #/properties/a~1b is not handled"},
      {R"({"items": {"uniqueItems": true}})", "\"uniqueItems\" at #/items is not handled"},
      {R"({"$dynamicRef": "#a"})", "\"$dynamicRef\" at # is not handled"},
      {R"({"unevaluatedProperties": false, "anyOf": [{}]})",
       "\"unevaluatedProperties\" at # beside \"anyOf\""},
      {R"({"oneOf": [{"type": "object"}, {"patternProperties": {"a": {}}}]})",
       "the branches 0 and 1 may hold together"},
      {R"({"not": {"items": {}}})", "\"items\" at #/not in what must not hold is not handled"},
      {R"({"not": {"const": 1}})", "the value 1 in what must not hold is not handled"},
      {R"({"pattern": "(?=ab)c"})", "\"pattern\" at #: \"(?=ab)c\": the lookaround"},
      {R"({"type": "text"})", "\"type\" at #: expected null, boolean, integer"},
      {R"({"minLength": -1})", "\"minLength\" at #: expected a number of 0 or more"},
      {R"({"minimum": "1"})", "\"minimum\" at #: expected a number"},
      {R"({"required": "a"})", "\"required\" at #: expected a list of names"},
      {R"({"properties": []})", "\"properties\" at #: expected an object"},
      {R"({"anyOf": []})", "\"anyOf\" at #: expected a list of schemas"},
      {R"({"properties": {"a": 1}})", "#/properties/a: expected a schema"},
      {R"({"multipleOf": 0})", "\"multipleOf\" at #: expected a number above 0"},
      {R"({"multipleOf": 0.0000000001})", "a multipleOf of more than"},
      {R"("text")", "#: expected a schema"},
  };
  for (const auto& [schema, message] : cases) EXPECT_ERROR_CONTAINS(Compile(schema), message) << schema;
}

TEST(JsonSchemaTest, HostileSchemasEndInAnErrorThatNamesTheLimit) {
  // 2^n ways to satisfy.
  Json many = {{"allOf", Json::array()}};
  for (int i = 0; i < 30; ++i) {
    const std::string name(1, static_cast<char>('A' + i));
    many["allOf"].push_back({{"anyOf", {{{"required", {name}}}, {{"required", {name + "x"}}}}}});
  }
  EXPECT_ERROR_CONTAINS(Grammar::FromJsonSchema(many), "more than 1024 combinations");
  Json deep = true;
  for (int i = 0; i < 3000; ++i) deep = {{"allOf", Json::array({std::move(deep)})}};
  EXPECT_ERROR_CONTAINS(Grammar::FromJsonSchema(deep), "more than 200 schemas that lead to each other");
  Json nested = {{"type", "integer"}};
  for (int i = 0; i < 3000; ++i) nested = {{"type", "array"}, {"items", std::move(nested)}, {"minItems", 1}};
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromJsonSchema(nested));
  EXPECT_TRUE(Matches(grammar, std::string(3000, '[') + "1" + std::string(3000, ']')));
  EXPECT_ERROR_CONTAINS(Compile(R"({"pattern": "(a|b)*a(a|b){40}"})"), "more than");
  EXPECT_ERROR_CONTAINS(Compile(R"({"type": "object", "minProperties": 1000000})"), "needs more than");
}

}  // namespace
}  // namespace qwen25
