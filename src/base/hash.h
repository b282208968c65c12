// Content hashes (xxHash XXH3). Not cryptographic: they identify, they do not authenticate.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace qwen25 {

inline uint64_t Hash64(std::span<const std::byte> bytes, uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

// With 128 bits, different texts do not collide in practice (the first collision is expected at about 2^64
// texts).
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const Hash128&, const Hash128&) = default;
};

inline Hash128 HashBytes128(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

// HashBytes128 of bytes that arrive in pieces.
class HashStream128 {
 public:
  HashStream128() : state_(XXH3_createState(), XXH3_freeState) { XXH3_128bits_reset(state_.get()); }

  void Update(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  Hash128 Digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// One hash of several, in their order.
inline Hash128 CombineHashes(std::span<const Hash128> hashes) {
  return HashBytes128(std::as_bytes(hashes));
}

// For unordered containers: the bits are already mixed.
struct Hash128Hasher {
  size_t operator()(const Hash128& hash) const { return static_cast<size_t>(hash.low); }
};

}  // namespace qwen25
