#include <string>

#include "base/check.h"
#include "data/read/compression.h"
#include "data/read/jsonl.h"
#include "data/read/text_kind.h"
#include "targets.h"

namespace qwen25 {

// Documents of users: what the bytes are, what they hold if they are compressed, and their JSON lines.
void FuzzDocuments(std::span<const uint8_t> bytes) {
  constexpr size_t kMaxBytes = 1 << 20;
  constexpr std::string_view kOrigin = "documents";
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const Status is_text = CheckIsText(content, kOrigin); !is_text.ok()) {
    QWEN25_CHECK(is_text.message().find(kOrigin) == 0);
  }
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    const Result<std::string> inside = Decompress(compression, content, kMaxBytes, kOrigin);
    QWEN25_CHECK(inside.ok() ? inside->size() <= kMaxBytes : inside.status().message().find(kOrigin) == 0);
  }
  JsonlReader reader{std::string(kOrigin), std::string(content)};
  for (size_t text_bytes = 0;;) {
    const Result<std::optional<Document>> document = reader.Next();
    if (!document.ok()) {
      QWEN25_CHECK(document.status().message().find(kOrigin) == 0);
      return;
    }
    if (!document->has_value()) return;
    text_bytes += (*document)->text.size();
    QWEN25_CHECK(text_bytes <= bytes.size());  // escapes are longer than what they stand for
  }
}

}  // namespace qwen25
