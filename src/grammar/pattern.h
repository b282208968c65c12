// Regular expressions as JSON Schema's `pattern` has them: ECMA-262 with the flag u, as far as they are
// regular.
//
// Handled: literals, escapes, classes, \d \w \s \p{..} and their complements, ., ^ and $, groups,
// alternatives, greedy and lazy repeats. Refused by name: references to groups, lookaround, \b and \B, flags.
//
// The tokenizers' regular expressions (text/regex.h) are parsed elsewhere, since they mean something else: in
// Oniguruma's syntax \d and \w are Unicode classes, ^ and $ match at every line, brackets nest, and a repeat
// may keep what it took.
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/budget.h"
#include "grammar/expression.h"

namespace qwen25::grammar {

// kInvalidArgument for what is no regular expression, kUnsupported for what is refused; the message names the
// byte, but not the pattern.
Result<Expression> ParsePattern(std::string_view pattern, const GrammarLimits& limits);

}  // namespace qwen25::grammar
