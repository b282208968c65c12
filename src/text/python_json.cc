#include "text/python_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "text/utf8.h"

namespace qwen25 {
namespace {

void AppendString(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// Python's repr(): fixed notation for decimal exponents -4..15, scientific with at least two exponent digits
// elsewhere, and always something that marks a float (".0", "e", or a name).
void AppendFloat(double value, std::string& out) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  const double magnitude = std::abs(value);
  const bool fixed = magnitude == 0.0 || (magnitude >= 1e-4 && magnitude < 1e16);
  std::array<char, 40> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  const std::string_view text(digits.data(), static_cast<size_t>(end - digits.data()));
  out += text;
  if (fixed && text.find('.') == std::string_view::npos) out += ".0";
}

// The subtype of a binary value that holds the digits of an integer beyond 64 bits.
constexpr uint64_t kBigInteger = 0x71323562;
constexpr size_t kMaxDepth = 64;  // as in ParseJson

// Strings that begin with this stand for numbers that JSON does not have; and the same in JSON's spelling.
constexpr std::string_view kMark = "\x01number ", kWrittenMark = "\\u0001number ";

bool IsInteger(std::string_view number) {
  return number.find_first_of(".eE") == std::string_view::npos;
}

// Writes with one setting of `indent`.
class Writer {
 public:
  Writer(int indent, std::string& out) : indent_(indent), out_(out) {}

  void Value(const Json& value) {
    switch (value.type()) {
      case Json::value_t::object:
        return Items('{', '}', value.items(), [&](const auto& item) {
          AppendString(item.key(), out_);
          out_ += ": ";
          Value(item.value());
        });
      case Json::value_t::array:
        return Items('[', ']', value, [&](const Json& item) { Value(item); });
      case Json::value_t::string:
        return AppendString(value.get_ref<const std::string&>(), out_);
      case Json::value_t::boolean:
        out_ += value.get<bool>() ? "true" : "false";
        return;
      case Json::value_t::number_integer:
        out_ += fmt::to_string(value.get<int64_t>());
        return;
      case Json::value_t::number_unsigned:
        out_ += fmt::to_string(value.get<uint64_t>());
        return;
      case Json::value_t::number_float:
        return AppendFloat(value.get<double>(), out_);
      case Json::value_t::binary:
        for (const uint8_t digit : value.get_binary()) out_ += static_cast<char>(digit);
        return;
      default:  // null; discarded values do not come out of a parser
        out_ += "null";
    }
  }

 private:
  template <typename Range, typename Write>
  void Items(char open, char close, const Range& range, Write write) {
    out_ += open;
    bool is_first = true;
    ++depth_;
    for (const auto& item : range) {
      if (!is_first) out_ += indent_ < 0 ? ", " : ",";
      is_first = false;
      NewLine();
      write(item);
    }
    --depth_;
    if (!is_first) NewLine();
    out_ += close;
  }
  void NewLine() {
    if (indent_ >= 0) out_.append(1, '\n').append(depth_ * static_cast<size_t>(indent_), ' ');
  }

  const int indent_;
  size_t depth_ = 0;
  std::string& out_;
};

// Builds a document from what the parser sees.
class Reader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (!IsInteger(text)) return Put(value);
    return Put(BigInteger(text));
  }
  bool string(string_t& value) override {
    if (!has_marks || !value.starts_with(kMark)) return Put(std::move(value));
    const std::string number = value.substr(kMark.size());
    if (IsInteger(number) && number.find_first_of("0123456789") != std::string::npos) {
      return Put(BigInteger(number));
    }
    return Put(std::strtod(number.c_str(), nullptr));
  }
  bool binary(binary_t& value) override { return Put(Json(std::move(value))); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& problem) override {
    error = problem.what();
    return false;
  }

  Json document;
  std::string error;
  bool is_too_deep = false;
  bool has_marks = false;  // strings that begin with kMark are numbers

 private:
  Json* Add(Json value) {
    if (open_.empty()) {
      document = std::move(value);
      return &document;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.emplace_back(std::move(value));
    Json& member = parent[key_];  // the last value of a repeated key counts
    member = std::move(value);
    return &member;
  }
  bool Put(Json value) {
    Add(std::move(value));
    return true;
  }
  // Pointers to what is open stay valid: only the innermost is added to.
  bool Open(Json value) {
    open_.push_back(Add(std::move(value)));
    is_too_deep = open_.size() > kMaxDepth;
    return !is_too_deep;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  std::vector<Json*> open_;
  std::string key_;
};

}  // namespace

void AppendPythonJson(const Json& value, std::string& out) {
  Writer(-1, out).Value(value);
}

std::string PythonJson(const Json& value, int indent) {
  std::string out;
  Writer(indent, out).Value(value);
  return out;
}

Json BigInteger(std::string_view digits) {
  return Json::binary(std::vector<uint8_t>(digits.begin(), digits.end()), kBigInteger);
}

std::string ShownJson(const Json& value) {
  std::string text = RepairUtf8(PythonJson(value));
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

Result<Json> ParsePythonJson(std::string_view text, std::string_view origin) {
  Reader reader;
  if (Json::sax_parse(text, &reader)) return std::move(reader.document);
  if (reader.is_too_deep) {
    return InvalidArgument("{}: JSON is nested deeper than {} levels", origin, kMaxDepth);
  }
  if (text.find(kWrittenMark) == std::string_view::npos) {
    Reader again;
    again.has_marks = true;
    if (Json::sax_parse(WithQuotedNumbers(text, kWrittenMark), &again)) return std::move(again.document);
  }
  return InvalidArgument("{}: not valid JSON: {}", origin, reader.error);
}

}  // namespace qwen25
