// Compressed files: gzip (RFC 1952) and Zstandard (RFC 8878), piece by piece or whole.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

enum class Compression { kNone, kGzip, kZstd };

// By the end of the name: .gz, .zst.
Compression CompressionOf(std::string_view path);
// The name of the file inside: "notes.txt" of "notes.txt.gz".
std::string_view WithoutCompression(std::string_view path);

// Decompresses a file of one or more members (gzip) or frames (zstd) whose bytes come in pieces. Bytes after
// the last gzip member that do not begin another one are ignored, as gzip does (padding).
class Decompressor {
 public:
  // `origin` is named in errors. `compression` is not kNone.
  static Result<Decompressor> Create(Compression compression, std::string origin);
  Decompressor(Decompressor&&) noexcept;
  ~Decompressor();

  struct Step {
    size_t consumed = 0;  // bytes of the input
    size_t produced = 0;  // bytes of the output
  };
  // Neither input nor output has to be used up: call again with what is left. If nothing is consumed and
  // nothing produced, more input is needed. kCorrupt if the bytes are damaged or of another kind.
  Result<Step> Run(std::string_view input, std::span<char> output);
  // To be called after the last input. kCorrupt if the data is cut short.
  Status Finish() const;

 private:
  struct State;
  explicit Decompressor(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// The content of a whole compressed file. kCorrupt as above; kResourceExhausted if the content is longer than
// `max_bytes`.
Result<std::string> Decompress(Compression compression, std::string_view compressed, size_t max_bytes,
                               std::string_view origin);

}  // namespace qwen25
