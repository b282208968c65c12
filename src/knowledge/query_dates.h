// Dates that a question names: "in May 2023", "on 7 July", "last week".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace qwen25 {

// Days from `first` to `last` inclusive, as days since 1970 (UTC).
struct DayRange {
  int64_t first = 0, last = 0;
  friend bool operator==(const DayRange&, const DayRange&) = default;
};

// A date as people write it. Year 0: the sentence leaves it open.
class NamedDate {
 public:
  // `month` 0: the whole year, which then is not 0; `day` 0: the whole month.
  NamedDate(int year, unsigned month, unsigned day) : year_(year), month_(month), day_(day) {}
  explicit NamedDate(const DayRange& range) : range_(range), is_range_(true) {}

  // Whether something told at `milliseconds` (since 1970, UTC) may be about this date: it was told on it, or
  // in the seven days after its end, since people tell what has happened. An open year is any.
  bool MayBeToldAt(int64_t milliseconds) const;

 private:
  bool Covers(int year, int64_t day) const;

  int year_ = 0;
  unsigned month_ = 0, day_ = 0;
  DayRange range_;
  bool is_range_ = false;
};

// The dates in a text: numbers (2023-05-07), months by name in nine languages, with a day or a year beside
// them or (in English) alone; years; if there are none of these, English words that count from today, which
// `now_milliseconds` says: today, yesterday, this or last week, month or year, and "three days ago". A week
// begins on Monday. Days that the calendar does not have (their year remains), and "may" and "march" without
// a word that makes them months, are not dates.
std::vector<NamedDate> DatesIn(std::string_view text, int64_t now_milliseconds);

}  // namespace qwen25
