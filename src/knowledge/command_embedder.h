// Embeddings from another program.
#pragma once

#include <sys/types.h>

#include <memory>

#include "knowledge/embedder.h"

namespace qwen25 {

// A program that runs as long as this object lives, and speaks JSON lines over its standard input and output:
//   at the start it writes   {"name": "...", "dimension": 384}
//   it reads                 {"kind": "query" | "passage", "texts": ["...", ...]}
//   and answers              {"embeddings": [[...], ...]}      or {"error": "..."}
// Its standard error is this process's own.
class CommandEmbedder : public Embedder {
 public:
  // Runs `command` with sh. kIo if it does not start, ends, or writes no line within `timeout_seconds` (the
  // limit of each answer, too); kInvalidArgument if its first line is not as above.
  static Result<std::unique_ptr<CommandEmbedder>> Start(const std::string& command,
                                                        double timeout_seconds = 300);
  ~CommandEmbedder() override;
  CommandEmbedder(const CommandEmbedder&) = delete;
  CommandEmbedder& operator=(const CommandEmbedder&) = delete;

  const EmbedderId& id() const override { return id_; }
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override;

 private:
  CommandEmbedder(std::string command, double timeout_seconds)
      : command_(std::move(command)), timeout_seconds_(timeout_seconds) {}
  Status Launch();
  Status WriteLine(std::string line);
  Result<std::string> ReadLine();

  std::string command_;
  double timeout_seconds_;
  EmbedderId id_;
  pid_t process_ = -1;
  int socket_ = -1;  // both directions
  std::string received_;
};

}  // namespace qwen25
