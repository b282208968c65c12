// Encryption at rest: XChaCha20-Poly1305 and keyed BLAKE2b of libsodium.
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

// What a cipher is for. Each purpose has keys of its own, derived from the one that the user gives, so that
// one is never used for two purposes. The words are part of what is on disk and never change.
enum class KeyPurpose {
  kBlocks,     // "q25block": keys and values, and their index
  kPages,      // "q25pages": the notes' database and its log
  kVectors,    // "q25vects": caches of graphs
  kDialogues,  // "q25dialg"
};

class Cipher {
 public:
  // Random, drawn for every slot, page and record that is written; the 8 bytes that XChaCha20's nonce of 24
  // has beside it say which part of it is meant, so that no two parts share one.
  using Nonce = std::array<std::byte, 16>;
  using Tag = std::array<std::byte, 16>;

  // kInvalidArgument for a key that has not 32 bytes.
  static Result<Cipher> Create(std::string_view key, KeyPurpose purpose);
  Cipher(const Cipher&) = default;
  Cipher& operator=(const Cipher&) = default;
  ~Cipher();

  static Nonce NewNonce();

  // In place. `context` is not hidden, and has to be the same when the bytes are opened.
  Tag Encrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
              std::span<const std::byte> context) const;
  // False, and bytes that say nothing, where any of the arguments is not what Encrypt was given.
  bool Decrypt(std::span<std::byte> bytes, const Nonce& nonce, uint64_t part,
               std::span<const std::byte> context, const Tag& tag) const;

  // nonce | tag | encrypted bytes, for small records.
  std::vector<std::byte> Seal(std::span<const std::byte> bytes, std::span<const std::byte> context) const;
  std::optional<std::vector<std::byte>> Unseal(std::span<const std::byte> sealed,
                                               std::span<const std::byte> context) const;

  // 16 bytes that stand for `bytes` and tell nothing about them without the key.
  std::array<std::byte, 16> Hide(std::span<const std::byte> bytes) const;

 private:
  Cipher() = default;

  std::array<unsigned char, 32> content_key_;
  std::array<unsigned char, 32> name_key_;
};

}  // namespace qwen25
