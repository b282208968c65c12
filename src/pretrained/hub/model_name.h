// Names of models on a hub: ORGANISATION/NAME[:FORMAT][@REVISION].
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

struct ModelName {
  std::string repository;  // "Qwen/Qwen2.5-0.5B-Instruct"; old names have no organisation: "gpt2"
  std::string format;      // of a GGUF repository: "Q4_K_M"; "safetensors"; empty: not given
  std::string revision;    // a branch, tag or commit; empty: not given, which means "main" or what is there

  // Web addresses of the hub and "hf.co/..." are names, too. kInvalidArgument, with what a name looks like,
  // for everything else.
  static Result<ModelName> Parse(std::string_view text);
  // As Parse reads it.
  std::string Text() const;

  const std::string& revision_or_main() const;
};

// Whether `text` can name a repository: one or two parts of letters, digits, '_', '-' and '.', of which the
// last two stand neither first nor last nor doubled.
bool IsRepositoryName(std::string_view text);
// Whether `text` can name a branch, tag or commit: "main", "refs/pr/1", "v1.0".
bool IsRevisionName(std::string_view text);
// Whether `text` is the hash of a commit: 40 lowercase hexadecimal digits.
bool IsCommitHash(std::string_view text);
// Whether `path`, as a hub lists it, stays below the folder that it is relative to.
bool IsSafeRelativePath(std::string_view path);

}  // namespace qwen25
