#include "cli/flags/grammar_flags.h"

#include "base/file.h"

namespace qwen25 {

Result<Grammar::Pointer> GrammarFlags::Load() const {
  if (!json_schema_file.empty() + !regex.empty() + !grammar_file.empty() > 1) {
    return InvalidArgument(
        "--json-schema, --regex and --grammar each say what the answer must be; give one of them");
  }
  if (!json_schema_file.empty()) {
    QWEN25_TRY(const Json schema, ReadJsonFile(json_schema_file));
    return Grammar::FromJsonSchema(schema);
  }
  if (!regex.empty()) return Grammar::FromRegex(regex);
  if (!grammar_file.empty()) {
    QWEN25_TRY(const std::string source, ReadFile(grammar_file));
    return Grammar::FromGbnf(source);
  }
  return Grammar::Pointer();
}

void AddGrammarFlags(CLI::App& verb, GrammarFlags& flags) {
  verb.add_option(
      "--json-schema", flags.json_schema_file,
      "File with a JSON Schema: the answer is a document that it allows (docs/structured_output.md)");
  verb.add_option("--regex", flags.regex, "Regular expression that the whole answer matches");
  verb.add_option("--grammar", flags.grammar_file, "File with a grammar in GBNF that the answer follows");
}

}  // namespace qwen25
