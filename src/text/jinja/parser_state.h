// What the two halves of the parser share: the tokens, and where it stands. Included by parser*.cc only.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace qwen25::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // The statements of a whole template.
  Result<Body> Run();
  size_t at() const { return Current().at; }

 private:
  using Kind = Token::Kind;

  // ---- Tokens
  const Token& Current() const { return tokens_[next_]; }
  const Token& Look() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  Token Take() { return next_ + 1 < tokens_.size() ? std::move(tokens_[next_++]) : tokens_[next_]; }
  bool Is(Kind kind) const { return Current().kind == kind; }
  bool IsName(std::string_view name) const { return Is(Kind::kName) && Current().text == name; }
  bool IsOperator(std::string_view text) const { return Is(Kind::kOperator) && Current().text == text; }
  bool SkipName(std::string_view name);
  bool SkipOperator(std::string_view text);
  Status ExpectOperator(std::string_view text);
  Status ExpectName(std::string_view name);
  Status Expect(Kind kind);
  Result<std::string> TakeName();
  std::string Described() const;
  Status Unexpected(std::string_view wanted) const;

  // ---- Statements (parser.cc)
  Result<Body> Statements(std::initializer_list<std::string_view> ends);
  Result<Body> Block(std::initializer_list<std::string_view> ends);
  Result<Body> BlockUntil(std::string_view end);
  Result<StmtPtr> Statement();
  Result<StmtPtr> Set();
  Result<StmtPtr> For();
  Result<StmtPtr> If();
  Result<StmtPtr> Macro();
  Result<StmtPtr> Call();
  Result<StmtPtr> Generation();
  Result<StmtPtr> FilterBlock();
  Result<StmtPtr> With();
  Result<StmtPtr> Autoescape();
  Result<StmtPtr> NamedBlock();
  Result<StmtPtr> LoopControl(StmtKind kind);
  Result<StmtPtr> Unavailable();
  Status PrintStatement(Body& body);
  Status Signature(Stmt& statement);
  StmtPtr NewStmt(StmtKind kind) { return std::make_unique<Stmt>(kind, Current().at); }
  Result<StmtPtr> Finished(StmtPtr statement) const;
  Status FunctionBody(Stmt& statement, std::string_view end);

  // ---- Expressions (parser_expressions.cc)
  struct TupleRule {
    bool with_condition = true;      // x if y else z is allowed
    bool is_target = false;          // names and literals only
    bool with_namespace = false;     // a target may be name.attribute
    bool in_parentheses = false;     // may be empty
    std::string_view end_name = {};  // this name ends the tuple, too
  };
  Result<ExprPtr> Expression() { return Condition(); }
  Result<ExprPtr> Tuple(const TupleRule& rule);
  Result<ExprPtr> Target(std::string_view end_name = {}, bool with_namespace = false);
  Result<ExprPtr> NameTarget();
  Result<ExprPtr> Condition();
  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Comparison();
  Result<ExprPtr> Sum();
  Result<ExprPtr> Concatenation();
  Result<ExprPtr> Product();
  Result<ExprPtr> Power();
  Result<ExprPtr> Unary(bool with_filter = true);
  Result<ExprPtr> Primary(bool with_namespace = false);
  Result<ExprPtr> NamePrimary(bool with_namespace);
  Result<ExprPtr> List();
  Result<ExprPtr> Dict();
  Result<ExprPtr> Postfix(ExprPtr node);
  Result<ExprPtr> FilterExpression(ExprPtr node);
  Result<ExprPtr> Subscript(ExprPtr node);
  Result<ExprPtr> Subscribed(ExprPtr node);
  Status Arguments(Expr& call);
  Status Argument(Expr& call);
  Result<ExprPtr> CallOf(ExprPtr node);
  Result<ExprPtr> Filters(ExprPtr node, bool starts_inline = false);
  Result<ExprPtr> Test(ExprPtr node);
  Result<std::string> DottedName();
  Result<ExprPtr> Finished(ExprPtr node) const;
  Result<ExprPtr> Binary(ExprKind kind, std::string_view name, size_t at, ExprPtr left, ExprPtr right) const;

  // Counts what is open while a function of the parser runs.
  struct Nesting {
    explicit Nesting(Parser& parser) : count(parser.nesting_) { ++count; }
    ~Nesting() { --count; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    size_t& count;
  };
  Status CheckNesting() const;

  std::vector<Token> tokens_;
  size_t next_ = 0;
  size_t nesting_ = 0;
  size_t loops_ = 0;  // around the current statement, inside the same macro
  std::vector<std::string> open_tags_;
  std::set<std::string> blocks_;  // their names
};

}  // namespace qwen25::jinja
