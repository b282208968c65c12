#include "text/piece_splitter.h"

#include <algorithm>

#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Span = PieceSplitter::Span;

// The pieces of text[span), cut at matches. The matches and what is between them come in order (Add), and
// Finish joins or drops them by the behavior.
class Cutter {
 public:
  Cutter(Span span, SplitBehavior behavior, bool invert, std::vector<Span>& out)
      : span_(span), behavior_(behavior), invert_(invert), out_(out), first_(out.size()), last_(span.begin) {}

  void Match(size_t begin, size_t end) {
    if (begin > last_) Add({last_, begin}, false);
    Add({begin, end}, true);
    last_ = end;
  }
  void Finish() {
    if (last_ < span_.end) Add({last_, span_.end}, false);
    if (behavior_ == SplitBehavior::kMergedWithNext) MergeWithNext();
    const auto first = out_.begin() + static_cast<ptrdiff_t>(first_);
    out_.erase(std::remove_if(first, out_.end(), [](const Span& span) { return span.begin == span.end; }),
               out_.end());
  }

 private:
  void Add(Span part, bool is_match) {
    is_match ^= invert_;
    const bool has_previous = out_.size() > first_;
    switch (behavior_) {
      case SplitBehavior::kRemoved:
        if (!is_match) out_.push_back(part);
        return;
      case SplitBehavior::kIsolated:
        out_.push_back(part);
        return;
      case SplitBehavior::kContiguous:
        if (has_previous && was_match_ == is_match) {
          out_.back().end = part.end;
        } else {
          out_.push_back(part);
        }
        was_match_ = is_match;
        return;
      case SplitBehavior::kMergedWithPrevious:
        if (is_match && !was_match_ && has_previous) {
          out_.back().end = part.end;
        } else {
          out_.push_back(part);
        }
        was_match_ = is_match;
        return;
      case SplitBehavior::kMergedWithNext:
        out_.push_back(part);
        is_match_.push_back(is_match);
        return;
    }
  }

  // From the right: a match takes in the part after it, unless that is or holds a match.
  void MergeWithNext() {
    std::vector<Span> merged;
    bool was_match = false;
    for (size_t i = is_match_.size(); i-- > 0;) {
      const Span part = out_[first_ + i];
      if (is_match_[i] && !was_match && !merged.empty()) {
        merged.back().begin = part.begin;
      } else {
        merged.push_back(part);
      }
      was_match = is_match_[i];
    }
    out_.resize(first_);
    out_.insert(out_.end(), merged.rbegin(), merged.rend());
  }

  Span span_;
  SplitBehavior behavior_;
  bool invert_;
  std::vector<Span>& out_;
  size_t first_;  // in out_
  size_t last_;   // end of the last match
  bool was_match_ = false;
  std::vector<bool> is_match_;
};

// An expression that matches `text` only.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || byte <= ' ' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') || c == '_';
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

icu::UnicodeSet SetOf(std::string_view property) {
  return std::move(PropertySet(property)).value();  // of names that are known
}

}  // namespace

SplitStep PatternStep(std::string_view regex) {
  return {.kind = SplitStep::Kind::kPattern, .pattern = {std::string(regex), true}};
}

SplitStep PlainByteLevelStep() {
  return {.kind = SplitStep::Kind::kByteLevel, .use_regex = false, .trim_offsets = false};
}

std::vector<SplitStep> StepsOf(PreTokenizerKind kind) {
  const SplitStep gpt2 = {.kind = SplitStep::Kind::kByteLevel, .trim_offsets = false};
  switch (kind) {
    case PreTokenizerKind::kGpt2:
      return {gpt2};
    case PreTokenizerKind::kDigitsGpt2:
      return {{.kind = SplitStep::Kind::kDigits, .individual = true}, gpt2};
    case PreTokenizerKind::kLlama3:
      return {PatternStep(kLlama3Pattern), PlainByteLevelStep()};
    case PreTokenizerKind::kQwen2:
      break;
  }
  return {PatternStep(kQwen2Pattern), PlainByteLevelStep()};
}

// Patterns are compared as text: another way to write the same is slower, but does the same.
std::optional<PreTokenizerKind> FastKindOf(std::span<const SplitStep> steps) {
  if (steps.empty() || steps.back().kind != SplitStep::Kind::kByteLevel) return std::nullopt;
  std::vector<SplitStep> plain(steps.begin(), steps.end());
  SplitStep& last = plain.back();
  // Before the first cut, a space in front of a piece is a space in front of the text.
  if (plain.size() == 1) last.add_prefix_space = false;
  last.trim_offsets = false;
  if (plain.size() == 2 && plain[0].kind == SplitStep::Kind::kPattern) {
    // These patterns match everything, so keeping the matches and isolating them is the same.
    if (plain[0].behavior == SplitBehavior::kRemoved && plain[0].invert) {
      plain[0].behavior = SplitBehavior::kIsolated;
      plain[0].invert = false;
    }
    if (plain[0] == PatternStep(kGpt2Pattern) && last == PlainByteLevelStep()) {
      plain = StepsOf(PreTokenizerKind::kGpt2);
    }
  }
  for (const PreTokenizerKind kind : {PreTokenizerKind::kQwen2, PreTokenizerKind::kGpt2,
                                      PreTokenizerKind::kDigitsGpt2, PreTokenizerKind::kLlama3}) {
    if (plain == StepsOf(kind)) return kind;
  }
  return std::nullopt;
}

Result<PieceSplitter> PieceSplitter::Create(std::span<const SplitStep> steps, std::string_view origin) {
  PieceSplitter splitter;
  splitter.fast_kind_ = FastKindOf(steps);
  splitter.adds_prefix_space_ = splitter.fast_kind_ && steps.back().add_prefix_space;
  if (splitter.fast_kind_) return splitter;
  for (size_t i = 0; i < steps.size(); ++i) {
    QWEN25_RETURN_IF_ERROR(splitter.AddStep(steps[i], origin));
    if (steps[i].kind == SplitStep::Kind::kByteLevel && i + 1 < steps.size()) {
      splitter.steps_.push_back({.kind = Step::Kind::kAlphabet});  // later steps see the byte alphabet
    }
  }
  return splitter;
}

Status PieceSplitter::AddRegex(std::string_view regex, SplitBehavior behavior, bool invert,
                               std::string_view origin) {
  QWEN25_TRY(Regex compiled, Regex::Compile(regex, origin));
  steps_.push_back(
      {.kind = Step::Kind::kRegex, .regex = std::move(compiled), .behavior = behavior, .invert = invert});
  return {};
}

void PieceSplitter::AddSet(const icu::UnicodeSet& set, SplitBehavior behavior, bool invert) {
  steps_.push_back(
      {.kind = Step::Kind::kSet, .set = CodePointSet(set), .behavior = behavior, .invert = invert});
}

Status PieceSplitter::AddStep(const SplitStep& step, std::string_view origin) {
  switch (step.kind) {
    case SplitStep::Kind::kByteLevel:
      if (step.add_prefix_space) steps_.push_back({.kind = Step::Kind::kPrefixSpace});
      if (step.use_regex) return AddRegex(kGpt2Pattern, SplitBehavior::kIsolated, false, origin);
      return {};
    case SplitStep::Kind::kPattern:
      if (step.pattern.text.empty()) return Unsupported("{}: a Split has an empty pattern", origin);
      return AddRegex(step.pattern.is_regex ? step.pattern.text : Escaped(step.pattern.text), step.behavior,
                      step.invert, origin);
    case SplitStep::Kind::kDigits:
      AddSet(NumericSet(), step.individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
      return {};
    case SplitStep::Kind::kPunctuation:
      AddSet(PreTokenizerPunctuationSet(), step.behavior);
      return {};
    case SplitStep::Kind::kWhitespace:
      return AddRegex(R"([\w\x{200C}\x{200D}]+|[^\w\s\x{200C}\x{200D}]+)", SplitBehavior::kRemoved, true,
                      origin);
    case SplitStep::Kind::kWhitespaceSplit:
      AddSet(SetOf("space"), SplitBehavior::kRemoved);
      return {};
    case SplitStep::Kind::kBert:
      AddSet(SetOf("space"), SplitBehavior::kRemoved);
      AddSet(PreTokenizerPunctuationSet(), SplitBehavior::kIsolated);
      return {};
    case SplitStep::Kind::kDelimiter:
      return AddRegex(Escaped(step.pattern.text), SplitBehavior::kRemoved, false, origin);
    case SplitStep::Kind::kMetaspace:
      steps_.push_back({.kind = Step::Kind::kMetaspace, .metaspace = step});
      if (step.cuts)
        return AddRegex(Escaped(step.replacement), SplitBehavior::kMergedWithNext, false, origin);
      return {};
  }
  return {};
}

// Long: one case per kind of step, all of which walk over the same spans.
PieceSplitter::Pieces PieceSplitter::Split(std::string_view text, bool at_start, Scratch& scratch) const {
  std::vector<Span>& spans = scratch.spans;
  spans.clear();
  if (!text.empty()) spans.push_back({0, text.size()});
  bool in_alphabet = false;
  // Makes the pieces anew, each with what change(std::string_view piece, size_t begin) appends to the text.
  const auto rewrite = [&](auto&& change) {
    scratch.changed.clear();
    for (size_t i = 0; i < spans.size(); ++i) {
      const size_t begin = scratch.changed.size();
      change(text.substr(spans[i].begin, spans[i].end - spans[i].begin), spans[i].begin);
      spans[i] = {begin, scratch.changed.size()};
    }
    scratch.text.swap(scratch.changed);
    text = scratch.text;
  };
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::Kind::kPrefixSpace:
        rewrite([&](std::string_view piece, size_t) {
          if (!piece.starts_with(' ')) scratch.changed += ' ';
          scratch.changed += piece;
        });
        break;
      case Step::Kind::kMetaspace:
        rewrite([&](std::string_view piece, size_t piece_begin) {
          const SplitStep& metaspace = step.metaspace;
          const bool wanted =
              metaspace.prepend == SplitStep::Prepend::kAlways ||
              (metaspace.prepend == SplitStep::Prepend::kFirst && at_start && piece_begin == 0);
          if (wanted && !piece.starts_with(' ') && !piece.starts_with(metaspace.replacement)) {
            scratch.changed += metaspace.replacement;
          }
          for (const char c : piece)
            c == ' ' ? scratch.changed += metaspace.replacement : scratch.changed += c;
        });
        break;
      case Step::Kind::kAlphabet:
        if (in_alphabet) break;
        in_alphabet = true;
        rewrite([&](std::string_view piece, size_t) { scratch.changed += BytesToAlphabet(piece); });
        break;
      case Step::Kind::kSet:
      case Step::Kind::kRegex: {
        scratch.next.clear();
        for (const Span& span : spans) {
          Cutter cutter(span, step.behavior, step.invert, scratch.next);
          const std::string_view piece = text.substr(span.begin, span.end - span.begin);
          if (step.kind == Step::Kind::kRegex) {
            step.regex->ForEachMatch(piece, scratch.regex, [&](size_t begin, size_t end) {
              cutter.Match(span.begin + begin, span.begin + end);
            });
          } else {
            const char* const end = piece.data() + piece.size();
            for (const char* p = piece.data(); p < end;) {
              const uint32_t bytes = step.set->Match(p, end);
              const size_t at = span.begin + static_cast<size_t>(p - piece.data());
              if (bytes > 0) cutter.Match(at, at + bytes);
              p += bytes > 0 ? bytes : DecodeCodePoint(p, end).bytes;
            }
          }
          cutter.Finish();
        }
        spans.swap(scratch.next);
        break;
      }
    }
  }
  if (in_alphabet) {
    std::string bytes;
    rewrite([&](std::string_view piece, size_t) {
      AlphabetToBytes(piece, bytes);
      scratch.changed += bytes;
    });
  }
  return {text, spans};
}

}  // namespace qwen25
