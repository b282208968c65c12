// The form that a model's text must have, as flags.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "grammar/grammar.h"

namespace qwen25 {

struct GrammarFlags {
  std::string json_schema_file, regex, grammar_file;

  // Null if none is given. kInvalidArgument if more than one is; errors of reading and compiling them.
  Result<Grammar::Pointer> Load() const;
};
void AddGrammarFlags(CLI::App& verb, GrammarFlags& flags);

}  // namespace qwen25
