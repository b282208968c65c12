#include "store/cipher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/test_util.h"

namespace qwen25 {
namespace {

Cipher TestCipher(char letter = 'k', KeyPurpose purpose = KeyPurpose::kBlocks) {
  auto cipher = Cipher::Create(std::string(32, letter), purpose);
  EXPECT_OK(cipher);
  return std::move(cipher).value();
}

TEST(CipherTest, SealsBindsAndHides) {
  const Cipher cipher = TestCipher(), other = TestCipher('o');
  const std::string text = "what is written", context = "where", elsewhere = "there";
  const auto bytes = std::as_bytes(std::span(text)), at = std::as_bytes(std::span(context));
  const auto sealed = cipher.Seal(bytes, at);
  EXPECT_NE(sealed, cipher.Seal(bytes, at)) << "a nonce was used twice";
  const auto opened = cipher.Unseal(sealed, at);
  ASSERT_TRUE(opened.has_value());
  EXPECT_TRUE(std::ranges::equal(*opened, bytes));
  EXPECT_FALSE(other.Unseal(sealed, at));
  EXPECT_FALSE(cipher.Unseal(sealed, std::as_bytes(std::span(elsewhere))));
  EXPECT_FALSE(cipher.Unseal({}, at));
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    auto bad = sealed;
    bad[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(cipher.Unseal(bad, at));
  }
  EXPECT_EQ(cipher.Hide(bytes), cipher.Hide(bytes));
  EXPECT_NE(cipher.Hide(bytes), other.Hide(bytes));
  EXPECT_NE(cipher.Hide(bytes), cipher.Hide(at));
  EXPECT_ERROR_CONTAINS(Cipher::Create("short", KeyPurpose::kBlocks), "has 5 bytes, expected 32");
}

TEST(CipherTest, APurposeReadsNothingOfAnother) {
  const std::string text = "what is written";
  const auto bytes = std::as_bytes(std::span(text));
  std::set<std::array<std::byte, 16>> names;
  const std::array purposes = {KeyPurpose::kBlocks, KeyPurpose::kPages, KeyPurpose::kVectors,
                               KeyPurpose::kDialogues};
  for (const KeyPurpose purpose : purposes) {
    const auto sealed = TestCipher('k', purpose).Seal(bytes, {});
    names.insert(TestCipher('k', purpose).Hide(bytes));
    for (const KeyPurpose other : purposes) {
      EXPECT_EQ(TestCipher('k', other).Unseal(sealed, {}).has_value(), other == purpose);
    }
  }
  EXPECT_EQ(names.size(), purposes.size());
}

}  // namespace
}  // namespace qwen25
