#include "pretrained/hub/content_digest.h"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/mmap.h"

namespace qwen25 {
namespace {

std::string Hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

void Sha1::Block(const unsigned char* data) {
  uint32_t words[80];
  for (size_t i = 0; i < 16; ++i) {
    words[i] = uint32_t{data[4 * i]} << 24 | uint32_t{data[4 * i + 1]} << 16 |
               uint32_t{data[4 * i + 2]} << 8 | uint32_t{data[4 * i + 3]};
  }
  for (size_t i = 16; i < 80; ++i) {
    words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  }
  uint32_t a = state_[0], b = state_[1], c = state_[2], d = state_[3], e = state_[4];
  for (size_t i = 0; i < 80; ++i) {
    uint32_t f, k;  // the function and the constant of this round
    if (i < 20) {
      f = (b & c) | (~b & d), k = 0x5a827999;
    } else if (i < 40) {
      f = b ^ c ^ d, k = 0x6ed9eba1;
    } else if (i < 60) {
      f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
    } else {
      f = b ^ c ^ d, k = 0xca62c1d6;
    }
    const uint32_t next = std::rotl(a, 5) + f + e + k + words[i];
    e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
  }
  state_[0] += a, state_[1] += b, state_[2] += c, state_[3] += d, state_[4] += e;
}

void Sha1::Update(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t used = num_bytes_ % sizeof buffer_;
    const size_t count = std::min(bytes.size(), sizeof buffer_ - used);
    std::memcpy(buffer_ + used, bytes.data(), count);
    num_bytes_ += count;
    bytes = bytes.subspan(count);
    if (used + count == sizeof buffer_) Block(buffer_);
  }
}

std::string Sha1::Finish() {
  const uint64_t num_bits = num_bytes_ * 8;
  const std::byte one{0x80}, zero{0};
  Update({&one, 1});
  while (num_bytes_ % sizeof buffer_ != sizeof buffer_ - 8) Update({&zero, 1});
  std::byte length[8];
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(num_bits >> (56 - 8 * i));
  Update(length);
  unsigned char digest[20];
  for (size_t i = 0; i < 20; ++i) digest[i] = static_cast<unsigned char>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return Hex(digest);
}

struct ContentDigest::Sha256State {
  crypto_hash_sha256_state state;
};

bool ContentDigest::IsDigest(std::string_view digest) {
  return (digest.size() == 40 || digest.size() == 64) &&
         std::ranges::all_of(digest, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

ContentDigest::ContentDigest(std::string_view digest, uint64_t size) : digest_(digest) {
  QWEN25_CHECK(IsDigest(digest));
  if (digest.size() == 64) {
    sha256_ = std::make_unique<Sha256State>();
    crypto_hash_sha256_init(&sha256_->state);
    return;
  }
  const std::string header = fmt::format("blob {}", size);
  Update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));  // with the zero that ends it
}
ContentDigest::~ContentDigest() = default;
ContentDigest::ContentDigest(ContentDigest&&) noexcept = default;
ContentDigest& ContentDigest::operator=(ContentDigest&&) noexcept = default;

void ContentDigest::Update(std::span<const std::byte> bytes) {
  if (sha256_) {
    crypto_hash_sha256_update(&sha256_->state, reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size());
  } else {
    sha1_.Update(bytes);
  }
}

bool ContentDigest::Matches() {
  if (!sha256_) return sha1_.Finish() == digest_;
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_final(&sha256_->state, digest);
  return Hex(digest) == digest_;
}

Status CheckContent(const std::string& path, std::string_view digest,
                    const std::function<bool(uint64_t done)>& progress) {
  constexpr size_t kPiece = size_t{1} << 23;
  QWEN25_TRY(const MappedFile file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file.bytes();
  ContentDigest content(digest, bytes.size());
  for (size_t begin = 0; begin < bytes.size(); begin += kPiece) {
    if (progress && !progress(begin)) return Cancelled("stopped");
    const std::span<const std::byte> piece = bytes.subspan(begin, std::min(kPiece, bytes.size() - begin));
    content.Update(piece);
    MappedFile::Release(piece);
  }
  if (content.Matches()) return {};
  return Corrupt(
      "{}: its content does not have the digest {} that names it; remove the model and fetch it again", path,
      digest);
}

}  // namespace qwen25
