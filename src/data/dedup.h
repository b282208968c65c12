// Removes what the corpus already holds: whole documents, and paragraphs that come up again (licence texts,
// copied introductions). Two texts are the same here if their letters and digits are: a licence in `#`
// comments equals the same licence in `//` comments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "data/filters.h"

namespace qwen25 {

struct DedupOptions {
  size_t min_paragraph_bytes = 200;  // shorter paragraphs may repeat
  double max_repeated_share = 0.5;   // of bytes; above it a document is dropped as a near-duplicate
};

// The places and hashes of a document's paragraphs. Computed for many documents in parallel, before the
// Deduplicator takes them in order.
struct Fingerprint {
  struct Paragraph {
    size_t begin, end;  // bytes in the text, the blank lines after it included
    Hash128 hash;       // of the normalised text
    bool counted;       // long enough to be compared
  };
  Hash128 document;
  std::vector<Paragraph> paragraphs;
};
Fingerprint ComputeFingerprint(const DedupOptions& options, std::string_view text);

// Letters and digits in lower case and every byte above ASCII; all else is dropped.
std::string NormaliseForDedup(std::string_view text);

// Decides in the order in which documents come: the first of equals stays. Memory: 16 bytes per kept document
// and per counted paragraph of these, plus the tables.
class Deduplicator {
 public:
  explicit Deduplicator(const DedupOptions& options) : options_(options) {}

  // Takes repeated paragraphs out of `text`, and adds their bytes to `repairs`. Or returns why the document
  // is dropped, and remembers nothing of it.
  std::optional<DropReason> Admit(const Fingerprint& fingerprint, std::string& text, RepairBytes& repairs);

 private:
  using HashSet = std::unordered_set<Hash128, Hash128Hasher>;

  DedupOptions options_;
  HashSet documents_;
  HashSet paragraphs_;
};

}  // namespace qwen25
