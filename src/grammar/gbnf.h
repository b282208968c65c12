// Grammars in llama.cpp's notation, GBNF:
//
//   root  ::= item ("," item){0,9}   # a comment
//   item  ::= [a-z]+ | "\"" [^"\n]* "\""
//
// A rule ends with its line, unless a parenthesis is open, "|" or "::=" ends the line, or "|" begins the next
// one.
#pragma once

#include <string_view>

#include "base/status.h"
#include "grammar/budget.h"
#include "grammar/grammar_tables.h"

namespace qwen25::grammar {

// The grammar of the rule `root`. Errors name the line.
Result<GrammarTables> CompileGbnf(std::string_view source, const GrammarLimits& limits);

}  // namespace qwen25::grammar
