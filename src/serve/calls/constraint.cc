#include "serve/calls/constraint.h"

#include <algorithm>
#include <utility>

#include "infer/grammar_rule.h"
#include "serve/calls/tool_call_rule.h"

namespace qwen25 {
namespace {

Result<Grammar::Pointer> Compile(const OutputConstraint& constraint) {
  switch (constraint.kind) {
    case OutputConstraint::Kind::kNone:
      return Grammar::Pointer();
    case OutputConstraint::Kind::kJsonObject:
      return Grammar::AnyJson();
    case OutputConstraint::Kind::kJsonSchema:
      return Grammar::FromJsonSchema(constraint.schema);
    case OutputConstraint::Kind::kRegex:
      return Grammar::FromRegex(constraint.text);
    case OutputConstraint::Kind::kGrammar:
      return Grammar::FromGbnf(constraint.text);
    case OutputConstraint::Kind::kChoice:
      break;
  }
  // One of several texts: as they would stand in a pattern.
  std::string pattern;
  for (const std::string& text : constraint.choices) {
    if (!pattern.empty()) pattern += '|';
    for (const char letter : text) {
      if (std::string_view("^$\\.*+?()[]{}|/").find(letter) != std::string_view::npos) pattern += '\\';
      pattern += letter;
    }
  }
  return Grammar::FromRegex(pattern);
}

// What tells a constraint from others.
std::string NameOf(const OutputConstraint& constraint) {
  std::string name = std::to_string(static_cast<int>(constraint.kind)) + constraint.text;
  if (!constraint.schema.is_null()) name += DumpJson(constraint.schema);
  for (const std::string& text : constraint.choices) name += std::to_string(text.size()) + ":" + text;
  return name;
}

// {"name": NAME, "arguments": ARGUMENTS}
Json CallSchema(const Json& function) {
  const Json parameters = function.value("parameters", Json(nullptr));
  const Json arguments = parameters.is_object() ? parameters : Json({{"type", "object"}});
  return {{"type", "object"},
          {"properties", {{"name", {{"const", function["name"]}}}, {"arguments", arguments}}},
          {"required", {"name", "arguments"}},
          {"additionalProperties", false}};
}

}  // namespace

ApiResult<Grammar::Pointer> GrammarOf(const OutputConstraint& constraint, const ServedModel& model) {
  if (constraint.kind == OutputConstraint::Kind::kNone) return Grammar::Pointer();
  Result<Grammar::Pointer> grammar =
      model.grammars().Get(NameOf(constraint), [&] { return Compile(constraint); });
  if (!grammar.ok()) return InvalidRequest(constraint.field, grammar.status().message());
  return std::move(*grammar);
}

ApiResult<Grammar::Pointer> GrammarOfCall(const ChatPrompt& prompt, const ToolChoice& choice,
                                          const ServedModel& model) {
  Json schemas = Json::array();
  for (size_t i = 0; i < prompt.tools.size(); ++i) {
    const Json& function = prompt.tools[i]["function"];
    if (choice.kind == ToolChoice::Kind::kFunction && function["name"] != choice.function) continue;
    schemas.push_back(CallSchema(function));
    // By itself, so that an error names the function.
    const std::string field = fmt::format("tools[{}].{}", i, prompt.parameters_field);
    const Result<Grammar::Pointer> alone = model.grammars().Get(
        "call " + DumpJson(schemas.back()), [&] { return Grammar::FromJsonSchema(schemas.back()); });
    if (!alone.ok()) return InvalidRequest(field, alone.status().message());
    if (choice.kind == ToolChoice::Kind::kFunction) return *alone;
  }
  const Json schema = schemas.size() == 1 ? schemas[0] : Json({{"anyOf", schemas}});
  Result<Grammar::Pointer> grammar =
      model.grammars().Get("call " + DumpJson(schema), [&] { return Grammar::FromJsonSchema(schema); });
  if (!grammar.ok()) return InvalidRequest("tools", grammar.status().message());
  return std::move(*grammar);
}

ApiResult<std::shared_ptr<LogitsRule>> RuleOfCalls(const ChatPrompt& prompt, const ServedModel& model) {
  const ApiResult<Grammar::Pointer> grammar =
      GrammarOfCall(prompt, {.kind = ToolChoice::Kind::kRequired}, model);
  if (!grammar.ok()) return grammar.error();
  const LoadedModel& loaded = model.model();
  Result<std::shared_ptr<ToolCallRule>> rule =
      ToolCallRule::Create(loaded.tokenizer, *grammar, model.grammars().Trie(), loaded.stop_tokens);
  if (!rule.ok()) return InvalidRequest("tools", rule.status().message());
  return std::shared_ptr<LogitsRule>(std::move(*rule));
}

ApiResult<std::shared_ptr<LogitsRule>> RuleOf(const Grammar::Pointer& grammar, const ServedModel& model,
                                              const std::string& field) {
  if (!grammar) return std::shared_ptr<LogitsRule>();
  Result<std::unique_ptr<GrammarRule>> rule =
      GrammarRule::Create(grammar, model.grammars().Trie(), model.model().stop_tokens);
  if (!rule.ok()) return InvalidRequest(field, rule.status().message());
  return std::shared_ptr<LogitsRule>(std::move(*rule));
}

}  // namespace qwen25
