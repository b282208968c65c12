#include "text/jinja/marked_text.h"

#include <algorithm>

namespace qwen25::jinja {

size_t MarkedText::RunAt(size_t at) const {
  return static_cast<size_t>(std::ranges::upper_bound(runs_, at, {}, &Run::end) - runs_.begin());
}

Mark MarkedText::MarkAt(size_t at) const {
  if (runs_.empty()) return mark_;
  return runs_[std::min(RunAt(at), runs_.size() - 1)].mark;
}

void MarkedText::Append(std::string_view text, Mark mark) {
  if (text.empty()) return;
  if (text_.empty()) {
    mark_ = mark;
  } else if (runs_.empty() && mark != mark_) {
    runs_ = {{text_.size(), mark_}, {text_.size() + text.size(), mark}};
  } else if (!runs_.empty() && runs_.back().mark != mark) {
    runs_.push_back({text_.size() + text.size(), mark});
  } else if (!runs_.empty()) {
    runs_.back().end += text.size();
  }
  text_ += text;
}

void MarkedText::AppendPart(const MarkedText& other, size_t begin, size_t end) {
  other.ForEachRun(begin, end, [&](std::string_view text, Mark mark) { Append(text, mark); });
}

MarkedText MarkedText::Part(size_t begin, size_t end) const {
  MarkedText part;
  part.AppendPart(*this, begin, end);
  return part;
}

bool MarkedText::operator==(const MarkedText& other) const {
  if (text_ != other.text_) return false;
  for (size_t at = 0; at < text_.size();) {
    if (MarkAt(at) != other.MarkAt(at)) return false;
    const size_t mine = runs_.empty() ? text_.size() : runs_[RunAt(at)].end;
    const size_t theirs = other.runs_.empty() ? text_.size() : other.runs_[other.RunAt(at)].end;
    at = std::min(mine, theirs);
  }
  return true;
}

}  // namespace qwen25::jinja
