#include "pretrained/hub/content_digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <new>

#include "base/check.h"
#include "base/mmap.h"

namespace qwen25 {

bool ContentDigest::IsDigest(std::string_view digest) {
  return (digest.size() == 40 || digest.size() == 64) &&
         std::ranges::all_of(digest, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

ContentDigest::ContentDigest(std::string_view digest, uint64_t size)
    : digest_(digest), context_(EVP_MD_CTX_new()) {
  QWEN25_CHECK(IsDigest(digest));
  const bool is_sha256 = digest.size() == 64;
  if (!context_ || EVP_DigestInit_ex(context_.get(), is_sha256 ? EVP_sha256() : EVP_sha1(), nullptr) != 1) {
    throw std::bad_alloc();
  }
  if (is_sha256) return;
  const std::string header = fmt::format("blob {}", size);
  Update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));  // with the zero that ends it
}

void ContentDigest::ContextDeleter::operator()(EVP_MD_CTX* context) const {
  EVP_MD_CTX_free(context);
}

void ContentDigest::Update(std::span<const std::byte> bytes) {
  QWEN25_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string ContentDigest::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  QWEN25_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
  std::string text;
  for (const unsigned char byte : std::span(digest, size)) text += fmt::format("{:02x}", byte);
  return text;
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
