#include "knowledge/command_embedder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "base/clock.h"
#include "base/json.h"

extern char** environ;

namespace qwen25 {
namespace {

// The longest line that is accepted as an answer.
constexpr size_t kMaxLineBytes = size_t{1} << 30;

}  // namespace

Status CommandEmbedder::Launch() {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoStatus(errno, "make a connection for", command_);
  }
  socket_ = sockets[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
  const char* arguments[] = {"sh", "-c", command_.c_str(), nullptr};
  const int error =
      ::posix_spawn(&process_, "/bin/sh", &actions, nullptr, const_cast<char* const*>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(sockets[1]);
  if (error != 0) {
    process_ = -1;
    return ErrnoStatus(error, "start", command_);
  }
  return {};
}

Result<std::unique_ptr<CommandEmbedder>> CommandEmbedder::Start(const std::string& command,
                                                                double timeout_seconds) {
  std::unique_ptr<CommandEmbedder> made(new CommandEmbedder(command, timeout_seconds));
  QWEN25_RETURN_IF_ERROR(made->Launch());
  QWEN25_TRY(const std::string line, made->ReadLine());
  QWEN25_TRY(const Json hello, ParseJson(line, "the first line of embedder `" + command + "`"));
  if (!hello.is_object()) {
    return InvalidArgument("embedder `{}`: its first line must be {{\"name\": ..., \"dimension\": ...}}",
                           command);
  }
  std::string name;
  QWEN25_RETURN_IF_ERROR(ReadField(hello, "name", command, name));
  QWEN25_RETURN_IF_ERROR(ReadField(hello, "dimension", command, made->id_.dimension));
  if (name.empty() || made->id_.dimension == 0 || made->id_.dimension > 65536) {
    return InvalidArgument(
        "embedder `{}`: its first line gives name \"{}\" and dimension {}; expected a name and 1 to 65536",
        command, name, made->id_.dimension);
  }
  made->id_.name = "command";
  made->id_.fingerprint = name;
  return made;
}

CommandEmbedder::~CommandEmbedder() {
  if (socket_ >= 0) ::close(socket_);  // ends its input, which tells it to leave
  if (process_ > 0) {
    // Half a second to leave by itself, and half a second after each signal.
    for (const int signal : {0, SIGTERM, SIGKILL}) {
      ::kill(process_, signal);
      for (int i = 0; i < 50; ++i) {
        if (::waitpid(process_, nullptr, WNOHANG) != 0) return;
        ::poll(nullptr, 0, 10);
      }
    }
  }
}

Status CommandEmbedder::WriteLine(std::string line) {
  line += '\n';
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = ::send(socket_, line.data() + done, line.size() - done, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write to embedder", command_);
    done += static_cast<size_t>(written);
  }
  return {};
}

Result<std::string> CommandEmbedder::ReadLine() {
  const double deadline = NowSeconds() + timeout_seconds_;
  size_t searched = 0;
  while (true) {
    if (const size_t end = received_.find('\n', searched); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    searched = received_.size();
    const double left = deadline - NowSeconds();
    if (received_.size() > kMaxLineBytes) {
      return Status(StatusCode::kIo,
                    fmt::format("embedder `{}`: its answer is longer than {} bytes, which no vectors are",
                                command_, kMaxLineBytes));
    }
    if (left <= 0) {
      return Status(StatusCode::kIo, fmt::format("embedder `{}`: no complete answer within {} seconds",
                                                 command_, timeout_seconds_));
    }
    struct pollfd waiting = {.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, static_cast<int>(std::ceil(std::min(left, 1000.0) * 1000))) < 0) {
      if (errno == EINTR) return Cancelled("embedder `{}`: stopped while waiting for its answer", command_);
      return ErrnoStatus(errno, "wait for embedder", command_);
    }
    if (waiting.revents == 0) continue;
    char buffer[65536];
    const ssize_t count = ::read(socket_, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "read from embedder", command_);
    if (count == 0) {
      return Status(StatusCode::kIo, fmt::format("embedder `{}` ended without an answer", command_));
    }
    received_.append(buffer, static_cast<size_t>(count));
  }
}

Status CommandEmbedder::Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) {
  QWEN25_CHECK(out.size() == texts.size() * id_.dimension);
  if (texts.empty()) return {};
  Json request = {{"kind", kind == EmbedKind::kQuery ? "query" : "passage"}, {"texts", Json::array()}};
  for (const std::string& text : texts) request["texts"].push_back(text);
  QWEN25_RETURN_IF_ERROR(WriteLine(request.dump(-1, ' ', false, Json::error_handler_t::replace)));
  QWEN25_TRY(const std::string line, ReadLine());
  QWEN25_TRY(const Json answer, ParseJson(line, "the answer of embedder `" + command_ + "`"));
  if (answer.is_object() && answer.contains("error")) {
    return InvalidArgument("embedder `{}`: {}", command_, answer["error"].dump());
  }
  if (!answer.is_object() || !answer.contains("embeddings") || !answer["embeddings"].is_array() ||
      answer["embeddings"].size() != texts.size()) {
    return InvalidArgument(
        "embedder `{}`: the answer has no \"embeddings\" with one vector for each of {} texts", command_,
        texts.size());
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const Json& vector = answer["embeddings"][i];
    const std::span<float> row = out.subspan(i * id_.dimension, id_.dimension);
    if (!vector.is_array() || vector.size() != row.size()) {
      return InvalidArgument(
          "embedder `{}`: vector {} does not have the {} numbers that its first line promised", command_, i,
          row.size());
    }
    for (size_t d = 0; d < row.size(); ++d) {
      if (!vector[d].is_number() || !std::isfinite(vector[d].get<float>())) {
        return InvalidArgument("embedder `{}`: number {} of vector {} is not a finite number", command_, d,
                               i);
      }
      row[d] = vector[d].get<float>();
    }
    NormalizeVector(row);
  }
  return {};
}

}  // namespace qwen25
