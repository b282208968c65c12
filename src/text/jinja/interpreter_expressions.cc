#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace qwen25::jinja {
namespace {

constexpr size_t kMaxDataDepth = 200;  // of lists in lists

Status CheckKey(const Value& key) {
  if (key.is_list() || key.is_dict()) return InvalidArgument("a {} cannot be a key", key.TypeName());
  return {};
}

}  // namespace

Result<Value> Interpreter::Evaluate(const Expr& node, Frame& frame) {
  if (node.kind == ExprKind::kConstant) return node.value;
  Status status = Spend(1);
  if (status.ok() && depth_ >= options_.limits.depth) {
    status = ResourceExhausted("the template runs more than {} levels deep", options_.limits.depth);
  }
  ++depth_;
  Result<Value> value = status.ok() ? EvaluateKind(node, frame) : Result<Value>(status);
  --depth_;
  if (value.ok() && value->Depth() > kMaxDataDepth) {
    value = ResourceExhausted("lists and dictionaries are nested more than {} levels deep", kMaxDataDepth);
  }
  if (!value.ok() && !error_at_) error_at_ = node.at;
  return value;
}

Result<Value> Interpreter::EvaluateKind(const Expr& node, Frame& frame) {
  switch (node.kind) {
    case ExprKind::kConstant:
      return node.value;
    case ExprKind::kName:
      return Name(node, frame);
    case ExprKind::kTuple:
    case ExprKind::kList:
    case ExprKind::kDict:
      return Container(node, frame);
    case ExprKind::kAttribute: {
      QWEN25_TRY(const Value owner, Evaluate(*node.operands[0], frame));
      return GetAttribute(owner, node.name);
    }
    case ExprKind::kItem: {
      QWEN25_TRY(const Value owner, Evaluate(*node.operands[0], frame));
      QWEN25_TRY(const Value key, Evaluate(*node.operands[1], frame));
      return GetItem(owner, key);
    }
    case ExprKind::kSlice:
      return SliceOf(node, frame);
    case ExprKind::kCall:
      return CallExpression(node, frame);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return FilterExpression(node, frame);
    case ExprKind::kNot: {
      QWEN25_TRY(const Value value, Evaluate(*node.operands[0], frame));
      return Value::Bool(!value.Truth());
    }
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      QWEN25_TRY(const Value value, Evaluate(*node.operands[0], frame));
      return node.kind == ExprKind::kNegative ? Negative(value) : Positive(value);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      QWEN25_TRY(Value value, Evaluate(*node.operands[0], frame));
      if (value.Truth() == (node.kind == ExprKind::kOr)) return value;
      return Evaluate(*node.operands[1], frame);
    }
    case ExprKind::kArithmetic: {
      QWEN25_TRY(const Value left, Evaluate(*node.operands[0], frame));
      QWEN25_TRY(const Value right, Evaluate(*node.operands[1], frame));
      return Arithmetic(node.name, left, right, *this);
    }
    case ExprKind::kConcat:
      return Concat(node, frame);
    case ExprKind::kCompare:
      return Compare(node, frame);
    case ExprKind::kCondition:
      return Condition(node, frame);
    case ExprKind::kNamespaceItem:
      break;  // a target, never evaluated
  }
  return Value();
}

Result<Value> Interpreter::Name(const Expr& node, Frame& frame) {
  const Value& value = At(frame, node.place);
  if (!value.is_missing()) return value;
  return Value::Undefined(fmt::format("\"{}\" is undefined", node.name));
}

Result<Value> Interpreter::Container(const Expr& node, Frame& frame) {
  std::vector<Value> items;
  for (const ExprPtr& operand : node.operands) {
    QWEN25_TRY(Value item, Evaluate(*operand, frame));
    items.push_back(std::move(item));
  }
  if (node.kind == ExprKind::kTuple) return Tuple(std::move(items));
  if (node.kind == ExprKind::kList) return List(std::move(items));
  std::vector<DictData::Entry> entries;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    QWEN25_RETURN_IF_ERROR(CheckKey(items[i]));
    entries.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  }
  return Dict(std::move(entries));
}

Result<Value> Interpreter::Compare(const Expr& node, Frame& frame) {
  QWEN25_TRY(Value left, Evaluate(*node.operands[0], frame));
  for (size_t i = 0; i < node.operators.size(); ++i) {
    QWEN25_TRY(Value right, Evaluate(*node.operands[i + 1], frame));
    QWEN25_TRY(const bool holds, CompareValues(node.operators[i], left, right, *this));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Interpreter::Concat(const Expr& node, Frame& frame) {
  MarkedText text;
  for (const ExprPtr& operand : node.operands) {
    QWEN25_TRY(const Value value, Evaluate(*operand, frame));
    QWEN25_RETURN_IF_ERROR(Append(value, text));
  }
  return Text(std::move(text));
}

Result<Value> Interpreter::Condition(const Expr& node, Frame& frame) {
  QWEN25_TRY(const Value test, Evaluate(*node.operands[1], frame));
  if (test.Truth()) return Evaluate(*node.operands[0], frame);
  if (node.operands[2] != nullptr) return Evaluate(*node.operands[2], frame);
  return Value::Undefined("the condition of this expression is false, and there is no \"else\"");
}

Result<Value> Interpreter::SliceOf(const Expr& node, Frame& frame) {
  QWEN25_TRY(const Value value, Evaluate(*node.operands[0], frame));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    if (node.operands[i + 1] == nullptr) continue;
    QWEN25_TRY(bounds[i], Evaluate(*node.operands[i + 1], frame));
  }
  return Slice(value, bounds[0], bounds[1], bounds[2], *this);
}

Result<Arguments> Interpreter::ArgumentsOf(const Expr& node, Frame& frame) {
  Arguments arguments;
  for (size_t i = 1; i < node.operands.size(); ++i) {
    QWEN25_TRY(Value value, Evaluate(*node.operands[i], frame));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, expr] : node.keywords) {
    QWEN25_TRY(Value value, Evaluate(*expr, frame));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (node.star != nullptr) {
    QWEN25_TRY(const Value more, Evaluate(*node.star, frame));
    QWEN25_TRY(std::vector<Value> items, ToVector(more));
    std::ranges::move(items, std::back_inserter(arguments.positional));
  }
  if (node.double_star != nullptr) {
    QWEN25_TRY(const Value more, Evaluate(*node.double_star, frame));
    if (!more.is_dict())
      return InvalidArgument("what follows \"**\" is {}, expected a dictionary", more.TypeName());
    for (const auto& [key, value] : more.dict().entries) {
      if (!key.is_string())
        return InvalidArgument("an argument's name is {}, expected a string", key.TypeName());
      const auto same = std::ranges::find(arguments.named, key.text(), &std::pair<std::string, Value>::first);
      if (same != arguments.named.end())
        return InvalidArgument("the argument \"{}\" is given twice", key.text());
      arguments.named.emplace_back(key.text(), value);
    }
  }
  return arguments;
}

Result<Value> Interpreter::CallExpression(const Expr& node, Frame& frame, const Value* caller) {
  const Expr& callee = *node.operands[0];
  // A method is called without making an object of it.
  if (callee.kind == ExprKind::kAttribute && caller == nullptr) {
    QWEN25_TRY(const Value owner, Evaluate(*callee.operands[0], frame));
    if (HasMethod(owner, callee.name)) {
      QWEN25_TRY(Arguments arguments, ArgumentsOf(node, frame));
      return CallMethod(owner, callee.name, arguments, *this);
    }
    QWEN25_TRY(const Value function, GetAttribute(owner, callee.name));
    QWEN25_TRY(Arguments arguments, ArgumentsOf(node, frame));
    return Call(function, std::move(arguments));
  }
  QWEN25_TRY(const Value function, Evaluate(callee, frame));
  QWEN25_TRY(Arguments arguments, ArgumentsOf(node, frame));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  return Call(function, std::move(arguments));
}

// A filter or a test.
Result<Value> Interpreter::FilterExpression(const Expr& node, Frame& frame) {
  Value input;
  if (node.operands[0] != nullptr) {
    QWEN25_TRY(input, Evaluate(*node.operands[0], frame));
  } else if (captured_ != nullptr) {
    input = Text(*captured_);
  }
  QWEN25_TRY(Arguments arguments, ArgumentsOf(node, frame));
  if (node.kind == ExprKind::kFilter) return Filter(node.name, input, std::move(arguments));
  QWEN25_TRY(const bool holds, Test(node.name, input, std::move(arguments)));
  return Value::Bool(holds);
}

}  // namespace qwen25::jinja
