#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "memory/slot_header.h"
#include "targets.h"

namespace qwen25 {
namespace {

// The input is what an encrypted head hides, too: sums and tags that are right by chance do not come up.
void CheckParsed(std::span<const std::byte> bytes, const SlotHeader& header) {
  QWEN25_CHECK(ValidateBlockFormat(header.format).ok());
  QWEN25_CHECK(header.sums.size() == size_t{header.format.num_layers} + 1);
  const SlotLayout layout(header.format);
  QWEN25_CHECK(layout.header_bytes <= bytes.size() && layout.header_bytes % kSlotPage == 0);
  QWEN25_CHECK(layout.slot_bytes >= layout.summaries_offset + layout.summaries_bytes);
  QWEN25_CHECK(layout.summaries_offset >=
               layout.header_bytes + size_t{header.format.num_layers} * header.format.layer_bytes);
  std::vector<std::byte> again(layout.header_bytes);
  EncodeSlotHeader(header, nullptr, again);
  const auto read = ParseSlotHeader(again, nullptr, "again");
  QWEN25_CHECK(read.ok() && read->format == header.format && read->id == header.id &&
               read->sums == header.sums);
}

}  // namespace

// A head that is read has a valid format and lies in its bytes; it is read again as it is written. Inputs are
// also tried with the checksum that their bytes ask for, which a fuzzer does not find.
void FuzzSlot(std::span<const uint8_t> input) {
  static const Cipher cipher = std::move(Cipher::Create(std::string(32, 'k'), KeyPurpose::kBlocks)).value();
  constexpr std::string_view kOrigin = "blocks.kv";
  std::vector<std::byte> bytes(input.size());
  std::ranges::copy(std::as_bytes(input), bytes.begin());
  for (const bool repaired : {false, true}) {
    if (repaired) RepairSlotHeaderCrc(bytes);
    for (const Cipher* key : {static_cast<const Cipher*>(nullptr), &cipher}) {
      const auto header = ParseSlotHeader(bytes, key, kOrigin);
      if (header.ok()) {
        CheckParsed(bytes, *header);
      } else {
        QWEN25_CHECK(header.status().message().find(kOrigin) == 0);
      }
    }
  }
}

}  // namespace qwen25
