// Structured output: grammars that a model's text must match. docs/structured_output.md says what is handled.
#pragma once

#include <bitset>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "grammar/budget.h"
#include "grammar/grammar_tables.h"

namespace qwen25 {

struct SchemaOptions {
  // Whether JSON may have whitespace between its tokens: one space, or a line feed and an indentation of at
  // most kMaxIndentation spaces. Never more, so that a model cannot go on with whitespace forever.
  bool allow_whitespace = true;
  // Whether a `format` that is not handled constrains nothing, as the standard has it, instead of being an
  // error.
  bool ignore_unknown_formats = false;
  GrammarLimits limits;

  static constexpr int kMaxIndentation = 40;
};

// A compiled grammar: immutable, safe to use from many threads at once. The texts that match it are UTF-8.
//
// Errors: kInvalidArgument for what is malformed or matches no text, kUnsupported for what is understood but
// not handled, kResourceExhausted for a limit that is reached. The message names the place: the JSON pointer
// in a schema, the byte in a pattern, the line in a GBNF grammar.
class Grammar {
 public:
  using Pointer = std::shared_ptr<const Grammar>;

  // JSON that is valid by a schema (draft 2020-12, and what earlier drafts wrote differently), properties in
  // the schema's order.
  static Result<Pointer> FromJsonSchema(const Json& schema, const SchemaOptions& options = {});
  // Any JSON object.
  static Result<Pointer> AnyJson(const SchemaOptions& options = {});
  // Texts that match the regular expression (ECMA-262) from end to end.
  static Result<Pointer> FromRegex(std::string_view pattern, const GrammarLimits& limits = {});
  // Texts of the rule `root` of a grammar in llama.cpp's notation.
  static Result<Pointer> FromGbnf(std::string_view source, const GrammarLimits& limits = {});

  const grammar::GrammarTables& tables() const { return *tables_; }
  // The tables with these bytes only (WithoutDeadEnds). Made once for equal bytes.
  Result<std::shared_ptr<const grammar::GrammarTables>> TablesFor(const std::bitset<256>& bytes) const;

  explicit Grammar(grammar::GrammarTables tables);

 private:
  std::shared_ptr<const grammar::GrammarTables> tables_;
  std::bitset<256> needed_bytes_;  // that some edge has
  // What vocabularies without some of them use.
  mutable std::mutex mutex_;
  mutable std::vector<std::pair<std::bitset<256>, std::shared_ptr<const grammar::GrammarTables>>> restricted_;
};

}  // namespace qwen25
