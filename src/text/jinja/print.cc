#include "text/jinja/print.h"

#include <cmath>

#include "text/jinja/text_tools.h"
#include "text/python_json.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

constexpr size_t kMaxDepth = 300;  // namespaces may hold each other

void AppendStringRepr(const MarkedText& text, MarkedText& out) {
  const std::string& all = text.text();
  const bool has_single = all.find('\'') != std::string::npos,
             has_double = all.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.Append(std::string(1, quote), Mark::kTemplate);
  text.ForEachRun([&](std::string_view run, Mark mark) {
    std::string escaped;
    for (size_t at = 0; at < run.size();) {
      const DecodedCodePoint c = DecodeCodePoint(run.data() + at, run.data() + run.size());
      const auto number = static_cast<uint32_t>(c.code_point);
      if (number == static_cast<unsigned char>(quote) || number == '\\') {
        escaped += '\\';
        escaped += static_cast<char>(number);
      } else if (number == '\n' || number == '\r' || number == '\t') {
        escaped += number == '\n' ? "\\n" : number == '\r' ? "\\r" : "\\t";
      } else if (IsPrintable(c.code_point)) {
        escaped += run.substr(at, c.bytes);
      } else if (number < 0x100) {
        escaped += fmt::format("\\x{:02x}", number);
      } else {
        escaped += number < 0x10000 ? fmt::format("\\u{:04x}", number) : fmt::format("\\U{:08x}", number);
      }
      at += c.bytes;
    }
    out.Append(escaped, mark);
  });
  out.Append(std::string(1, quote), Mark::kTemplate);
}

class Writer {
 public:
  explicit Writer(Interpreter& interpreter) : interpreter_(interpreter) {}

  Status Write(const Value& value, size_t depth = 0) {
    QWEN25_RETURN_IF_ERROR(interpreter_.Spend(1));
    QWEN25_RETURN_IF_ERROR(interpreter_.CheckSize(out_.size()));
    if (depth > kMaxDepth)
      return ResourceExhausted("a value to print is nested more than {} levels deep", kMaxDepth);
    switch (value.kind()) {
      case Value::Kind::kMissing:
      case Value::Kind::kUndefined:
        Add("Undefined");
        return {};
      case Value::Kind::kNone:
        Add("None");
        return {};
      case Value::Kind::kBool:
        Add(value.boolean() ? "True" : "False");
        return {};
      case Value::Kind::kInt:
        Add(fmt::to_string(*value.AsInt()));
        return {};
      case Value::Kind::kBigInt:
        Add(value.digits());
        return {};
      case Value::Kind::kFloat:
        Add(FloatText(value.floating()));
        return {};
      case Value::Kind::kString:
        if (value.is_safe()) Add("Markup(");
        AppendStringRepr(value.marked(), out_);
        if (value.is_safe()) Add(")");
        return {};
      case Value::Kind::kList:
        return Items("[", "]", value.items(), depth);
      case Value::Kind::kTuple:
        return Items("(", value.items().size() == 1 ? ",)" : ")", value.items(), depth);
      case Value::Kind::kDict:
        return Entries(value.dict().entries, depth);
      case Value::Kind::kObject:
        return WriteObject(*value.object(), depth);
    }
    return {};
  }
  MarkedText Take() { return std::move(out_); }

 private:
  void Add(std::string_view text) { out_.Append(text, Mark::kTemplate); }

  Status Items(std::string_view open, std::string_view close, const std::vector<Value>& items, size_t depth) {
    Add(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) Add(", ");
      QWEN25_RETURN_IF_ERROR(Write(items[i], depth + 1));
    }
    Add(close);
    return {};
  }
  Status Entries(const std::vector<DictData::Entry>& entries, size_t depth) {
    Add("{");
    bool is_first = true;
    for (const auto& [key, value] : entries) {
      if (!is_first) Add(", ");
      is_first = false;
      QWEN25_RETURN_IF_ERROR(Write(key, depth + 1));
      Add(": ");
      QWEN25_RETURN_IF_ERROR(Write(value, depth + 1));
    }
    Add("}");
    return {};
  }
  Status WriteObject(Object& object, size_t depth);

  Interpreter& interpreter_;
  MarkedText out_;
};

Status Writer::WriteObject(Object& object, size_t depth) {
  switch (object.type) {
    case Object::Type::kNamespace: {
      Add("<Namespace ");
      std::vector<DictData::Entry> entries;
      for (const auto& [name, value] : static_cast<NamespaceObject&>(object).members) {
        entries.emplace_back(Value::String(name), value);
      }
      QWEN25_RETURN_IF_ERROR(Entries(entries, depth));
      Add(">");
      return {};
    }
    case Object::Type::kMacro: {
      const Stmt& code = *static_cast<MacroObject&>(object).statement;
      Add(code.kind == StmtKind::kMacro ? fmt::format("<Macro '{}'>", code.name) : "<Macro anonymous>");
      return {};
    }
    case Object::Type::kRange: {
      const auto& range = static_cast<RangeObject&>(object);
      Add(range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                          : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
      return {};
    }
    case Object::Type::kView: {
      Add(fmt::format("{}(", ObjectTypeName(object)));
      QWEN25_TRY(const std::vector<Value> items, interpreter_.ToVector(Value::Of(&object)));
      QWEN25_RETURN_IF_ERROR(Items("[", "]", items, depth));
      Add(")");
      return {};
    }
    case Object::Type::kLoop: {
      auto& loop = static_cast<LoopObject&>(object);
      QWEN25_TRY(const size_t length, loop.Length(interpreter_));
      Add(fmt::format("<LoopContext {}/{}>", loop.index0 + 1, length));
      return {};
    }
    default:  // Python would show an address here
      Add(fmt::format("<{} object>", ObjectTypeName(object)));
      return {};
  }
}

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return PythonJson(Json(value));
}

Result<MarkedText> Repr(const Value& value, Interpreter& interpreter) {
  Writer writer(interpreter);
  QWEN25_RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

Result<MarkedText> Str(const Value& value, Interpreter& interpreter) {
  if (value.is_string()) return value.marked();
  if (value.is_undefined()) return MarkedText();
  return Repr(value, interpreter);
}

}  // namespace qwen25::jinja
