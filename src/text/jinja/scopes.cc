#include "text/jinja/scopes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "text/jinja/builtins.h"

namespace qwen25::jinja {
namespace {

using Action = SlotLoad::Action;

template <typename Visit>
void ForEachChild(const Expr& node, Visit visit) {
  for (const ExprPtr& child : node.operands) {
    if (child != nullptr) visit(*child);
  }
  for (const auto& [name, child] : node.keywords) visit(*child);
  if (node.star != nullptr) visit(*node.star);
  if (node.double_star != nullptr) visit(*node.double_star);
}

// The variables of one frame, while they are collected. A name is referred to (`refs`) or only known to an
// outer frame. Branches of a condition work on copies that share the slots.
struct Symbols {
  explicit Symbols(const Symbols* outer, FrameLayout* slots) : parent(outer), layout(slots) {}

  const Symbols* parent;
  FrameLayout* layout;
  std::map<std::string, Action> refs;
  std::set<std::string> stores;

  std::optional<Place> Find(const std::string& name) const {
    Place place;
    for (const Symbols* frame = this; frame != nullptr; frame = frame->parent, ++place.hops) {
      if (!frame->refs.contains(name)) continue;
      place.slot = frame->SlotOf(name);
      return place;
    }
    return std::nullopt;
  }
  uint32_t SlotOf(const std::string& name) const {
    const auto slot = std::ranges::find(*layout, name, &SlotLoad::name);
    if (slot == layout->end()) layout->push_back({.name = name});
    return static_cast<uint32_t>(std::ranges::find(*layout, name, &SlotLoad::name) - layout->begin());
  }
  bool IsOuter(const std::string& name) const { return parent != nullptr && parent->Find(name).has_value(); }

  void Load(const std::string& name) {
    if (!Find(name)) refs[name] = Action::kContext;
  }
  void Store(const std::string& name) {
    stores.insert(name);
    if (!refs.contains(name)) refs[name] = IsOuter(name) ? Action::kCopy : Action::kMissing;
  }
  void Declare(const std::string& name) {
    stores.insert(name);
    refs[name] = Action::kParameter;
  }
  // Takes over what the branches of a condition did. What one of them assigns to has a value without it, too.
  void Join(const std::vector<Symbols>& branches) {
    std::set<std::string> assigned;
    for (const Symbols& branch : branches) assigned.insert(branch.stores.begin(), branch.stores.end());
    for (const std::string& name : stores) assigned.erase(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, action] : branch.refs) refs[name] = action;
      stores.insert(branch.stores.begin(), branch.stores.end());
    }
    for (const std::string& name : assigned) refs[name] = IsOuter(name) ? Action::kCopy : Action::kContext;
  }
  // Writes the actions into the layout, once all of the frame has been seen.
  void Finish() const {
    for (const auto& [name, action] : refs) {
      const uint32_t slot = SlotOf(name);
      (*layout)[slot].action = action;
      if (action == Action::kCopy) {
        (*layout)[slot].from = *parent->Find(name);
        ++(*layout)[slot].from.hops;
      }
    }
  }
};

// ---- The names that a frame uses, in the order of the template. Frames inside of it are left out.

void Collect(const Expr& node, Symbols& symbols) {
  ForEachChild(node, [&](const Expr& child) { Collect(child, symbols); });
  if (node.kind == ExprKind::kName || node.kind == ExprKind::kNamespaceItem) symbols.Load(node.name);
}

enum class TargetUse { kStore, kDeclare };
void CollectTarget(const Expr& target, TargetUse use, Symbols& symbols) {
  if (target.kind == ExprKind::kNamespaceItem) return symbols.Load(target.name);
  if (target.kind == ExprKind::kName) {
    return use == TargetUse::kStore ? symbols.Store(target.name) : symbols.Declare(target.name);
  }
  for (const ExprPtr& item : target.operands) CollectTarget(*item, use, symbols);
}

void Collect(const Body& body, Symbols& symbols);

// A condition of which the tests and branches from `first` on are left: an elif is a condition in the branch
// of the one before.
void CollectCondition(const Stmt& condition, size_t first, Symbols& symbols) {
  Collect(*condition.exprs[first], symbols);
  std::vector<Symbols> branches(3, symbols);
  Collect(condition.branches[first], branches[0]);
  if (first == 0) {
    for (size_t i = 1; i < condition.branches.size(); ++i) CollectCondition(condition, i, branches[1]);
    Collect(condition.otherwise, branches[2]);
  }
  symbols.Join(branches);
}

void Collect(const Stmt& statement, Symbols& symbols) {
  switch (statement.kind) {
    case StmtKind::kAssign:
      Collect(*statement.exprs[0], symbols);
      return CollectTarget(*statement.target, TargetUse::kStore, symbols);
    case StmtKind::kAssignBlock:
      return CollectTarget(*statement.target, TargetUse::kStore, symbols);
    case StmtKind::kIf:
      return CollectCondition(statement, 0, symbols);
    case StmtKind::kMacro:
      return symbols.Store(statement.name);
    case StmtKind::kAutoescape:
    case StmtKind::kBlock:
      return;
    default:  // prints; frames inside, of which the expressions before their bodies belong to this one
      for (const ExprPtr& expr : statement.exprs) Collect(*expr, symbols);
  }
}

void Collect(const Body& body, Symbols& symbols) {
  for (const StmtPtr& statement : body) Collect(*statement, symbols);
}

// ---- Whether a macro mentions a name that it does not assign first.

class Mention {
 public:
  explicit Mention(std::string_view name) : name_(name) {}

  bool In(const Body& body) {
    for (const StmtPtr& statement : body) {
      if (In(*statement)) return true;
    }
    return false;
  }

 private:
  bool In(const Expr& node) {
    bool found = node.kind == ExprKind::kName && node.name == name_ && !is_stored_;
    ForEachChild(node, [&](const Expr& child) { found = found || In(child); });
    return found;
  }
  bool In(const ExprPtr& node) { return node != nullptr && In(*node); }
  bool In(const std::vector<ExprPtr>& nodes) {
    return std::ranges::any_of(nodes, [&](const ExprPtr& node) { return In(node); });
  }
  void Store(const Expr& target) {
    is_stored_ = is_stored_ || (target.kind == ExprKind::kName && target.name == name_);
    for (const ExprPtr& item : target.operands) Store(*item);
  }
  bool In(const Stmt& s) {
    if (s.kind == StmtKind::kBlock) return false;
    if (In(s.exprs)) return true;
    if (s.target != nullptr) Store(*s.target);
    for (const ExprPtr& target : s.targets) Store(*target);
    if (In(s.test) || In(s.defaults)) return true;
    for (const ExprPtr& parameter : s.parameters) Store(*parameter);
    for (const Body& branch : s.branches) {
      if (In(branch)) return true;
    }
    return In(s.body) || In(s.otherwise);
  }

  const std::string_view name_;
  bool is_stored_ = false;
};

// ---- Places

class Resolver {
 public:
  Status Template(Program& program) {
    Symbols symbols(nullptr, &program.layout);
    Collect(program.body, symbols);
    is_top_level_ = true;
    QWEN25_RETURN_IF_ERROR(Resolve(program.body, symbols));
    symbols.Finish();
    return {};
  }
  size_t at() const { return at_; }

 private:
  Status Resolve(Expr& node, const Symbols& symbols);
  Status Resolve(Stmt& statement, const Symbols& symbols);
  Status Resolve(Body& body, const Symbols& symbols) {
    for (const StmtPtr& statement : body) QWEN25_RETURN_IF_ERROR(Resolve(*statement, symbols));
    return {};
  }
  Status Resolve(const std::vector<ExprPtr>& nodes, const Symbols& symbols) {
    for (const ExprPtr& node : nodes) QWEN25_RETURN_IF_ERROR(Resolve(*node, symbols));
    return {};
  }
  Status Condition(Stmt& statement, const Symbols& symbols);
  Status Loop(Stmt& loop, const Symbols& symbols);
  Status Function(Stmt& macro, const Symbols& symbols);
  Status Inner(Stmt& statement, const Symbols& symbols);
  Status CheckName(const Expr& node);
  Status CheckLoop(const Stmt& loop);
  Status CheckNoLoopTarget(const Expr& target);

  // What is inside of a frame is neither at the top level nor guarded by a condition outside of it.
  struct Frame {
    explicit Frame(Resolver& owner)
        : resolver(owner), was_top(owner.is_top_level_), was_guarded(owner.is_guarded_) {
      resolver.is_top_level_ = resolver.is_guarded_ = false;
    }
    ~Frame() {
      resolver.is_top_level_ = was_top;
      resolver.is_guarded_ = was_guarded;
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    Resolver& resolver;
    const bool was_top, was_guarded;
  };

  bool is_top_level_ = false;
  bool is_guarded_ = false;       // inside of a condition
  bool is_loop_checked_ = false;  // the loop around this one was searched for assignments to `loop`
  size_t at_ = 0;
};

Status Resolver::CheckName(const Expr& node) {
  const bool is_filter = node.kind == ExprKind::kFilter;
  if (is_guarded_ || (is_filter ? IsFilter(node.name) : IsTest(node.name))) return {};
  at_ = node.at;
  return InvalidArgument("there is no {} \"{}\"", is_filter ? "filter" : "test", node.name);
}

Status Resolver::Resolve(Expr& node, const Symbols& symbols) {
  const bool was_guarded = is_guarded_;
  if (node.kind == ExprKind::kCondition) is_guarded_ = true;
  if (node.kind == ExprKind::kName || node.kind == ExprKind::kNamespaceItem) {
    node.place = symbols.Find(node.name).value_or(Place{});
  }
  if (node.kind == ExprKind::kFilter || node.kind == ExprKind::kTest) QWEN25_RETURN_IF_ERROR(CheckName(node));
  Status status;
  ForEachChild(node, [&](Expr& child) {
    if (status.ok()) status = Resolve(child, symbols);
  });
  is_guarded_ = was_guarded;
  return status;
}

Status Resolver::Condition(Stmt& statement, const Symbols& symbols) {
  const bool was_guarded = is_guarded_;
  is_guarded_ = true;
  for (size_t i = 0; i < statement.exprs.size(); ++i) {
    QWEN25_RETURN_IF_ERROR(Resolve(*statement.exprs[i], symbols));
    QWEN25_RETURN_IF_ERROR(Resolve(statement.branches[i], symbols));
  }
  QWEN25_RETURN_IF_ERROR(Resolve(statement.otherwise, symbols));
  is_guarded_ = was_guarded;
  return {};
}

Status Resolver::CheckNoLoopTarget(const Expr& target) {
  if (target.kind == ExprKind::kName && target.name == "loop") {
    at_ = target.at;
    return InvalidArgument("the variable \"loop\" cannot be assigned to inside of a loop");
  }
  for (const ExprPtr& item : target.operands) QWEN25_RETURN_IF_ERROR(CheckNoLoopTarget(*item));
  return {};
}

Status Resolver::CheckLoop(const Stmt& s) {
  if (s.target != nullptr) QWEN25_RETURN_IF_ERROR(CheckNoLoopTarget(*s.target));
  for (const ExprPtr& target : s.targets) QWEN25_RETURN_IF_ERROR(CheckNoLoopTarget(*target));
  const auto check = [&](const Body& body) -> Status {
    for (const StmtPtr& statement : body) QWEN25_RETURN_IF_ERROR(CheckLoop(*statement));
    return {};
  };
  for (const Body& branch : s.branches) QWEN25_RETURN_IF_ERROR(check(branch));
  QWEN25_RETURN_IF_ERROR(check(s.body));
  return check(s.otherwise);
}

Status Resolver::Loop(Stmt& loop, const Symbols& symbols) {
  if (!is_loop_checked_) QWEN25_RETURN_IF_ERROR(CheckLoop(loop));
  QWEN25_RETURN_IF_ERROR(Resolve(*loop.exprs[0], symbols));
  const Frame frame(*this);
  if (loop.test != nullptr) {
    Symbols test(&symbols, &loop.test_layout);
    CollectTarget(*loop.test_target, TargetUse::kDeclare, test);
    Collect(*loop.test, test);
    QWEN25_RETURN_IF_ERROR(Resolve(*loop.test_target, test));
    QWEN25_RETURN_IF_ERROR(Resolve(*loop.test, test));
    test.Finish();
  }
  Symbols body(&symbols, &loop.layout);
  body.Declare("loop");
  CollectTarget(*loop.target, TargetUse::kDeclare, body);
  Collect(loop.body, body);
  QWEN25_RETURN_IF_ERROR(Resolve(*loop.target, body));
  const bool was_checked = is_loop_checked_;
  is_loop_checked_ = true;
  QWEN25_RETURN_IF_ERROR(Resolve(loop.body, body));
  is_loop_checked_ = was_checked;
  loop.loop_slot = body.SlotOf("loop");
  body.Finish();
  Symbols otherwise(&symbols, &loop.else_layout);
  Collect(loop.otherwise, otherwise);
  QWEN25_RETURN_IF_ERROR(Resolve(loop.otherwise, otherwise));
  otherwise.Finish();
  return {};
}

// Macros, and the blocks of calls.
Status Resolver::Function(Stmt& macro, const Symbols& symbols) {
  if (macro.kind == StmtKind::kMacro) macro.place = symbols.Find(macro.name).value_or(Place{});
  const Frame frame(*this);
  Symbols inner(&symbols, &macro.layout);
  bool has_kwargs = false, has_varargs = false;
  for (const ExprPtr& parameter : macro.parameters) {
    inner.Declare(parameter->name);
    macro.names_caller = macro.names_caller || parameter->name == "caller";
    has_kwargs = has_kwargs || parameter->name == "kwargs";
    has_varargs = has_varargs || parameter->name == "varargs";
  }
  const auto special = [&](std::string_view name, bool is_parameter, bool& takes, uint32_t& slot) {
    takes = !is_parameter && Mention(name).In(macro.body);
    if (!takes) return;
    inner.Declare(std::string(name));
    slot = inner.SlotOf(std::string(name));
  };
  for (size_t i = 0; i + macro.defaults.size() < macro.parameters.size(); ++i) {
    if (macro.parameters[i]->name != "caller" || !Mention("caller").In(macro.body)) continue;
    at_ = macro.parameters[i]->at;
    return InvalidArgument("the parameter \"caller\" needs a default value, or must be left out");
  }
  special("caller", macro.names_caller, macro.takes_caller, macro.caller_slot);
  special("kwargs", has_kwargs, macro.takes_kwargs, macro.kwargs_slot);
  special("varargs", has_varargs, macro.takes_varargs, macro.varargs_slot);
  for (const ExprPtr& value : macro.defaults) Collect(*value, inner);
  Collect(macro.body, inner);
  QWEN25_RETURN_IF_ERROR(Resolve(macro.parameters, inner));
  QWEN25_RETURN_IF_ERROR(Resolve(macro.defaults, inner));
  QWEN25_RETURN_IF_ERROR(Resolve(macro.body, inner));
  inner.Finish();
  return {};
}

// Statements whose body is a frame, and nothing else.
Status Resolver::Inner(Stmt& statement, const Symbols& symbols) {
  const bool is_block = statement.kind == StmtKind::kBlock;  // sees only what is at the top level
  const bool has_inner_exprs = statement.kind == StmtKind::kFilterBlock ||
                               statement.kind == StmtKind::kAutoescape ||
                               statement.kind == StmtKind::kAssignBlock;
  if (statement.target != nullptr) QWEN25_RETURN_IF_ERROR(Resolve(*statement.target, symbols));
  if (!has_inner_exprs) QWEN25_RETURN_IF_ERROR(Resolve(statement.exprs, symbols));
  const Frame frame(*this);
  Symbols inner(is_block ? nullptr : &symbols, &statement.layout);
  for (const ExprPtr& target : statement.targets) CollectTarget(*target, TargetUse::kDeclare, inner);
  Collect(statement.body, inner);
  if (has_inner_exprs) {
    for (const ExprPtr& expr : statement.exprs) Collect(*expr, inner);
    QWEN25_RETURN_IF_ERROR(Resolve(statement.exprs, inner));
  }
  QWEN25_RETURN_IF_ERROR(Resolve(statement.targets, inner));
  QWEN25_RETURN_IF_ERROR(Resolve(statement.body, inner));
  inner.Finish();
  return {};
}

Status Resolver::Resolve(Stmt& statement, const Symbols& symbols) {
  statement.is_top_level = is_top_level_;
  switch (statement.kind) {
    case StmtKind::kFor:
      return Loop(statement, symbols);
    case StmtKind::kIf:
      return Condition(statement, symbols);
    case StmtKind::kMacro:
      return Function(statement, symbols);
    case StmtKind::kCallBlock:
    case StmtKind::kGeneration:
      QWEN25_RETURN_IF_ERROR(Resolve(statement.exprs, symbols));
      return Function(statement, symbols);
    case StmtKind::kAssignBlock:
    case StmtKind::kFilterBlock:
    case StmtKind::kWith:
    case StmtKind::kAutoescape:
    case StmtKind::kBlock:
      return Inner(statement, symbols);
    default:
      if (statement.target != nullptr) QWEN25_RETURN_IF_ERROR(Resolve(*statement.target, symbols));
      return Resolve(statement.exprs, symbols);
  }
}

}  // namespace

Status ResolveNames(Program& program, size_t* at) {
  Resolver resolver;
  const Status status = resolver.Template(program);
  *at = resolver.at();
  return status;
}

}  // namespace qwen25::jinja
