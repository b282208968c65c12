// Python's operators on values, for interpreter_expressions.cc and the filters.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

// `name` is one of + - * / // % **. kInvalidArgument for operands that do not fit, and for results beyond 64
// bits.
Result<Value> Arithmetic(std::string_view name, const Value& left, const Value& right,
                         Interpreter& interpreter);
Result<Value> Negative(const Value& value);
Result<Value> Positive(const Value& value);

// -1, 0 or 1; 2 if one of them is not a number. kInvalidArgument for values that have no order.
Result<int> Order(const Value& left, const Value& right, Interpreter& interpreter);
// `name` is one of == != < <= > >= in, "not in".
Result<bool> CompareValues(std::string_view name, const Value& left, const Value& right,
                           Interpreter& interpreter);
Result<bool> Contains(const Value& container, const Value& item, Interpreter& interpreter);

// value[start:stop:step]; none for what is left out.
Result<Value> Slice(const Value& value, const Value& start, const Value& stop, const Value& step,
                    Interpreter& interpreter);

}  // namespace qwen25::jinja
