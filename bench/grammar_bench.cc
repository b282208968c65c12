// Speed of token masks: the steps of one JSON text under a schema, with a vocabulary of 128k tokens that are
// made up of syllables and of the punctuation of JSON. tests/reference/check_json_schema.py measures with a
// real tokenizer.
#include <benchmark/benchmark.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"

namespace qwen25 {
namespace {

constexpr std::string_view kSchema = R"({"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 80}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "mail": {"type": "string", "format": "email"}, "tags": {"type": "array", "items": {"type": "string"}},
    "kind": {"enum": ["person", "group"]}}, "required": ["name", "tags"]})";
constexpr std::string_view kText =
    R"({"name": "Ada Lovelace", "age": 36, "mail": "ada@example.com", "tags": ["first", "of many"], "kind": "person", "x": [1.5]})";

// All bytes, words of up to four syllables, some with a space before or JSON's punctuation behind; the last
// token ends the text.
std::vector<std::string> MakeTokens(size_t count) {
  constexpr std::string_view kSyllables[] = {"a",  "ka", "ter", "in", "o",  "de", "st",
                                             "er", "mi", "on",  "th", "un", "le", "ra"};
  constexpr std::string_view kEnds[] = {"\"", "\",", "\":", "\": \"", "\n", "},", "]", "\\"};
  Rng rng(1);
  std::set<std::string> known;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  while (tokens.size() + 1 < count) {
    std::string token = rng.Below(2) == 0 ? " " : "";
    for (uint64_t i = 1 + rng.Below(5); i > 0; --i) token += kSyllables[rng.Below(std::size(kSyllables))];
    if (rng.Below(20) == 0) token += kEnds[rng.Below(std::size(kEnds))];
    if (known.insert(token).second) tokens.push_back(std::move(token));
  }
  tokens.emplace_back();
  return tokens;
}

void Compile(benchmark::State& state) {
  const Json schema = *ParseJson(kSchema, "schema");
  for (auto _ : state) benchmark::DoNotOptimize(Grammar::FromJsonSchema(schema).ok());
}
BENCHMARK(Compile)->Unit(benchmark::kMicrosecond);

// Time per mask. A new matcher for each text, which knows no state yet, or (state.range(1)) one that has seen
// the text.
void Masks(benchmark::State& state) {
  const auto trie = std::make_shared<const TokenTrie>(MakeTokens(static_cast<size_t>(state.range(0))));
  const auto end = static_cast<int32_t>(trie->vocab_size() - 1);
  const auto grammar = *Grammar::FromJsonSchema(*ParseJson(kSchema, "schema"));
  std::vector<uint64_t> bits((trie->vocab_size() + 63) / 64);
  GrammarMatcher matcher = *GrammarMatcher::Create(grammar, trie, {end});
  for (auto _ : state) {
    if (state.range(1) == 0) matcher = *GrammarMatcher::Create(grammar, trie, {end});
    for (const char byte : kText) {
      matcher.FillMask(bits);
      QWEN25_CHECK(matcher.Accept(static_cast<uint8_t>(byte)));
    }
    matcher.Rollback(kText.size());
  }
  state.counters["per_mask"] =
      benchmark::Counter(static_cast<double>(kText.size()),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(Masks)->Args({128000, 0})->Args({128000, 1})->Unit(benchmark::kMicrosecond);

void BuildTrie(benchmark::State& state) {
  const std::vector<std::string> tokens = MakeTokens(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(TokenTrie(tokens).vocab_size());
}
BENCHMARK(BuildTrie)->Arg(128000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace qwen25

BENCHMARK_MAIN();
