#include "text/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include "text/jinja/objects.h"

namespace qwen25::jinja {
namespace {

size_t DepthOf(const std::vector<Value>& items) {
  size_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.Depth());
  return depth + 1;
}

size_t DepthOf(const std::vector<DictData::Entry>& entries) {
  size_t depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, key.Depth(), value.Depth()});
  return depth + 1;
}

std::vector<DictData::Entry> WithoutRepeats(std::vector<DictData::Entry> all) {
  std::vector<DictData::Entry> entries;
  entries.reserve(all.size());
  std::unordered_map<std::string_view, size_t> places;  // of strings
  for (DictData::Entry& entry : all) {
    size_t place = entries.size();
    if (entry.first.is_string()) {
      place = places.emplace(entry.first.text(), place).first->second;
    } else {
      const auto same = std::ranges::find(entries, entry.first, &DictData::Entry::first);
      place = static_cast<size_t>(same - entries.begin());
    }
    if (place == entries.size()) {
      entries.push_back(std::move(entry));
    } else {
      entries[place].second = std::move(entry.second);
    }
  }
  return entries;
}

bool SameItems(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::ranges::equal(a, b);
}

bool SameEntries(const DictData& a, const DictData& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::ranges::all_of(a.entries, [&](const DictData::Entry& entry) {
    const Value* other = b.Find(entry.first);
    return other != nullptr && entry.second == *other;
  });
}

}  // namespace

SequenceData::SequenceData(std::vector<Value> values, MemoryCount* count)
    : items(std::move(values)),
      depth(DepthOf(items)),
      charge(count, sizeof(SequenceData) + items.size() * sizeof(Value)) {}

DictData::DictData(std::vector<Entry> all, MemoryCount* count)
    : entries(WithoutRepeats(std::move(all))),
      depth(DepthOf(entries)),
      charge(count, sizeof(DictData) + entries.size() * sizeof(Entry)) {}

const Value* DictData::Find(const Value& key) const {
  const auto found = std::ranges::find(entries, key, &Entry::first);
  return found == entries.end() ? nullptr : &found->second;
}

const Value* DictData::Find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

Value Value::Undefined(std::string message) {
  return Value(Storage(std::make_shared<const UndefinedData>(UndefinedData{std::move(message)})));
}

Value Value::BigInt(std::string digits) {
  return Value(Storage(std::make_shared<const std::string>(std::move(digits))));
}

Value Value::String(MarkedText text, MemoryCount* count, bool is_safe) {
  return Value(Storage(std::make_shared<const StringData>(std::move(text), is_safe, count)));
}

Value Value::List(std::vector<Value> items, MemoryCount* count) {
  return Value(Storage(std::in_place_index<static_cast<size_t>(Kind::kList)>,
                       std::make_shared<const SequenceData>(std::move(items), count)));
}

Value Value::Tuple(std::vector<Value> items, MemoryCount* count) {
  return Value(Storage(std::in_place_index<static_cast<size_t>(Kind::kTuple)>,
                       std::make_shared<const SequenceData>(std::move(items), count)));
}

Value Value::Group(Value grouper, Value list, MemoryCount* count) {
  auto data = std::make_shared<SequenceData>(std::vector<Value>{std::move(grouper), std::move(list)}, count);
  data->is_group = true;
  return Value(Storage(std::in_place_index<static_cast<size_t>(Kind::kTuple)>, SequenceRef(std::move(data))));
}

Value Value::Dict(std::vector<DictData::Entry> entries, MemoryCount* count) {
  return Value(Storage(std::make_shared<const DictData>(std::move(entries), count)));
}

const SequenceData& Value::sequence() const {
  return is_list() ? **std::get_if<static_cast<size_t>(Kind::kList)>(&storage_)
                   : **std::get_if<static_cast<size_t>(Kind::kTuple)>(&storage_);
}

Object* Value::object() const {
  return is(Kind::kObject) ? *std::get_if<Object*>(&storage_) : nullptr;
}

Object* Value::object(Object::Type type) const {
  Object* const found = object();
  return found != nullptr && found->type == type ? found : nullptr;
}

std::optional<int64_t> Value::AsInt() const {
  if (is_bool()) return boolean() ? 1 : 0;
  if (const auto* number = std::get_if<int64_t>(&storage_)) return *number;
  return std::nullopt;
}

std::optional<double> Value::AsFloat() const {
  if (const auto number = AsInt()) return static_cast<double>(*number);
  if (is_float()) return floating();
  if (is(Kind::kBigInt)) return std::strtod(digits().c_str(), nullptr);
  return std::nullopt;
}

bool Value::Truth() const {
  switch (kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return *AsInt() != 0;
    case Kind::kBigInt:
      return true;
    case Kind::kFloat:
      return floating() != 0.0;
    case Kind::kString:
      return !text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !items().empty();
    case Kind::kDict:
      return !dict().entries.empty();
    case Kind::kObject:
      return LengthOf(*object()).value_or(1) != 0;
  }
  return false;
}

bool Value::operator==(const Value& other) const {
  if (is_number() && other.is_number()) {
    if (is(Kind::kBigInt) && other.is(Kind::kBigInt)) return digits() == other.digits();
    if (AsInt() && other.AsInt()) return *AsInt() == *other.AsInt();
    return *AsFloat() == *other.AsFloat();
  }
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kString:
      return text() == other.text();
    case Kind::kList:
    case Kind::kTuple:
      return &sequence() == &other.sequence() || SameItems(items(), other.items());
    case Kind::kDict:
      return &dict() == &other.dict() || SameEntries(dict(), other.dict());
    case Kind::kObject:
      return object() == other.object() || SameRange(*object(), *other.object());
    default:
      return true;  // none, undefined
  }
}

bool Value::IsSame(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kBool:
    case Kind::kInt:
      return *AsInt() == *other.AsInt();
    case Kind::kString:
      return std::get<StringRef>(storage_) == std::get<StringRef>(other.storage_) ||
             (text().size() <= 1 && text() == other.text());
    case Kind::kList:
    case Kind::kTuple:
      return &sequence() == &other.sequence();
    case Kind::kDict:
      return &dict() == &other.dict();
    case Kind::kObject:
      return object() == other.object();
    case Kind::kNone:
      return true;
    default:
      return false;
  }
}

std::string_view Value::TypeName() const {
  switch (kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return is_safe() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return ObjectTypeName(*object());
  }
  return "";
}

size_t Value::Depth() const {
  if (is_sequence()) return sequence().depth;
  return is_dict() ? dict().depth : 0;
}

std::optional<Value> ParseInteger(std::string_view text) {
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  const std::string_view digits = text.substr(has_sign ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  int64_t number = 0;
  const std::string_view signed_digits = text.starts_with('+') ? digits : text;
  const auto [end, error] =
      std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), number);
  if (error == std::errc()) return Value::Int(number);
  const size_t first = digits.find_first_not_of('0');
  return Value::BigInt((text.starts_with('-') ? "-" : "") + std::string(digits.substr(first)));
}

}  // namespace qwen25::jinja
