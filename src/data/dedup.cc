#include "data/dedup.h"

#include <algorithm>
#include <span>
#include <utility>

namespace qwen25 {
namespace {

Hash128 HashNormalised(std::string_view text) {
  const std::string normalised = NormaliseForDedup(text);
  return HashBytes128(std::as_bytes(std::span(normalised)));
}

}  // namespace

std::string NormaliseForDedup(std::string_view text) {
  std::string out;
  out.resize(text.size());
  size_t size = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = byte >= 'A' && byte <= 'Z';
    if (upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80)
      out[size++] = upper ? static_cast<char>(byte | 0x20) : c;
  }
  out.resize(size);
  return out;
}

Fingerprint ComputeFingerprint(const DedupOptions& options, std::string_view text) {
  Fingerprint fingerprint;
  fingerprint.document = HashNormalised(text);
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find("\n\n", begin), text.size());
    while (end < text.size() && text[end] == '\n') ++end;
    const std::string_view paragraph = text.substr(begin, end - begin);
    const bool counted = paragraph.size() >= options.min_paragraph_bytes;
    fingerprint.paragraphs.push_back({begin, end, counted ? HashNormalised(paragraph) : Hash128{}, counted});
    begin = end;
  }
  return fingerprint;
}

std::optional<DropReason> Deduplicator::Admit(const Fingerprint& fingerprint, std::string& text,
                                              RepairBytes& repairs) {
  if (documents_.contains(fingerprint.document)) return DropReason::kDuplicate;
  std::string kept;
  HashSet own;  // a paragraph that stands twice in this document
  for (const Fingerprint::Paragraph& paragraph : fingerprint.paragraphs) {
    if (paragraph.counted && (paragraphs_.contains(paragraph.hash) || !own.insert(paragraph.hash).second))
      continue;
    kept.append(text, paragraph.begin, paragraph.end - paragraph.begin);
  }
  const size_t removed = text.size() - kept.size();
  if (static_cast<double>(removed) > options_.max_repeated_share * static_cast<double>(text.size()))
    return DropReason::kNearDuplicate;
  documents_.insert(fingerprint.document);
  paragraphs_.merge(own);
  if (removed == 0) return std::nullopt;
  while (kept.ends_with("\n\n")) kept.pop_back();
  repairs[static_cast<size_t>(Repair::kRepeatedParagraphs)] += removed;
  text = std::move(kept);
  return std::nullopt;
}

}  // namespace qwen25
