// Objects of a schema (schema_compiler.h): their properties in the schema's order, then properties that it
// does not name.
#include <algorithm>
#include <set>

#include "grammar/schema_compiler.h"

namespace qwen25::grammar {
namespace {

// Numbers of members up to which a rule is made for each.
constexpr size_t kMaxCounts = 1000, kMaxCountRules = 20000;

bool ContainsFalse(const SchemaSet& schemas) {
  return std::ranges::any_of(schemas, [](const Json* schema) { return *schema == Json(false); });
}

}  // namespace

Result<Expression> SchemaCompiler::Object(const Facts& facts) {
  if (facts.objects.empty() && facts.required.empty() && facts.names.empty() && facts.min_properties == 0 &&
      facts.max_properties == kUnlimited) {
    QWEN25_TRY(const uint32_t rule, text_.AnyObject());
    return CallOf(rule);
  }
  QWEN25_TRY(const ObjectPlan plan, PlanObject(facts));
  uint64_t num_required = 0, most = 0;
  for (const Member& member : plan.members) num_required += member.is_required;
  most =
      plan.num_other_names == kUnlimited ? uint64_t{kUnlimited} : plan.members.size() + plan.num_other_names;
  const bool is_counted = facts.min_properties > num_required || facts.max_properties < most;
  Result<Expression> members = is_counted ? CountedMembers(facts, plan) : Members(plan);
  QWEN25_RETURN_IF_ERROR(members.status());
  return Sequence({Text("{"), text_.Break(), *members, Text("}")});
}

Result<SchemaCompiler::ObjectPlan> SchemaCompiler::PlanObject(const Facts& facts) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Json* object : facts.objects) {
    const auto properties = object->find("properties");
    if (properties == object->end()) continue;
    for (const auto& [name, schema] : properties->items()) {
      if (seen.insert(name).second) names.push_back(name);
    }
  }
  for (const std::string& name : facts.required) {
    if (seen.insert(name).second) names.push_back(name);
  }
  ObjectPlan plan;
  for (const std::string& name : names) {
    QWEN25_TRY(SchemaSet schemas, sets_.PropertySchemas(facts, name));
    const bool is_required = std::ranges::find(facts.required, name) != facts.required.end();
    plan.members.push_back({name, std::move(schemas), is_required});
  }
  QWEN25_RETURN_IF_ERROR(AddOtherMembers(facts, plan));
  // What may not be there keeps its name from the other members until here.
  std::erase_if(plan.members, [](const Member& m) { return !m.is_required && ContainsFalse(m.schemas); });
  return plan;
}

Status SchemaCompiler::AddOtherMembers(const Facts& facts, ObjectPlan& plan) {
  QWEN25_TRY(std::vector<OtherMembers> others, PartitionNames(facts, plan));
  uint64_t num_names = 0;
  for (OtherMembers& other : others) {
    if (ContainsFalse(other.schemas) || other.names.states.empty()) continue;
    num_names = std::min<uint64_t>(num_names + CountTexts(other.names)[0], kUnlimited);
    plan.others.push_back(std::move(other));
  }
  plan.num_other_names = static_cast<uint32_t>(num_names);
  return {};
}

// The names that no property has, by the patterns of patternProperties that they match.
Result<std::vector<SchemaCompiler::OtherMembers>> SchemaCompiler::PartitionNames(const Facts& facts,
                                                                                 const ObjectPlan& plan) {
  Budget& budget = rules_.budget();
  const SchemaSet unmatched = sets_.OtherPropertySchemas(facts, [](const std::string&) { return false; });
  std::set<std::string> patterns;
  for (const Json* object : facts.objects) {
    const auto found = object->find("patternProperties");
    if (found == object->end()) continue;
    for (const auto& [pattern, schema] : found->items()) patterns.insert(pattern);
  }
  if (patterns.empty() && ContainsFalse(unmatched)) return std::vector<OtherMembers>();
  struct Part {
    Automaton names;
    std::set<std::string> matched;
  };
  std::vector<Expression> taken;
  for (const Member& member : plan.members) taken.push_back(Text(member.name));
  QWEN25_TRY(const Automaton taken_names, Compile(Choice(std::move(taken)), budget));
  QWEN25_TRY(Automaton all, facts.names.empty() ? text_.AnyText() : sets_.Strings(facts.names));
  QWEN25_TRY(all, Subtract(all, taken_names, budget));
  std::vector<Part> parts(1);
  parts[0].names = std::move(all);
  for (const std::string& pattern : patterns) {
    const Json* schema = *std::ranges::find_if(facts.objects, [&](const Json* object) {
      return object->contains("patternProperties") && object->at("patternProperties").contains(pattern);
    });
    QWEN25_TRY(const auto compiled, sets_.CompiledPattern(schema, pattern, "patternProperties"));
    std::vector<Part> split;
    for (Part& part : parts) {
      Part with, without = {{}, part.matched};
      QWEN25_TRY(with.names, Intersect(part.names, *compiled, budget));
      QWEN25_TRY(without.names, Subtract(part.names, *compiled, budget));
      with.matched = std::move(part.matched);
      with.matched.insert(pattern);
      if (!with.names.states.empty()) split.push_back(std::move(with));
      if (!without.names.states.empty()) split.push_back(std::move(without));
    }
    parts = std::move(split);
  }
  std::vector<OtherMembers> result;
  for (Part& part : parts) {
    SchemaSet schemas = sets_.OtherPropertySchemas(
        facts, [&](const std::string& pattern) { return part.matched.contains(pattern); });
    result.push_back({std::move(part.names), std::move(schemas)});
  }
  return result;
}

// A member whose key ends as `key` does, quote included.
Result<Expression> SchemaCompiler::MemberRule(const Expression& key, const SchemaSet& schemas) {
  QWEN25_TRY(const uint32_t value, RuleFor(schemas));
  return Sequence({key, Text(":"), text_.Space(), CallOf(value)});
}

Result<Expression> SchemaCompiler::AnyOther(const std::vector<OtherMembers>& others) {
  std::vector<Expression> branches;
  for (const OtherMembers& other : others) {
    const uint32_t key = rules_.Add("keys", Embedded(text_.WithEscapes(other.names)));
    rules_.MarkAsKeys(key);
    QWEN25_TRY(Expression member, MemberRule(CallOf(key), other.schemas));
    branches.push_back(std::move(member));
  }
  return Sequence({Text("\""), Choice(std::move(branches))});
}

// Rules from the last property to the first: what follows if no member is there yet, and if one is.
Result<Expression> SchemaCompiler::Members(const ObjectPlan& plan) {
  const Expression comma = Sequence({Text(","), text_.Break()});
  Expression first = Nothing(), later = text_.Break();
  if (!plan.others.empty()) {
    QWEN25_TRY(const Expression any_other, AnyOther(plan.others));
    const Expression other = CallOf(rules_.Add("other members", any_other));
    const Expression next = Sequence({comma, other});
    const uint32_t most = plan.num_other_names;
    const uint32_t more = most == kUnlimited ? kUnlimited : most - 1;
    first = Optional(Sequence({other, Repeat(next, 0, more), text_.Break()}));
    later = Sequence({Repeat(next, 0, most), text_.Break()});
  }
  for (auto member = plan.members.rbegin(); member != plan.members.rend(); ++member) {
    const uint32_t behind = rules_.Add("members", later);
    const uint32_t without = rules_.Add("members", first);
    QWEN25_TRY(const Expression body, MemberRule(text_.StringLiteral(member->name), member->schemas));
    const Expression rule = CallOf(rules_.Add("member", Sequence({body, CallOf(behind)})));
    first = member->is_required ? rule : Choice({rule, CallOf(without)});
    const Expression more = Sequence({comma, rule});
    later = member->is_required ? more : Choice({more, CallOf(behind)});
  }
  return first;
}

// As Members, with rules for each number of members that are there, up to where more do not matter.
Result<Expression> SchemaCompiler::CountedMembers(const Facts& facts, const ObjectPlan& plan) {
  const uint64_t num_named = plan.members.size();
  const uint64_t there_are =
      plan.num_other_names == kUnlimited ? kUnlimited : num_named + plan.num_other_names;
  const uint64_t least = facts.min_properties, most = std::min<uint64_t>(facts.max_properties, there_are);
  if (least > most) return Never();
  const uint64_t counts = most == kUnlimited ? std::max<uint64_t>(least, 1) : most;
  // How many members that no property names there may be; beyond that there are no names left.
  const bool is_limited = plan.num_other_names != kUnlimited;
  const uint64_t most_others = is_limited ? std::min<uint64_t>(plan.num_other_names, counts) : 0;
  if (counts > kMaxCounts || (counts + 1) * (num_named + most_others + 1) > kMaxCountRules) {
    return ResourceExhausted("minProperties or maxProperties with {} properties needs more than {} rules",
                             num_named, kMaxCountRules);
  }
  const Expression comma = Sequence({Text(","), text_.Break()});
  Expression other = Never();
  if (!plan.others.empty()) {
    QWEN25_TRY(const Expression any_other, AnyOther(plan.others));
    other = CallOf(rules_.Add("other members", any_other));
  }
  const auto joined = [&](uint64_t count, const Expression& member) {
    return count == 0 ? member : Sequence({comma, member});
  };
  // after[n]: what may follow n members; while others are limited, of which `num_others` are no properties.
  std::vector<uint32_t> after(counts + 1), with_another;
  for (uint64_t num_others = most_others + 1; num_others-- > 0;) {
    with_another = after;
    for (uint64_t n = counts + 1; n-- > 0;) {
      after[n] = rules_.Add("members");
      const bool has_names = !is_limited || num_others < most_others;
      const std::vector<uint32_t>& then = is_limited ? with_another : after;
      std::vector<Expression> ways;
      if (n >= least) ways.push_back(n == 0 ? Nothing() : text_.Break());
      if (has_names && (n < counts || most == kUnlimited)) {
        ways.push_back(Sequence({joined(n, other), CallOf(then[std::min(n + 1, counts)])}));
      }
      rules_.Set(after[n], Choice(std::move(ways)));
    }
  }
  for (auto member = plan.members.rbegin(); member != plan.members.rend(); ++member) {
    QWEN25_TRY(const Expression body, MemberRule(text_.StringLiteral(member->name), member->schemas));
    const Expression rule = CallOf(rules_.Add("member", body));
    std::vector<uint32_t> before(counts + 1);
    for (uint64_t n = 0; n <= counts; ++n) {
      std::vector<Expression> ways;
      if (!member->is_required) ways.push_back(CallOf(after[n]));
      if (n < counts || most == kUnlimited) {
        ways.push_back(Sequence({joined(n, rule), CallOf(after[std::min(n + 1, counts)])}));
      }
      before[n] = rules_.Add("members", Choice(std::move(ways)));
    }
    after = std::move(before);
  }
  return CallOf(after[0]);
}

}  // namespace qwen25::grammar
