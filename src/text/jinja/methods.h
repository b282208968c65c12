// The methods of Python's strings, lists, tuples and dictionaries, and of Jinja's objects, as far as a
// sandbox that lets nothing be changed has them.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

bool HasMethod(const Value& owner, std::string_view name);
// Methods that would change their owner: using one is an error.
bool IsForbiddenMethod(const Value& owner, std::string_view name);
// Calls a method that `self` has.
Result<Value> CallMethod(const Value& self, std::string_view name, Arguments& arguments,
                         Interpreter& interpreter);

}  // namespace qwen25::jinja
