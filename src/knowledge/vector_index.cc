#include "knowledge/vector_index.h"

// hnswlib's hand-written SSE loops read one link past the end of a full list, to prefetch its vector. The
// portable loops do not; the distance function below is our own in any case.
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <numeric>

#include "base/file.h"
#include "base/hash.h"
#include "base/temporary_file.h"

namespace qwen25 {
namespace {

// Links per vector, and how many candidates building and searching look at: at 100,000 notes of 512
// dimensions these find more than 95 of the true 100 nearest (docs/benchmarks.md).
constexpr size_t kLinks = 16;
constexpr size_t kBuildCandidates = 128;
constexpr size_t kSearchCandidates = 128;
constexpr size_t kFirstCapacity = 1024;

// 1 - a . b, by independent sums that the compiler vectorises; the order of additions is fixed.
float CosineDistance(const void* a, const void* b, const void* dimension) {
  constexpr size_t kSums = 16;
  const auto *x = static_cast<const float*>(a), *y = static_cast<const float*>(b);
  const size_t count = *static_cast<const size_t*>(dimension);
  float sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (size_t j = 0; j < kSums; ++j) sums[j] += x[i + j] * y[i + j];
  }
  for (size_t j = 0; i + j < count; ++j) sums[j] += x[i + j] * y[i + j];
  return 1 - std::accumulate(sums, sums + kSums, 0.0f);
}

class CosineSpace : public hnswlib::SpaceInterface<float> {
 public:
  explicit CosineSpace(size_t dimension) : dimension_(dimension) {}
  size_t get_data_size() override { return dimension_ * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return CosineDistance; }
  void* get_dist_func_param() override { return &dimension_; }

 private:
  size_t dimension_;
};

// A file in RAM whose name exists only inside this process: hnswlib writes and reads files only, and plain
// vectors must not reach the disk.
class MemoryFile {
 public:
  static Result<MemoryFile> Make() {
    const int descriptor = ::memfd_create("qwen25-vectors", MFD_CLOEXEC);
    if (descriptor < 0) return ErrnoStatus(errno, "make", "a file in memory");
    return MemoryFile(descriptor);
  }
  MemoryFile(MemoryFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  MemoryFile& operator=(MemoryFile&&) = delete;
  ~MemoryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }
  Status Write(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) return ErrnoStatus(errno, "write", "a file in memory");
      bytes = bytes.subspan(static_cast<size_t>(std::max<ssize_t>(written, 0)));
    }
    return {};
  }

 private:
  explicit MemoryFile(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Binds a cache to its file name, so that caches cannot be swapped.
std::string CacheContext(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

}  // namespace

struct VectorIndex::Graph {
  explicit Graph(uint32_t dimension)
      : space(dimension), hnsw(&space, kFirstCapacity, kLinks, kBuildCandidates) {}
  // Without a capacity, hnswlib would load an empty graph with capacity 0, which could never grow.
  Graph(uint32_t dimension, const std::string& path)
      : space(dimension), hnsw(&space, path, /*nmslib=*/false, kFirstCapacity) {}

  CosineSpace space;
  hnswlib::HierarchicalNSW<float> hnsw;
};

VectorIndex::VectorIndex(uint32_t dimension)
    : graph_(std::make_unique<Graph>(dimension)), dimension_(dimension) {}
VectorIndex::~VectorIndex() = default;
VectorIndex::VectorIndex(VectorIndex&&) noexcept = default;
VectorIndex& VectorIndex::operator=(VectorIndex&&) noexcept = default;

Status VectorIndex::Add(int64_t id, std::span<const float> vector) {
  QWEN25_CHECK(vector.size() == dimension_ && !ids_.contains(id));
  auto& hnsw = graph_->hnsw;
  try {
    if (hnsw.cur_element_count == hnsw.max_elements_) hnsw.resizeIndex(hnsw.max_elements_ * 2);
    hnsw.addPoint(vector.data(), static_cast<hnswlib::labeltype>(id));
  } catch (const std::exception& error) {
    return ResourceExhausted("no memory to add to an index of {} vectors of {} numbers: {}", ids_.size(),
                             dimension_, error.what());
  }
  ids_.insert(id);
  return {};
}

void VectorIndex::Remove(int64_t id) {
  if (ids_.erase(id) == 0) return;
  graph_->hnsw.markDelete(static_cast<hnswlib::labeltype>(id));
  ++num_removed_;
}

std::vector<VectorHit> VectorIndex::Search(std::span<const float> query, size_t count) const {
  QWEN25_CHECK(query.size() == dimension_);
  std::vector<VectorHit> hits;
  if (ids_.empty() || count == 0) return hits;
  count = std::min(count, ids_.size());
  graph_->hnsw.setEf(std::max(kSearchCandidates, count + count / 2));
  auto nearest = graph_->hnsw.searchKnn(query.data(), count);
  for (; !nearest.empty(); nearest.pop()) {
    hits.push_back({static_cast<int64_t>(nearest.top().second), 1 - nearest.top().first});
  }
  std::ranges::sort(hits, [](const VectorHit& a, const VectorHit& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  return hits;
}

Result<uint64_t> VectorIndex::Save(const std::string& path, const Cipher* cipher) const {
  if (cipher != nullptr) return SaveSealed(path, *cipher);
  QWEN25_TRY(TemporaryFile temporary, TemporaryFile::Create(path));
  QWEN25_RETURN_IF_ERROR(WriteGraph(temporary.path()));
  uint64_t hash = 0;
  {
    QWEN25_TRY(const std::string content, ReadFile(temporary.path()));
    hash = Hash64(BytesOf(content));
  }
  QWEN25_RETURN_IF_ERROR(temporary.MoveToTarget());
  return hash;
}

Result<uint64_t> VectorIndex::SaveSealed(const std::string& path, const Cipher& cipher) const {
  std::vector<std::byte> sealed;
  {
    QWEN25_TRY(const MemoryFile plain, MemoryFile::Make());
    QWEN25_RETURN_IF_ERROR(WriteGraph(plain.path()));
    QWEN25_TRY(const std::string content, ReadFile(plain.path()));
    sealed = cipher.Seal(BytesOf(content), BytesOf(CacheContext(path)));
  }
  QWEN25_RETURN_IF_ERROR(
      WriteFileAtomically(path, {reinterpret_cast<const char*>(sealed.data()), sealed.size()}));
  return Hash64(std::span<const std::byte>(sealed));
}

Status VectorIndex::WriteGraph(const std::string& path) const {
  try {
    graph_->hnsw.saveIndex(path);
  } catch (const std::exception& error) {
    return Status(StatusCode::kIo, fmt::format("{}: cannot write: {}", path, error.what()));
  }
  return {};
}

Result<VectorIndex> VectorIndex::Load(const std::string& path, uint32_t dimension, uint64_t hash,
                                      const Cipher* cipher) {
  std::string graph_path = path;
  std::optional<MemoryFile> plain;
  {
    QWEN25_TRY(const std::string content, ReadFile(path));
    const auto opened =
        cipher == nullptr ? std::nullopt : cipher->Unseal(BytesOf(content), BytesOf(CacheContext(path)));
    if (Hash64(BytesOf(content)) != hash || (cipher != nullptr && !opened)) {
      return Corrupt("{}: is not the cache of vectors that was written here", path);
    }
    if (opened) {
      QWEN25_TRY(MemoryFile made, MemoryFile::Make());
      graph_path = plain.emplace(std::move(made)).path();
      QWEN25_RETURN_IF_ERROR(plain->Write(*opened));
    }
  }
  VectorIndex index(dimension);
  try {
    index.graph_ = std::make_unique<Graph>(dimension, graph_path);
  } catch (const std::exception& error) {
    return Corrupt("{}: cannot read the cache of vectors: {}", path, error.what());
  }
  const auto& hnsw = index.graph_->hnsw;
  for (size_t i = 0; i < hnsw.cur_element_count; ++i) {
    const auto internal = static_cast<hnswlib::tableint>(i);
    if (hnsw.isMarkedDeleted(internal)) {
      ++index.num_removed_;
    } else {
      index.ids_.insert(static_cast<int64_t>(hnsw.getExternalLabel(internal)));
    }
  }
  return index;
}

}  // namespace qwen25
