// Runs parsed templates. Everything is bounded, and nothing but the given variables can be reached.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/jinja/ast.h"
#include "text/jinja/marked_text.h"
#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

struct RenderLimits {
  uint64_t steps = 100'000'000;             // expressions, statements and items; 8 bytes of text are one
  size_t text_bytes = size_t{64} << 20;     // of the output, and of every string and list
  size_t memory_bytes = size_t{256} << 20;  // of all values together, without the variables
  size_t depth = 1000;                      // of statements and expressions, through macros
};

struct RenderOptions {
  RenderLimits limits;
  std::optional<int64_t> now;  // what strftime_now shows, in seconds since 1970; none: the present time
};

class Interpreter {
 public:
  // `program` and the values that Run gets must outlive the interpreter.
  Interpreter(const Program& program, const RenderOptions& options);

  // Renders the template once. Errors name origin, line and column: kInvalidArgument for what the template
  // cannot do with these variables, kResourceExhausted for a limit.
  Result<MarkedText> Run(const std::vector<std::pair<std::string, Value>>& variables);

  // ---- For what templates call

  // Counts work, and checks that the values fit into memory.
  Status Spend(uint64_t steps);
  // Whether a string or list of so many bytes may be made.
  Status CheckSize(size_t bytes);
  // Counts work on so many bytes of text that are about to be made.
  Status SpendText(size_t bytes);
  Value Text(MarkedText text, bool is_safe = false) {
    return Value::String(std::move(text), &memory_, is_safe);
  }
  Value List(std::vector<Value> items) { return Value::List(std::move(items), &memory_); }
  Value Tuple(std::vector<Value> items) { return Value::Tuple(std::move(items), &memory_); }
  Value Dict(std::vector<DictData::Entry> entries) { return Value::Dict(std::move(entries), &memory_); }
  template <typename T, typename... Args>
  T* New(Args&&... args) {
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* const result = object.get();
    memory_.Add(sizeof(T));
    objects_.push_back(std::move(object));
    return result;
  }
  MemoryCount* memory() { return &memory_; }

  Result<Value> GetAttribute(const Value& owner, std::string_view name);
  Result<Value> GetItem(const Value& owner, const Value& key);
  Result<Value> Call(const Value& callee, Arguments arguments);
  Result<Value> Filter(std::string_view name, const Value& input, Arguments arguments);
  Result<bool> Test(std::string_view name, const Value& input, Arguments arguments);
  // All that an iterable value yields.
  Result<std::vector<Value>> ToVector(const Value& value);
  // Python's len(); nothing for what has none.
  std::optional<size_t> LengthOfValue(const Value& value) const;
  const RenderOptions& options() const { return options_; }

 private:
  enum class Flow { kNext, kBreak, kContinue };
  // A frame for as long as it runs; longer if a macro refers to it.
  class FrameHolder {
   public:
    FrameHolder(Interpreter& interpreter, Frame* parent, const FrameLayout& layout);
    ~FrameHolder();
    FrameHolder(const FrameHolder&) = delete;
    FrameHolder& operator=(const FrameHolder&) = delete;
    Frame& operator*() { return *frame_; }
    Frame* operator->() { return frame_.get(); }

   private:
    Interpreter& interpreter_;
    std::unique_ptr<Frame> frame_;
  };
  void Enter(Frame& frame, const FrameLayout& layout);
  static void Keep(Frame* frame);
  static Value& At(Frame& frame, const Place& place);

  // ---- Statements (interpreter.cc)
  Result<Flow> Execute(const Body& body, Frame& frame, MarkedText& out);
  Result<Flow> Execute(const Stmt& statement, Frame& frame, MarkedText& out);
  Result<Flow> ExecuteKind(const Stmt& statement, Frame& frame, MarkedText& out);
  Status Append(const Value& value, MarkedText& out);
  Status AppendText(const MarkedText& text, MarkedText& out);
  Result<Flow> If(const Stmt& statement, Frame& frame, MarkedText& out);
  Result<Flow> For(const Stmt& statement, const Value& items, size_t depth, Frame& frame, MarkedText& out);
  Result<Value> LoopItems(const Stmt& statement, Value items, Frame& frame);
  Result<Flow> AssignBlock(const Stmt& statement, Frame& frame);
  Result<Flow> FilterBlock(const Stmt& statement, Frame& frame, MarkedText& out);
  Result<Flow> InFrame(const Stmt& statement, Frame& frame, MarkedText& out);
  Status CallBlock(const Stmt& statement, Frame& frame, MarkedText& out);
  void DefineMacro(const Stmt& statement, Frame& frame);
  Status Assign(const Expr& target, const Value& value, Frame& frame);
  Status AssignItems(const Expr& target, const Value& value, Frame& frame);
  void Export(const Expr& target, Frame& frame);

  // ---- Expressions (interpreter_expressions.cc)
  Result<Value> Evaluate(const Expr& node, Frame& frame);
  Result<Value> EvaluateKind(const Expr& node, Frame& frame);
  Result<Value> Name(const Expr& node, Frame& frame);
  Result<Value> Container(const Expr& node, Frame& frame);
  Result<Value> Compare(const Expr& node, Frame& frame);
  Result<Value> Concat(const Expr& node, Frame& frame);
  Result<Value> Condition(const Expr& node, Frame& frame);
  Result<Value> SliceOf(const Expr& node, Frame& frame);
  Result<Value> CallExpression(const Expr& node, Frame& frame, const Value* caller = nullptr);
  Result<Value> FilterExpression(const Expr& node, Frame& frame);
  Result<Arguments> ArgumentsOf(const Expr& node, Frame& frame);

  // ---- Calls (interpreter_calls.cc)
  Result<Value> CallMacro(MacroObject& macro, Arguments arguments);
  Status BindMacro(MacroObject& macro, Arguments& arguments, Frame& frame);
  Result<Value> CallLoop(LoopObject& loop, Arguments& arguments);
  Result<Value> LoopAttribute(LoopObject& loop, std::string_view name);
  Result<Value> ObjectAttribute(Object& object, std::string_view name);

  const Program& program_;
  const RenderOptions options_;
  MemoryCount memory_;  // outlives all values below
  std::vector<std::unique_ptr<Object>> objects_;
  std::vector<std::unique_ptr<Frame>> kept_frames_;
  std::vector<std::pair<std::string, Value>>
      context_;  // the variables, the functions, and what is at the top
  uint64_t steps_ = 0;
  size_t depth_ = 0;
  std::optional<size_t> error_at_;        // where the first error happened
  const MarkedText* captured_ = nullptr;  // what a filter block filters
};

}  // namespace qwen25::jinja
