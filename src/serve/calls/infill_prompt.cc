#include "serve/calls/infill_prompt.h"

#include <array>
#include <optional>
#include <string>

namespace qwen25 {
namespace {

// Names of the tokens before the prefix, the suffix, the middle, a file and a project, by family of models.
struct Family {
  std::string_view prefix, suffix, middle, file, project;
};
constexpr std::array<Family, 4> kFamilies = {{
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>", "<|repo_name|>"},  // Qwen2.5
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<repo_name>"},  // StarCoder, SmolLM
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>", "", ""},                       // SantaCoder
    {"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "", ""},                          // CodeLlama
}};

void AppendText(const Tokenizer& tokenizer, std::string_view text, std::vector<int32_t>& tokens) {
  tokenizer.Encode(text, tokens, SpecialTokens::kAsText);
}

// Source of the form: section 3.2.2 of the report on Qwen2.5-Coder (arXiv:2409.12186). Nobody says what the
// project and the file with the gap are called; llama.cpp writes such words for them, too.
void AppendContext(const Tokenizer& tokenizer, const Family& family, std::span<const InfillContext> context,
                   std::vector<int32_t>& tokens) {
  const std::optional<int32_t> file = tokenizer.TokenId(family.file),
                               project = tokenizer.TokenId(family.project);
  if (file && project) {
    tokens.push_back(*project);
    AppendText(tokenizer, "project\n", tokens);
  }
  for (const InfillContext& other : context) {
    std::string text = other.text.ends_with('\n') ? other.text : other.text + '\n';
    if (file) {
      tokens.push_back(*file);
      text = other.file_name + '\n' + text;
    }
    AppendText(tokenizer, text, tokens);
  }
  if (!file) return;
  tokens.push_back(*file);
  AppendText(tokenizer, "filename\n", tokens);
}

}  // namespace

Result<std::vector<int32_t>> InfillPrompt(const Tokenizer& tokenizer, std::span<const InfillContext> context,
                                          std::string_view prefix, std::string_view suffix) {
  for (const Family& family : kFamilies) {
    const std::optional<int32_t> before_prefix = tokenizer.TokenId(family.prefix),
                                 before_suffix = tokenizer.TokenId(family.suffix),
                                 before_middle = tokenizer.TokenId(family.middle);
    if (!before_prefix || !before_suffix || !before_middle) continue;
    std::vector<int32_t> tokens;
    if (!context.empty()) AppendContext(tokenizer, family, context, tokens);
    tokens.push_back(*before_prefix);
    AppendText(tokenizer, prefix, tokens);
    tokens.push_back(*before_suffix);
    AppendText(tokenizer, suffix, tokens);
    tokens.push_back(*before_middle);
    return tokens;
  }
  return Unsupported(
      "this model was not made to fill in texts: its vocabulary has no token such as <|fim_middle|>");
}

void StopAfterInfill(const Tokenizer& tokenizer, StreamRequest& stream) {
  if (stream.answer.stop_tokens.empty()) return;
  for (const std::string_view name :
       {"<|file_sep|>", "<|repo_name|>", "<|fim_pad|>", "<file_sep>", "<repo_name>", "<fim_pad>"}) {
    if (const std::optional<int32_t> id = tokenizer.TokenId(name)) stream.answer.stop_tokens.push_back(*id);
  }
}

}  // namespace qwen25
