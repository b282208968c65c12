#include "knowledge/query_dates.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <chrono>

namespace qwen25 {
namespace {

// Noon of a day.
int64_t At(int year, unsigned month, unsigned day) {
  const std::chrono::sys_days date =
      std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
  return (int64_t{date.time_since_epoch().count()} * 24 + 12) * 3600 * 1000;
}

const int64_t kNow = At(2023, 11, 15);  // a Wednesday

bool IsAbout(const std::string& question, int64_t milliseconds) {
  for (const NamedDate& date : DatesIn(question, kNow)) {
    if (date.MayBeToldAt(milliseconds)) return true;
  }
  return false;
}

TEST(QueryDates, DaysMonthsAndYears) {
  for (const char* question :
       {"What happened on 7 July 2023?", "What happened on July 7th, 2023?", "on the 7th of July, 2023",
        "2023-07-07", "Was geschah am 7. Juli 2023?", "¿qué pasó el 7 de julio de 2023?", "7 июля 2023"}) {
    EXPECT_TRUE(IsAbout(question, At(2023, 7, 7))) << question;
    EXPECT_TRUE(IsAbout(question, At(2023, 7, 14))) << question << ": told within a week";
    EXPECT_FALSE(IsAbout(question, At(2023, 7, 6))) << question;
    EXPECT_FALSE(IsAbout(question, At(2023, 7, 15))) << question;
    EXPECT_FALSE(IsAbout(question, At(2022, 7, 7))) << question;
  }
  EXPECT_TRUE(IsAbout("Whom did I hear in May 2023?", At(2023, 5, 1)));
  EXPECT_TRUE(IsAbout("Whom did I hear in May 2023?", At(2023, 6, 7)));
  EXPECT_FALSE(IsAbout("Whom did I hear in May 2023?", At(2023, 6, 8)));
  EXPECT_FALSE(IsAbout("Whom did I hear in May 2023?", At(2023, 4, 30)));
  EXPECT_TRUE(IsAbout("books of 2022", At(2022, 2, 1)));
  EXPECT_FALSE(IsAbout("books of 2022", At(2023, 2, 1)));
}

TEST(QueryDates, AnOpenYearIsAnyYear) {
  EXPECT_TRUE(IsAbout("in October", At(2021, 10, 3)));
  EXPECT_TRUE(IsAbout("in October", At(1999, 10, 3)));
  EXPECT_TRUE(IsAbout("on December 31", At(2022, 1, 2))) << "told in the next year";
  EXPECT_FALSE(IsAbout("in October", At(2021, 9, 30)));
  EXPECT_TRUE(IsAbout("29 February", At(2024, 2, 29)));
}

TEST(QueryDates, WhatIsNoDate) {
  for (const char* question : {"May I come in?", "who may march with us", "room 2023b", "call 5550199", "",
                               "31 February", "mars is a planet", "the second of two"}) {
    EXPECT_TRUE(DatesIn(question, kNow).empty()) << question;
  }
  EXPECT_EQ(DatesIn("what did we do in may and in march", kNow).size(), 2u);
}

TEST(QueryDates, CountedFromToday) {
  EXPECT_TRUE(IsAbout("what did I say yesterday", At(2023, 11, 14)));
  EXPECT_FALSE(IsAbout("what did I say yesterday", At(2023, 11, 13)));
  EXPECT_TRUE(IsAbout("last week", At(2023, 11, 6)));  // Monday
  EXPECT_FALSE(IsAbout("last week", At(2023, 11, 5)));
  EXPECT_TRUE(IsAbout("last month", At(2023, 10, 1)));
  EXPECT_FALSE(IsAbout("last month", At(2023, 9, 30)));
  EXPECT_TRUE(IsAbout("this year", At(2023, 1, 1)));
  EXPECT_TRUE(IsAbout("three days ago", At(2023, 11, 12)));
  EXPECT_FALSE(IsAbout("three days ago", At(2023, 11, 11)));
  EXPECT_TRUE(IsAbout("2 weeks ago", At(2023, 10, 30)));
  EXPECT_FALSE(IsAbout("long ago", At(2023, 11, 14)));
}

TEST(QueryDates, LongNumbersAreNoDates) {
  EXPECT_TRUE(DatesIn("order 99999999999999999999 or 20239999999999999999", kNow).empty());
}

TEST(QueryDates, AnyTextAndTimeIsSafe) {
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& choices, int64_t told, int64_t now) {
    constexpr std::array<const char*, 17> kParts = {
        "may", " ",     "2023",    "-",         "31",   "of",   ",",    "february", "ago",
        "two", "weeks", "9999999", "последний", "\xff", "last", "year", "1"};
    std::string text;
    for (const uint8_t choice : choices) text += kParts[choice % kParts.size()];
    for (const NamedDate& date : DatesIn(text, std::abs(now % 4'000'000'000'000))) date.MayBeToldAt(told);
  }));
}

}  // namespace
}  // namespace qwen25
