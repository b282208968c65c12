// How much a key may ask for in a minute.
#pragma once

#include <algorithm>
#include <optional>

namespace qwen25 {

// A bucket that fills at a steady pace up to what one minute brings. Not thread-safe.
class RateLimit {
 public:
  // `per_minute` 0: no limit. `now`: seconds on a clock that does not jump.
  RateLimit(double per_minute, double now) : per_minute_(per_minute), level_(per_minute), time_(now) {}

  // Seconds until there is something to take; nothing if there is now.
  std::optional<double> Wait(double now, double amount = 1) {
    Fill(now);
    // More than a minute's amount at once is let through when the bucket is full.
    const double needed = std::min(amount, per_minute_);
    if (per_minute_ == 0 || level_ >= needed) return std::nullopt;
    return (needed - level_) / per_minute_ * 60;
  }
  // What is taken may be more than there is: later requests wait longer then.
  void Take(double now, double amount) {
    Fill(now);
    level_ -= amount;
  }

 private:
  void Fill(double now) {
    level_ = std::min(per_minute_, level_ + per_minute_ * std::max(now - time_, 0.0) / 60);
    time_ = std::max(time_, now);
  }

  double per_minute_, level_, time_;
};

}  // namespace qwen25
