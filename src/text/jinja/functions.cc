#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include "text/jinja/builtins.h"
#include "text/jinja/print.h"

namespace qwen25::jinja {
namespace {

constexpr int64_t kMaxRange = 100000;  // as Jinja's sandbox has it

Result<Value> Range(Interpreter& interpreter, Arguments& arguments) {
  const size_t count = arguments.positional.size();
  if (count == 0 || count > 3 || !arguments.named.empty()) {
    return InvalidArgument("\"range\" takes 1 to 3 integers: start, stop and step");
  }
  int64_t numbers[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    const std::optional<int64_t> number = arguments.positional[i].AsInt();
    if (!number)
      return InvalidArgument("\"range\" takes integers, not {}", arguments.positional[i].TypeName());
    numbers[count == 1 ? 1 : i] = *number;
  }
  if (numbers[2] == 0 || numbers[2] == INT64_MIN) return InvalidArgument("\"range\": the step must not be 0");
  auto* const range = interpreter.New<RangeObject>(numbers[0], numbers[1], numbers[2]);
  if (range->length > static_cast<size_t>(kMaxRange)) {
    return ResourceExhausted("\"range\" has more than {} numbers", kMaxRange);
  }
  return Value::Of(range);
}

// The entries that dict() and namespace() are made of: a dictionary or pairs, then named values.
Result<std::vector<DictData::Entry>> EntriesOf(std::string_view function, Interpreter& interpreter,
                                               Arguments& arguments) {
  std::vector<DictData::Entry> entries;
  if (arguments.positional.size() > 1)
    return InvalidArgument("\"{}\" takes at most one value without a name", function);
  if (!arguments.positional.empty()) {
    const Value& given = arguments.positional[0];
    if (given.is_dict()) {
      entries = given.dict().entries;
    } else {
      QWEN25_TRY(const std::vector<Value> pairs, interpreter.ToVector(given));
      QWEN25_RETURN_IF_ERROR(interpreter.Spend(pairs.size() * pairs.size() / 16));
      for (const Value& pair : pairs) {
        QWEN25_TRY(const std::vector<Value> items, interpreter.ToVector(pair));
        if (items.size() != 2) return InvalidArgument("\"{}\" takes pairs of a key and a value", function);
        if (items[0].is_list() || items[0].is_dict()) {
          return InvalidArgument("a {} cannot be a key", items[0].TypeName());
        }
        entries.emplace_back(items[0], items[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.named) entries.emplace_back(Value::String(name), std::move(value));
  return entries;
}

Result<Value> Dict(Interpreter& interpreter, Arguments& arguments) {
  QWEN25_TRY(std::vector<DictData::Entry> entries, EntriesOf("dict", interpreter, arguments));
  return interpreter.Dict(std::move(entries));
}

Result<Value> Namespace(Interpreter& interpreter, Arguments& arguments) {
  QWEN25_TRY(const std::vector<DictData::Entry> entries, EntriesOf("namespace", interpreter, arguments));
  auto* const space = interpreter.New<NamespaceObject>();
  for (const auto& [key, value] : entries) {
    if (!key.is_string())
      return InvalidArgument("the members of a namespace have names, not {}", key.TypeName());
    if (key.text().starts_with('_')) {
      return InvalidArgument("members of namespaces must not begin with an underscore, as \"{}\" does",
                             key.text());
    }
    space->Set(key.text(), value);
  }
  return Value::Of(space);
}

Result<Value> Cycler(Interpreter& interpreter, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty())
    return InvalidArgument("\"cycler\" needs values");
  return Value::Of(interpreter.New<CyclerObject>(std::move(arguments.positional)));
}

Result<Value> Joiner(Interpreter& interpreter, Arguments& arguments) {
  QWEN25_TRY(const BoundArguments bound, BoundArguments::Bind("joiner", "sep?", std::move(arguments)));
  return Value::Of(interpreter.New<JoinerObject>(bound.Has(0) ? bound.Get(0) : Value::String(", ")));
}

Result<Value> RaiseException(Interpreter& interpreter, Arguments& arguments) {
  QWEN25_TRY(const BoundArguments bound,
             BoundArguments::Bind("raise_exception", "message", std::move(arguments)));
  QWEN25_TRY(const MarkedText message, Str(bound.Get(0), interpreter));
  return InvalidArgument("the chat template refuses this conversation: {}", message.text());
}

Result<Value> StrftimeNow(Interpreter& interpreter, Arguments& arguments) {
  QWEN25_TRY(const BoundArguments bound,
             BoundArguments::Bind("strftime_now", "format", std::move(arguments)));
  QWEN25_TRY(const MarkedText format, bound.Text(0));
  const std::time_t now = interpreter.options().now.value_or(
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  std::tm local = {};
  localtime_r(&now, &local);
  std::string text;
  const std::string& all = format.text();
  for (size_t at = 0; at < all.size(); ++at) {
    if (all[at] != '%' || at + 1 == all.size()) {
      text += all[at];
      continue;
    }
    std::string conversion = {'%', all[++at]};
    if ((all[at] == '-' || all[at] == '_' || all[at] == '0' || all[at] == '^' || all[at] == '#') &&
        at + 1 < all.size()) {
      conversion += all[++at];
    }
    if (conversion == "%f") {
      text += "000000";
    } else if (conversion != "%z" && conversion != "%Z") {  // Python's local time has no zone
      char shown[200];
      text.append(shown, std::strftime(shown, sizeof(shown), conversion.c_str(), &local));
    }
  }
  return interpreter.Text(MarkedText(std::move(text)));
}

constexpr std::array kFunctions = {
    FunctionEntry{"range", Range},
    FunctionEntry{"dict", Dict},
    FunctionEntry{"namespace", Namespace},
    FunctionEntry{"cycler", Cycler},
    FunctionEntry{"joiner", Joiner},
    FunctionEntry{"raise_exception", RaiseException},
    FunctionEntry{"strftime_now", StrftimeNow},
};

}  // namespace

std::span<const FunctionEntry> Functions() {
  return kFunctions;
}

}  // namespace qwen25::jinja
