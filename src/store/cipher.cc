#include "store/cipher.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace qwen25 {
namespace {

using FullNonce = std::array<unsigned char, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;
static_assert(sizeof(FullNonce) == sizeof(Cipher::Nonce) + sizeof(uint64_t));
static_assert(sizeof(Cipher::Tag) == crypto_aead_xchacha20poly1305_ietf_ABYTES);

// libsodium requires an address even for no bytes.
unsigned char* DataOf(std::span<std::byte> bytes) {
  static unsigned char nothing;
  return bytes.empty() ? &nothing : reinterpret_cast<unsigned char*>(bytes.data());
}

FullNonce Join(const Cipher::Nonce& nonce, uint64_t part) {
  FullNonce full;
  std::memcpy(full.data(), nonce.data(), nonce.size());
  std::memcpy(full.data() + nonce.size(), &part, sizeof part);
  return full;
}

// Each has crypto_kdf_CONTEXTBYTES (8) characters.
const char* ContextOf(KeyPurpose purpose) {
  switch (purpose) {
    case KeyPurpose::kBlocks:
      return "q25block";
    case KeyPurpose::kPages:
      return "q25pages";
    case KeyPurpose::kVectors:
      return "q25vects";
    case KeyPurpose::kDialogues:
      return "q25dialg";
  }
  QWEN25_CHECK(false);
}

const unsigned char* Raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

Result<Cipher> Cipher::Create(std::string_view key, KeyPurpose purpose) {
  if (key.size() != crypto_kdf_KEYBYTES) {
    return InvalidArgument("the key of the memory has {} bytes, expected {} random bytes", key.size(),
                           crypto_kdf_KEYBYTES);
  }
  if (sodium_init() < 0) return Unsupported("libsodium finds no source of random numbers on this system");
  Cipher cipher;
  const auto* master = reinterpret_cast<const unsigned char*>(key.data());
  const char* context = ContextOf(purpose);
  crypto_kdf_derive_from_key(cipher.content_key_.data(), cipher.content_key_.size(), 1, context, master);
  crypto_kdf_derive_from_key(cipher.name_key_.data(), cipher.name_key_.size(), 2, context, master);
  return cipher;
}

Cipher::~Cipher() {
  sodium_memzero(content_key_.data(), content_key_.size());
  sodium_memzero(name_key_.data(), name_key_.size());
}

Cipher::Nonce Cipher::NewNonce() {
  Nonce nonce;
  randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

Cipher::Tag Cipher::Encrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
                            std::span<const std::byte> context) const {
  Tag tag;
  const FullNonce full = Join(nonce, part);
  unsigned char* data = DataOf(bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
      data, reinterpret_cast<unsigned char*>(tag.data()), nullptr, data, bytes.size(), Raw(context),
      context.size(), nullptr, full.data(), content_key_.data());
  return tag;
}

bool Cipher::Decrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
                     std::span<const std::byte> context, const Tag& tag) const {
  const FullNonce full = Join(nonce, part);
  unsigned char* data = DataOf(bytes);
  return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(data, nullptr, data, bytes.size(), Raw(tag),
                                                             Raw(context), context.size(), full.data(),
                                                             content_key_.data()) == 0;
}

std::vector<std::byte> Cipher::Seal(std::span<const std::byte> bytes,
                                    std::span<const std::byte> context) const {
  const Nonce nonce = NewNonce();
  std::vector<std::byte> sealed(nonce.size() + sizeof(Tag) + bytes.size());
  const std::span<std::byte> hidden = std::span(sealed).subspan(nonce.size() + sizeof(Tag));
  std::ranges::copy(bytes, hidden.begin());
  const Tag tag = Encrypt(hidden, nonce, 0, context);
  std::memcpy(sealed.data(), nonce.data(), nonce.size());
  std::memcpy(sealed.data() + nonce.size(), tag.data(), tag.size());
  return sealed;
}

std::optional<std::vector<std::byte>> Cipher::Unseal(std::span<const std::byte> sealed,
                                                     std::span<const std::byte> context) const {
  Nonce nonce;
  Tag tag;
  if (sealed.size() < nonce.size() + tag.size()) return std::nullopt;
  std::memcpy(nonce.data(), sealed.data(), nonce.size());
  std::memcpy(tag.data(), sealed.data() + nonce.size(), tag.size());
  const auto hidden = sealed.subspan(nonce.size() + tag.size());
  std::vector<std::byte> bytes(hidden.begin(), hidden.end());
  if (!Decrypt(bytes, nonce, 0, context, tag)) return std::nullopt;
  return bytes;
}

std::array<std::byte, 16> Cipher::Hide(std::span<const std::byte> bytes) const {
  std::array<std::byte, 16> hidden;
  const int failed = crypto_generichash(reinterpret_cast<unsigned char*>(hidden.data()), hidden.size(),
                                        Raw(bytes), bytes.size(), name_key_.data(), name_key_.size());
  QWEN25_CHECK(failed == 0);
  return hidden;
}

}  // namespace qwen25
