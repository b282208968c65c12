#include "text/jinja/json_text.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Interpreter& interpreter) : style_(style), interpreter_(interpreter) {}

  Status Write(const Value& value);
  MarkedText Take() { return std::move(out_); }

 private:
  void Add(std::string_view text) { out_.Append(text, Mark::kTemplate); }
  void AddString(const MarkedText& text);
  Status AddKey(const Value& key);
  Status Entries(std::vector<DictData::Entry> entries);
  Status Items(const std::vector<Value>& items);
  // The line end and the indent before an item, or before the closing bracket.
  void NewLine() {
    if (!style_.indent) return;
    std::string line = "\n";
    for (size_t i = 0; i < depth_; ++i) line += *style_.indent;
    Add(line);
  }

  const JsonStyle& style_;
  Interpreter& interpreter_;
  size_t depth_ = 0;
  MarkedText out_;
};

std::string Escaped(char32_t c, bool only_ascii, std::string_view itself) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  const auto number = static_cast<uint32_t>(c);
  if (number < 0x20 || (only_ascii && number >= 0x7f && number < 0x10000)) {
    return fmt::format("\\u{:04x}", number);
  }
  if (!only_ascii || number < 0x10000) return std::string(itself);
  const uint32_t above = number - 0x10000;
  return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (above >> 10), 0xdc00 + (above & 0x3ff));
}

void JsonWriter::AddString(const MarkedText& text) {
  Add("\"");
  text.ForEachRun([&](std::string_view run, Mark mark) {
    std::string escaped;
    for (size_t at = 0; at < run.size();) {
      const DecodedCodePoint c = DecodeCodePoint(run.data() + at, run.data() + run.size());
      const std::string_view itself = run.substr(at, c.bytes);
      const bool is_plain = c.code_point >= 0x20 && c.code_point != '"' && c.code_point != '\\' &&
                            (c.code_point < 0x7f || !style_.only_ascii);
      if (is_plain) {
        escaped += itself;
      } else {
        escaped += Escaped(c.code_point, style_.only_ascii, itself);
      }
      at += c.bytes;
    }
    out_.Append(escaped, mark);
  });
  Add("\"");
}

Status JsonWriter::AddKey(const Value& key) {
  if (key.is_string()) {
    AddString(key.marked());
    return {};
  }
  if (!key.is_number() && !key.is_none()) {
    return InvalidArgument("a key of type {} cannot be written as JSON", key.TypeName());
  }
  Add("\"");
  QWEN25_RETURN_IF_ERROR(Write(key));
  Add("\"");
  return {};
}

Status JsonWriter::Items(const std::vector<Value>& items) {
  Add("[");
  ++depth_;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) Add(style_.between_items);
    NewLine();
    QWEN25_RETURN_IF_ERROR(Write(items[i]));
  }
  --depth_;
  if (!items.empty()) NewLine();
  Add("]");
  return {};
}

Status JsonWriter::Entries(std::vector<DictData::Entry> entries) {
  if (style_.sort_keys) {
    Status status;
    std::ranges::stable_sort(entries, [&](const DictData::Entry& a, const DictData::Entry& b) {
      const Result<int> order = Order(a.first, b.first, interpreter_);
      if (!order.ok() && status.ok()) status = order.status();
      return order.ok() && *order < 0;
    });
    QWEN25_RETURN_IF_ERROR(status);
  }
  Add("{");
  ++depth_;
  bool is_first = true;
  for (const auto& [key, value] : entries) {
    if (!is_first) Add(style_.between_items);
    is_first = false;
    NewLine();
    QWEN25_RETURN_IF_ERROR(AddKey(key));
    Add(style_.between_key_and_value);
    QWEN25_RETURN_IF_ERROR(Write(value));
  }
  --depth_;
  if (!entries.empty()) NewLine();
  Add("}");
  return {};
}

Status JsonWriter::Write(const Value& value) {
  QWEN25_RETURN_IF_ERROR(interpreter_.Spend(1));
  QWEN25_RETURN_IF_ERROR(interpreter_.CheckSize(out_.size()));
  switch (value.kind()) {
    case Value::Kind::kNone:
      Add("null");
      return {};
    case Value::Kind::kBool:
      Add(value.boolean() ? "true" : "false");
      return {};
    case Value::Kind::kFloat: {
      const double number = value.floating();
      Add(std::isnan(number)   ? "NaN"
          : std::isinf(number) ? (number > 0 ? "Infinity" : "-Infinity")
                               : FloatText(number));
      return {};
    }
    case Value::Kind::kInt:
      Add(fmt::to_string(*value.AsInt()));
      return {};
    case Value::Kind::kBigInt:
      Add(value.digits());
      return {};
    case Value::Kind::kString:
      QWEN25_RETURN_IF_ERROR(interpreter_.SpendText(value.text().size()));
      AddString(value.marked());
      return {};
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      return Items(value.items());
    case Value::Kind::kDict:
      return Entries(value.dict().entries);
    default:
      return InvalidArgument("a value of type {} cannot be written as JSON", value.TypeName());
  }
}

}  // namespace

Result<MarkedText> ToJson(const Value& value, const JsonStyle& style, Interpreter& interpreter) {
  JsonWriter writer(style, interpreter);
  QWEN25_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace qwen25::jinja
