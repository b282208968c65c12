// Embeddings from another program.
#pragma once

#include <sys/types.h>

#include <memory>

#include "knowledge/embedder.h"

namespace qwen25 {

// A program that runs as long as this object and speaks JSON lines over its standard input and output:
//   at the start it writes   {"name": "...", "dimension": 384}
//   it reads                 {"kind": "query" | "passage", "texts": ["...", ...]}
//   and answers              {"embeddings": [[...], ...]}      or {"error": "..."}
// Its standard error is ours.
class CommandEmbedder : public Embedder {
 public:
  // `command` is a shell command. Fails when it does not start, or does not introduce itself within
  // `timeout_seconds`; an answer may take as long.
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
