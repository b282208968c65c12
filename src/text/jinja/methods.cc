#include "text/jinja/methods.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/string_methods.h"

namespace qwen25::jinja {
namespace {

using Call = Result<Value> (*)(const Value& self, const BoundArguments& arguments, Interpreter& interpreter);
struct Method {
  std::string_view name;
  std::string_view signature;
  Call call;
};

// ---- Lists and tuples

Result<Value> Count(const Value& self, const BoundArguments& arguments, Interpreter& interpreter) {
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(self.items().size()));
  return Value::Int(std::ranges::count(self.items(), arguments.Get(0)));
}

Result<Value> Index(const Value& self, const BoundArguments& arguments, Interpreter& interpreter) {
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(self.items().size()));
  const auto length = static_cast<int64_t>(self.items().size());
  QWEN25_TRY(int64_t start, arguments.Int(1, 0));
  QWEN25_TRY(int64_t stop, arguments.Int(2, length));
  start = std::clamp<int64_t>(start < 0 ? start + length : start, 0, length);
  stop = std::clamp<int64_t>(stop < 0 ? stop + length : stop, 0, length);
  for (int64_t i = start; i < stop; ++i) {
    if (self.items()[static_cast<size_t>(i)] == arguments.Get(0)) return Value::Int(i);
  }
  return InvalidArgument("\"index\": the value is not in the {}", self.TypeName());
}

Result<Value> Copy(const Value& self, const BoundArguments&, Interpreter&) {
  return self;  // nothing can be changed, so that the same value will do
}

// ---- Dictionaries

Result<Value> Get(const Value& self, const BoundArguments& arguments, Interpreter& interpreter) {
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(self.dict().entries.size() / 8));
  const Value key = arguments.Get(0);
  if (key.is_list() || key.is_dict()) return InvalidArgument("\"get\": a {} cannot be a key", key.TypeName());
  const Value* found = self.dict().Find(key);
  return found != nullptr ? *found : arguments.Get(1);
}

template <ViewObject::Part part>
Result<Value> View(const Value& self, const BoundArguments&, Interpreter& interpreter) {
  return Value::Of(interpreter.New<ViewObject>(self, part));
}

// ---- Numbers

Result<Value> IsInteger(const Value& self, const BoundArguments&, Interpreter&) {
  return Value::Bool(std::isfinite(self.floating()) && std::trunc(self.floating()) == self.floating());
}

// ---- Objects of Jinja

Result<Value> CyclerNext(const Value& self, const BoundArguments&, Interpreter&) {
  auto& cycler = static_cast<CyclerObject&>(*self.object());
  const size_t at = cycler.position;
  cycler.position = (at + 1) % cycler.items.size();
  return cycler.items[at];
}

Result<Value> CyclerReset(const Value& self, const BoundArguments&, Interpreter&) {
  static_cast<CyclerObject&>(*self.object()).position = 0;
  return Value();
}

constexpr std::array kListMethods = {
    Method{"copy", "", Copy},
    Method{"count", "value /", Count},
    Method{"index", "value start? stop? /", Index},
};
constexpr std::array kDictMethods = {
    Method{"copy", "", Copy},
    Method{"get", "key default? /", Get},
    Method{"items", "", View<ViewObject::Part::kItems>},
    Method{"keys", "", View<ViewObject::Part::kKeys>},
    Method{"values", "", View<ViewObject::Part::kValues>},
};
constexpr std::array kFloatMethods = {Method{"is_integer", "", IsInteger}};
constexpr std::array kCyclerMethods = {Method{"next", "", CyclerNext}, Method{"reset", "", CyclerReset}};

std::span<const Method> MethodsOf(const Value& owner) {
  switch (owner.kind()) {
    case Value::Kind::kList:
      return kListMethods;
    case Value::Kind::kTuple:
      return std::span<const Method>(kListMethods).subspan(1);  // tuples have no copy()
    case Value::Kind::kDict:
      return kDictMethods;
    case Value::Kind::kFloat:
      return kFloatMethods;
    case Value::Kind::kObject:
      if (owner.object()->type == Object::Type::kCycler) return kCyclerMethods;
      return {};
    default:
      return {};
  }
}

bool IsLoopMethod(const Value& owner, std::string_view name) {
  return owner.object(Object::Type::kLoop) != nullptr && (name == "cycle" || name == "changed");
}

Result<Value> CallLoopMethod(LoopObject& loop, std::string_view name, Arguments& arguments) {
  if (!arguments.named.empty()) return InvalidArgument("\"loop.{}\" takes no named arguments", name);
  if (name == "cycle") {
    if (arguments.positional.empty()) return InvalidArgument("\"loop.cycle\" needs values");
    const auto at = static_cast<size_t>(std::max<int64_t>(loop.index0, 0));
    return arguments.positional[at % arguments.positional.size()];
  }
  if (loop.last_changed && *loop.last_changed == arguments.positional) return Value::Bool(false);
  loop.last_changed = std::move(arguments.positional);
  return Value::Bool(true);
}

}  // namespace

bool HasMethod(const Value& owner, std::string_view name) {
  if (owner.is_string()) return IsStringMethod(name);
  return std::ranges::find(MethodsOf(owner), name, &Method::name) != MethodsOf(owner).end() ||
         IsLoopMethod(owner, name);
}

bool IsForbiddenMethod(const Value& owner, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kOfLists = {"append", "clear", "pop",    "reverse",
                                                               "insert", "sort",  "extend", "remove"};
  static constexpr std::array<std::string_view, 5> kOfDicts = {"clear", "pop", "popitem", "setdefault",
                                                               "update"};
  if (owner.is_list()) return std::ranges::find(kOfLists, name) != kOfLists.end();
  return owner.is_dict() && std::ranges::find(kOfDicts, name) != kOfDicts.end();
}

Result<Value> CallMethod(const Value& self, std::string_view name, Arguments& arguments,
                         Interpreter& interpreter) {
  if (self.is_string()) return CallStringMethod(self, name, arguments, interpreter);
  if (IsLoopMethod(self, name))
    return CallLoopMethod(static_cast<LoopObject&>(*self.object()), name, arguments);
  const auto method = std::ranges::find(MethodsOf(self), name, &Method::name);
  QWEN25_TRY(const BoundArguments bound, BoundArguments::Bind(name, method->signature, std::move(arguments)));
  return method->call(self, bound, interpreter);
}

}  // namespace qwen25::jinja
