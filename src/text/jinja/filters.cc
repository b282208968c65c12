#include <algorithm>
#include <array>
#include <memory>

#include "text/jinja/builtins.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"

namespace qwen25::jinja {
namespace {

// Filters of Jinja that no chat template needs: using one says so.
constexpr std::array<std::string_view, 5> kUnavailable = {"pprint", "random", "urlize", "wordwrap",
                                                          "xmlattr"};
constexpr std::array<std::string_view, 6> kVariadic = {"map",        "select",     "reject",
                                                       "selectattr", "rejectattr", "format"};

const FilterEntry* FindFilter(std::string_view name) {
  for (const auto& filters : {TextFilters(), SequenceFilters(), ValueFilters()}) {
    const auto found = std::ranges::find(filters, name, &FilterEntry::name);
    if (found != filters.end()) return &*found;
  }
  return nullptr;
}

// What map does with each item.
struct Mapping {
  bool by_attribute = false;
  Value attribute;
  std::optional<Value> otherwise;
  std::string filter;
  Arguments arguments;
};

Result<Value> Map(const Value& input, Arguments& arguments, Interpreter& interpreter) {
  auto mapping = std::make_shared<Mapping>();
  if (arguments.positional.empty()) {
    for (auto& [name, value] : arguments.named) {
      if (name == "attribute") {
        mapping->by_attribute = true;
        mapping->attribute = value;
      } else if (name == "default") {
        if (!value.is_none()) mapping->otherwise = value;
      } else {
        return InvalidArgument("\"map\" has no parameter \"{}\"", name);
      }
    }
    if (!mapping->by_attribute) return InvalidArgument("\"map\" needs the name of a filter, or an attribute");
  } else {
    if (!arguments.positional[0].is_string()) return InvalidArgument("\"map\" needs the name of a filter");
    mapping->filter = arguments.positional[0].text();
    arguments.positional.erase(arguments.positional.begin());
    mapping->arguments = std::move(arguments);
  }
  auto iterator = std::make_shared<Iterator>(input);
  auto next = [mapping, iterator](Interpreter& self) -> Result<std::optional<Value>> {
    QWEN25_TRY(const std::optional<Value> item, iterator->Next(self));
    if (!item) return std::optional<Value>();
    Result<Value> mapped = mapping->by_attribute
                               ? AttributeOf(*item, mapping->attribute,
                                             mapping->otherwise ? &*mapping->otherwise : nullptr, self)
                               : self.Filter(mapping->filter, *item, mapping->arguments);
    if (!mapped.ok()) return mapped.status();
    return std::optional(std::move(*mapped));
  };
  return Value::Of(interpreter.New<GeneratorObject>("generator", std::move(next)));
}

// select, reject, selectattr and rejectattr.
Result<Value> Select(std::string_view name, const Value& input, Arguments& arguments,
                     Interpreter& interpreter) {
  const bool keeps = name.starts_with("select");
  const bool by_attribute = name.ends_with("attr");
  auto rest = std::make_shared<Arguments>(std::move(arguments));
  const auto take = [&] {
    Value first = rest->positional[0];
    rest->positional.erase(rest->positional.begin());
    return first;
  };
  Value attribute;
  if (by_attribute) {
    if (rest->positional.empty()) return InvalidArgument("\"{}\" needs the name of an attribute", name);
    attribute = take();
  }
  std::string test;
  if (!rest->positional.empty()) {
    const Value first = take();
    if (!first.is_string()) return InvalidArgument("\"{}\" needs the name of a test", name);
    test = first.text();
  }
  auto iterator = std::make_shared<Iterator>(input);
  auto next = [=](Interpreter& self) -> Result<std::optional<Value>> {
    while (true) {
      QWEN25_TRY(std::optional<Value> item, iterator->Next(self));
      if (!item) return std::optional<Value>();
      Value tested = *item;
      if (by_attribute) {
        QWEN25_TRY(tested, AttributeOf(*item, attribute, nullptr, self));
      }
      bool holds = tested.Truth();
      if (!test.empty()) {
        QWEN25_TRY(holds, self.Test(test, tested, *rest));
      }
      if (holds == keeps) return item;
    }
  };
  return Value::Of(interpreter.New<GeneratorObject>("generator", std::move(next)));
}

Result<Value> Format(const Value& input, Arguments& arguments, Interpreter& interpreter) {
  QWEN25_TRY(MarkedText text, Str(input, interpreter));
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return InvalidArgument("\"format\" takes values by position or by name, not both");
  }
  Value values = interpreter.Tuple(std::move(arguments.positional));
  if (!arguments.named.empty()) {
    std::vector<DictData::Entry> entries;
    for (auto& [name, value] : arguments.named) entries.emplace_back(Value::String(name), std::move(value));
    values = interpreter.Dict(std::move(entries));
  }
  return FormatPercent(interpreter.Text(std::move(text)), values, interpreter);
}

}  // namespace

bool IsVariadicFilter(std::string_view name) {
  return std::ranges::find(kVariadic, name) != kVariadic.end();
}

bool IsFilter(std::string_view name) {
  return FindFilter(name) != nullptr || IsVariadicFilter(name) ||
         std::ranges::find(kUnavailable, name) != kUnavailable.end();
}

std::optional<Result<Value>> CallVariadicFilter(std::string_view name, const Value& input,
                                                Arguments& arguments, Interpreter& interpreter) {
  if (!IsVariadicFilter(name)) return std::nullopt;
  if (name == "format") return Format(input, arguments, interpreter);
  // Nothing is done with what is empty, not even its arguments are looked at.
  const bool is_iterator = input.object(Object::Type::kGenerator) != nullptr;
  if (!is_iterator && !input.Truth()) {
    auto nothing = [](Interpreter&) -> Result<std::optional<Value>> { return std::optional<Value>(); };
    return Value::Of(interpreter.New<GeneratorObject>("generator", nothing));
  }
  if (!Iterator::IsIterable(input)) {
    return Result<Value>(
        InvalidArgument("\"{}\": a value of type {} cannot be walked through", name, input.TypeName()));
  }
  return name == "map" ? Map(input, arguments, interpreter) : Select(name, input, arguments, interpreter);
}

Result<Value> Interpreter::Filter(std::string_view name, const Value& input, Arguments arguments) {
  QWEN25_RETURN_IF_ERROR(Spend(1));
  if (std::optional<Result<Value>> done = CallVariadicFilter(name, input, arguments, *this))
    return *std::move(done);
  const FilterEntry* filter = FindFilter(name);
  if (filter == nullptr) {
    if (IsFilter(name)) return Unsupported("the filter \"{}\" is not available here", name);
    return InvalidArgument("there is no filter \"{}\"", name);
  }
  QWEN25_TRY(const BoundArguments bound, BoundArguments::Bind(name, filter->signature, std::move(arguments)));
  return filter->call({.name = name, .input = input, .arguments = bound, .interpreter = *this});
}

Result<Value> AttributeOf(const Value& item, const Value& attribute, const Value* otherwise,
                          Interpreter& interpreter) {
  if (attribute.is_none()) return item;
  Value value = item;
  const auto step = [&](const Value& key) -> Status {
    QWEN25_TRY(value, interpreter.GetItem(value, key));
    if (otherwise != nullptr && value.is_undefined()) value = *otherwise;
    return {};
  };
  if (!attribute.is_string()) {
    QWEN25_RETURN_IF_ERROR(step(attribute));
    return value;
  }
  const std::string_view path = attribute.text();
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    const bool is_index = !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
    QWEN25_RETURN_IF_ERROR(step(is_index ? *ParseInteger(name) : Value::String(name)));
    at = end + 1;
  }
  return value;
}

}  // namespace qwen25::jinja
