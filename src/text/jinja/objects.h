// Values with an identity, and how values are walked through.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

class Interpreter;

// The variables of one run of a template, a loop's body or a macro.
struct Frame {
  Frame(Frame* outer, size_t num_slots) : parent(outer), slots(num_slots, Value::Missing()) {}
  Frame* const parent;
  std::vector<Value> slots;
  bool is_kept = false;  // a macro refers to it: it lives as long as the rendering
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct NamespaceObject : Object {
  NamespaceObject() : Object(Type::kNamespace) {}
  std::vector<std::pair<std::string, Value>> members;
  Value* Find(std::string_view name);
  void Set(std::string_view name, Value value);
};

struct MacroObject : Object {
  MacroObject(const Stmt* code, Frame* outer) : Object(Type::kMacro), statement(code), frame(outer) {}
  const Stmt* const statement;  // kMacro, or kCallBlock for a `caller`
  Frame* const frame;           // where it was defined
};

struct FunctionObject : Object {
  using Call = Result<Value> (*)(Interpreter& interpreter, Arguments& arguments);
  FunctionObject(std::string_view function_name, Call function)
      : Object(Type::kFunction), name(function_name), call(function) {}
  const std::string_view name;
  const Call call;
};

// A method of a string, list, dictionary or object, bound to it.
struct MethodObject : Object {
  MethodObject(Value owner, std::string method)
      : Object(Type::kMethod), self(std::move(owner)), name(std::move(method)) {}
  const Value self;
  const std::string name;
};

// Yields values once.
struct GeneratorObject : Object {
  using NextValue = std::function<Result<std::optional<Value>>(Interpreter& interpreter)>;
  GeneratorObject(std::string_view type_name, NextValue function)
      : Object(Type::kGenerator), name(type_name), next(std::move(function)) {}
  const std::string_view name;  // of the type
  const NextValue next;
};

struct RangeObject : Object {
  RangeObject(int64_t first, int64_t end, int64_t width);
  const int64_t start, stop, step;
  size_t length;
  Value At(size_t i) const { return Value::Int(start + static_cast<int64_t>(i) * step); }
};

// keys(), values() and items() of a dictionary.
struct ViewObject : Object {
  enum class Part { kKeys, kValues, kItems };
  ViewObject(Value of, Part which) : Object(Type::kView), dict(std::move(of)), part(which) {}
  const Value dict;
  const Part part;
};

struct CyclerObject : Object {
  explicit CyclerObject(std::vector<Value> values) : Object(Type::kCycler), items(std::move(values)) {}
  const std::vector<Value> items;
  size_t position = 0;
};

struct JoinerObject : Object {
  explicit JoinerObject(Value between) : Object(Type::kJoiner), separator(std::move(between)) {}
  const Value separator;
  bool is_used = false;
};

// Walks through a value. It must outlive neither the value nor the rendering.
class Iterator {
 public:
  Iterator() = default;  // of nothing
  explicit Iterator(Value source) : source_(std::move(source)) {}
  // Whether values of this kind can be walked through.
  static bool IsIterable(const Value& value);
  // The next value; nothing at the end.
  Result<std::optional<Value>> Next(Interpreter& interpreter);

 private:
  Value source_ = Value::Undefined("");
  size_t at_ = 0;
};

// The variable `loop`.
struct LoopObject : Object {
  LoopObject(Value source, size_t depth, const Stmt* code)
      : Object(Type::kLoop),
        iterable(std::move(source)),
        iterator(iterable),
        depth0(depth),
        statement(code) {}
  const Value iterable;
  Iterator iterator;
  const size_t depth0;
  const Stmt* const statement;
  Frame* frame = nullptr;  // around the loop; null when the loop has ended
  int64_t index0 = -1;
  std::optional<size_t> length;
  std::vector<Value> ahead;  // values that were asked for early, in order
  size_t next_ahead = 0;
  Value current = Value::Missing(), before = Value::Missing();
  std::optional<std::vector<Value>> last_changed;

  // Moves on; false at the end.
  Result<bool> Advance(Interpreter& interpreter);
  // The value after the current one; nothing at the end.
  Result<std::optional<Value>> Peek(Interpreter& interpreter);
  Result<size_t> Length(Interpreter& interpreter);
};

// Python's len(); nothing for what has none.
std::optional<size_t> LengthOf(const Object& object);
// Whether both are ranges of the same numbers.
bool SameRange(const Object& a, const Object& b);
std::string_view ObjectTypeName(const Object& object);

}  // namespace qwen25::jinja
