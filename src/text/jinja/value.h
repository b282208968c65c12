// The values of templates: those of Python that a sandboxed Jinja template can meet. All of them are
// immutable, except for the few objects that a template may change (namespaces, cyclers, iterators).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/jinja/marked_text.h"

namespace qwen25::jinja {

class Value;

// The bytes that the values of one rendering hold. Values must not outlive it.
class MemoryCount {
 public:
  explicit MemoryCount(size_t limit) : limit_(limit) {}
  void Add(size_t bytes) { live_ += bytes; }
  void Remove(size_t bytes) { live_ -= bytes; }
  size_t live() const { return live_; }
  size_t limit() const { return limit_; }

 private:
  const size_t limit_;
  size_t live_ = 0;
};

// Bytes that are counted for as long as this object is there.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  MemoryCharge(MemoryCount* count, size_t bytes) : count_(count), bytes_(bytes) {
    if (count_ != nullptr) count_->Add(bytes_);
  }
  MemoryCharge(const MemoryCharge&) = delete;
  MemoryCharge& operator=(const MemoryCharge&) = delete;
  ~MemoryCharge() {
    if (count_ != nullptr) count_->Remove(bytes_);
  }

 private:
  MemoryCount* count_ = nullptr;
  size_t bytes_ = 0;
};

struct StringData {
  StringData(MarkedText contents, bool safe, MemoryCount* count)
      : text(std::move(contents)), is_safe(safe), charge(count, text.size() + sizeof(StringData)) {}
  const MarkedText text;
  const bool is_safe;  // markup, which escapes what it is joined with
  const MemoryCharge charge;
};

// A list or a tuple.
struct SequenceData {
  SequenceData(std::vector<Value> values, MemoryCount* count);
  const std::vector<Value> items;
  const size_t depth;     // of nested containers: 1 + that of the deepest item
  bool is_group = false;  // a tuple of the filter groupby, with the attributes `grouper` and `list`
  const MemoryCharge charge;
};

// A dictionary in the order of insertion. Lookups are linear: those of templates are small.
struct DictData {
  using Entry = std::pair<Value, Value>;
  // The last value of a repeated key counts, in the place of the first.
  DictData(std::vector<Entry> all, MemoryCount* count);
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  const std::vector<Entry> entries;
  const size_t depth;
  const MemoryCharge charge;
};

// What is not there, and why using it is an error.
struct UndefinedData {
  std::string message;
};

// Something with an identity: a namespace, a macro, an iterator... (objects.h). The heap of a rendering owns
// it.
struct Object {
  enum class Type {
    kNamespace,
    kMacro,
    kFunction,
    kMethod,
    kGenerator,
    kRange,
    kView,
    kLoop,
    kCycler,
    kJoiner
  };
  explicit Object(Type kind) : type(kind) {}
  virtual ~Object() = default;
  const Type type;
};

using StringRef = std::shared_ptr<const StringData>;
using SequenceRef = std::shared_ptr<const SequenceData>;
using DictRef = std::shared_ptr<const DictData>;

class Value {
 public:
  // In the order of Storage. kMissing is a variable without a value; it never leaves the frames.
  enum class Kind {
    kMissing,
    kUndefined,
    kNone,
    kBool,
    kInt,
    kBigInt,
    kFloat,
    kString,
    kList,
    kTuple,
    kDict,
    kObject
  };

  Value() : storage_(None{}) {}
  static Value Missing() { return Value(Storage(std::in_place_index<0>)); }
  static Value Undefined(std::string message);
  static Value Bool(bool value) { return Value(Storage(value)); }
  static Value Int(int64_t value) { return Value(Storage(value)); }
  // An integer beyond 64 bits, by its digits. Such numbers are kept and printed, not computed with.
  static Value BigInt(std::string digits);
  static Value Float(double value) { return Value(Storage(value)); }
  // Strings, lists and so on of the program itself, which no rendering pays for.
  static Value String(MarkedText text, MemoryCount* count = nullptr, bool is_safe = false);
  static Value String(std::string_view text) { return String(MarkedText(std::string(text))); }
  static Value List(std::vector<Value> items, MemoryCount* count = nullptr);
  static Value Tuple(std::vector<Value> items, MemoryCount* count = nullptr);
  static Value Group(Value grouper, Value list, MemoryCount* count);
  static Value Dict(std::vector<DictData::Entry> entries, MemoryCount* count = nullptr);
  static Value Of(Object* object) { return Value(Storage(object)); }

  Kind kind() const { return static_cast<Kind>(storage_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_missing() const { return is(Kind::kMissing); }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_bool() const { return is(Kind::kBool); }
  bool is_string() const { return is(Kind::kString); }
  bool is_float() const { return is(Kind::kFloat); }
  bool is_list() const { return is(Kind::kList); }
  bool is_tuple() const { return is(Kind::kTuple); }
  bool is_sequence() const { return is_list() || is_tuple(); }
  bool is_dict() const { return is(Kind::kDict); }
  bool is_number() const { return is_bool() || is(Kind::kInt) || is(Kind::kBigInt) || is_float(); }

  // Each for values of its kind only.
  const std::string& undefined_message() const { return (*std::get_if<1>(&storage_))->message; }
  bool boolean() const { return *std::get_if<bool>(&storage_); }
  const std::string& digits() const { return **std::get_if<BigIntRef>(&storage_); }
  double floating() const { return *std::get_if<double>(&storage_); }
  const MarkedText& marked() const { return (*std::get_if<StringRef>(&storage_))->text; }
  const std::string& text() const { return marked().text(); }
  bool is_safe() const { return (*std::get_if<StringRef>(&storage_))->is_safe; }
  const SequenceData& sequence() const;
  const std::vector<Value>& items() const { return sequence().items; }
  const DictData& dict() const { return **std::get_if<DictRef>(&storage_); }

  // The object, if this is one of that type.
  Object* object() const;
  Object* object(Object::Type type) const;

  // A bool or an integer of 64 bits as a number.
  std::optional<int64_t> AsInt() const;
  // Any number as a float.
  std::optional<double> AsFloat() const;

  // Python's bool(), == and `is`.
  bool Truth() const;
  bool operator==(const Value& other) const;
  bool IsSame(const Value& other) const;

  // How Python calls the type: "str", "NoneType".
  std::string_view TypeName() const;
  // The depth of nested containers; 0 for other values.
  size_t Depth() const;

 private:
  struct None {};
  struct MissingTag {};
  using BigIntRef = std::shared_ptr<const std::string>;
  struct ListTag;
  using UndefinedRef = std::shared_ptr<const UndefinedData>;
  using Storage = std::variant<MissingTag, UndefinedRef, None, bool, int64_t, BigIntRef, double, StringRef,
                               SequenceRef, SequenceRef, DictRef, Object*>;
  explicit Value(Storage storage) : storage_(std::move(storage)) {}

  Storage storage_;
};

// Python's int(text) for a whole text of digits, beyond 64 bits, too; nothing if it is none.
std::optional<Value> ParseInteger(std::string_view text);

}  // namespace qwen25::jinja
