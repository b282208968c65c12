#include "text/jinja/template.h"

#include <algorithm>

#include "text/jinja/parser.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

bool Mentions(const Body& body, std::string_view name);

bool Mentions(const Expr& node, std::string_view name) {
  const bool has_name = node.kind == ExprKind::kAttribute || node.kind == ExprKind::kName;
  if (has_name && node.name == name) return true;
  if (node.kind == ExprKind::kConstant && node.value.is_string() && node.value.text() == name) return true;
  const auto in = [&](const ExprPtr& child) { return child != nullptr && Mentions(*child, name); };
  return std::ranges::any_of(node.operands, in) || in(node.star) || in(node.double_star) ||
         std::ranges::any_of(node.keywords, [&](const auto& keyword) { return in(keyword.second); });
}

bool Mentions(const Stmt& s, std::string_view name) {
  const auto in = [&](const ExprPtr& child) { return child != nullptr && Mentions(*child, name); };
  return std::ranges::any_of(s.exprs, in) || std::ranges::any_of(s.defaults, in) || in(s.test) ||
         Mentions(s.body, name) || Mentions(s.otherwise, name) ||
         std::ranges::any_of(s.branches, [&](const Body& branch) { return Mentions(branch, name); });
}

bool Mentions(const Body& body, std::string_view name) {
  return std::ranges::any_of(body, [&](const StmtPtr& statement) { return Mentions(*statement, name); });
}

}  // namespace

Result<Template> Template::Parse(std::string_view source, std::string_view origin) {
  QWEN25_TRY(Program program, jinja::Parse(source, origin));
  return Template(std::make_shared<const Program>(std::move(program)));
}

Result<MarkedText> Template::Render(const std::vector<std::pair<std::string, Value>>& variables,
                                    const RenderOptions& options) const {
  Interpreter interpreter(*program_, options);
  return interpreter.Run(variables);
}

bool Template::Mentions(std::string_view name) const {
  return jinja::Mentions(program_->body, name);
}

Value ValueOf(const Json& json, Mark mark) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::Int(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      return number <= INT64_MAX ? Value::Int(static_cast<int64_t>(number))
                                 : Value::BigInt(fmt::to_string(number));
    }
    case Json::value_t::number_float:
      return Value::Float(json.get<double>());
    case Json::value_t::binary: {
      const auto& digits = json.get_binary();
      return ParseInteger(std::string(digits.begin(), digits.end())).value_or(Value());
    }
    case Json::value_t::string:
      return Value::String(MarkedText(RepairUtf8(json.get_ref<const std::string&>()), mark));
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(ValueOf(item, mark));
      return Value::List(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<DictData::Entry> entries;
      for (const auto& [key, value] : json.items()) {
        entries.emplace_back(Value::String(MarkedText(RepairUtf8(key), mark)), ValueOf(value, mark));
      }
      return Value::Dict(std::move(entries));
    }
    default:
      return Value();
  }
}

}  // namespace qwen25::jinja
