#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/methods.h"
#include "text/jinja/text_tools.h"

namespace qwen25::jinja {
namespace {

Value NoAttribute(const Value& owner, std::string_view name) {
  return Value::Undefined(fmt::format("a value of type {} has no attribute \"{}\"", owner.TypeName(), name));
}

// Takes the argument with this name; a missing value if it was not given.
Value TakeNamed(Arguments& arguments, std::string_view name) {
  const auto found = std::ranges::find(arguments.named, name, &std::pair<std::string, Value>::first);
  if (found == arguments.named.end()) return Value::Missing();
  Value value = std::move(found->second);
  arguments.named.erase(found);
  return value;
}

}  // namespace

Result<Value> Interpreter::GetAttribute(const Value& owner, std::string_view name) {
  if (owner.is_undefined()) return InvalidArgument("{}", owner.undefined_message());
  if (Object* object = owner.object()) {
    QWEN25_TRY(const Value value, ObjectAttribute(*object, name));
    return value.is_missing() ? NoAttribute(owner, name) : value;
  }
  if (HasMethod(owner, name)) return Value::Of(New<MethodObject>(owner, std::string(name)));
  if (name.starts_with("__") || IsForbiddenMethod(owner, name)) {
    return Value::Undefined(
        fmt::format("the attribute \"{}\" of a {} is not safe to use in a template", name, owner.TypeName()));
  }
  if (owner.is_dict()) {
    QWEN25_RETURN_IF_ERROR(Spend(owner.dict().entries.size() / 8));
    if (const Value* found = owner.dict().Find(name)) return *found;
  }
  if (owner.is_tuple() && owner.sequence().is_group && (name == "grouper" || name == "list")) {
    return owner.items()[name == "list" ? 1 : 0];
  }
  return NoAttribute(owner, name);
}

Result<Value> Interpreter::GetItem(const Value& owner, const Value& key) {
  if (owner.is_undefined()) return InvalidArgument("{}", owner.undefined_message());
  if (owner.is_dict() && !key.is_list() && !key.is_dict()) {
    QWEN25_RETURN_IF_ERROR(Spend(owner.dict().entries.size() / 8));
    if (const Value* found = owner.dict().Find(key)) return *found;
  }
  if (key.AsInt()) {
    const int64_t index = *key.AsInt();
    const auto in = [&](size_t length) -> std::optional<size_t> {
      const int64_t at = index < 0 ? index + static_cast<int64_t>(length) : index;
      if (at < 0 || at >= static_cast<int64_t>(length)) return std::nullopt;
      return static_cast<size_t>(at);
    };
    if (owner.is_sequence()) {
      if (const auto at = in(owner.items().size())) return owner.items()[*at];
    } else if (owner.is_string()) {
      QWEN25_RETURN_IF_ERROR(Spend(owner.text().size() / 16));
      const CodePoints points(owner.text());
      if (const auto at = in(points.size())) {
        return Text(owner.marked().Part(points.Offset(*at), points.Offset(*at + 1)), owner.is_safe());
      }
    } else if (const Object* range = owner.object(Object::Type::kRange)) {
      const auto& numbers = *static_cast<const RangeObject*>(range);
      if (const auto at = in(numbers.length)) return numbers.At(*at);
    }
    return Value::Undefined(fmt::format("a value of type {} has no item {}", owner.TypeName(), index));
  }
  if (key.is_string() && !owner.is_dict()) return GetAttribute(owner, key.text());
  if (key.is_string() && HasMethod(owner, key.text())) {
    return Value::Of(New<MethodObject>(owner, key.text()));
  }
  if (key.is_string()) return NoAttribute(owner, key.text());
  return Value::Undefined(fmt::format("a value of type {} has no such item", owner.TypeName()));
}

// A missing value if there is no such attribute.
Result<Value> Interpreter::ObjectAttribute(Object& object, std::string_view name) {
  if (HasMethod(Value::Of(&object), name)) {
    return Value::Of(New<MethodObject>(Value::Of(&object), std::string(name)));
  }
  switch (object.type) {
    case Object::Type::kNamespace: {
      const Value* found = static_cast<NamespaceObject&>(object).Find(name);
      return found != nullptr ? *found : Value::Missing();
    }
    case Object::Type::kLoop:
      return LoopAttribute(static_cast<LoopObject&>(object), name);
    case Object::Type::kCycler: {
      const auto& cycler = static_cast<CyclerObject&>(object);
      return name == "current" ? cycler.items[cycler.position] : Value::Missing();
    }
    case Object::Type::kMacro: {
      const Stmt& code = *static_cast<MacroObject&>(object).statement;
      if (name == "name") return code.kind == StmtKind::kMacro ? Value::String(code.name) : Value();
      if (name == "catch_kwargs") return Value::Bool(code.takes_kwargs);
      if (name == "catch_varargs") return Value::Bool(code.takes_varargs);
      if (name == "caller") return Value::Bool(code.takes_caller);
      if (name != "arguments") return Value::Missing();
      std::vector<Value> names;
      for (const ExprPtr& parameter : code.parameters) names.push_back(Value::String(parameter->name));
      return Tuple(std::move(names));
    }
    case Object::Type::kRange: {
      const auto& range = static_cast<RangeObject&>(object);
      if (name == "start") return Value::Int(range.start);
      if (name == "stop") return Value::Int(range.stop);
      return name == "step" ? Value::Int(range.step) : Value::Missing();
    }
    case Object::Type::kJoiner: {
      const auto& joiner = static_cast<JoinerObject&>(object);
      if (name == "sep") return joiner.separator;
      return name == "used" ? Value::Bool(joiner.is_used) : Value::Missing();
    }
    default:
      return Value::Missing();
  }
}

Result<Value> Interpreter::LoopAttribute(LoopObject& loop, std::string_view name) {
  const auto integer = [](int64_t number) { return Value::Int(number); };
  if (name == "index") return integer(loop.index0 + 1);
  if (name == "index0") return integer(loop.index0);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth") return integer(static_cast<int64_t>(loop.depth0) + 1);
  if (name == "depth0") return integer(static_cast<int64_t>(loop.depth0));
  if (name == "last" || name == "nextitem") {
    QWEN25_TRY(std::optional<Value> next, loop.Peek(*this));
    if (name == "last") return Value::Bool(!next.has_value());
    return next ? *next : Value::Undefined("there is no next item");
  }
  if (name == "previtem")
    return loop.index0 > 0 ? loop.before : Value::Undefined("there is no previous item");
  if (name == "length" || name == "revindex" || name == "revindex0") {
    QWEN25_TRY(const size_t length, loop.Length(*this));
    const auto all = static_cast<int64_t>(length);
    return integer(name == "length" ? all : name == "revindex" ? all - loop.index0 : all - loop.index0 - 1);
  }
  return Value::Missing();
}

Result<Value> Interpreter::Call(const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) return InvalidArgument("{}", callee.undefined_message());
  Object* const object = callee.object();
  if (object != nullptr) {
    switch (object->type) {
      case Object::Type::kMacro:
        return CallMacro(static_cast<MacroObject&>(*object), std::move(arguments));
      case Object::Type::kFunction:
        return static_cast<FunctionObject&>(*object).call(*this, arguments);
      case Object::Type::kMethod: {
        const auto& method = static_cast<MethodObject&>(*object);
        return CallMethod(method.self, method.name, arguments, *this);
      }
      case Object::Type::kLoop:
        return CallLoop(static_cast<LoopObject&>(*object), arguments);
      case Object::Type::kJoiner: {
        auto& joiner = static_cast<JoinerObject&>(*object);
        const bool was_used = std::exchange(joiner.is_used, true);
        return was_used ? joiner.separator : Value::String("");
      }
      default:
        break;
    }
  }
  return InvalidArgument("a value of type {} is no function", callee.TypeName());
}

// Gives the parameters of a macro their values, in this order: by position, by name, by default.
Status Interpreter::BindMacro(MacroObject& macro, Arguments& arguments, Frame& frame) {
  const Stmt& code = *macro.statement;
  const size_t count = code.parameters.size();
  const std::string label =
      code.kind == StmtKind::kMacro ? fmt::format("the macro \"{}\"", code.name) : "the caller";
  bool found_caller = arguments.positional.size() >= count && code.names_caller;
  for (size_t i = 0; i < count; ++i) {
    const Expr& parameter = *code.parameters[i];
    if (i < arguments.positional.size()) {
      At(frame, parameter.place) = arguments.positional[i];
    } else {
      At(frame, parameter.place) = TakeNamed(arguments, parameter.name);
      found_caller = found_caller || parameter.name == "caller";
    }
  }
  if (code.takes_caller && !found_caller) {
    Value caller = TakeNamed(arguments, "caller");
    const bool is_absent = caller.is_missing() || caller.is_none();
    frame.slots[code.caller_slot] = is_absent ? Value::Undefined("there is no caller") : std::move(caller);
  }
  if (code.takes_kwargs) {
    std::vector<DictData::Entry> rest;
    for (auto& [name, value] : arguments.named) rest.emplace_back(Value::String(name), value);
    frame.slots[code.kwargs_slot] = Dict(std::move(rest));
  } else if (!arguments.named.empty()) {
    return InvalidArgument("{} has no parameter \"{}\"", label, arguments.named[0].first);
  }
  if (code.takes_varargs) {
    const size_t taken = std::min(count, arguments.positional.size());
    frame.slots[code.varargs_slot] =
        Tuple({arguments.positional.begin() + static_cast<ptrdiff_t>(taken), arguments.positional.end()});
  } else if (arguments.positional.size() > count) {
    return InvalidArgument("{} takes {} arguments, not {}", label, count, arguments.positional.size());
  }
  for (size_t i = 0; i < count; ++i) {
    const Expr& parameter = *code.parameters[i];
    if (!At(frame, parameter.place).is_missing()) continue;
    const size_t first_default = count - code.defaults.size();
    if (i >= first_default) {
      QWEN25_TRY(At(frame, parameter.place), Evaluate(*code.defaults[i - first_default], frame));
    } else {
      At(frame, parameter.place) =
          Value::Undefined(fmt::format("the parameter \"{}\" of {} was not given", parameter.name, label));
    }
  }
  return {};
}

Result<Value> Interpreter::CallMacro(MacroObject& macro, Arguments arguments) {
  FrameHolder frame(*this, macro.frame, macro.statement->layout);
  QWEN25_RETURN_IF_ERROR(BindMacro(macro, arguments, *frame));
  MarkedText text;
  const MarkedText* const outer = std::exchange(captured_, nullptr);
  const Result<Flow> flow = Execute(macro.statement->body, *frame, text);
  captured_ = outer;
  if (!flow.ok()) return flow.status();
  return Text(std::move(text));
}

// loop(items): the same loop on other items, one level deeper.
Result<Value> Interpreter::CallLoop(LoopObject& loop, Arguments& arguments) {
  if (!loop.statement->is_recursive) {
    return InvalidArgument("only a loop that is marked \"recursive\" can be called");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return InvalidArgument("a recursive loop takes one argument: the items to walk through");
  }
  if (loop.frame == nullptr) return InvalidArgument("this loop has ended and cannot be called any more");
  MarkedText text;
  QWEN25_RETURN_IF_ERROR(
      For(*loop.statement, arguments.positional[0], loop.depth0 + 1, *loop.frame, text).status());
  return Text(std::move(text));
}

Result<std::vector<Value>> Interpreter::ToVector(const Value& value) {
  if (value.is_sequence()) {
    QWEN25_RETURN_IF_ERROR(Spend(value.items().size() / 4));
    return value.items();
  }
  if (!Iterator::IsIterable(value)) {
    return InvalidArgument("a value of type {} cannot be walked through", value.TypeName());
  }
  std::vector<Value> items;
  Iterator iterator(value);
  while (true) {
    QWEN25_TRY(std::optional<Value> next, iterator.Next(*this));
    if (!next) return items;
    items.push_back(std::move(*next));
    QWEN25_RETURN_IF_ERROR(CheckSize(items.size() * sizeof(Value)));
  }
}

std::optional<size_t> Interpreter::LengthOfValue(const Value& value) const {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      return 0;
    case Value::Kind::kString:
      return CountCodePoints(value.text());
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      return value.items().size();
    case Value::Kind::kDict:
      return value.dict().entries.size();
    case Value::Kind::kObject:
      return LengthOf(*value.object());
    default:
      return std::nullopt;
  }
}

}  // namespace qwen25::jinja
