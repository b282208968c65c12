// What check_json_schema.py (tests/reference) drives; not installed.
//
//   grammar_tool [TOKENIZER.gguf]
//
// Reads one JSON object per line: {"schema": ..., "texts": [...], "compact": false}. Writes one per line:
// {"error": message} if the schema does not compile, else {"accepted": [true, ...]}, and "compile_us".
// Without a tokenizer each byte is a token, and the masks are checked on the way: what they allow is
// accepted, nothing else is. With one, "masks_ns" has the time of each mask.
#include <chrono>
#include <iostream>

#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"
#include "pretrained/gguf_tokenizer_io.h"
#include "text/tokenizer.h"

namespace qwen25 {
namespace {

using Clock = std::chrono::steady_clock;

int64_t NanosecondsSince(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
}

struct Vocabulary {
  std::shared_ptr<const TokenTrie> trie;
  std::optional<Tokenizer> tokenizer;  // without one, tokens are bytes
  int32_t end = 0;

  std::vector<int32_t> Encode(const std::string& text) const {
    if (tokenizer) return tokenizer->Encode(text, EncodeOptions{.special = SpecialTokens::kAsText});
    std::vector<int32_t> tokens;
    for (const char c : text) tokens.push_back(static_cast<uint8_t>(c));
    return tokens;
  }
};

Result<Vocabulary> LoadVocabulary(const char* path) {
  Vocabulary vocabulary;
  if (path == nullptr) {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    texts.emplace_back();
    vocabulary.trie = std::make_shared<const TokenTrie>(texts);
    vocabulary.end = 256;
    return vocabulary;
  }
  QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
  QWEN25_TRY(Tokenizer tokenizer, ReadGgufTokenizer(files, path));
  vocabulary.trie = std::make_shared<const TokenTrie>(tokenizer);
  vocabulary.end = tokenizer.eos_id().value_or(0);
  vocabulary.tokenizer = std::move(tokenizer);
  return vocabulary;
}

// Whether the text is accepted up to its end. Adds the times of the masks.
Result<bool> Accepts(const std::shared_ptr<const Grammar>& grammar, const Vocabulary& vocabulary,
                     const std::string& text, Json& masks_ns) {
  QWEN25_TRY(GrammarMatcher matcher, GrammarMatcher::Create(grammar, vocabulary.trie, {vocabulary.end}));
  std::vector<uint64_t> bits((vocabulary.trie->vocab_size() + 63) / 64);
  for (const int32_t token : vocabulary.Encode(text)) {
    const Clock::time_point begin = Clock::now();
    matcher.FillMask(bits);
    masks_ns.push_back(NanosecondsSince(begin));
    const bool is_allowed = bits[static_cast<size_t>(token) / 64] >> (token % 64) & 1;
    const bool is_accepted = matcher.Accept(token);
    if (is_allowed != is_accepted) {
      return Corrupt("the mask and Accept differ for token {} (\"{}\") in {}", token,
                     vocabulary.trie->text(token), text);
    }
    if (!is_accepted) return false;
  }
  return matcher.MayEnd();
}

Result<Json> Check(const Json& task, const Vocabulary& vocabulary) {
  const Clock::time_point begin = Clock::now();
  const auto grammar =
      Grammar::FromJsonSchema(task.at("schema"), {.allow_whitespace = !task.value("compact", false)});
  Json answer = {{"compile_us", NanosecondsSince(begin) / 1000}};
  if (!grammar.ok()) {
    answer["error"] = grammar.status().message();
    return answer;
  }
  answer["accepted"] = Json::array();
  Json masks_ns = Json::array();
  for (const Json& text : task.at("texts")) {
    QWEN25_TRY(const bool accepts, Accepts(*grammar, vocabulary, text.get<std::string>(), masks_ns));
    answer["accepted"].push_back(accepts);
  }
  if (vocabulary.tokenizer) answer["masks_ns"] = std::move(masks_ns);
  return answer;
}

Status Run(const char* tokenizer_path) {
  QWEN25_TRY(const Vocabulary vocabulary, LoadVocabulary(tokenizer_path));
  std::string line;
  while (std::getline(std::cin, line)) {
    QWEN25_TRY(const Json task, ParseJson(line, "standard input"));
    QWEN25_TRY(const Json answer, Check(task, vocabulary));
    std::cout << DumpJson(answer) << std::endl;
  }
  return {};
}

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  const qwen25::Status status = qwen25::Run(argc > 1 ? argv[1] : nullptr);
  if (!status.ok()) std::cerr << "grammar_tool: " << status.message() << '\n';
  return status.ok() ? 0 : 1;
}
