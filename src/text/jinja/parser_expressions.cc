#include <algorithm>
#include <array>

#include "text/jinja/parser.h"
#include "text/jinja/parser_state.h"

namespace qwen25::jinja {
namespace {

bool CanBeAssigned(const Expr& target) {
  if (target.kind == ExprKind::kTuple) {
    return std::ranges::all_of(target.operands, [](const ExprPtr& item) { return CanBeAssigned(*item); });
  }
  return target.kind == ExprKind::kName || target.kind == ExprKind::kNamespaceItem;
}

}  // namespace

// Sets the depth of an expression that is complete.
Result<ExprPtr> Parser::Finished(ExprPtr node) const {
  uint32_t depth = 0;
  const auto count = [&](const ExprPtr& child) {
    if (child != nullptr) depth = std::max(depth, child->depth);
  };
  for (const ExprPtr& child : node->operands) count(child);
  for (const auto& [name, child] : node->keywords) count(child);
  count(node->star);
  count(node->double_star);
  node->depth = depth + 1;
  if (node->depth > kMaxTreeDepth) {
    return ResourceExhausted("this expression is nested deeper than {} levels", kMaxTreeDepth);
  }
  return node;
}

Result<ExprPtr> Parser::Binary(ExprKind kind, std::string_view name, size_t at, ExprPtr left,
                               ExprPtr right) const {
  auto node = std::make_unique<Expr>(kind, at);
  node->name = name;
  node->operands.push_back(std::move(left));
  node->operands.push_back(std::move(right));
  return Finished(std::move(node));
}

Result<ExprPtr> Parser::Tuple(const TupleRule& rule) {
  auto tuple = std::make_unique<Expr>(ExprKind::kTuple, Current().at);
  bool is_tuple = false;
  const auto is_end = [&] {
    return Is(Kind::kPrintEnd) || Is(Kind::kBlockEnd) || IsOperator(")") ||
           (!rule.end_name.empty() && IsName(rule.end_name));
  };
  while (!is_end()) {
    Result<ExprPtr> item = rule.is_target        ? Primary(rule.with_namespace)
                           : rule.with_condition ? Condition()
                                                 : Or();
    if (!item.ok()) return item.status();
    tuple->operands.push_back(std::move(*item));
    if (!SkipOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !tuple->operands.empty()) return std::move(tuple->operands[0]);
  if (tuple->operands.empty() && !rule.in_parentheses) return Unexpected("an expression");
  return Finished(std::move(tuple));
}

Result<ExprPtr> Parser::Target(std::string_view end_name, bool with_namespace) {
  QWEN25_TRY(ExprPtr target,
             Tuple({.is_target = true, .with_namespace = with_namespace, .end_name = end_name}));
  if (!CanBeAssigned(*target)) return InvalidArgument("only names can be assigned to, and tuples of them");
  return target;
}

Result<ExprPtr> Parser::NameTarget() {
  auto target = std::make_unique<Expr>(ExprKind::kName, Current().at);
  QWEN25_TRY(target->name, TakeName());
  static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none",
                                                                 "True", "False", "None"};
  if (std::ranges::find(kConstants, target->name) != kConstants.end()) {
    return InvalidArgument("\"{}\" is a constant and cannot be assigned to", target->name);
  }
  return target;
}

Result<ExprPtr> Parser::Condition() {
  const Nesting nesting(*this);
  QWEN25_RETURN_IF_ERROR(CheckNesting());
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr value, Or());
  while (SkipName("if")) {
    auto node = std::make_unique<Expr>(ExprKind::kCondition, at);
    QWEN25_TRY(ExprPtr test, Or());
    ExprPtr otherwise;
    if (SkipName("else")) {
      QWEN25_TRY(otherwise, Condition());
    }
    node->operands.push_back(std::move(value));
    node->operands.push_back(std::move(test));
    node->operands.push_back(std::move(otherwise));
    QWEN25_TRY(value, Finished(std::move(node)));
  }
  return value;
}

Result<ExprPtr> Parser::Or() {
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr left, And());
  while (SkipName("or")) {
    QWEN25_TRY(ExprPtr right, And());
    QWEN25_TRY(left, Binary(ExprKind::kOr, "or", at, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::And() {
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr left, Not());
  while (SkipName("and")) {
    QWEN25_TRY(ExprPtr right, Not());
    QWEN25_TRY(left, Binary(ExprKind::kAnd, "and", at, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::Not() {
  if (!IsName("not")) return Comparison();
  const Nesting nesting(*this);
  QWEN25_RETURN_IF_ERROR(CheckNesting());
  auto node = std::make_unique<Expr>(ExprKind::kNot, Current().at);
  Take();
  QWEN25_TRY(ExprPtr operand, Not());
  node->operands.push_back(std::move(operand));
  return Finished(std::move(node));
}

Result<ExprPtr> Parser::Comparison() {
  static constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};
  auto node = std::make_unique<Expr>(ExprKind::kCompare, Current().at);
  QWEN25_TRY(ExprPtr first, Sum());
  node->operands.push_back(std::move(first));
  while (true) {
    if (Is(Kind::kOperator) && std::ranges::find(kOperators, Current().text) != kOperators.end()) {
      node->operators.push_back(Take().text);
    } else if (SkipName("in")) {
      node->operators.push_back("in");
    } else if (IsName("not") && Look().kind == Kind::kName && Look().text == "in") {
      Take();
      Take();
      node->operators.push_back("not in");
    } else {
      break;
    }
    QWEN25_TRY(ExprPtr next, Sum());
    node->operands.push_back(std::move(next));
  }
  if (node->operators.empty()) return std::move(node->operands[0]);
  return Finished(std::move(node));
}

Result<ExprPtr> Parser::Sum() {
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr left, Concatenation());
  while (IsOperator("+") || IsOperator("-")) {
    const std::string name = Take().text;
    QWEN25_TRY(ExprPtr right, Concatenation());
    QWEN25_TRY(left, Binary(ExprKind::kArithmetic, name, at, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::Concatenation() {
  auto node = std::make_unique<Expr>(ExprKind::kConcat, Current().at);
  do {
    QWEN25_TRY(ExprPtr operand, Product());
    node->operands.push_back(std::move(operand));
  } while (SkipOperator("~"));
  if (node->operands.size() == 1) return std::move(node->operands[0]);
  return Finished(std::move(node));
}

Result<ExprPtr> Parser::Product() {
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr left, Power());
  while (IsOperator("*") || IsOperator("/") || IsOperator("//") || IsOperator("%")) {
    const std::string name = Take().text;
    QWEN25_TRY(ExprPtr right, Power());
    QWEN25_TRY(left, Binary(ExprKind::kArithmetic, name, at, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::Power() {
  const size_t at = Current().at;
  QWEN25_TRY(ExprPtr left, Unary());
  while (SkipOperator("**")) {
    QWEN25_TRY(ExprPtr right, Unary());
    QWEN25_TRY(left, Binary(ExprKind::kArithmetic, "**", at, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::Unary(bool with_filter) {
  const Nesting nesting(*this);
  QWEN25_RETURN_IF_ERROR(CheckNesting());
  ExprPtr node;
  if (IsOperator("-") || IsOperator("+")) {
    node = std::make_unique<Expr>(IsOperator("-") ? ExprKind::kNegative : ExprKind::kPositive, Current().at);
    Take();
    QWEN25_TRY(ExprPtr operand, Unary(/*with_filter=*/false));
    node->operands.push_back(std::move(operand));
    QWEN25_TRY(node, Finished(std::move(node)));
  } else {
    QWEN25_TRY(node, Primary());
  }
  QWEN25_TRY(node, Postfix(std::move(node)));
  return with_filter ? FilterExpression(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> Parser::NamePrimary(bool with_namespace) {
  auto node = std::make_unique<Expr>(ExprKind::kName, Current().at);
  node->name = Take().text;
  if (node->name == "true" || node->name == "True" || node->name == "false" || node->name == "False") {
    node->kind = ExprKind::kConstant;
    node->value = Value::Bool(node->name == "true" || node->name == "True");
  } else if (node->name == "none" || node->name == "None") {
    node->kind = ExprKind::kConstant;
  } else if (with_namespace && SkipOperator(".")) {
    node->kind = ExprKind::kNamespaceItem;
    QWEN25_TRY(const std::string attribute, TakeName());
    node->value = Value::String(attribute);
  }
  return node;
}

Result<ExprPtr> Parser::Primary(bool with_namespace) {
  auto node = std::make_unique<Expr>(ExprKind::kConstant, Current().at);
  switch (Current().kind) {
    case Kind::kName:
      return NamePrimary(with_namespace);
    case Kind::kString: {
      std::string text = Take().text;
      while (Is(Kind::kString)) text += Take().text;
      node->value = Value::String(MarkedText(std::move(text)));
      return node;
    }
    case Kind::kNumber:
      node->value = Take().number;
      return node;
    default:
      break;
  }
  if (SkipOperator("(")) {
    QWEN25_TRY(ExprPtr inner, Tuple({.in_parentheses = true}));
    QWEN25_RETURN_IF_ERROR(ExpectOperator(")"));
    return inner;
  }
  if (IsOperator("[")) return List();
  if (IsOperator("{")) return Dict();
  return Unexpected("an expression");
}

Result<ExprPtr> Parser::List() {
  auto list = std::make_unique<Expr>(ExprKind::kList, Current().at);
  Take();
  while (!IsOperator("]")) {
    if (!list->operands.empty()) QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
    if (IsOperator("]")) break;
    QWEN25_TRY(ExprPtr item, Expression());
    list->operands.push_back(std::move(item));
  }
  QWEN25_RETURN_IF_ERROR(ExpectOperator("]"));
  return Finished(std::move(list));
}

Result<ExprPtr> Parser::Dict() {
  auto dict = std::make_unique<Expr>(ExprKind::kDict, Current().at);
  Take();
  while (!IsOperator("}")) {
    if (!dict->operands.empty()) QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
    if (IsOperator("}")) break;
    QWEN25_TRY(ExprPtr key, Expression());
    QWEN25_RETURN_IF_ERROR(ExpectOperator(":"));
    QWEN25_TRY(ExprPtr value, Expression());
    dict->operands.push_back(std::move(key));
    dict->operands.push_back(std::move(value));
  }
  QWEN25_RETURN_IF_ERROR(ExpectOperator("}"));
  return Finished(std::move(dict));
}

Result<ExprPtr> Parser::Postfix(ExprPtr node) {
  while (true) {
    if (IsOperator(".") || IsOperator("[")) {
      QWEN25_TRY(node, Subscript(std::move(node)));
    } else if (IsOperator("(")) {
      QWEN25_TRY(node, CallOf(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::FilterExpression(ExprPtr node) {
  while (true) {
    if (IsOperator("|")) {
      QWEN25_TRY(node, Filters(std::move(node)));
    } else if (IsName("is")) {
      QWEN25_TRY(node, Test(std::move(node)));
    } else if (IsOperator("(")) {
      QWEN25_TRY(node, CallOf(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::Subscript(ExprPtr node) {
  const size_t at = Current().at;
  if (SkipOperator(".")) {
    if (Is(Kind::kName)) {
      auto attribute = std::make_unique<Expr>(ExprKind::kAttribute, at);
      attribute->name = Take().text;
      attribute->operands.push_back(std::move(node));
      return Finished(std::move(attribute));
    }
    if (!Is(Kind::kNumber) || Current().number.is_float()) return Unexpected("a name or number");
    auto index = std::make_unique<Expr>(ExprKind::kConstant, Current().at);
    index->value = Take().number;
    return Binary(ExprKind::kItem, "", at, std::move(node), std::move(index));
  }
  Take();
  QWEN25_TRY(node, Subscribed(std::move(node)));
  return node;
}

// What is between brackets: one key, a slice, or several keys, which are a tuple.
Result<ExprPtr> Parser::Subscribed(ExprPtr node) {
  const size_t at = Current().at;
  std::vector<ExprPtr> bounds;
  ExprPtr bound;
  if (!IsOperator(":")) {
    QWEN25_TRY(bound, Expression());
    if (SkipOperator("]")) return Binary(ExprKind::kItem, "", at, std::move(node), std::move(bound));
    if (IsOperator(",")) {
      auto tuple = std::make_unique<Expr>(ExprKind::kTuple, at);
      tuple->operands.push_back(std::move(bound));
      while (!IsOperator("]")) {
        QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
        QWEN25_TRY(ExprPtr key, Expression());
        tuple->operands.push_back(std::move(key));
      }
      Take();
      QWEN25_TRY(tuple, Finished(std::move(tuple)));
      return Binary(ExprKind::kItem, "", at, std::move(node), std::move(tuple));
    }
  }
  auto slice = std::make_unique<Expr>(ExprKind::kSlice, at);
  slice->operands.push_back(std::move(node));
  slice->operands.push_back(std::move(bound));
  while (slice->operands.size() < 4) {
    ExprPtr next;
    if (SkipOperator(":") && !IsOperator(":") && !IsOperator("]")) {
      QWEN25_TRY(next, Expression());
    }
    slice->operands.push_back(std::move(next));
  }
  QWEN25_RETURN_IF_ERROR(ExpectOperator("]"));
  return Finished(std::move(slice));
}

Status Parser::Argument(Expr& call) {
  const auto check = [](bool fits) {
    return fits ? Status()
                : InvalidArgument(
                      "arguments must come in this order: by position, by name, *list, **dictionary");
  };
  if (SkipOperator("*")) {
    QWEN25_RETURN_IF_ERROR(check(call.star == nullptr && call.double_star == nullptr));
    QWEN25_TRY(call.star, Expression());
  } else if (SkipOperator("**")) {
    QWEN25_RETURN_IF_ERROR(check(call.double_star == nullptr));
    QWEN25_TRY(call.double_star, Expression());
  } else if (Is(Kind::kName) && Look().kind == Kind::kOperator && Look().text == "=") {
    QWEN25_RETURN_IF_ERROR(check(call.double_star == nullptr));
    std::string name = Take().text;
    Take();
    QWEN25_TRY(ExprPtr value, Expression());
    if (std::ranges::find(call.keywords, name, &std::pair<std::string, ExprPtr>::first) !=
        call.keywords.end()) {
      return InvalidArgument("the argument \"{}\" is given twice", name);
    }
    call.keywords.emplace_back(std::move(name), std::move(value));
  } else {
    QWEN25_RETURN_IF_ERROR(
        check(call.star == nullptr && call.double_star == nullptr && call.keywords.empty()));
    QWEN25_TRY(ExprPtr value, Expression());
    call.operands.push_back(std::move(value));
  }
  return {};
}

Status Parser::Arguments(Expr& call) {
  QWEN25_RETURN_IF_ERROR(ExpectOperator("("));
  for (bool is_first = true; !IsOperator(")"); is_first = false) {
    if (!is_first) {
      QWEN25_RETURN_IF_ERROR(ExpectOperator(","));
      if (IsOperator(")")) break;
    }
    QWEN25_RETURN_IF_ERROR(Argument(call));
  }
  return ExpectOperator(")");
}

Result<ExprPtr> Parser::CallOf(ExprPtr node) {
  auto call = std::make_unique<Expr>(ExprKind::kCall, Current().at);
  call->operands.push_back(std::move(node));
  QWEN25_RETURN_IF_ERROR(Arguments(*call));
  return Finished(std::move(call));
}

Result<std::string> Parser::DottedName() {
  QWEN25_TRY(std::string name, TakeName());
  while (SkipOperator(".")) {
    QWEN25_TRY(const std::string part, TakeName());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> Parser::Filters(ExprPtr node, bool starts_inline) {
  while (starts_inline || SkipOperator("|")) {
    starts_inline = false;
    auto filter = std::make_unique<Expr>(ExprKind::kFilter, Current().at);
    QWEN25_TRY(filter->name, DottedName());
    filter->operands.push_back(std::move(node));
    if (IsOperator("(")) QWEN25_RETURN_IF_ERROR(Arguments(*filter));
    QWEN25_TRY(node, Finished(std::move(filter)));
  }
  return node;
}

Result<ExprPtr> Parser::Test(ExprPtr node) {
  auto test = std::make_unique<Expr>(ExprKind::kTest, Current().at);
  Take();  // is
  const bool is_negated = SkipName("not");
  QWEN25_TRY(test->name, DottedName());
  test->operands.push_back(std::move(node));
  const bool is_value =
      Is(Kind::kName) || Is(Kind::kString) || Is(Kind::kNumber) || IsOperator("[") || IsOperator("{");
  if (IsOperator("(")) {
    QWEN25_RETURN_IF_ERROR(Arguments(*test));
  } else if (is_value && !IsName("else") && !IsName("or") && !IsName("and")) {
    if (IsName("is")) return InvalidArgument("tests cannot follow each other: use \"and\"");
    QWEN25_TRY(ExprPtr argument, Primary());
    QWEN25_TRY(argument, Postfix(std::move(argument)));
    test->operands.push_back(std::move(argument));
  }
  QWEN25_TRY(ExprPtr result, Finished(std::move(test)));
  if (!is_negated) return result;
  auto negation = std::make_unique<Expr>(ExprKind::kNot, result->at);
  negation->operands.push_back(std::move(result));
  return Finished(std::move(negation));
}

}  // namespace qwen25::jinja
