#include "grammar/formats.h"

#include <fmt/format.h>

#include <algorithm>

namespace qwen25::grammar {
namespace {

// RFC 3339.
std::string Date() {
  const std::string_view leap_year = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
  return fmt::format(
      "([0-9]{{4}}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
      "02-(0[1-9]|1[0-9]|2[0-8]))|{}-02-29)",
      leap_year);
}
constexpr std::string_view kHoursAndMinutes = "([01][0-9]|2[0-3]):[0-5][0-9]";
std::string Time() {
  return fmt::format("{0}:[0-5][0-9](\\.[0-9]{{1,9}})?([Zz]|[+-]{0})", kHoursAndMinutes);
}

// RFC 1123: labels of up to 63 characters, up to 253 in all. Fewer are allowed here, so that the sum needs no
// count.
std::string Hostname() {
  const std::string_view label = "[A-Za-z0-9]([A-Za-z0-9-]{0,29}[A-Za-z0-9])?";
  return fmt::format("{0}(\\.{0}){{0,6}}", label);
}

constexpr std::string_view kByteNumber = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
std::string Ipv4() {
  return fmt::format("{0}(\\.{0}){{3}}", kByteNumber);
}

// RFC 4291, section 2.2.
std::string Ipv6() {
  const std::string_view group = "[0-9A-Fa-f]{1,4}";
  const std::string last = fmt::format("({0}:{0}|{1})", group, Ipv4());
  std::string pattern = fmt::format("(({}:){{6}}{}", group, last);
  // "::" stands for the groups that are missing: `before` of them in front of it at most, the rest behind.
  for (int behind = 5; behind >= 0; --behind) {
    const int before = 5 - behind;
    const std::string head =
        before == 0 ? fmt::format("({})?", group) : fmt::format("(({0}:){{0,{1}}}{0})?", group, before);
    pattern += behind == 5 ? fmt::format("|::({}:){{5}}{}", group, last)
                           : fmt::format("|{}::({}:){{{}}}{}", head, group, behind, last);
  }
  pattern += fmt::format("|(({0}:){{0,5}}{0})?::{0}|(({0}:){{0,6}}{0})?::)", group);
  return pattern;
}

// RFC 3986; RFC 3987 adds letters of other scripts, as `more`.
constexpr std::string_view kIriLetters = "\\u00a0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef\\u{10000}-\\u{efffd}";
std::string UriCharacter(std::string_view more, std::string_view delimiters) {
  return fmt::format("([A-Za-z0-9._~!$&'()*+,;={}{}-]|%[0-9A-Fa-f]{{2}})", delimiters, more);
}
std::string UriTail(std::string_view more) {
  return fmt::format("(\\?({0}|[/?])*)?(#({0}|[/?])*)?", UriCharacter(more, ":@"));
}
std::string Authority(std::string_view more) {
  return fmt::format("(({0}|:)*@)?(\\[({1}|[Vv][0-9A-Fa-f]+\\.({2}|:)+)\\]|{0}*)(:[0-9]*)?",
                     UriCharacter(more, ""), Ipv6(), UriCharacter("", ""));
}
std::string Uri(std::string_view more) {
  return fmt::format("[A-Za-z][A-Za-z0-9+.-]*:(//{1}(/{0}*)*|/({0}+(/{0}*)*)?|{0}+(/{0}*)*)?{2}",
                     UriCharacter(more, ":@"), Authority(more), UriTail(more));
}
std::string UriReference(std::string_view more) {
  return fmt::format("({3}|(//{1}(/{0}*)*|/({0}+(/{0}*)*)?|{4}+(/{0}*)*)?{2})", UriCharacter(more, ":@"),
                     Authority(more), UriTail(more), Uri(more), UriCharacter(more, "@"));
}

std::string Email() {
  const std::string_view atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
  return fmt::format("{0}(\\.{0})*@{1}", atom, Hostname());
}

// RFC 3339, appendix A.
std::string Duration() {
  const std::string_view time = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
  const std::string_view date = "([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)";
  return fmt::format("P([0-9]+W|{1}({0})?|{0})", time, date);
}

constexpr std::string_view kJsonPointer = "(/([^/~]|~[01])*)*";

}  // namespace

std::optional<std::string> FormatPattern(std::string_view format) {
  const auto whole = [](std::string_view pattern) { return fmt::format("^(?:{})$", pattern); };
  if (format == "date-time") return whole(fmt::format("{}[Tt]{}", Date(), Time()));
  if (format == "date") return whole(Date());
  if (format == "time") return whole(Time());
  if (format == "duration") return whole(Duration());
  if (format == "email") return whole(Email());
  if (format == "hostname") return whole(Hostname());
  if (format == "ipv4" || format == "ip-address") return whole(Ipv4());
  if (format == "ipv6") return whole(Ipv6());
  if (format == "uuid") return whole("[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}");
  if (format == "uri" || format == "url") return whole(Uri(""));
  if (format == "iri") return whole(Uri(kIriLetters));
  if (format == "uri-reference") return whole(UriReference(""));
  if (format == "iri-reference") return whole(UriReference(kIriLetters));
  if (format == "json-pointer") return whole(kJsonPointer);
  if (format == "relative-json-pointer") return whole(fmt::format("(0|[1-9][0-9]*)(#|{})", kJsonPointer));
  if (format == "byte") return whole("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?");
  return std::nullopt;
}

bool IsFormatWithoutPattern(std::string_view format) {
  constexpr std::string_view kNames[] = {"int32",  "int64",  "uint32", "uint64",  "integer",
                                         "float",  "double", "number", "decimal", "password",
                                         "string", "text",   "binary"};
  return std::ranges::find(kNames, format) != std::end(kNames);
}

}  // namespace qwen25::grammar
