// Progress of a long job: a line that is redrawn on a terminal, or a plain line now and then elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace qwen25 {

// Where progress goes and how.
struct ProgressOptions {
  bool terminal = false;  // redraw one line; otherwise print a line at most every `line_seconds`
  bool utf8 = false;      // a smooth bar
  size_t columns = 80;    // width of the terminal; longer lines are cut
  double line_seconds = 10;
  double (*clock)() = NowSeconds;
  std::function<void(std::string_view)> write;  // gets whole lines, or a redraw starting with '\r'
};

// Options for standard error: whether it is a terminal, its width, its encoding.
ProgressOptions StderrProgress();

// Reports one job. Not thread-safe: the thread that runs the job's loop reports. Update() allocates nothing.
class Progress {
 public:
  // `label` names the job ("train"), `unit` what is counted ("steps"). `total` 0 means not known yet;
  // `done` > 0 is where a resumed job starts, which must not count as speed.
  Progress(std::string label, std::string unit, uint64_t total, uint64_t done = 0,
           ProgressOptions options = StderrProgress());
  // Leaves the last line on the screen.
  ~Progress() { Finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set_total(uint64_t total) { total_ = total; }
  // Draws if the last drawing is long enough ago. `note` stands after the time left: "loss 3.21".
  void Update(uint64_t done, std::string_view note = {});
  // Draws the final state and ends the line. Nothing is drawn afterwards.
  void Finish();
  // Prints a full line of its own above the progress line.
  void Print(std::string_view line);

 private:
  size_t Format(char* buffer, size_t capacity) const;
  void Draw();

  const std::string label_, unit_;
  const ProgressOptions options_;
  uint64_t total_, done_, first_done_;
  std::string note_;
  double start_, last_draw_;
  bool finished_ = false;  // the line has ended
};

}  // namespace qwen25
