// The text of a file from outside, as every command reads it: decompressed if its name ends in .gz or .zst,
// without a byte order mark, and refused if it is not text.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "data/read/compression.h"

namespace qwen25 {

class TextStream {
 public:
  // "-" is standard input.
  static Result<TextStream> Open(const std::string& path);

  // Appends the next piece of the text, of any length; false at its end. The bytes need not be well-formed
  // UTF-8, but hold no NUL. kInvalidArgument for what is not text (text_kind.h), kCorrupt for compressed data
  // that is damaged; both name the file.
  Result<bool> Read(std::string& out);

  // For messages: the path, or "standard input".
  const std::string& name() const { return name_; }

 private:
  struct Closer {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  TextStream(std::string name, std::FILE* file) : name_(std::move(name)), file_(file) {}

  Result<bool> ReadFile(std::string& out);
  Result<bool> ReadBytes(std::string& out);

  std::string name_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::optional<Decompressor> decompressor_;
  std::string compressed_;  // read and not yet decompressed
  bool started_ = false;
};

// The whole text of a file, which must be well-formed UTF-8; kResourceExhausted if it is longer than 4 GiB.
Result<std::string> ReadText(const std::string& path);

}  // namespace qwen25
