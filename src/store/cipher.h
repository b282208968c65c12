// Encryption at rest, with XChaCha20-Poly1305 and keyed BLAKE2b of libsodium.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"

namespace qwen25 {

// What a cipher is for. Each purpose has its own keys, derived from the user's key and the word in quotes.
// The words determine what is on disk and never change.
enum class KeyPurpose {
  kBlocks,     // "q25block": keys and values, and their index
  kPages,      // "q25pages": the notes' database and its log
  kVectors,    // "q25vects": caches of graphs
  kDialogues,  // "q25dialg"
};

class Cipher {
 public:
  // 16 random bytes, drawn anew for every slot, page or record written. The other 8 bytes of XChaCha20's
  // 24-byte nonce are the number of the part, so that no two parts share a nonce.
  using Nonce = std::array<std::byte, 16>;
  using Tag = std::array<std::byte, 16>;

  // kInvalidArgument unless `key` has 32 bytes; kUnsupported if the system has no source of random numbers.
  static Result<Cipher> Create(std::string_view key, KeyPurpose purpose);
  Cipher(const Cipher&) = default;
  Cipher& operator=(const Cipher&) = default;
  ~Cipher();

  static Nonce NewNonce();

  // Encrypts in place. `context` is authenticated but not encrypted: Decrypt must be given the same.
  Tag Encrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
              std::span<const std::byte> context) const;
  // Decrypts in place. False, with invalid `bytes`, if any argument differs from those of Encrypt.
  bool Decrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
               std::span<const std::byte> context, const Tag& tag) const;

  // For small records: nonce | tag | encrypted bytes. Unseal returns nothing where Decrypt returns false.
  std::vector<std::byte> Seal(std::span<const std::byte> bytes, std::span<const std::byte> context) const;
  std::optional<std::vector<std::byte>> Unseal(std::span<const std::byte> sealed,
                                               std::span<const std::byte> context) const;

  // A keyed hash, which reveals nothing about `bytes` without the key.
  std::array<std::byte, 16> Hide(std::span<const std::byte> bytes) const;

 private:
  Cipher() = default;

  std::array<unsigned char, 32> content_key_;
  std::array<unsigned char, 32> name_key_;
};

}  // namespace qwen25
