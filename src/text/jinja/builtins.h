// The filters, tests and functions of Jinja, and those that Hugging Face transformers adds.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

bool IsFilter(std::string_view name);
bool IsTest(std::string_view name);

struct FunctionEntry {
  std::string_view name;
  FunctionObject::Call call;
};
// What a template can call without a variable for it: range, dict, namespace, cycler, joiner,
// raise_exception, strftime_now.
std::span<const FunctionEntry> Functions();

// ---- Shared by the files of filters

struct FilterCall {
  std::string_view name;
  const Value& input;
  const BoundArguments& arguments;
  Interpreter& interpreter;
};
struct FilterEntry {
  std::string_view name;
  std::string_view signature;  // BoundArguments::Bind
  Result<Value> (*call)(const FilterCall& call);
};
std::span<const FilterEntry> TextFilters();      // filters_text.cc
std::span<const FilterEntry> SequenceFilters();  // filters_sequence.cc
std::span<const FilterEntry> ValueFilters();     // filters_value.cc
// Filters whose arguments are those of another filter or test: map, select, reject, selectattr, rejectattr,
// format. Nothing for another name.
std::optional<Result<Value>> CallVariadicFilter(std::string_view name, const Value& input,
                                                Arguments& arguments, Interpreter& interpreter);
bool IsVariadicFilter(std::string_view name);

// The attribute that a filter's `attribute` names: "a.b.0" goes down step by step; none is the value itself.
// With `otherwise`, what is undefined on the way is that.
Result<Value> AttributeOf(const Value& item, const Value& attribute, const Value* otherwise,
                          Interpreter& interpreter);

}  // namespace qwen25::jinja
