// A parsed template: statements that hold expressions. The parser (parser.h) builds it, ResolveNames
// (scopes.h) then says where each name lives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace qwen25::jinja {

// The place of a variable: `hops` frames outwards, and the slot there.
struct Place {
  uint32_t hops = 0;
  uint32_t slot = 0;
};

enum class ExprKind {
  kConstant,       // value
  kName,           // name, place
  kNamespaceItem,  // a target only: name.attribute, with the attribute in `value`
  kTuple,
  kList,
  kDict,       // keys and values in turn
  kAttribute,  // operands[0].name
  kItem,       // operands[0][operands[1]]
  kSlice,      // operands[0][operands[1]:operands[2]:operands[3]]; absent ones are null
  kCall,       // operands[0](arguments)
  kFilter,     // operands[0] | name(arguments); inside a filter block the innermost operand is null
  kTest,       // operands[0] is name(arguments)
  kNot,
  kNegative,
  kPositive,
  kAnd,
  kOr,
  kArithmetic,  // name is the operator
  kConcat,      // ~
  kCompare,     // operands[0] operators[0] operands[1] operators[1] operands[2] ...
  kCondition,   // operands[0] if operands[1] else operands[2], which may be null
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  Expr(ExprKind expr_kind, size_t begin) : kind(expr_kind), at(begin) {}

  ExprKind kind;
  size_t at;           // where it begins in the source, in bytes
  uint32_t depth = 1;  // of the tree below
  std::string name;
  Value value;
  Place place;
  std::vector<ExprPtr> operands;  // arguments by position follow those that the kind names
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  ExprPtr star, double_star;           // *arguments, **arguments
  std::vector<std::string> operators;  // of kCompare
};

// What a frame does with one of its variables when it is entered.
struct SlotLoad {
  enum class Action { kParameter, kContext, kCopy, kMissing };
  std::string name;
  Action action = Action::kMissing;
  Place from;  // of kCopy, seen from the new frame
};
using FrameLayout = std::vector<SlotLoad>;

enum class StmtKind {
  kText,         // text
  kPrint,        // exprs[0]
  kAssign,       // target, exprs[0]
  kAssignBlock,  // target, body, exprs[0] may be a filter
  kFor,          // target, exprs[0], test, body, otherwise
  kIf,           // exprs[i] guards branches[i]; otherwise
  kMacro,        // name, parameters, defaults, body
  kCallBlock,    // exprs[0] is the call; parameters, defaults, body
  kGeneration,   // body: what the model said, for training; here a block with a scope of its own
  kFilterBlock,  // exprs[0] is the filter, body
  kWith,         // targets, exprs, body
  kAutoescape,   // exprs[0], body
  kBlock,        // name, body
  kBreak,
  kContinue,
  kUnavailable,  // name: a statement that needs other templates
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct Stmt {
  Stmt(StmtKind stmt_kind, size_t begin) : kind(stmt_kind), at(begin) {}

  StmtKind kind;
  size_t at;
  uint32_t depth = 1;
  std::string name;
  Value text;
  Place place;                   // of the name of a macro
  ExprPtr target;                // of assignments and loops
  std::vector<ExprPtr> targets;  // of `with`
  std::vector<ExprPtr> exprs;
  ExprPtr test, test_target;  // of a loop: the test has a frame of its own, with a copy of the target
  bool is_recursive = false;
  bool is_top_level = false;  // of assignments and macros: blocks see them
  Body body, otherwise;
  std::vector<Body> branches;
  std::vector<ExprPtr> parameters;  // names
  std::vector<ExprPtr> defaults;    // of the last parameters
  bool takes_caller = false, takes_kwargs = false, takes_varargs = false;
  bool names_caller = false;  // one of the parameters is `caller`
  FrameLayout layout, else_layout, test_layout;
  uint32_t loop_slot = 0, caller_slot = 0, kwargs_slot = 0, varargs_slot = 0;
};

struct Program {
  std::string source;  // with '\n' for every line end, and without a byte order mark
  std::string origin;  // for messages
  Body body;
  FrameLayout layout;

  // "ORIGIN: line 3, column 5" of a place in the source.
  std::string Where(size_t at) const;
};

}  // namespace qwen25::jinja
