#include <algorithm>
#include <array>
#include <memory>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/string_methods.h"
#include "text/jinja/text_tools.h"

namespace qwen25::jinja {
namespace {

// A generator of values that are there already.
Value Generated(std::vector<Value> items, Interpreter& interpreter, std::string_view type = "generator") {
  auto iterator = std::make_shared<Iterator>(interpreter.List(std::move(items)));
  auto next = [iterator](Interpreter& self) { return iterator->Next(self); };
  return Value::Of(interpreter.New<GeneratorObject>(type, std::move(next)));
}

// What values are compared by: an attribute, strings in lower case unless `case_sensitive`.
Result<Value> KeyOf(const Value& item, const Value& attribute, bool case_sensitive, Interpreter& interpreter,
                    const Value* otherwise = nullptr) {
  QWEN25_TRY(Value key, AttributeOf(item, attribute, otherwise, interpreter));
  if (case_sensitive || !key.is_string()) return key;
  QWEN25_RETURN_IF_ERROR(interpreter.SpendText(key.text().size()));
  return interpreter.Text(ToCase(key.marked(), Case::kLower));
}

struct Keyed {
  Value key;
  Value item;
};

Status SortByKey(std::vector<Keyed>& items, bool reverse, Interpreter& interpreter) {
  Status status;
  const auto less = [&](const Keyed& a, const Keyed& b) {
    if (!status.ok()) return false;
    const Result<int> order = reverse ? Order(b.key, a.key, interpreter) : Order(a.key, b.key, interpreter);
    if (!order.ok()) status = order.status();
    return order.ok() && *order < 0;
  };
  if (items.size() == 1) return {};
  std::stable_sort(items.begin(), items.end(), less);
  return status;
}

Result<Value> Length(const FilterCall& call) {
  QWEN25_RETURN_IF_ERROR(call.interpreter.Spend(call.input.is_string() ? call.input.text().size() / 16 : 1));
  if (Object* loop = call.input.object(Object::Type::kLoop)) {
    QWEN25_TRY(const size_t length, static_cast<LoopObject*>(loop)->Length(call.interpreter));
    return Value::Int(static_cast<int64_t>(length));
  }
  if (const auto length = call.interpreter.LengthOfValue(call.input))
    return Value::Int(static_cast<int64_t>(*length));
  return InvalidArgument("a value of type {} has no length", call.input.TypeName());
}

Result<Value> First(const FilterCall& call) {
  if (!Iterator::IsIterable(call.input)) {
    return InvalidArgument("\"first\": a value of type {} cannot be walked through", call.input.TypeName());
  }
  Iterator iterator(call.input);
  QWEN25_TRY(std::optional<Value> first, iterator.Next(call.interpreter));
  return first ? *std::move(first) : Value::Undefined("there is no first item: the sequence is empty");
}

Result<Value> Last(const FilterCall& call) {
  if (!Iterator::IsIterable(call.input) || call.input.object(Object::Type::kGenerator) != nullptr) {
    return InvalidArgument("\"last\": a value of type {} cannot be walked through from its end",
                           call.input.TypeName());
  }
  QWEN25_TRY(std::vector<Value> items, call.interpreter.ToVector(call.input));
  return items.empty() ? Value::Undefined("there is no last item: the sequence is empty") : items.back();
}

Result<Value> List(const FilterCall& call) {
  QWEN25_TRY(std::vector<Value> items, call.interpreter.ToVector(call.input));
  return call.interpreter.List(std::move(items));
}

Result<Value> Join(const FilterCall& call) {
  MarkedText separator;
  if (call.arguments.Has(0)) {
    QWEN25_TRY(separator, Str(call.arguments.Get(0), call.interpreter));
  }
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<MarkedText> texts;
  for (const Value& item : items) {
    QWEN25_TRY(const Value value, AttributeOf(item, call.arguments.Get(1), nullptr, call.interpreter));
    QWEN25_TRY(MarkedText text, Str(value, call.interpreter));
    texts.push_back(std::move(text));
  }
  QWEN25_TRY(MarkedText joined, JoinTexts(separator, texts, call.interpreter));
  return call.interpreter.Text(std::move(joined));
}

Result<Value> Reverse(const FilterCall& call) {
  if (call.input.is_string()) {
    return Slice(call.input, Value(), Value(), Value::Int(-1), call.interpreter);
  }
  QWEN25_TRY(std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::ranges::reverse(items);
  // What Python can walk through backwards, it does; the rest is made a list.
  const bool is_generator = call.input.object(Object::Type::kGenerator) != nullptr;
  if (is_generator) return call.interpreter.List(std::move(items));
  return Generated(std::move(items), call.interpreter, "list_reverseiterator");
}

Result<Value> Sort(const FilterCall& call) {
  const Value attribute = call.arguments.Get(2);
  const bool case_sensitive = call.arguments.Bool(1, false);
  std::vector<Value> attributes;  // "a,b" sorts by a, then by b
  if (attribute.is_string()) {
    for (const MarkedText& part : Split(attribute.marked(), std::string(","), -1)) {
      attributes.push_back(Value::String(part));
    }
  } else {
    attributes.push_back(attribute);
  }
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    std::vector<Value> keys;
    for (const Value& name : attributes) {
      QWEN25_TRY(Value key, KeyOf(item, name, case_sensitive, call.interpreter));
      keys.push_back(std::move(key));
    }
    keyed.push_back({call.interpreter.List(std::move(keys)), item});
  }
  QWEN25_RETURN_IF_ERROR(SortByKey(keyed, call.arguments.Bool(0, false), call.interpreter));
  std::vector<Value> sorted;
  for (Keyed& entry : keyed) sorted.push_back(std::move(entry.item));
  return call.interpreter.List(std::move(sorted));
}

Result<Value> Unique(const FilterCall& call) {
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<Value> keys, unique;
  for (const Value& item : items) {
    QWEN25_TRY(Value key,
               KeyOf(item, call.arguments.Get(1), call.arguments.Bool(0, false), call.interpreter));
    if (key.is_list() || key.is_dict())
      return InvalidArgument("\"unique\" does not take a {}", key.TypeName());
    QWEN25_RETURN_IF_ERROR(call.interpreter.Spend(1 + keys.size() / 4));
    if (std::ranges::find(keys, key) != keys.end()) continue;
    keys.push_back(std::move(key));
    unique.push_back(item);
  }
  return Generated(std::move(unique), call.interpreter);
}

Result<Value> MinOrMax(const FilterCall& call) {
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  if (items.empty()) return Value::Undefined("there is no smallest or greatest item: the sequence is empty");
  std::optional<Keyed> best;
  for (const Value& item : items) {
    QWEN25_TRY(Value key,
               KeyOf(item, call.arguments.Get(1), call.arguments.Bool(0, false), call.interpreter));
    if (best) {
      QWEN25_TRY(const int order, Order(key, best->key, call.interpreter));
      if (call.name == "min" ? order >= 0 : order != 1) continue;
    }
    best = Keyed{std::move(key), item};
  }
  return best->item;
}

Result<Value> Sum(const FilterCall& call) {
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  Value total = call.arguments.Has(1) ? call.arguments.Get(1) : Value::Int(0);
  if (total.is_string()) return InvalidArgument("\"sum\" does not take strings: use \"join\"");
  for (const Value& item : items) {
    QWEN25_TRY(const Value value, AttributeOf(item, call.arguments.Get(0), nullptr, call.interpreter));
    QWEN25_TRY(total, Arithmetic("+", total, value, call.interpreter));
  }
  return total;
}

Result<Value> Batch(const FilterCall& call) {
  QWEN25_TRY(const int64_t count, call.arguments.Int(0, 0));
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<Value> batches, batch;
  for (const Value& item : items) {
    if (static_cast<int64_t>(batch.size()) == count)
      batches.push_back(call.interpreter.List(std::exchange(batch, {})));
    batch.push_back(item);
  }
  if (!batch.empty()) {
    const Value fill = call.arguments.Get(1);
    const int64_t missing = count - static_cast<int64_t>(batch.size());
    if (!fill.is_none() && missing > 0) {
      QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(
          static_cast<size_t>(std::min<int64_t>(missing, INT32_MAX)) * sizeof(Value)));
      batch.resize(static_cast<size_t>(count), fill);
    }
    batches.push_back(call.interpreter.List(std::move(batch)));
  }
  return Generated(std::move(batches), call.interpreter);
}

Result<Value> SliceFilter(const FilterCall& call) {
  QWEN25_TRY(const int64_t count, call.arguments.Int(0, 0));
  if (count == 0) return InvalidArgument("\"slice\" into 0 parts");
  QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(
      static_cast<size_t>(std::clamp<int64_t>(count, 0, INT32_MAX)) * sizeof(Value)));
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<Value> slices;
  size_t at = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto parts = static_cast<size_t>(count);
    const bool has_extra = static_cast<size_t>(i) < items.size() % parts;
    const size_t size = items.size() / parts + (has_extra ? 1 : 0);
    std::vector<Value> slice(items.begin() + static_cast<ptrdiff_t>(at),
                             items.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
    if (!call.arguments.Get(1).is_none() && !has_extra) slice.push_back(call.arguments.Get(1));
    slices.push_back(call.interpreter.List(std::move(slice)));
  }
  return Generated(std::move(slices), call.interpreter);
}

Result<Value> GroupBy(const FilterCall& call) {
  const Value attribute = call.arguments.Get(0), otherwise = call.arguments.Get(1);
  const Value* fallback = otherwise.is_none() ? nullptr : &otherwise;
  const bool case_sensitive = call.arguments.Bool(2, false);
  QWEN25_TRY(const std::vector<Value> items, call.interpreter.ToVector(call.input));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    QWEN25_TRY(Value key, KeyOf(item, attribute, case_sensitive, call.interpreter, fallback));
    keyed.push_back({std::move(key), item});
  }
  QWEN25_RETURN_IF_ERROR(SortByKey(keyed, /*reverse=*/false, call.interpreter));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    size_t end = begin;
    std::vector<Value> group;
    for (; end < keyed.size() && keyed[end].key == keyed[begin].key; ++end) group.push_back(keyed[end].item);
    QWEN25_TRY(Value grouper, AttributeOf(group[0], attribute, fallback, call.interpreter));
    groups.push_back(
        Value::Group(std::move(grouper), call.interpreter.List(std::move(group)), call.interpreter.memory()));
    begin = end;
  }
  return call.interpreter.List(std::move(groups));
}

Result<Value> Items(const FilterCall& call) {
  if (call.input.is_undefined()) return Generated({}, call.interpreter);
  if (!call.input.is_dict())
    return InvalidArgument("\"items\" takes a dictionary, not {}", call.input.TypeName());
  std::vector<Value> items;
  for (const auto& [key, value] : call.input.dict().entries)
    items.push_back(call.interpreter.Tuple({key, value}));
  return Generated(std::move(items), call.interpreter);
}

Result<Value> DictSort(const FilterCall& call) {
  if (!call.input.is_dict())
    return InvalidArgument("\"dictsort\" takes a dictionary, not {}", call.input.TypeName());
  const Value by = call.arguments.Has(1) ? call.arguments.Get(1) : Value::String("key");
  if (!by.is_string() || (by.text() != "key" && by.text() != "value")) {
    return InvalidArgument("\"dictsort\" sorts by \"key\" or \"value\"");
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : call.input.dict().entries) {
    QWEN25_TRY(Value sorted_by, KeyOf(by.text() == "key" ? key : value, Value(),
                                      call.arguments.Bool(0, false), call.interpreter));
    keyed.push_back({std::move(sorted_by), call.interpreter.Tuple({key, value})});
  }
  QWEN25_RETURN_IF_ERROR(SortByKey(keyed, call.arguments.Bool(2, false), call.interpreter));
  std::vector<Value> sorted;
  for (Keyed& entry : keyed) sorted.push_back(std::move(entry.item));
  return call.interpreter.List(std::move(sorted));
}

constexpr std::array kFilters = {
    FilterEntry{"length", "", Length},
    FilterEntry{"count", "", Length},
    FilterEntry{"first", "", First},
    FilterEntry{"last", "", Last},
    FilterEntry{"list", "", List},
    FilterEntry{"join", "d? attribute?", Join},
    FilterEntry{"reverse", "", Reverse},
    FilterEntry{"sort", "reverse? case_sensitive? attribute?", Sort},
    FilterEntry{"unique", "case_sensitive? attribute?", Unique},
    FilterEntry{"min", "case_sensitive? attribute?", MinOrMax},
    FilterEntry{"max", "case_sensitive? attribute?", MinOrMax},
    FilterEntry{"sum", "attribute? start?", Sum},
    FilterEntry{"batch", "linecount fill_with?", Batch},
    FilterEntry{"slice", "slices fill_with?", SliceFilter},
    FilterEntry{"groupby", "attribute default? case_sensitive?", GroupBy},
    FilterEntry{"items", "", Items},
    FilterEntry{"dictsort", "case_sensitive? by? reverse?", DictSort},
};

}  // namespace

std::span<const FilterEntry> SequenceFilters() {
  return kFilters;
}

}  // namespace qwen25::jinja
