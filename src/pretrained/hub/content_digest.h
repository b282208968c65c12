// The digests by which a hub names the contents of files.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// Compares a content, which arrives in pieces, with the digest that a hub gives for it.
class ContentDigest {
 public:
  // Whether `digest` has a form that can be checked: 64 lowercase hexadecimal digits, the SHA-256 of the
  // content; or 40, the SHA-1 of the git blob.
  static bool IsDigest(std::string_view digest);

  // `size`: bytes of the whole content, which git's digest includes. `digest` must be one.
  ContentDigest(std::string_view digest, uint64_t size);

  void Update(std::span<const std::byte> bytes);
  // The digest of the content so far, of the same kind as the one given. Ends the computation.
  std::string Finish();
  // Whether that is the one given: SHA-1 protects against damage only, not against an attacker.
  bool Matches() { return Finish() == digest_; }

 private:
  struct ContextDeleter {
    void operator()(EVP_MD_CTX* context) const;
  };

  std::string digest_;
  std::unique_ptr<EVP_MD_CTX, ContextDeleter> context_;
};

// Reads a whole file; `progress` gets the bytes read, and false stops with kCancelled. kCorrupt, with path
// and digest, if its content is another.
Status CheckContent(const std::string& path, std::string_view digest,
                    const std::function<bool(uint64_t done)>& progress = {});

}  // namespace qwen25
