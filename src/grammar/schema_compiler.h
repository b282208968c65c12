// From JSON Schema to a grammar.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/json_text.h"
#include "grammar/rule_set.h"
#include "grammar/schema_sets.h"

namespace qwen25::grammar {

Result<GrammarTables> CompileSchema(const Json& schema, const SchemaOptions& options);

// Makes a rule of every set of schemas that values must satisfy together. What a set needs is made later, so
// that recursive schemas end and deep ones take no stack.
class SchemaCompiler {
 public:
  SchemaCompiler(const Json& schema, const SchemaOptions& options)
      : document_(schema),
        rules_(options.limits),
        text_(rules_, options.allow_whitespace),
        sets_(document_, rules_.budget(), options.ignore_unknown_formats) {}

  Result<GrammarTables> Run();

 private:
  struct Member {
    std::string name;
    SchemaSet schemas;
    bool is_required;
  };
  struct OtherMembers {  // whose names no property has
    Automaton names;
    SchemaSet schemas;
  };
  struct ObjectPlan {
    std::vector<Member> members;
    std::vector<OtherMembers> others;
    uint32_t num_other_names = 0;  // that there are, or kUnlimited
  };

  // The rule of values that satisfy all of the schemas.
  Result<uint32_t> RuleFor(SchemaSet schemas);
  Status CompileRule(const SchemaSet& schemas, uint32_t rule);
  Result<Expression> Value(const Facts& facts);
  Result<Expression> Constants(const Facts& facts);
  Status CheckExcludedValues(const Facts& facts) const;
  Result<Expression> Number(const Facts& facts);
  Result<Expression> String(const Facts& facts);
  Result<Expression> Array(const Facts& facts);

  Result<Expression> Object(const Facts& facts);
  Result<ObjectPlan> PlanObject(const Facts& facts);
  Status AddOtherMembers(const Facts& facts, ObjectPlan& plan);
  Result<std::vector<OtherMembers>> PartitionNames(const Facts& facts, const ObjectPlan& plan);
  Result<Expression> MemberRule(const Expression& key, const SchemaSet& schemas);
  Result<Expression> AnyOther(const std::vector<OtherMembers>& others);
  Result<Expression> CountedMembers(const Facts& facts, const ObjectPlan& plan);
  Result<Expression> Members(const ObjectPlan& plan);

  SchemaDocument document_;
  RuleSet rules_;
  JsonText text_;
  SchemaSets sets_;
  std::map<SchemaSet, uint32_t> known_;
  std::deque<std::pair<SchemaSet, uint32_t>> open_;
  uint32_t number_ = kUnlimited, integer_ = kUnlimited;
};

}  // namespace qwen25::grammar
