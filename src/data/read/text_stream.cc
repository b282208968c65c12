#include "data/read/text_stream.h"

#include <cerrno>
#include <span>
#include <utility>

#include "data/read/text_kind.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;
constexpr size_t kMaxTextBytes = size_t{4} << 30;

}  // namespace

Result<TextStream> TextStream::Open(const std::string& path) {
  if (path == "-") return TextStream("standard input", stdin);
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, "open", path);
  TextStream stream(path, file);
  if (const Compression compression = CompressionOf(path); compression != Compression::kNone) {
    QWEN25_TRY(Decompressor decompressor, Decompressor::Create(compression, path));
    stream.decompressor_.emplace(std::move(decompressor));
  }
  return stream;
}

// Appends the next bytes of the file as they are.
Result<bool> TextStream::ReadFile(std::string& out) {
  const size_t begin = out.size();
  out.resize(begin + kPieceBytes);
  errno = 0;
  const size_t got = std::fread(out.data() + begin, 1, kPieceBytes, file_.get());
  out.resize(begin + got);
  if (got == 0 && std::ferror(file_.get())) return ErrnoStatus(errno, "read", name_);
  return got > 0;
}

// Appends decompressed bytes, with marks.
Result<bool> TextStream::ReadBytes(std::string& out) {
  if (!decompressor_) return ReadFile(out);
  const size_t begin = out.size();
  while (true) {
    out.resize(begin + kPieceBytes);
    QWEN25_TRY(const Decompressor::Step step, decompressor_->Run(compressed_, std::span(out).subspan(begin)));
    compressed_.erase(0, step.consumed);
    out.resize(begin + step.produced);
    if (step.produced > 0) return true;
    if (step.consumed > 0) continue;
    QWEN25_TRY(const bool more, ReadFile(compressed_));
    if (more) continue;
    QWEN25_RETURN_IF_ERROR(decompressor_->Finish());
    return false;
  }
}

Result<bool> TextStream::Read(std::string& out) {
  const size_t begin = out.size();
  QWEN25_TRY(const bool more, ReadBytes(out));
  if (!started_) {
    started_ = true;
    while (out.size() - begin < kKindBytes) {
      QWEN25_TRY(const bool still_more, ReadBytes(out));
      if (!still_more) break;
    }
    QWEN25_RETURN_IF_ERROR(CheckIsText(std::string_view(out).substr(begin), name_));
    if (std::string_view(out).substr(begin).starts_with(kUtf8ByteOrderMark)) {
      out.erase(begin, kUtf8ByteOrderMark.size());
    }
  }
  if (out.find('\0', begin) != std::string::npos) {
    return InvalidArgument("{}: is binary data (it holds NUL bytes), not text", name_);
  }
  return more;
}

Result<std::string> ReadText(const std::string& path) {
  QWEN25_TRY(TextStream stream, TextStream::Open(path));
  std::string text;
  while (true) {
    QWEN25_TRY(const bool more, stream.Read(text));
    if (!more) break;
    if (text.size() > kMaxTextBytes) {
      return ResourceExhausted("{}: holds more than {} bytes of text; split it", stream.name(),
                               kMaxTextBytes);
    }
  }
  // A repaired text would be another one than was meant.
  if (IsValidUtf8(text)) return text;
  size_t at = 0;
  for (const char* end = text.data() + text.size();;) {
    const DecodedCodePoint c = DecodeCodePoint(text.data() + at, end);
    if (!c.valid) break;
    at += c.bytes;
  }
  return InvalidArgument(
      "{}: is not UTF-8: byte {} is 0x{:02X}; if it is Latin-1, `iconv -f LATIN1 -t UTF-8` converts it",
      stream.name(), at, static_cast<unsigned char>(text[at]));
}

}  // namespace qwen25
