#include "pretrained/hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/stop_signals.h"
#include "pretrained/hub/content_digest.h"
#include "pretrained/hub/file_lock.h"
#include "pretrained/hub/hub_client.h"
#include "pretrained/hub/retry.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// What the threads of a download share.
struct Shared {
  std::atomic<bool> stopped{false};
  std::atomic<int64_t> done{0};  // bytes
  std::atomic<size_t> next_file{0};
  std::mutex mutex;  // of the rest
  std::condition_variable finished;
  size_t num_running = 0;
  std::string note;
  Status error;
  std::exception_ptr exception;

  bool Waiting(const std::string& reason) {
    const std::lock_guard lock(mutex);
    note = reason;
    return !stopped;
  }
  void Fail(const Status& status) {
    const std::lock_guard lock(mutex);
    // Others end with kCancelled because of the first error.
    if (error.ok() || error.code() == StatusCode::kCancelled) error = status;
    stopped = true;
  }
};

// An unfinished file: what is there of it, and the digest of that.
class PartialFile {
 public:
  PartialFile(fs::path path, const RepositoryFile& file, Shared& shared)
      : path_(std::move(path)), file_(file), shared_(shared), digest_(file.digest, file.size) {}
  ~PartialFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t size() const { return size_; }

  // Takes over what an earlier call has left.
  Status Open() {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) return ErrnoStatus(errno, "open", path_);
    std::vector<std::byte> buffer(size_t{1} << 20);
    while (true) {
      if (shared_.stopped) return Cancelled("stopped");
      const ssize_t count = ::read(descriptor_, buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoStatus(errno, "read", path_);
      if (count == 0) return {};
      if (size_ + static_cast<uint64_t>(count) > file_.size) return Restart();
      Count(std::span(buffer).first(static_cast<size_t>(count)));
    }
  }

  Status Restart() {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) {
      return ErrnoStatus(errno, "empty", path_);
    }
    shared_.done -= static_cast<int64_t>(size_);
    size_ = 0;
    digest_ = ContentDigest(file_.digest, file_.size);
    return {};
  }

  // More bytes than the file has are kCorrupt.
  Status Append(std::span<const std::byte> bytes) {
    if (bytes.size() > file_.size - size_) {
      return Corrupt("{}: the hub sends more than its {} bytes", file_.path, file_.size);
    }
    for (std::span<const std::byte> rest = bytes; !rest.empty();) {
      const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        const int error_number = errno;
        // What was written of this piece is not counted: it would be missing in the digest.
        (void)!::ftruncate(descriptor_, static_cast<off_t>(size_));
        return ErrnoStatus(error_number, "write", path_);
      }
      rest = rest.subspan(static_cast<size_t>(written));
    }
    Count(bytes);
    return {};
  }

  // Once, when all bytes are there: kCorrupt, and the file is empty again, if they are wrong; otherwise it
  // has its name.
  Status Finish(const fs::path& blob) {
    if (!digest_.Matches()) {
      QWEN25_RETURN_IF_ERROR(Restart());
      return Corrupt("{}: what the hub has sent does not have the digest {}", file_.path, file_.digest);
    }
    if (::fsync(descriptor_) != 0) return ErrnoStatus(errno, "flush", path_);
    if (::rename(path_.c_str(), blob.c_str()) != 0) return ErrnoStatus(errno, "rename to", blob);
    return SyncDirectory(blob.parent_path());
  }

  void Remove() { (void)::unlink(path_.c_str()); }

 private:
  void Count(std::span<const std::byte> bytes) {
    digest_.Update(bytes);
    size_ += bytes.size();
    shared_.done += static_cast<int64_t>(bytes.size());
  }

  const fs::path path_;
  const RepositoryFile& file_;
  Shared& shared_;
  ContentDigest digest_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The first byte and the length of the whole file that "bytes 10-99/100" speaks of.
struct ContentRange {
  uint64_t begin = 0;
  std::optional<uint64_t> total;
};
std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  ContentRange range;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, range.begin);
  if (error != std::errc() || rest == end || *rest != '-') return std::nullopt;
  uint64_t total = 0;
  const size_t slash = text.rfind('/');
  if (slash != text.npos && std::from_chars(text.data() + slash + 1, end, total).ec == std::errc()) {
    range.total = total;
  }
  return range;
}

// One file after another, for one thread.
class Worker {
 public:
  Worker(const DownloadJob& job, Shared& shared)
      : job_(job), shared_(shared), client_([&shared] { return shared.stopped.load(); }) {}

  void Run() {
    while (!shared_.stopped) {
      const size_t index = shared_.next_file++;
      if (index >= job_.files.size()) return;
      if (const Status status = Fetch(job_.files[index]); !status.ok()) shared_.Fail(status);
    }
  }

 private:
  std::string What(const RepositoryFile& file) const {
    return fmt::format("{}: {}", job_.repository, file.path);
  }

  Status Fetch(const RepositoryFile& file) {
    const fs::path blob = job_.cache.Blob(job_.repository, file.digest);
    const auto wait = [&] {
      return shared_.Waiting(fmt::format("another program is fetching {}", file.path));
    };
    QWEN25_TRY(const FileLock lock,
               FileLock::Acquire(job_.cache.LockFile(job_.repository, file.digest), wait));
    if (const FileFacts facts = FactsOf(blob); facts.modified != 0 && facts.bytes == file.size) {
      shared_.done += static_cast<int64_t>(file.size);  // somebody else was faster
      return {};
    }
    PartialFile partial(UnfinishedBlob(job_.cache, job_.repository, file.digest), file, shared_);
    QWEN25_RETURN_IF_ERROR(partial.Open());
    for (const bool again : {true, false}) {
      const Status status = Complete(file, blob, partial);
      if (status.code() != StatusCode::kCorrupt) return status;
      if (!again) {
        partial.Remove();
        return Corrupt("{}: {}, twice; the hub or something on the way to it is damaged", job_.repository,
                       status.message());
      }
      QWEN25_RETURN_IF_ERROR(partial.Restart());
    }
    return {};
  }

  // The rest of the file, in as many requests as it takes. kCorrupt for a wrong length or digest.
  Status Complete(const RepositoryFile& file, const fs::path& blob, PartialFile& partial) {
    constexpr int kMaxFailures = 6;
    Retry retry(What(file), !job_.hub.token.empty(), kMaxFailures,
                [this](const std::string& reason) { return shared_.Waiting(reason); });
    uint64_t most = partial.size();  // a server that starts again and again makes no progress
    const HttpSink sink = {
        .start = [&](const FetchResponse& response) { return Start(response, file, partial); },
        .bytes =
            [&](std::span<const std::byte> bytes) {
              QWEN25_RETURN_IF_ERROR(partial.Append(bytes));
              if (partial.size() > most) retry.Progressed();
              most = std::max(most, partial.size());
              return Status();
            }};
    while (partial.size() < file.size) {
      const FetchRequest request = {.url = FileUrl(job_.hub, job_.repository, job_.commit, file.path),
                                    .token = job_.hub.token,
                                    .offset = partial.size()};
      HttpResult result = client_.Download(request, sink);
      if (partial.size() == file.size) break;
      if (result.response.status == 416 && partial.size() > 0) {
        QWEN25_RETURN_IF_ERROR(partial.Restart());
        continue;
      }
      if (Retry::Succeeded(result)) {  // it ended early, although nothing seems wrong
        result.status = Status(StatusCode::kIo, "the connection ended before the file did");
        result.may_pass = true;
      }
      if (result.status.code() == StatusCode::kResourceExhausted) return WithAdvice(result.status);
      QWEN25_RETURN_IF_ERROR(retry.Next(result));
    }
    return partial.Finish(blob);
  }

  // Where an answer begins, and how long the file is that it is part of.
  Status Start(const FetchResponse& response, const RepositoryFile& file, PartialFile& partial) {
    (void)shared_.Waiting("");
    std::optional<uint64_t> total;
    if (response.status == 206) {
      const auto range = ParseContentRange(response.Header("content-range"));
      if (!range || range->begin != partial.size()) {
        return Corrupt("{}: the hub answers with another part ({}) than bytes {} and after", file.path,
                       response.Header("content-range"), partial.size());
      }
      total = range->total;
    } else {
      // The whole file, although perhaps a part was asked for.
      if (partial.size() > 0) QWEN25_RETURN_IF_ERROR(partial.Restart());
      uint64_t length = 0;
      const std::string& text = response.Header("content-length");
      if (std::from_chars(text.data(), text.data() + text.size(), length).ec == std::errc()) total = length;
    }
    if (total && *total != file.size) {
      return Corrupt("{}: the hub sends {} bytes, and lists {}", file.path, *total, file.size);
    }
    return {};
  }

  static Status WithAdvice(const Status& status) {
    return ResourceExhausted("{}; what is there stays: make room and start again", status.message());
  }

  const DownloadJob& job_;
  Shared& shared_;
  HttpClient client_;
};

}  // namespace

fs::path UnfinishedBlob(const HubCache& cache, const std::string& repository, const std::string& digest) {
  return cache.Blob(repository, digest + ".incomplete");
}

Status DownloadBlobs(const DownloadJob& job) {
  uint64_t total = 0;
  for (const RepositoryFile& file : job.files) total += file.size;
  Shared shared;
  const size_t num_threads = std::min(std::max<size_t>(job.num_connections, 1), job.files.size());
  shared.num_running = num_threads;
  std::vector<std::thread> threads;
  {
    const StopSignalsBlocked blocked;  // they are for the calling thread
    for (size_t i = 0; i < num_threads; ++i) {
      threads.emplace_back([&] {
        try {
          Worker(job, shared).Run();
        } catch (...) {  // no memory: for the calling thread
          const std::lock_guard lock(shared.mutex);
          shared.exception = std::current_exception();
          shared.stopped = true;
        }
        const std::lock_guard lock(shared.mutex);
        --shared.num_running;
        shared.finished.notify_one();
      });
    }
  }
  constexpr auto kTick = std::chrono::milliseconds(50);
  std::unique_lock lock(shared.mutex);
  while (shared.num_running > 0) {
    shared.finished.wait_for(lock, kTick);
    const std::string note = shared.note;
    lock.unlock();
    if (job.progress &&
        !job.progress(static_cast<uint64_t>(std::max<int64_t>(shared.done, 0)), total, note)) {
      shared.stopped = true;
    }
    lock.lock();
  }
  lock.unlock();
  for (std::thread& thread : threads) thread.join();
  if (shared.exception) std::rethrow_exception(shared.exception);
  if (shared.error.ok() && shared.stopped) return Cancelled("stopped");
  return shared.error;
}

}  // namespace qwen25
