#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/print.h"

namespace qwen25::jinja {

Interpreter::FrameHolder::FrameHolder(Interpreter& interpreter, Frame* parent, const FrameLayout& layout)
    : interpreter_(interpreter), frame_(std::make_unique<Frame>(parent, layout.size())) {
  interpreter_.Enter(*frame_, layout);
}

Interpreter::FrameHolder::~FrameHolder() {
  if (!frame_->is_kept) return;
  interpreter_.memory_.Add(sizeof(Frame) + frame_->slots.size() * sizeof(Value));
  interpreter_.kept_frames_.push_back(std::move(frame_));
}

Interpreter::Interpreter(const Program& program, const RenderOptions& options)
    : program_(program), options_(options), memory_(options.limits.memory_bytes) {}

// Gives the variables of a frame the values that they have at its beginning.
void Interpreter::Enter(Frame& frame, const FrameLayout& layout) {
  for (size_t i = 0; i < layout.size(); ++i) {
    switch (layout[i].action) {
      case SlotLoad::Action::kParameter:
        break;
      case SlotLoad::Action::kMissing:
        frame.slots[i] = Value::Missing();
        break;
      case SlotLoad::Action::kCopy:
        frame.slots[i] = At(frame, layout[i].from);
        break;
      case SlotLoad::Action::kContext: {
        const auto found = std::ranges::find(context_, layout[i].name, &std::pair<std::string, Value>::first);
        frame.slots[i] = found == context_.end() ? Value::Missing() : found->second;
        break;
      }
    }
  }
}

void Interpreter::Keep(Frame* frame) {
  for (; frame != nullptr && !frame->is_kept; frame = frame->parent) frame->is_kept = true;
}

Value& Interpreter::At(Frame& frame, const Place& place) {
  Frame* at = &frame;
  for (uint32_t i = 0; i < place.hops; ++i) at = at->parent;
  return at->slots[place.slot];
}

Status Interpreter::Spend(uint64_t steps) {
  steps_ += steps;
  if (steps_ > options_.limits.steps) {
    return ResourceExhausted("the template has not come to an end after {} steps", options_.limits.steps);
  }
  if (memory_.live() > memory_.limit()) {
    return ResourceExhausted("the template's values take more than {} bytes", memory_.limit());
  }
  return {};
}

Status Interpreter::CheckSize(size_t bytes) {
  if (bytes <= options_.limits.text_bytes) return {};
  return ResourceExhausted("the template makes a text or list of more than {} bytes",
                           options_.limits.text_bytes);
}

Status Interpreter::SpendText(size_t bytes) {
  QWEN25_RETURN_IF_ERROR(CheckSize(bytes));
  return Spend(bytes / 8);
}

Result<MarkedText> Interpreter::Run(const std::vector<std::pair<std::string, Value>>& variables) {
  context_ = variables;
  for (const FunctionEntry& function : Functions()) {
    const std::string name(function.name);
    const bool is_hidden =
        std::ranges::find(context_, name, &std::pair<std::string, Value>::first) != context_.end();
    if (!is_hidden) context_.emplace_back(name, Value::Of(New<FunctionObject>(function.name, function.call)));
  }
  MarkedText out;
  Result<Flow> flow = Flow::kNext;
  {
    FrameHolder frame(*this, nullptr, program_.layout);
    flow = Execute(program_.body, *frame, out);
  }
  if (flow.ok()) return out;
  return Status(flow.status().code(),
                fmt::format("{}: {}", program_.Where(error_at_.value_or(0)), flow.status().message()));
}

Status Interpreter::AppendText(const MarkedText& text, MarkedText& out) {
  QWEN25_RETURN_IF_ERROR(CheckSize(out.size() + text.size()));
  QWEN25_RETURN_IF_ERROR(Spend(text.size() / 8));
  out.Append(text);
  return {};
}

Status Interpreter::Append(const Value& value, MarkedText& out) {
  if (value.is_string()) return AppendText(value.marked(), out);
  QWEN25_TRY(const MarkedText text, Str(value, *this));
  return AppendText(text, out);
}

Result<Interpreter::Flow> Interpreter::Execute(const Body& body, Frame& frame, MarkedText& out) {
  for (const StmtPtr& statement : body) {
    QWEN25_TRY(const Flow flow, Execute(*statement, frame, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Execute(const Stmt& statement, Frame& frame, MarkedText& out) {
  if (statement.kind == StmtKind::kBreak) return Flow::kBreak;
  if (statement.kind == StmtKind::kContinue) return Flow::kContinue;
  Status status = Spend(1);
  if (status.ok() && depth_ >= options_.limits.depth) {
    status = ResourceExhausted("the template runs more than {} levels deep", options_.limits.depth);
  }
  ++depth_;
  Result<Flow> flow = status.ok() ? ExecuteKind(statement, frame, out) : Result<Flow>(status);
  --depth_;
  if (!flow.ok() && !error_at_) error_at_ = statement.at;
  return flow;
}

Result<Interpreter::Flow> Interpreter::ExecuteKind(const Stmt& statement, Frame& frame, MarkedText& out) {
  switch (statement.kind) {
    case StmtKind::kText:
      QWEN25_RETURN_IF_ERROR(AppendText(statement.text.marked(), out));
      return Flow::kNext;
    case StmtKind::kPrint: {
      QWEN25_TRY(const Value value, Evaluate(*statement.exprs[0], frame));
      QWEN25_RETURN_IF_ERROR(Append(value, out));
      return Flow::kNext;
    }
    case StmtKind::kAssign: {
      QWEN25_TRY(const Value value, Evaluate(*statement.exprs[0], frame));
      QWEN25_RETURN_IF_ERROR(Assign(*statement.target, value, frame));
      if (statement.is_top_level) Export(*statement.target, frame);
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return If(statement, frame, out);
    case StmtKind::kFor: {
      QWEN25_TRY(const Value items, Evaluate(*statement.exprs[0], frame));
      if (!statement.is_recursive) return For(statement, items, 0, frame, out);
      MarkedText part;  // a recursive loop is a function: it prints when it is complete
      QWEN25_RETURN_IF_ERROR(For(statement, items, 0, frame, part).status());
      QWEN25_RETURN_IF_ERROR(AppendText(part, out));
      return Flow::kNext;
    }
    case StmtKind::kMacro:
      DefineMacro(statement, frame);
      return Flow::kNext;
    case StmtKind::kCallBlock:
      QWEN25_RETURN_IF_ERROR(CallBlock(statement, frame, out));
      return Flow::kNext;
    case StmtKind::kAssignBlock:
      return AssignBlock(statement, frame);
    case StmtKind::kFilterBlock:
      return FilterBlock(statement, frame, out);
    case StmtKind::kGeneration:
    case StmtKind::kWith:
    case StmtKind::kAutoescape:
    case StmtKind::kBlock:
      return InFrame(statement, frame, out);
    case StmtKind::kUnavailable:
      return Unsupported("\"{}\" is not available: there are no other templates here", statement.name);
    default:
      return Flow::kNext;  // break and continue are handled above
  }
}

Result<Interpreter::Flow> Interpreter::If(const Stmt& statement, Frame& frame, MarkedText& out) {
  for (size_t i = 0; i < statement.exprs.size(); ++i) {
    QWEN25_TRY(const Value test, Evaluate(*statement.exprs[i], frame));
    if (test.Truth()) return Execute(statement.branches[i], frame, out);
  }
  return Execute(statement.otherwise, frame, out);
}

// What a loop walks through: its items, or those that pass its test, one by one.
Result<Value> Interpreter::LoopItems(const Stmt& statement, Value items, Frame& frame) {
  if (!Iterator::IsIterable(items)) {
    return InvalidArgument("a value of type {} cannot be walked through by a loop", items.TypeName());
  }
  if (statement.test == nullptr) return items;
  auto iterator = std::make_shared<Iterator>(std::move(items));
  auto next = [iterator, &statement, &frame](Interpreter& self) -> Result<std::optional<Value>> {
    while (true) {
      QWEN25_TRY(std::optional<Value> item, iterator->Next(self));
      if (!item) return std::optional<Value>();
      FrameHolder inner(self, &frame, statement.test_layout);
      QWEN25_RETURN_IF_ERROR(self.Assign(*statement.test_target, *item, *inner));
      QWEN25_TRY(const Value test, self.Evaluate(*statement.test, *inner));
      if (test.Truth()) return item;
    }
  };
  return Value::Of(New<GeneratorObject>("generator", std::move(next)));
}

Result<Interpreter::Flow> Interpreter::For(const Stmt& statement, const Value& items, size_t depth,
                                           Frame& frame, MarkedText& out) {
  QWEN25_TRY(const Value source, LoopItems(statement, items, frame));
  auto* const loop = New<LoopObject>(source, depth, &statement);
  loop->frame = &frame;
  FrameHolder inner(*this, &frame, statement.layout);
  bool is_entered = false;
  const auto run = [&]() -> Status {
    while (true) {
      QWEN25_TRY(const bool is_there, loop->Advance(*this));
      if (!is_there) return {};
      if (is_entered) Enter(*inner, statement.layout);
      is_entered = true;
      inner->slots[statement.loop_slot] = Value::Of(loop);
      QWEN25_RETURN_IF_ERROR(Assign(*statement.target, loop->current, *inner));
      QWEN25_TRY(const Flow flow, Execute(statement.body, *inner, out));
      if (flow == Flow::kBreak) return {};
    }
  };
  const Status status = run();
  loop->frame = nullptr;  // the variable may be kept in a namespace, but not the frames around the loop
  loop->iterator = Iterator();
  QWEN25_RETURN_IF_ERROR(status);
  if (is_entered || statement.otherwise.empty()) return Flow::kNext;
  FrameHolder otherwise(*this, &frame, statement.else_layout);
  return Execute(statement.otherwise, *otherwise, out);
}

Result<Interpreter::Flow> Interpreter::AssignBlock(const Stmt& statement, Frame& frame) {
  FrameHolder inner(*this, &frame, statement.layout);
  MarkedText text;
  QWEN25_TRY(const Flow flow, Execute(statement.body, *inner, text));
  if (flow != Flow::kNext) return flow;
  Value value;
  if (statement.exprs.empty()) {
    value = Text(std::move(text));
  } else {
    const MarkedText* const outer = captured_;
    captured_ = &text;
    Result<Value> filtered = Evaluate(*statement.exprs[0], *inner);
    captured_ = outer;
    QWEN25_TRY(value, std::move(filtered));
  }
  QWEN25_RETURN_IF_ERROR(Assign(*statement.target, value, frame));
  if (statement.is_top_level) Export(*statement.target, frame);
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::FilterBlock(const Stmt& statement, Frame& frame, MarkedText& out) {
  FrameHolder inner(*this, &frame, statement.layout);
  MarkedText text;
  QWEN25_TRY(const Flow flow, Execute(statement.body, *inner, text));
  if (flow != Flow::kNext) return flow;
  const MarkedText* const outer = captured_;
  captured_ = &text;
  const Result<Value> filtered = Evaluate(*statement.exprs[0], *inner);
  captured_ = outer;
  if (!filtered.ok()) return filtered.status();
  QWEN25_RETURN_IF_ERROR(Append(*filtered, out));
  return Flow::kNext;
}

// Statements that run their body in a frame of its own.
Result<Interpreter::Flow> Interpreter::InFrame(const Stmt& statement, Frame& frame, MarkedText& out) {
  FrameHolder inner(*this, statement.kind == StmtKind::kBlock ? nullptr : &frame, statement.layout);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    QWEN25_TRY(const Value value, Evaluate(*statement.exprs[i], frame));
    QWEN25_RETURN_IF_ERROR(Assign(*statement.targets[i], value, *inner));
  }
  if (statement.kind == StmtKind::kAutoescape) {
    QWEN25_TRY(const Value is_on, Evaluate(*statement.exprs[0], *inner));
    if (is_on.Truth()) return Unsupported("\"autoescape\" is not available: use the filter \"escape\"");
  }
  return Execute(statement.body, *inner, out);
}

Status Interpreter::CallBlock(const Stmt& statement, Frame& frame, MarkedText& out) {
  Keep(&frame);
  const Value caller = Value::Of(New<MacroObject>(&statement, &frame));
  QWEN25_TRY(const Value value, CallExpression(*statement.exprs[0], frame, &caller));
  return Append(value, out);
}

void Interpreter::DefineMacro(const Stmt& statement, Frame& frame) {
  Keep(&frame);
  const Value macro = Value::Of(New<MacroObject>(&statement, &frame));
  At(frame, statement.place) = macro;
  if (!statement.is_top_level) return;
  const auto found = std::ranges::find(context_, statement.name, &std::pair<std::string, Value>::first);
  if (found == context_.end()) {
    context_.emplace_back(statement.name, macro);
  } else {
    found->second = macro;
  }
}

Status Interpreter::AssignItems(const Expr& target, const Value& value, Frame& frame) {
  if (!Iterator::IsIterable(value)) {
    return InvalidArgument("a value of type {} cannot be assigned to several names", value.TypeName());
  }
  Iterator iterator(value);
  for (const ExprPtr& item : target.operands) {
    QWEN25_TRY(const std::optional<Value> next, iterator.Next(*this));
    if (!next) return InvalidArgument("fewer than {} values, one for each name", target.operands.size());
    QWEN25_RETURN_IF_ERROR(Assign(*item, *next, frame));
  }
  QWEN25_TRY(const std::optional<Value> more, iterator.Next(*this));
  if (more) return InvalidArgument("more than {} values, one for each name", target.operands.size());
  return {};
}

Status Interpreter::Assign(const Expr& target, const Value& value, Frame& frame) {
  if (target.kind == ExprKind::kName) {
    At(frame, target.place) = value;
    return {};
  }
  if (target.kind != ExprKind::kNamespaceItem) return AssignItems(target, value, frame);
  Object* const owner = At(frame, target.place).object(Object::Type::kNamespace);
  if (owner == nullptr) {
    error_at_ = target.at;
    return InvalidArgument("\"{}\" is no namespace: only members of namespaces can be assigned to",
                           target.name);
  }
  if (target.value.text().starts_with('_')) {
    return InvalidArgument("members of namespaces must not begin with an underscore, as \"{}\" does",
                           target.value.text());
  }
  memory_.Add(sizeof(Value));
  static_cast<NamespaceObject*>(owner)->Set(target.value.text(), value);
  return {};
}

// Makes what was assigned at the top level visible to blocks.
void Interpreter::Export(const Expr& target, Frame& frame) {
  if (target.kind == ExprKind::kName) {
    const auto found = std::ranges::find(context_, target.name, &std::pair<std::string, Value>::first);
    const Value& value = At(frame, target.place);
    if (found == context_.end()) {
      context_.emplace_back(target.name, value);
    } else {
      found->second = value;
    }
  }
  for (const ExprPtr& item : target.operands) Export(*item, frame);
}

}  // namespace qwen25::jinja
