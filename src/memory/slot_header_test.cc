#include "memory/slot_header.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>

#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

Cipher TestCipher(char letter = 'k') {
  auto cipher = Cipher::Create(std::string(32, letter), KeyPurpose::kBlocks);
  EXPECT_OK(cipher);
  return std::move(cipher).value();
}

SlotHeader RandomHeader(uint64_t seed, uint32_t num_layers) {
  Rng rng(seed);
  SlotHeader header = {.name_space = static_cast<uint32_t>(rng.Next()),
                       .format = {.fingerprint = {rng.Next(), rng.Next()},
                                  .num_layers = num_layers,
                                  .layer_bytes = 1 + static_cast<uint32_t>(rng.Below(kMaxLayerBytes)),
                                  .summary_bytes = static_cast<uint32_t>(rng.Below(kMaxSummaryBytes + 1))},
                       .id = {rng.Next(), rng.Next()},
                       .parent = {rng.Next(), rng.Next()},
                       .position = static_cast<uint32_t>(rng.Next())};
  for (int32_t& token : header.tokens) token = static_cast<int32_t>(rng.Next());
  for (std::byte& byte : header.nonce) byte = static_cast<std::byte>(rng.Next());
  header.sums.resize(num_layers + size_t{1});
  for (SlotSum& sum : header.sums) {
    for (std::byte& byte : sum) byte = static_cast<std::byte>(rng.Next());
  }
  return header;
}

std::vector<std::byte> Encode(const SlotHeader& header, const Cipher* cipher) {
  std::vector<std::byte> bytes(SlotLayout(header.format).header_bytes);
  EncodeSlotHeader(header, cipher, bytes);
  return bytes;
}

TEST(SlotHeaderTest, ReadsWhatWasWritten) {
  const Cipher cipher = TestCipher();
  EXPECT_TRUE(rc::check([&](uint64_t seed, bool is_encrypted) {
    const auto num_layers = *rc::gen::inRange<uint32_t>(1, kMaxBlockLayers + 1);
    const SlotHeader header = RandomHeader(seed, num_layers);
    const Cipher* key = is_encrypted ? &cipher : nullptr;
    const auto bytes = Encode(header, key);
    RC_ASSERT(bytes.size() % kSlotPage == 0);
    const auto read = ParseSlotHeader(bytes, key, "slot");
    RC_ASSERT(read.ok());
    RC_ASSERT(read->name_space == header.name_space && read->format == header.format &&
              read->id == header.id && read->parent == header.parent && read->position == header.position);
    RC_ASSERT(read->tokens == header.tokens && read->nonce == header.nonce && read->sums == header.sums);
  }));
}

TEST(SlotHeaderTest, PartsDoNotOverlapAndLayersAreAligned) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const SlotHeader header = RandomHeader(seed, *rc::gen::inRange<uint32_t>(1, kMaxBlockLayers + 1));
    const SlotLayout layout(header.format);
    RC_ASSERT(layout.LayerOffset(0) == layout.header_bytes);
    RC_ASSERT(layout.LayerOffset(1) % kSlotLayerAlignment == 0);
    RC_ASSERT(layout.layer_stride >= header.format.layer_bytes);
    RC_ASSERT(layout.summaries_offset >=
              layout.LayerOffset(header.format.num_layers - 1) + header.format.layer_bytes);
    RC_ASSERT(layout.slot_bytes >= layout.summaries_offset + layout.summaries_bytes);
    RC_ASSERT(layout.slot_bytes % kSlotPage == 0 && layout.slot_bytes >= 2 * kSlotPage);
  }));
}

TEST(SlotHeaderTest, EveryFlippedBitAndEveryCutIsFound) {
  const Cipher cipher = TestCipher();
  for (const Cipher* key : {static_cast<const Cipher*>(nullptr), &cipher}) {
    const auto good = Encode(RandomHeader(3, 5), key);
    ASSERT_OK(ParseSlotHeader(good, key, "slot"));
    for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
      auto bad = good;
      bad[bit / 8] ^= std::byte{1} << (bit % 8);
      ASSERT_FALSE(ParseSlotHeader(bad, key, "slot").ok()) << "bit " << bit;
    }
    for (size_t length = 0; length < good.size(); ++length) {
      const auto cut = ParseSlotHeader(std::span(good).first(length), key, "slot");
      ASSERT_EQ(cut.status().code(), StatusCode::kCorrupt) << length;
    }
  }
}

TEST(SlotHeaderTest, SaysWhatIsWrong) {
  const Cipher cipher = TestCipher(), other = TestCipher('o');
  const auto plain = Encode(RandomHeader(3, 5), nullptr), sealed = Encode(RandomHeader(3, 5), &cipher);
  const auto parse = [](std::vector<std::byte> bytes, size_t offset, uint32_t value, const Cipher* key) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return ParseSlotHeader(bytes, key, "slot 7");
  };
  EXPECT_ERROR_CONTAINS(parse(plain, 0, 0, nullptr), "slot 7: does not begin with");
  const auto newer = parse(plain, 8, 2, nullptr);
  EXPECT_EQ(newer.status().code(), StatusCode::kUnsupported);
  EXPECT_ERROR_CONTAINS(newer, "has version 2, this program reads 1");
  EXPECT_ERROR_CONTAINS(parse(plain, 12, 4095, nullptr), "its header claims 4095 bytes, expected 4096");
  EXPECT_ERROR_CONTAINS(parse(plain, 24, 0, nullptr), "0 layers, expected 1 to 1024");
  EXPECT_ERROR_CONTAINS(parse(plain, 24, 1025, nullptr), "1025 layers");
  EXPECT_ERROR_CONTAINS(parse(plain, 28, 0, nullptr), "a layer of a block has 0 bytes");
  EXPECT_ERROR_CONTAINS(parse(plain, 32, ~0u, nullptr), "a summary has 4294967295 bytes");
  EXPECT_ERROR_CONTAINS(parse(plain, 100, 0, nullptr), "the sum of its header is");
  EXPECT_ERROR_CONTAINS(ParseSlotHeader(sealed, nullptr, "slot"), "is encrypted, but no key was given");
  EXPECT_ERROR_CONTAINS(ParseSlotHeader(plain, &cipher, "slot"), "is not encrypted");
  EXPECT_ERROR_CONTAINS(ParseSlotHeader(sealed, &other, "slot"), "cannot be decrypted");
}

}  // namespace
}  // namespace qwen25
