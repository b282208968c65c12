#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/format.h"

namespace qwen25 {
namespace {

constexpr double kRedrawSeconds = 0.1;  // faster than that nobody reads, and slow links suffer
constexpr size_t kBarColumns = 24;
constexpr size_t kMaxLine = 512;

// Appends to a fixed buffer and drops what does not fit.
struct LineWriter {
  char* data;
  size_t capacity;
  size_t size = 0;

  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    const auto result = fmt::format_to_n(data + size, capacity - size, format, std::forward<Args>(args)...);
    size = std::min(capacity, size + result.size);
  }
};

void AddBar(LineWriter& line, double fraction, bool utf8) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<size_t>(fraction * kBarColumns * 8);
  const size_t full = eighths / 8, part = utf8 ? eighths % 8 : 0;
  line.Add("{}", utf8 ? "▕" : "[");
  for (size_t i = 0; i < full; ++i) line.Add("{}", utf8 ? "█" : "#");
  line.Add("{}", kEighths[part]);
  for (size_t i = full + (part > 0 ? 1 : 0); i < kBarColumns; ++i) line.Add("{}", utf8 ? " " : ".");
  line.Add("{}", utf8 ? "▏" : "]");
}

// Bytes of `text` that fill at most `columns` columns, taking every code point as one column wide.
size_t BytesOfColumns(const char* text, size_t size, size_t columns) {
  size_t used = 0;
  for (size_t i = 0; i < size; ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (starts_character && used++ == columns) return i;
  }
  return size;
}

}  // namespace

ProgressOptions StderrProgress() {
  ProgressOptions options;
  options.terminal = ::isatty(STDERR_FILENO) == 1;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {  // the first one set decides, as in setlocale
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    options.utf8 = locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
    break;
  }
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) options.columns = size.ws_col;
  options.write = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
  return options;
}

Progress::Progress(std::string label, std::string unit, uint64_t total, uint64_t done,
                   ProgressOptions options)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      options_(std::move(options)),
      total_(total),
      done_(done),
      first_done_(done),
      start_(options_.clock()),
      last_draw_(start_ - 1e9) {
  note_.reserve(kMaxLine);
}

size_t Progress::Format(char* buffer, size_t capacity) const {
  LineWriter line{buffer, capacity};
  line.Add("{} ", label_);
  const double elapsed = options_.clock() - start_;
  const uint64_t advanced = done_ - first_done_;
  if (total_ > 0) {
    const double fraction = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    if (options_.terminal) AddBar(line, fraction, options_.utf8);
    line.Add(" {:3.0f}%  {}/{} {}", std::floor(fraction * 100), done_, total_, unit_);
    if (!finished_ && advanced > 0 && done_ < total_) {
      line.Add("  ");
      line.Add("{}",
               FormatDuration(elapsed / static_cast<double>(advanced) * static_cast<double>(total_ - done_)));
      line.Add(" left");
    }
  } else {
    line.Add(" {} {}", done_, unit_);
  }
  if (finished_) {
    line.Add("  in ");
    line.Add("{}", FormatDuration(elapsed));
  }
  if (!note_.empty()) line.Add("  {}", note_);
  return line.size;
}

void Progress::Draw() {
  char buffer[kMaxLine + 16];
  LineWriter out{buffer, sizeof buffer};
  // Erasing to the end of the line removes what a longer line left behind.
  if (options_.terminal) out.Add("\r\x1b[K");
  char line[kMaxLine];
  size_t size = Format(line, sizeof line);
  if (options_.terminal) size = BytesOfColumns(line, size, options_.columns - 1);
  out.Add("{}", std::string_view(line, size));
  if (!options_.terminal || finished_) out.Add("\n");
  options_.write({buffer, out.size});
}

void Progress::Update(uint64_t done, std::string_view note) {
  if (finished_) return;
  done_ = std::max(done, first_done_);
  note_.assign(note.substr(0, kMaxLine));
  const double now = options_.clock();
  if (now - last_draw_ < (options_.terminal ? kRedrawSeconds : options_.line_seconds)) return;
  last_draw_ = now;
  Draw();
}

void Progress::Finish() {
  if (finished_) return;
  finished_ = true;
  Draw();
}

void Progress::Print(std::string_view line) {
  const std::string_view erase = options_.terminal && !finished_ ? "\r\x1b[K" : "";
  options_.write(fmt::format("{}{}\n", erase, line));
  if (options_.terminal && !finished_) Draw();
}

}  // namespace qwen25
