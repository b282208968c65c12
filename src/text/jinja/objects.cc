#include "text/jinja/objects.h"

#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

size_t RangeLength(int64_t start, int64_t stop, int64_t step) {
  const bool is_empty = step > 0 ? start >= stop : start <= stop;
  if (is_empty) return 0;
  // In unsigned numbers, since the distance may be beyond 63 bits.
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t width = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  return (distance - 1) / width + 1;
}

std::optional<Value> ViewItem(const ViewObject& view, size_t at, Interpreter& interpreter) {
  const auto& entries = view.dict.dict().entries;
  if (at >= entries.size()) return std::nullopt;
  if (view.part == ViewObject::Part::kKeys) return entries[at].first;
  if (view.part == ViewObject::Part::kValues) return entries[at].second;
  return interpreter.Tuple({entries[at].first, entries[at].second});
}

}  // namespace

Value* NamespaceObject::Find(std::string_view name) {
  const auto found = std::ranges::find(members, name, &std::pair<std::string, Value>::first);
  return found == members.end() ? nullptr : &found->second;
}

void NamespaceObject::Set(std::string_view name, Value value) {
  if (Value* found = Find(name)) {
    *found = std::move(value);
  } else {
    members.emplace_back(std::string(name), std::move(value));
  }
}

RangeObject::RangeObject(int64_t first, int64_t end, int64_t width)
    : Object(Type::kRange), start(first), stop(end), step(width), length(RangeLength(first, end, width)) {}

bool Iterator::IsIterable(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
    case Value::Kind::kString:
    case Value::Kind::kList:
    case Value::Kind::kTuple:
    case Value::Kind::kDict:
      return true;
    case Value::Kind::kObject: {
      const Object::Type type = value.object()->type;
      return type == Object::Type::kGenerator || type == Object::Type::kRange ||
             type == Object::Type::kView || type == Object::Type::kLoop;
    }
    default:
      return false;
  }
}

Result<std::optional<Value>> Iterator::Next(Interpreter& interpreter) {
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(1));
  switch (source_.kind()) {
    case Value::Kind::kString: {
      const std::string& text = source_.text();
      if (at_ >= text.size()) return std::optional<Value>();
      const size_t begin = at_;
      at_ += DecodeCodePoint(text.data() + at_, text.data() + text.size()).bytes;
      return std::optional(interpreter.Text(source_.marked().Part(begin, at_)));
    }
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      if (at_ >= source_.items().size()) return std::optional<Value>();
      return std::optional(source_.items()[at_++]);
    case Value::Kind::kDict:
      if (at_ >= source_.dict().entries.size()) return std::optional<Value>();
      return std::optional(source_.dict().entries[at_++].first);
    case Value::Kind::kObject:
      break;
    default:
      return std::optional<Value>();
  }
  Object& object = *source_.object();
  if (object.type == Object::Type::kGenerator) return static_cast<GeneratorObject&>(object).next(interpreter);
  if (object.type == Object::Type::kRange) {
    const auto& range = static_cast<RangeObject&>(object);
    if (at_ >= range.length) return std::optional<Value>();
    return std::optional(range.At(at_++));
  }
  if (object.type == Object::Type::kView) {
    return ViewItem(static_cast<ViewObject&>(object), at_++, interpreter);
  }
  return InvalidArgument("a loop cannot be walked through by another one");
}

Result<std::optional<Value>> LoopObject::Peek(Interpreter& interpreter) {
  if (next_ahead < ahead.size()) return std::optional(ahead[next_ahead]);
  QWEN25_TRY(std::optional<Value> next, iterator.Next(interpreter));
  if (next) {
    ahead = {*next};
    next_ahead = 0;
  }
  return next;
}

Result<bool> LoopObject::Advance(Interpreter& interpreter) {
  QWEN25_TRY(std::optional<Value> next, Peek(interpreter));
  if (!next) return false;
  ++next_ahead;
  ++index0;
  before = std::move(current);
  current = std::move(*next);
  return true;
}

Result<size_t> LoopObject::Length(Interpreter& interpreter) {
  if (length) return *length;
  length = interpreter.LengthOfValue(iterable);
  if (length) return *length;
  std::vector<Value> rest(ahead.begin() + static_cast<ptrdiff_t>(next_ahead), ahead.end());
  while (true) {
    QWEN25_TRY(std::optional<Value> next, iterator.Next(interpreter));
    if (!next) break;
    rest.push_back(std::move(*next));
    QWEN25_RETURN_IF_ERROR(interpreter.CheckSize(rest.size() * sizeof(Value)));
  }
  length = static_cast<size_t>(index0 + 1) + rest.size();
  ahead = std::move(rest);
  next_ahead = 0;
  return *length;
}

std::optional<size_t> LengthOf(const Object& object) {
  if (object.type == Object::Type::kRange) return static_cast<const RangeObject&>(object).length;
  if (object.type == Object::Type::kView) {
    return static_cast<const ViewObject&>(object).dict.dict().entries.size();
  }
  return std::nullopt;
}

bool SameRange(const Object& a, const Object& b) {
  if (a.type != Object::Type::kRange || b.type != Object::Type::kRange) return false;
  const auto& x = static_cast<const RangeObject&>(a);
  const auto& y = static_cast<const RangeObject&>(b);
  return x.length == y.length &&
         (x.length == 0 || (x.start == y.start && (x.length == 1 || x.step == y.step)));
}

std::string_view ObjectTypeName(const Object& object) {
  switch (object.type) {
    case Object::Type::kNamespace:
      return "Namespace";
    case Object::Type::kMacro:
      return "Macro";
    case Object::Type::kFunction:
      return "function";
    case Object::Type::kMethod:
      return "builtin_function_or_method";
    case Object::Type::kGenerator:
      return static_cast<const GeneratorObject&>(object).name;
    case Object::Type::kRange:
      return "range";
    case Object::Type::kView: {
      const auto part = static_cast<const ViewObject&>(object).part;
      return part == ViewObject::Part::kKeys     ? "dict_keys"
             : part == ViewObject::Part::kValues ? "dict_values"
                                                 : "dict_items";
    }
    case Object::Type::kLoop:
      return "LoopContext";
    case Object::Type::kCycler:
      return "Cycler";
    case Object::Type::kJoiner:
      return "Joiner";
  }
  return "";
}

}  // namespace qwen25::jinja
