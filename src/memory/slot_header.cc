#include "memory/slot_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/crc32c.h"

namespace qwen25 {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr char kMagic[8] = {'q', '2', '5', 'b', 'l', 'o', 'c', 'k'};
constexpr uint32_t kEncryptedFlag = 1;

// The part that is encrypted in an encrypted slot.
struct PrivatePart {
  Hash128 id, parent, fingerprint;
  uint32_t position, num_tokens;
  int32_t tokens[kSlotTokens];
};

// The fixed part on disk. The checksums follow it, then zeros to the end of the page.
struct FixedPart {
  char magic[8];
  uint32_t version, header_bytes, flags, name_space, num_layers, layer_bytes, summary_bytes;
  uint32_t crc;  // of the whole header, with 0 here
  Cipher::Nonce nonce;
  Cipher::Tag tag;  // of the private part, with everything before `crc` and the checksums as its context
  std::byte zeros[8];
  PrivatePart content;
  std::byte more_zeros[8];
};
static_assert(sizeof(FixedPart) == 400 && offsetof(FixedPart, crc) == 36 &&
              offsetof(FixedPart, content) == 80);
static_assert(std::is_trivially_copyable_v<FixedPart>);

constexpr size_t RoundUp(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

size_t HeaderBytes(uint32_t num_layers) {
  return RoundUp(sizeof(FixedPart) + (size_t{num_layers} + 1) * sizeof(SlotSum), kSlotPage);
}

// What the private part's tag covers besides that part.
std::vector<std::byte> Context(std::span<const std::byte> header, uint32_t num_layers) {
  const size_t sum_bytes = (size_t{num_layers} + 1) * sizeof(SlotSum);
  std::vector<std::byte> context(offsetof(FixedPart, crc) + sum_bytes);
  std::ranges::copy(header.first(offsetof(FixedPart, crc)), context.begin());
  std::ranges::copy(header.subspan(sizeof(FixedPart), sum_bytes), context.begin() + offsetof(FixedPart, crc));
  return context;
}

std::span<std::byte> PrivateBytes(FixedPart& fixed) {
  return std::as_writable_bytes(std::span(&fixed.content, 1));
}

uint32_t HeaderCrc(std::span<const std::byte> header) {
  const uint32_t zero = 0;
  const uint32_t before = Crc32c(header.first(offsetof(FixedPart, crc)));
  const uint32_t with_zero = Crc32c(std::as_bytes(std::span(&zero, 1)), before);
  return Crc32c(header.subspan(offsetof(FixedPart, nonce)), with_zero);
}

// All checks that need no key. `bytes` begins with `fixed`.
Status CheckFixedPart(const FixedPart& fixed, std::span<const std::byte> bytes, const Cipher* cipher,
                      std::string_view origin) {
  if (std::memcmp(fixed.magic, kMagic, sizeof kMagic) != 0) {
    return Corrupt("{}: does not begin with \"q25block\", as a stored block does", origin);
  }
  if (fixed.version != kSlotVersion) {
    return Unsupported("{}: has version {}, this program reads {}", origin, fixed.version, kSlotVersion);
  }
  const BlockFormat format = {
      .num_layers = fixed.num_layers, .layer_bytes = fixed.layer_bytes, .summary_bytes = fixed.summary_bytes};
  if (const Status status = ValidateBlockFormat(format); !status.ok()) {
    return Corrupt("{}: {}", origin, status.message());
  }
  if (fixed.header_bytes != HeaderBytes(fixed.num_layers) || fixed.header_bytes > bytes.size()) {
    return Corrupt("{}: its header claims {} bytes, expected {} (there are {} bytes)", origin,
                   fixed.header_bytes, HeaderBytes(fixed.num_layers), bytes.size());
  }
  if (const uint32_t crc = HeaderCrc(bytes.first(fixed.header_bytes)); crc != fixed.crc) {
    return Corrupt("{}: the sum of its header is {:08x}, expected {:08x}", origin, crc, fixed.crc);
  }
  if (fixed.flags > kEncryptedFlag) return Corrupt("{}: has unknown flags {:#x}", origin, fixed.flags);
  if (fixed.flags == kEncryptedFlag && cipher == nullptr) {
    return Unsupported("{}: is encrypted, but no key was given", origin);
  }
  if (fixed.flags == 0 && cipher != nullptr) {
    return Corrupt("{}: is not encrypted, but all blocks of this memory should be", origin);
  }
  return {};
}

}  // namespace

SlotLayout::SlotLayout(const BlockFormat& format)
    : header_bytes(HeaderBytes(format.num_layers)),
      layer_stride(RoundUp(format.layer_bytes, kSlotLayerAlignment)),
      summaries_offset(LayerOffset(format.num_layers)),
      summaries_bytes(size_t{format.num_layers} * format.summary_bytes),
      slot_bytes(RoundUp(summaries_offset + summaries_bytes, kSlotPage)) {}

SlotSum CrcSum(std::span<const std::byte> bytes) {
  SlotSum sum = {};
  const uint32_t crc = Crc32c(bytes);
  std::memcpy(sum.data(), &crc, sizeof crc);
  return sum;
}

void EncodeSlotHeader(const SlotHeader& header, const Cipher* cipher, std::span<std::byte> out) {
  const BlockFormat& format = header.format;
  const size_t header_bytes = HeaderBytes(format.num_layers);
  QWEN25_CHECK(header.sums.size() == size_t{format.num_layers} + 1 && out.size() >= header_bytes);
  out = out.first(header_bytes);
  std::ranges::fill(out, std::byte{0});
  FixedPart fixed = {};
  std::memcpy(fixed.magic, kMagic, sizeof kMagic);
  fixed.version = kSlotVersion;
  fixed.header_bytes = static_cast<uint32_t>(header_bytes);
  fixed.flags = cipher != nullptr ? kEncryptedFlag : 0;
  fixed.name_space = header.name_space;
  fixed.num_layers = format.num_layers;
  fixed.layer_bytes = format.layer_bytes;
  fixed.summary_bytes = format.summary_bytes;
  fixed.nonce = header.nonce;
  fixed.content = {.id = header.id,
                   .parent = header.parent,
                   .fingerprint = format.fingerprint,
                   .position = header.position,
                   .num_tokens = kSlotTokens};
  std::ranges::copy(header.tokens, fixed.content.tokens);
  std::memcpy(out.data() + sizeof fixed, header.sums.data(), header.sums.size() * sizeof(SlotSum));
  std::memcpy(out.data(), &fixed, sizeof fixed);
  if (cipher != nullptr) {
    fixed.tag =
        cipher->Encrypt(PrivateBytes(fixed), header.nonce, kSlotHeaderPart, Context(out, format.num_layers));
    std::memcpy(out.data(), &fixed, sizeof fixed);
  }
  fixed.crc = HeaderCrc(out);
  std::memcpy(out.data(), &fixed, sizeof fixed);
}

void RepairSlotHeaderCrc(std::span<std::byte> bytes) {
  FixedPart fixed;
  if (bytes.size() < sizeof fixed) return;
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  if (fixed.header_bytes < sizeof fixed || fixed.header_bytes > bytes.size()) return;
  fixed.crc = HeaderCrc(bytes.first(fixed.header_bytes));
  std::memcpy(bytes.data(), &fixed, sizeof fixed);
}

Result<SlotHeader> ParseSlotHeader(std::span<const std::byte> bytes, const Cipher* cipher,
                                   std::string_view origin) {
  FixedPart fixed;
  if (bytes.size() < sizeof fixed) {
    return Corrupt("{}: has {} bytes, its header alone needs {}", origin, bytes.size(), sizeof fixed);
  }
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  QWEN25_RETURN_IF_ERROR(CheckFixedPart(fixed, bytes, cipher, origin));
  if (cipher != nullptr && !cipher->Decrypt(PrivateBytes(fixed), fixed.nonce, kSlotHeaderPart,
                                            Context(bytes, fixed.num_layers), fixed.tag)) {
    return Corrupt("{}: cannot be decrypted; it was changed, or written with another key", origin);
  }
  if (fixed.content.num_tokens != kSlotTokens) {
    return Corrupt("{}: has {} tokens, expected {}", origin, fixed.content.num_tokens, kSlotTokens);
  }
  SlotHeader header = {.name_space = fixed.name_space,
                       .format = {.fingerprint = fixed.content.fingerprint,
                                  .num_layers = fixed.num_layers,
                                  .layer_bytes = fixed.layer_bytes,
                                  .summary_bytes = fixed.summary_bytes},
                       .id = fixed.content.id,
                       .parent = fixed.content.parent,
                       .position = fixed.content.position,
                       .nonce = fixed.nonce};
  std::ranges::copy(fixed.content.tokens, header.tokens.begin());
  header.sums.resize(size_t{fixed.num_layers} + 1);
  std::memcpy(header.sums.data(), bytes.data() + sizeof fixed, header.sums.size() * sizeof(SlotSum));
  return header;
}

}  // namespace qwen25
