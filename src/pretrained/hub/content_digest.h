// The digests by which a hub names the contents of files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// SHA-1 of bytes that arrive in pieces (FIPS 180-4). Only to recognise contents by the names that git gives
// them: it protects against damage, not against an attacker.
class Sha1 {
 public:
  void Update(std::span<const std::byte> bytes);
  // 40 hexadecimal digits. Ends the computation.
  std::string Finish();

 private:
  void Block(const unsigned char* data);

  uint32_t state_[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  unsigned char buffer_[64];
  uint64_t num_bytes_ = 0;
};

// Compares a content, which arrives in pieces, with the digest that a hub gives for it.
class ContentDigest {
 public:
  // Whether `digest` has a form that can be checked: 64 lowercase hexadecimal digits, the SHA-256 of the
  // content; or 40, the SHA-1 of the git blob.
  static bool IsDigest(std::string_view digest);

  // `size`: bytes of the whole content, which git's digest includes. `digest` must be one.
  ContentDigest(std::string_view digest, uint64_t size);
  ~ContentDigest();
  ContentDigest(ContentDigest&&) noexcept;
  ContentDigest& operator=(ContentDigest&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  // Whether the content so far is the right one. Once.
  bool Matches();

 private:
  struct Sha256State;

  std::string digest_;
  std::unique_ptr<Sha256State> sha256_;  // or null
  Sha1 sha1_;
};

// Reads a whole file; `progress` gets the bytes read, and false stops with kCancelled. kCorrupt, with path
// and digest, if its content is another.
Status CheckContent(const std::string& path, std::string_view digest,
                    const std::function<bool(uint64_t done)>& progress = {});

}  // namespace qwen25
