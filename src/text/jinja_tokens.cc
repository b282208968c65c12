#include "text/jinja_tokens.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/jinja/lexer.h"

namespace qwen25 {
namespace {

using jinja::Token;
using Tokens = std::vector<Token>;

bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsNamePart(char c) {
  return IsNameStart(c) || (c >= '0' && c <= '9');
}
bool IsOperator(const Token& token, std::string_view text) {
  return token.kind == Token::Kind::kOperator && token.text == text;
}

// x['role'] as x.role.
Tokens WithAttributes(const Tokens& tokens) {
  Tokens out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool has_owner = !out.empty() && (out.back().kind == Token::Kind::kName ||
                                            IsOperator(out.back(), "]") || IsOperator(out.back(), ")"));
    if (has_owner && i + 2 < tokens.size() && IsOperator(tokens[i], "[") &&
        tokens[i + 1].kind == Token::Kind::kString && IsOperator(tokens[i + 2], "]") &&
        !tokens[i + 1].text.empty() && IsNameStart(tokens[i + 1].text[0]) &&
        std::ranges::all_of(tokens[i + 1].text, IsNamePart)) {
      out.push_back({.kind = Token::Kind::kOperator, .at = tokens[i].at, .text = "."});
      out.push_back({.kind = Token::Kind::kName, .at = tokens[i].at, .text = tokens[i + 1].text});
      i += 2;
    } else {
      out.push_back(tokens[i]);
    }
  }
  return out;
}

// Whether printing the expression prints the operands of its + and ~ in turn: nothing outside brackets binds
// less tightly than they do.
bool IsConcatenation(const Tokens& tokens) {
  static constexpr std::array<std::string_view, 7> kWords = {"if", "else", "and", "or", "not", "in", "is"};
  static constexpr std::array<std::string_view, 13> kOperators = {"==", "!=", "<=", ">=", "<",  ">", "-",
                                                                  "*",  "/",  "//", "%",  "**", ","};
  size_t depth = 0;
  for (const Token& token : tokens) {
    if (token.kind == Token::Kind::kName && depth == 0 &&
        std::ranges::find(kWords, token.text) != kWords.end()) {
      return false;
    }
    if (token.kind != Token::Kind::kOperator) continue;
    if (token.text == "(" || token.text == "[" || token.text == "{") ++depth;
    if ((token.text == ")" || token.text == "]" || token.text == "}") && depth > 0) --depth;
    if (depth == 0 && std::ranges::find(kOperators, token.text) != kOperators.end()) return false;
  }
  return true;
}

// Puts pieces together.
class PieceWriter {
 public:
  void AddText(std::string_view text);
  // The tokens between "{{" and "}}".
  void Print(Tokens tokens);
  void AddCode(JinjaPiece::Kind kind, const Tokens& tokens);
  std::vector<JinjaPiece> Take() { return std::move(pieces_); }

 private:
  std::vector<JinjaPiece> pieces_;
};

void PieceWriter::Print(Tokens tokens) {
  const auto add = [&](const Tokens& operand) {
    if (operand.size() == 1 && operand[0].kind == Token::Kind::kString) {
      AddText(operand[0].text);
      // An empty literal is kept: it may stand for an empty text that another template fills.
      if (operand[0].text.empty() && (pieces_.empty() || pieces_.back().kind != JinjaPiece::Kind::kText)) {
        pieces_.push_back({JinjaPiece::Kind::kText, ""});
      }
    } else {
      AddCode(JinjaPiece::Kind::kPrint, operand);
    }
  };
  if (!IsConcatenation(tokens)) return add(tokens);
  Tokens operand;
  size_t depth = 0;
  for (Token& token : tokens) {
    const bool is_operator = token.kind == Token::Kind::kOperator;
    if (is_operator && (token.text == "(" || token.text == "[" || token.text == "{")) ++depth;
    if (is_operator && (token.text == ")" || token.text == "]" || token.text == "}") && depth > 0) --depth;
    if (depth == 0 && (IsOperator(token, "+") || IsOperator(token, "~"))) {
      add(operand);
      operand.clear();
    } else {
      operand.push_back(std::move(token));
    }
  }
  add(operand);
}

void PieceWriter::AddText(std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().kind != JinjaPiece::Kind::kText) {
    pieces_.push_back({JinjaPiece::Kind::kText, ""});
  }
  pieces_.back().content += text;
}

void PieceWriter::AddCode(JinjaPiece::Kind kind, const Tokens& tokens) {
  std::string code;
  for (const Token& token : WithAttributes(tokens)) {
    if (!code.empty()) code += ' ';
    if (token.kind != Token::Kind::kString) {
      code += token.text;
      continue;
    }
    code += '"';
    for (const char c : token.text) {
      if (c == '"' || c == '\\') code += '\\';
      code += c;
    }
    code += '"';
  }
  pieces_.push_back({kind, std::move(code)});
}

}  // namespace

Result<std::vector<JinjaPiece>> JinjaPieces(std::string_view source) {
  const std::string text = jinja::NormalizeSource(source);
  size_t at = 0;
  QWEN25_TRY(Tokens tokens, jinja::Tokenize(text, &at));
  PieceWriter pieces;
  Tokens tag;
  for (Token& token : tokens) {
    switch (token.kind) {
      case Token::Kind::kData:
        pieces.AddText(token.text);
        break;
      case Token::Kind::kPrintEnd:
        pieces.Print(std::exchange(tag, {}));
        break;
      case Token::Kind::kBlockEnd:
        pieces.AddCode(JinjaPiece::Kind::kStatement, std::exchange(tag, {}));
        break;
      case Token::Kind::kPrintBegin:
      case Token::Kind::kBlockBegin:
      case Token::Kind::kEnd:
        break;
      default:
        tag.push_back(std::move(token));
    }
  }
  return pieces.Take();
}

}  // namespace qwen25
