#include "text/jinja/parser.h"

#include <algorithm>

#include "text/jinja/parser_state.h"
#include "text/jinja/scopes.h"

namespace qwen25::jinja {
namespace {

uint32_t DepthOf(const ExprPtr& node) {
  return node == nullptr ? 0 : node->depth;
}

uint32_t DepthOf(const std::vector<ExprPtr>& nodes) {
  uint32_t depth = 0;
  for (const ExprPtr& node : nodes) depth = std::max(depth, DepthOf(node));
  return depth;
}

uint32_t DepthOf(const Body& body) {
  uint32_t depth = 0;
  for (const StmtPtr& statement : body) depth = std::max(depth, statement->depth);
  return depth;
}

// A copy of a target: names, and tuples of them.
ExprPtr CopyTarget(const Expr& target) {
  auto copy = std::make_unique<Expr>(target.kind, target.at);
  copy->name = target.name;
  copy->value = target.value;
  copy->depth = target.depth;
  for (const ExprPtr& item : target.operands) copy->operands.push_back(CopyTarget(*item));
  return copy;
}

}  // namespace

std::string Program::Where(size_t at) const {
  const std::string_view before = std::string_view(source).substr(0, at);
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::string_view in_line = before.substr(before.rfind('\n') + 1);
  const auto column = 1 + std::ranges::count_if(in_line, [](char c) { return (c & 0xC0) != 0x80; });
  return fmt::format("{}: line {}, column {}", origin, line, column);
}

// -----------------------------------------------------------------------------------------------------------
// Tokens

bool Parser::SkipName(std::string_view name) {
  const bool found = IsName(name);
  if (found) Take();
  return found;
}

bool Parser::SkipOperator(std::string_view text) {
  const bool found = IsOperator(text);
  if (found) Take();
  return found;
}

std::string Parser::Described() const {
  switch (Current().kind) {
    case Kind::kData:
      return "text";
    case Kind::kPrintBegin:
      return "\"{{\"";
    case Kind::kPrintEnd:
      return "\"}}\"";
    case Kind::kBlockBegin:
      return "\"{%\"";
    case Kind::kBlockEnd:
      return "\"%}\"";
    case Kind::kString:
      return "a string";
    case Kind::kEnd:
      return "the end of the template";
    default:
      return fmt::format("\"{}\"", Current().text);
  }
}

Status Parser::Unexpected(std::string_view wanted) const {
  std::string inside;
  if (!open_tags_.empty()) inside = fmt::format(", inside of \"{}\"", open_tags_.back());
  return InvalidArgument("found {}, expected {}{}", Described(), wanted, inside);
}

Status Parser::ExpectOperator(std::string_view text) {
  return SkipOperator(text) ? Status() : Unexpected(fmt::format("\"{}\"", text));
}

Status Parser::ExpectName(std::string_view name) {
  return SkipName(name) ? Status() : Unexpected(fmt::format("\"{}\"", name));
}

Status Parser::Expect(Kind kind) {
  if (!Is(kind)) return Unexpected(kind == Kind::kPrintEnd ? "\"}}\"" : "\"%}\"");
  Take();
  return {};
}

Result<std::string> Parser::TakeName() {
  if (!Is(Kind::kName)) return Unexpected("a name");
  return Take().text;
}

Status Parser::CheckNesting() const {
  if (nesting_ <= kMaxTreeDepth) return {};
  return ResourceExhausted("statements and expressions are nested deeper than {} levels", kMaxTreeDepth);
}

// -----------------------------------------------------------------------------------------------------------
// Statements

Result<Body> Parser::Run() {
  return Statements({});
}

// Sets the depth of a statement that is complete.
Result<StmtPtr> Parser::Finished(StmtPtr statement) const {
  Stmt& s = *statement;
  uint32_t depth = std::max({DepthOf(s.target), DepthOf(s.targets), DepthOf(s.exprs), DepthOf(s.test),
                             DepthOf(s.defaults), DepthOf(s.body), DepthOf(s.otherwise)});
  for (const Body& branch : s.branches) depth = std::max(depth, DepthOf(branch));
  s.depth = depth + 1;
  if (s.depth > kMaxTreeDepth) {
    return ResourceExhausted("statements and expressions are nested deeper than {} levels", kMaxTreeDepth);
  }
  return statement;
}

// Reads statements up to a tag whose name is one of `ends`, which is the next token then; without `ends` up
// to the end of the template.
Result<Body> Parser::Statements(std::initializer_list<std::string_view> ends) {
  const Nesting nesting(*this);
  QWEN25_RETURN_IF_ERROR(CheckNesting());
  Body body;
  while (true) {
    if (Is(Kind::kData)) {
      StmtPtr text = NewStmt(StmtKind::kText);
      text->text = Value::String(MarkedText(Take().text));
      body.push_back(std::move(text));
    } else if (Is(Kind::kPrintBegin)) {
      StmtPtr print = NewStmt(StmtKind::kPrint);
      Take();
      QWEN25_TRY(ExprPtr value, Tuple({}));
      print->exprs.push_back(std::move(value));
      QWEN25_RETURN_IF_ERROR(Expect(Kind::kPrintEnd));
      QWEN25_TRY(print, Finished(std::move(print)));
      body.push_back(std::move(print));
    } else if (Is(Kind::kBlockBegin)) {
      Take();
      if (Is(Kind::kName) && std::ranges::find(ends, Current().text) != ends.end()) return body;
      if (IsName("print")) {
        QWEN25_RETURN_IF_ERROR(PrintStatement(body));
      } else {
        QWEN25_TRY(StmtPtr statement, Statement());
        body.push_back(std::move(statement));
      }
      QWEN25_RETURN_IF_ERROR(Expect(Kind::kBlockEnd));
    } else if (ends.size() == 0) {
      return body;
    } else {
      return Unexpected(fmt::format("\"{{% {} %}}\"", fmt::join(ends, " %}\" or \"{% ")));
    }
  }
}

// The rest of a tag, and the statements up to one of `ends`.
Result<Body> Parser::Block(std::initializer_list<std::string_view> ends) {
  SkipOperator(":");
  QWEN25_RETURN_IF_ERROR(Expect(Kind::kBlockEnd));
  return Statements(ends);
}

// The same, past the tag `end`.
Result<Body> Parser::BlockUntil(std::string_view end) {
  QWEN25_TRY(Body body, Block({end}));
  Take();
  return body;
}

Result<StmtPtr> Parser::Statement() {
  if (!Is(Kind::kName)) return Unexpected("the name of a statement");
  struct Rule {
    std::string_view name;
    Result<StmtPtr> (Parser::*parse)();
  };
  static constexpr Rule kRules[] = {
      {"set", &Parser::Set},
      {"for", &Parser::For},
      {"if", &Parser::If},
      {"macro", &Parser::Macro},
      {"call", &Parser::Call},
      {"generation", &Parser::Generation},
      {"filter", &Parser::FilterBlock},
      {"with", &Parser::With},
      {"autoescape", &Parser::Autoescape},
      {"block", &Parser::NamedBlock},
      {"include", &Parser::Unavailable},
      {"import", &Parser::Unavailable},
      {"from", &Parser::Unavailable},
      {"extends", &Parser::Unavailable},
  };
  if (IsName("break")) return LoopControl(StmtKind::kBreak);
  if (IsName("continue")) return LoopControl(StmtKind::kContinue);
  const auto rule = std::ranges::find(kRules, Current().text, &Rule::name);
  if (rule == std::end(kRules)) {
    const std::string inside = open_tags_.empty() ? "" : fmt::format(", inside of \"{}\"", open_tags_.back());
    return InvalidArgument("the statement \"{}\" is unknown{}", Current().text, inside);
  }
  open_tags_.push_back(Current().text);
  QWEN25_TRY(StmtPtr statement, (this->*rule->parse)());
  open_tags_.pop_back();
  return Finished(std::move(statement));
}

Status Parser::PrintStatement(Body& body) {
  Take();
  for (bool is_first = true; !Is(Kind::kBlockEnd); is_first = false) {
    if (!is_first) QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
    StmtPtr print = NewStmt(StmtKind::kPrint);
    QWEN25_TRY(ExprPtr value, Expression());
    print->exprs.push_back(std::move(value));
    QWEN25_TRY(print, Finished(std::move(print)));
    body.push_back(std::move(print));
  }
  return {};
}

Result<StmtPtr> Parser::Set() {
  StmtPtr set = NewStmt(StmtKind::kAssign);
  Take();
  QWEN25_TRY(set->target, Target({}, /*with_namespace=*/true));
  if (SkipOperator("=")) {
    QWEN25_TRY(ExprPtr value, Tuple({}));
    set->exprs.push_back(std::move(value));
    return set;
  }
  set->kind = StmtKind::kAssignBlock;
  QWEN25_TRY(ExprPtr filter, Filters(nullptr));
  if (filter != nullptr) set->exprs.push_back(std::move(filter));
  QWEN25_TRY(set->body, BlockUntil("endset"));
  return set;
}

Result<StmtPtr> Parser::For() {
  StmtPtr loop = NewStmt(StmtKind::kFor);
  Take();
  QWEN25_TRY(loop->target, Target("in"));
  QWEN25_RETURN_IF_ERROR(ExpectName("in"));
  QWEN25_TRY(ExprPtr items, Tuple({.with_condition = false, .end_name = "recursive"}));
  loop->exprs.push_back(std::move(items));
  if (SkipName("if")) {
    QWEN25_TRY(loop->test, Expression());
    loop->test_target = CopyTarget(*loop->target);
  }
  loop->is_recursive = SkipName("recursive");
  ++loops_;
  QWEN25_TRY(loop->body, Block({"endfor", "else"}));
  --loops_;
  if (Take().text == "else") {
    QWEN25_TRY(loop->otherwise, BlockUntil("endfor"));
  }
  return loop;
}

Result<StmtPtr> Parser::If() {
  StmtPtr condition = NewStmt(StmtKind::kIf);
  while (true) {
    Take();  // if, elif
    QWEN25_TRY(ExprPtr test, Tuple({.with_condition = false}));
    condition->exprs.push_back(std::move(test));
    QWEN25_TRY(Body branch, Block({"elif", "else", "endif"}));
    condition->branches.push_back(std::move(branch));
    if (IsName("elif")) continue;
    if (Take().text == "else") {
      QWEN25_TRY(condition->otherwise, BlockUntil("endif"));
    }
    return condition;
  }
}

Status Parser::Signature(Stmt& statement) {
  QWEN25_RETURN_IF_ERROR(ExpectOperator("("));
  while (!IsOperator(")")) {
    if (!statement.parameters.empty()) QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
    QWEN25_TRY(ExprPtr parameter, NameTarget());
    if (SkipOperator("=")) {
      QWEN25_TRY(ExprPtr value, Expression());
      statement.defaults.push_back(std::move(value));
    } else if (!statement.defaults.empty()) {
      return InvalidArgument("the parameter \"{}\" needs a default value, since the one before it has one",
                             parameter->name);
    }
    statement.parameters.push_back(std::move(parameter));
  }
  return ExpectOperator(")");
}

// The body of a macro or call: loops around it are none of its own.
Status Parser::FunctionBody(Stmt& statement, std::string_view end) {
  const size_t loops = loops_;
  loops_ = 0;
  QWEN25_TRY(statement.body, BlockUntil(end));
  loops_ = loops;
  return {};
}

Result<StmtPtr> Parser::Macro() {
  StmtPtr macro = NewStmt(StmtKind::kMacro);
  Take();
  QWEN25_TRY(const ExprPtr name, NameTarget());
  macro->name = name->name;
  QWEN25_RETURN_IF_ERROR(Signature(*macro));
  QWEN25_RETURN_IF_ERROR(FunctionBody(*macro, "endmacro"));
  return macro;
}

Result<StmtPtr> Parser::Call() {
  StmtPtr block = NewStmt(StmtKind::kCallBlock);
  Take();
  if (IsOperator("(")) QWEN25_RETURN_IF_ERROR(Signature(*block));
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr call, Expression());
  if (call->kind != ExprKind::kCall) {
    return InvalidArgument("\"call\" needs the call of a macro (at byte {})", at);
  }
  block->exprs.push_back(std::move(call));
  QWEN25_RETURN_IF_ERROR(FunctionBody(*block, "endcall"));
  return block;
}

Result<StmtPtr> Parser::Generation() {
  StmtPtr block = NewStmt(StmtKind::kGeneration);
  Take();
  QWEN25_RETURN_IF_ERROR(FunctionBody(*block, "endgeneration"));
  return block;
}

Result<StmtPtr> Parser::FilterBlock() {
  StmtPtr block = NewStmt(StmtKind::kFilterBlock);
  Take();
  QWEN25_TRY(ExprPtr filter, Filters(nullptr, /*starts_inline=*/true));
  block->exprs.push_back(std::move(filter));
  QWEN25_TRY(block->body, BlockUntil("endfilter"));
  return block;
}

Result<StmtPtr> Parser::With() {
  StmtPtr with = NewStmt(StmtKind::kWith);
  Take();
  while (!Is(Kind::kBlockEnd)) {
    if (!with->targets.empty()) QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
    QWEN25_TRY(ExprPtr target, Target());
    QWEN25_RETURN_IF_ERROR(ExpectOperator("="));
    QWEN25_TRY(ExprPtr value, Expression());
    with->targets.push_back(std::move(target));
    with->exprs.push_back(std::move(value));
  }
  QWEN25_TRY(with->body, BlockUntil("endwith"));
  return with;
}

Result<StmtPtr> Parser::Autoescape() {
  StmtPtr block = NewStmt(StmtKind::kAutoescape);
  Take();
  QWEN25_TRY(ExprPtr value, Expression());
  block->exprs.push_back(std::move(value));
  QWEN25_TRY(block->body, BlockUntil("endautoescape"));
  return block;
}

Result<StmtPtr> Parser::NamedBlock() {
  StmtPtr block = NewStmt(StmtKind::kBlock);
  Take();
  QWEN25_TRY(block->name, TakeName());
  if (!blocks_.insert(block->name).second)
    return InvalidArgument("the block \"{}\" is there twice", block->name);
  if (SkipName("scoped")) return Unsupported("\"scoped\" blocks are not available: leave out the block");
  SkipName("required");
  QWEN25_RETURN_IF_ERROR(FunctionBody(*block, "endblock"));
  SkipName(block->name);
  return block;
}

Result<StmtPtr> Parser::LoopControl(StmtKind kind) {
  StmtPtr statement = NewStmt(kind);
  if (loops_ == 0) return InvalidArgument("\"{}\" stands outside of a loop", Current().text);
  Take();
  return statement;
}

// Statements that read other templates: there are none, so that only running them is an error.
Result<StmtPtr> Parser::Unavailable() {
  StmtPtr statement = NewStmt(StmtKind::kUnavailable);
  statement->name = Take().text;
  while (!Is(Kind::kBlockEnd)) {
    if (Is(Kind::kEnd)) return Unexpected("\"%}\"");
    Take();
  }
  return statement;
}

Result<Program> Parse(std::string_view source, std::string_view origin) {
  Program program{.source = NormalizeSource(source), .origin = std::string(origin)};
  const auto located = [&](const Status& status, size_t at) {
    return Status(status.code(), fmt::format("{}: {}", program.Where(at), status.message()));
  };
  size_t at = 0;
  Result<std::vector<Token>> tokens = Tokenize(program.source, &at);
  if (!tokens.ok()) return located(tokens.status(), at);
  Parser parser(std::move(*tokens));
  Result<Body> body = parser.Run();
  if (!body.ok()) return located(body.status(), parser.at());
  program.body = std::move(*body);
  const Status resolved = ResolveNames(program, &at);
  if (!resolved.ok()) return located(resolved, at);
  return program;
}

}  // namespace qwen25::jinja
