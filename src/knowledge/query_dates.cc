#include "knowledge/query_dates.h"

#include <unicode/dtfmtsym.h>
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>

namespace qwen25 {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr int64_t kToldWithinDays = 7;
constexpr int64_t kLastMillisecond = int64_t{253402300799999};  // of the year 9999
constexpr int kFirstYear = 1900, kLastYear = 2199;              // of numbers that are read as years

int64_t DayOf(int64_t milliseconds) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(milliseconds)};
  return std::chrono::floor<days>(time).time_since_epoch().count();
}

int64_t DayOf(int year, unsigned month, unsigned day) {
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day))
      .time_since_epoch()
      .count();
}

// The days of a month; empty if the calendar has no such month or day. `day` 0: all days.
std::optional<DayRange> DaysOf(int year, unsigned month, unsigned day) {
  if (month == 0) return DayRange{DayOf(year, 1, 1), DayOf(year, 12, 31)};
  const auto in_month = std::chrono::year(year) / std::chrono::month(month);
  const auto last = static_cast<unsigned>((in_month / std::chrono::last).day());
  if (day > last) return std::nullopt;
  if (day == 0) return DayRange{DayOf(year, month, 1), DayOf(year, month, last)};
  return DayRange{DayOf(year, month, day), DayOf(year, month, day)};
}

struct Token {
  std::string text;  // in lower case
  std::string gap;   // what stands before it
  int number = -1;   // of at most four digits, also of "7th"; else -1
};

int NumberOf(const icu::UnicodeString& word) {
  int value = 0;
  int32_t i = 0;
  for (; i < std::min(word.length(), 5) && word[i] >= u'0' && word[i] <= u'9'; ++i) {
    value = value * 10 + (word[i] - u'0');
  }
  if (i == 0 || i > 4) return -1;
  const icu::UnicodeString rest = word.tempSubString(i);
  const bool is_ordinal = rest == u"st" || rest == u"nd" || rest == u"rd" || rest == u"th";
  return rest.isEmpty() || (is_ordinal && i <= 2) ? value : -1;
}

std::vector<Token> TokensOf(std::string_view text) {
  icu::UnicodeString lower =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  lower.toLower(icu::Locale::getRoot());
  std::vector<Token> tokens;
  icu::UnicodeString word, gap;
  const auto flush = [&] {
    if (word.isEmpty()) return;
    Token token;
    word.toUTF8String(token.text);
    gap.toUTF8String(token.gap);
    token.number = NumberOf(word);
    tokens.push_back(std::move(token));
    word.remove();
    gap.remove();
  };
  for (int32_t i = 0; i < lower.length(); i = lower.moveIndex32(i, 1)) {
    const UChar32 c = lower.char32At(i);
    const bool is_mark = u_charType(c) == U_NON_SPACING_MARK || u_charType(c) == U_COMBINING_SPACING_MARK;
    if (u_isalnum(c) != 0 || (is_mark && !word.isEmpty())) {
      word.append(c);
    } else {
      flush();
      gap.append(c);
    }
  }
  flush();
  return tokens;
}

struct MonthName {
  unsigned month = 0;
  bool stands_alone = false;  // is a date without a number beside it
};

// The names of months in nine languages, from ICU.
const std::unordered_map<std::string, MonthName>& MonthNames() {
  static const std::unordered_map<std::string, MonthName> names = [] {
    std::unordered_map<std::string, MonthName> table;
    for (const char* language : {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru"}) {
      UErrorCode error = U_ZERO_ERROR;
      const icu::DateFormatSymbols symbols(icu::Locale(language), error);
      if (U_FAILURE(error)) continue;  // ICU without data for it
      for (const auto context : {icu::DateFormatSymbols::FORMAT, icu::DateFormatSymbols::STANDALONE}) {
        int32_t count = 0;
        const icu::UnicodeString* months = symbols.getMonths(count, context, icu::DateFormatSymbols::WIDE);
        for (int32_t i = 0; i < std::min(count, 12); ++i) {
          icu::UnicodeString name(months[i]);
          std::string key;
          name.toLower(icu::Locale::getRoot()).toUTF8String(key);
          // The first language wins: English.
          table.try_emplace(key, MonthName{static_cast<unsigned>(i) + 1, language == std::string_view("en")});
        }
      }
    }
    return table;
  }();
  return names;
}

class DateReader {
 public:
  explicit DateReader(std::string_view text) : tokens_(TokensOf(text)) {}

  std::vector<NamedDate> Calendar() {
    std::vector<NamedDate> dates;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (const auto date = Numeric(i)) {
        dates.push_back(*date);
      } else if (const auto named = WithMonthName(i)) {
        dates.push_back(*named);
      }
    }
    if (!dates.empty()) return dates;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (IsYear(i)) dates.emplace_back(tokens_[i].number, 0u, 0u);
    }
    return dates;
  }

  std::optional<NamedDate> Relative(int64_t today) const {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const std::string& word = tokens_[i].text;
      if (word == "today") return NamedDate(DayRange{today, today});
      if (word == "yesterday") return NamedDate(DayRange{today - 1, today - 1});
      if (word == "ago" && i >= 2) {
        if (const auto date = Ago(i, today)) return date;
      }
      if ((word == "last" || word == "this") && i + 1 < tokens_.size()) {
        if (const auto range = PeriodOf(tokens_[i + 1].text, today, word == "last")) return NamedDate(*range);
      }
    }
    return std::nullopt;
  }

 private:
  int NumberAt(size_t i) const { return i < tokens_.size() ? tokens_[i].number : -1; }
  bool IsYear(size_t i) const { return NumberAt(i) >= kFirstYear && NumberAt(i) <= kLastYear; }
  unsigned DayAt(size_t i) const {
    const int number = NumberAt(i);
    return number >= 1 && number <= 31 ? static_cast<unsigned>(number) : 0;
  }

  // 2023-05-07
  std::optional<NamedDate> Numeric(size_t i) const {
    if (!IsYear(i) || i + 2 >= tokens_.size()) return std::nullopt;
    if (tokens_[i + 1].gap != "-" || tokens_[i + 2].gap != "-") return std::nullopt;
    const int month = NumberAt(i + 1);
    const unsigned day = DayAt(i + 2);
    if (month < 1 || month > 12 || day == 0) return std::nullopt;
    return Valid(NumberAt(i), static_cast<unsigned>(month), day);
  }

  // "7 May", "7th of May, 2023", "May 7, 2023", "May of 2023", "May"
  std::optional<NamedDate> WithMonthName(size_t i) const {
    const auto found = MonthNames().find(tokens_[i].text);
    if (found == MonthNames().end()) return std::nullopt;
    unsigned day = 0;
    if (i >= 1) day = DayAt(i - 1);
    if (day == 0 && i >= 2 && (tokens_[i - 1].text == "of" || tokens_[i - 1].text == "de"))
      day = DayAt(i - 2);
    size_t next = i + 1;
    if (day == 0) {
      day = DayAt(next);
      if (day != 0) ++next;
    }
    if (next < tokens_.size() && (tokens_[next].text == "of" || tokens_[next].text == "de")) ++next;
    const int year = IsYear(next) ? NumberAt(next) : 0;
    if (day == 0 && year == 0 && !StandsAlone(i, found->second)) return std::nullopt;
    return Valid(year, found->second.month, day);
  }

  // "may" and "march" are verbs, too.
  bool StandsAlone(size_t i, const MonthName& name) const {
    static constexpr auto kBefore =
        std::to_array<std::string_view>({"after", "before", "by", "during", "early", "in", "last", "late",
                                         "mid", "of", "since", "this", "until"});
    if (!name.stands_alone) return false;
    if (tokens_[i].text != "may" && tokens_[i].text != "march") return true;
    return i > 0 && std::ranges::binary_search(kBefore, tokens_[i - 1].text);
  }

  static std::optional<NamedDate> Valid(int year, unsigned month, unsigned day) {
    if (!DaysOf(year == 0 ? 2000 : year, month, day)) return std::nullopt;  // 2000 has a 29 February
    return NamedDate(year, month, day);
  }

  // "three days ago": the last word is tokens_[i].
  std::optional<NamedDate> Ago(size_t i, int64_t today) const {
    static constexpr auto kNumbers =
        std::to_array<std::string_view>({"zero", "one", "two", "three", "four", "five", "six", "seven",
                                         "eight", "nine", "ten", "eleven", "twelve"});
    const std::string& count = tokens_[i - 2].text;
    int64_t number = tokens_[i - 2].number;
    if (count == "a" || count == "an") number = 1;
    const auto found = std::ranges::find(kNumbers, count);
    if (found != kNumbers.end()) number = found - kNumbers.begin();
    if (number < 0) return std::nullopt;
    std::string unit = tokens_[i - 1].text;
    if (unit.ends_with('s')) unit.pop_back();
    // People round: "three weeks ago" may be a few days more or less.
    const auto around = [&](int64_t unit_days) {
      const int64_t middle = today - number * unit_days, spread = unit_days / 2;
      return NamedDate(DayRange{middle - spread, std::min(today, middle + spread)});
    };
    if (unit == "day") return around(1);
    if (unit == "week") return around(7);
    if (unit == "month") return around(30);
    if (unit == "year") return around(365);
    return std::nullopt;
  }

  static std::optional<DayRange> PeriodOf(const std::string& unit, int64_t today, bool is_last) {
    const std::chrono::year_month_day date{sys_days(days(today))};
    if (unit == "week") {
      const auto weekday = std::chrono::weekday(sys_days(days(today)));
      const int64_t monday = today - (static_cast<int64_t>(weekday.iso_encoding()) - 1) - (is_last ? 7 : 0);
      return DayRange{monday, monday + 6};
    }
    const auto year = static_cast<int>(date.year());
    if (unit == "year") return DaysOf(year - (is_last ? 1 : 0), 0, 0);
    if (unit != "month") return std::nullopt;
    const auto month = date.year() / date.month() - std::chrono::months(is_last ? 1 : 0);
    return DaysOf(static_cast<int>(month.year()), static_cast<unsigned>(month.month()), 0);
  }

  std::vector<Token> tokens_;
};

}  // namespace

bool NamedDate::Covers(int year, int64_t day) const {
  const std::optional<DayRange> range = is_range_ ? range_ : DaysOf(year, month_, day_);
  return range && day >= range->first && day <= range->last + kToldWithinDays;
}

bool NamedDate::MayBeToldAt(int64_t milliseconds) const {
  if (milliseconds < 0 || milliseconds > kLastMillisecond) return false;
  const int64_t day = DayOf(milliseconds);
  if (is_range_ || year_ != 0) return Covers(year_, day);
  const auto year = static_cast<int>(std::chrono::year_month_day{sys_days(days(day))}.year());
  return Covers(year, day) || Covers(year - 1, day);  // December is told in January
}

std::vector<NamedDate> DatesIn(std::string_view text, int64_t now_milliseconds) {
  DateReader reader(text);
  std::vector<NamedDate> dates = reader.Calendar();
  if (!dates.empty()) return dates;
  if (const auto relative = reader.Relative(DayOf(now_milliseconds))) dates.push_back(*relative);
  return dates;
}

}  // namespace qwen25
