// Text whose parts know where they come from. A chat template mixes its own text, in which control tokens are
// tokens, with what people said, in which they are ordinary characters; every operation of a template on
// strings keeps the two apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25::jinja {

// Where text comes from, the most trusted first.
enum class Mark : uint8_t {
  kTemplate,  // the template, and what was computed from no text
  kTrusted,   // system texts, signatures of tools, the model's own answers
  kSaid,      // what users and tools said, documents
};

class MarkedText {
 public:
  MarkedText() = default;
  explicit MarkedText(std::string text, Mark mark = Mark::kTemplate) : text_(std::move(text)), mark_(mark) {}

  const std::string& text() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }

  void Append(std::string_view text, Mark mark);
  void Append(const MarkedText& other) { AppendPart(other, 0, other.size()); }
  // Appends the bytes [begin, end) of `other`.
  void AppendPart(const MarkedText& other, size_t begin, size_t end);
  // The bytes [begin, end).
  MarkedText Part(size_t begin, size_t end) const;
  // The mark of the byte `at`; of the end: that of the last byte.
  Mark MarkAt(size_t at) const;

  // Calls visit(text, mark) for every run of the bytes [begin, end) with one mark, in order.
  template <typename Visit>
  void ForEachRun(size_t begin, size_t end, Visit visit) const {
    const std::string_view all = text_;
    if (runs_.empty()) {
      if (begin < end) visit(all.substr(begin, end - begin), mark_);
      return;
    }
    for (size_t i = RunAt(begin); i < runs_.size() && begin < end; ++i) {
      const size_t run_end = runs_[i].end < end ? runs_[i].end : end;
      if (run_end > begin) visit(all.substr(begin, run_end - begin), runs_[i].mark);
      begin = run_end;
    }
  }
  template <typename Visit>
  void ForEachRun(Visit visit) const {
    ForEachRun(0, size(), visit);
  }

  bool operator==(const MarkedText& other) const;

 private:
  struct Run {
    size_t end;
    Mark mark;
  };
  size_t RunAt(size_t at) const;  // the index of the run that holds the byte `at`

  std::string text_;
  Mark mark_ = Mark::kTemplate;  // of all bytes, if there are no runs
  std::vector<Run> runs_;        // neighbours differ in their marks; the last one ends at the end of the text
};

}  // namespace qwen25::jinja
