#include "base/map_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "base/check.h"

namespace qwen25 {

// In a list that only grows, so that a signal handler can walk it at any time: ranges that are no longer
// guarded are empty, and used again.
struct MapGuard::Range {
  std::atomic<uintptr_t> begin = 0;
  std::atomic<size_t> num_bytes = 0;  // 0: not in use
  std::atomic<std::atomic<uint64_t>*> failures = nullptr;
  Range* next = nullptr;
  bool taken = false;  // under the mutex of ranges
};

namespace {

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<void*>::is_always_lock_free,
              "a signal handler cannot wait for a lock");

std::atomic<MapGuard::Range*> ranges = nullptr;
std::mutex ranges_mutex;
struct sigaction before = {};
uintptr_t page_bytes = 0;

// Only what a signal handler may do: atomics and system calls.
bool ReplacePage(uintptr_t address) {
  for (MapGuard::Range* range = ranges.load(std::memory_order_acquire); range != nullptr;
       range = range->next) {
    const uintptr_t begin = range->begin.load(std::memory_order_acquire);
    if (address < begin || address - begin >= range->num_bytes.load(std::memory_order_acquire)) continue;
    const long page = static_cast<long>(address / page_bytes * page_bytes);
    const long result = ::syscall(SYS_mmap, page, page_bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L);
    if (result != page) return false;
    range->failures.load(std::memory_order_acquire)->fetch_add(1, std::memory_order_acq_rel);
    return true;
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int error_number = errno;
  const bool is_fault = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  const bool replaced = is_fault && ReplacePage(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = error_number;
  if (replaced) return;
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    // The instruction is tried again, and ends the process; a signal that was sent is sent again.
    ::sigaction(SIGBUS, &before, nullptr);
    if (!is_fault) ::raise(signal);
  }
}

void SetHandler() {
  page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  QWEN25_CHECK(::sigaction(SIGBUS, &action, &before) == 0);
}

}  // namespace

MapGuard::MapGuard(const std::byte* begin, size_t num_bytes, std::atomic<uint64_t>* failures) {
  const std::lock_guard lock(ranges_mutex);
  static const bool has_handler = (SetHandler(), true);
  static_cast<void>(has_handler);
  range_ = ranges.load(std::memory_order_relaxed);
  while (range_ != nullptr && range_->taken) range_ = range_->next;
  if (range_ == nullptr) {
    range_ = new Range;  // for the life of the process
    range_->next = ranges.load(std::memory_order_relaxed);
    ranges.store(range_, std::memory_order_release);
  }
  range_->taken = true;
  range_->failures.store(failures, std::memory_order_release);
  range_->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  range_->num_bytes.store(num_bytes, std::memory_order_release);
}

MapGuard::~MapGuard() {
  if (range_ == nullptr) return;
  const std::lock_guard lock(ranges_mutex);
  range_->num_bytes.store(0, std::memory_order_release);
  range_->taken = false;
}

}  // namespace qwen25
