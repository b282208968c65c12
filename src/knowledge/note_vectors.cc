// Computes the vectors of notes, and keeps the graphs that find them in step with their table.
#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "knowledge/note_rows.h"
#include "knowledge/note_store.h"

namespace qwen25 {
namespace {

// A cache is written if more than 1/kChangesPerSave of its vectors have changed.
constexpr size_t kChangesPerSave = 16;
// Rounds of embedding chunks that were added meanwhile. Later ones are embedded while other writers wait.
constexpr int kMostRounds = 16;

}  // namespace

Result<std::optional<EmbedderId>> NoteStore::StoredEmbedder() {
  QWEN25_TRY(const std::string name, GetSetting("embedder_name"));
  if (name.empty()) return std::optional<EmbedderId>();
  EmbedderId id{.name = name};
  QWEN25_TRY(const std::string dimension, GetSetting("embedder_dimension"));
  if (dimension.empty() || dimension.size() > 6 || !std::ranges::all_of(dimension, ::isdigit)) {
    return Corrupt("{}: the embedder's dimension is \"{}\", expected a number of at most 6 digits",
                   database_.path(), dimension);
  }
  id.dimension = static_cast<uint32_t>(std::stoul(dimension));
  QWEN25_TRY(id.fingerprint, GetSetting("embedder_fingerprint"));
  return std::optional<EmbedderId>(id);
}

Status NoteStore::CheckEmbedder() {
  if (embedder_ == nullptr) return {};
  QWEN25_TRY(const std::optional<EmbedderId> stored, StoredEmbedder());
  const EmbedderId& id = embedder_->id();
  if (!stored || *stored == id) return {};
  // Vectors of older rules are good enough in a store that cannot be written to.
  if (database_.read_only() && embedder_->is_renewed_by_itself() && stored->name == id.name &&
      stored->dimension == id.dimension) {
    return {};
  }
  return InvalidArgument(
      "{}: its vectors were made by {}, but the embedder is {}; vectors of the two cannot be compared. Use "
      "the first one, or run `qwen25 memory reindex` with the second",
      database_.path(), stored->ToString(), embedder_->id().ToString());
}

Status NoteStore::RememberEmbedder() {
  QWEN25_RETURN_IF_ERROR(SetSetting("embedder_name", embedder_->id().name));
  QWEN25_RETURN_IF_ERROR(SetSetting("embedder_dimension", std::to_string(embedder_->id().dimension)));
  return SetSetting("embedder_fingerprint", embedder_->id().fingerprint);
}

// Recomputes vectors of older rules if the embedder is so cheap that nobody need ask for it.
Status NoteStore::RenewVectorsIfNeeded() {
  if (embedder_ == nullptr || !embedder_->is_renewed_by_itself()) return {};
  QWEN25_TRY(const std::optional<EmbedderId> stored, StoredEmbedder());
  const EmbedderId& id = embedder_->id();
  if (!stored || *stored == id || stored->name != id.name || stored->dimension != id.dimension) return {};
  return database_.read_only() ? Status() : EmbedAgain({});
}

Result<std::vector<float>> NoteStore::Embed(std::span<const std::string> texts) {
  const size_t dimension = embedder_->id().dimension;
  std::vector<float> vectors(texts.size() * dimension);
  for (size_t begin = 0; begin < texts.size(); begin += kEmbedBatch) {
    const size_t count = std::min(kEmbedBatch, texts.size() - begin);
    QWEN25_RETURN_IF_ERROR(
        embedder_->Embed(EmbedKind::kPassage, texts.subspan(begin, count),
                         std::span(vectors).subspan(begin * dimension, count * dimension)));
  }
  return vectors;
}

Status NoteStore::StoreVector(int64_t chunk, std::span<const uint16_t> encoded) {
  QWEN25_TRY(Statement insert,
             database_.Prepare("INSERT OR REPLACE INTO embeddings (chunk, vector, sum) VALUES (?, ?, ?)"));
  const auto bytes = std::as_bytes(encoded);
  return insert.Bind(1, chunk).BindBlob(2, bytes).Bind(3, VectorSum(chunk, bytes)).Run();
}

// The vectors are computed before the store is locked, so that others can write meanwhile.
Status NoteStore::EmbedAgain(const std::function<bool(uint64_t done, uint64_t total)>& progress) {
  const size_t dimension = embedder_->id().dimension;
  std::map<int64_t, std::vector<uint16_t>> made;  // by chunk
  const auto embed = [&](std::span<const int64_t> chunks) -> Status {
    QWEN25_TRY(Statement select, database_.Prepare("SELECT c.text, n.speaker FROM chunks c JOIN notes n ON "
                                                   "n.id = c.note WHERE c.id = ?"));
    std::vector<int64_t> ids;
    std::vector<std::string> texts;
    for (const int64_t chunk : chunks) {
      QWEN25_TRY(const bool row, select.Bind(1, chunk).Step());
      if (!row) continue;  // forgotten meanwhile
      ids.push_back(chunk);
      texts.push_back(SaidText(select.Text(1), select.Text(0)));
    }
    QWEN25_TRY(const std::vector<float> vectors, Embed(texts));
    for (size_t i = 0; i < ids.size(); ++i) {
      made[ids[i]] = EncodeVector(std::span(vectors).subspan(i * dimension, dimension));
    }
    return {};
  };
  const auto missing = [&]() -> Result<std::vector<int64_t>> {
    QWEN25_TRY(std::vector<int64_t> chunks, Ids("SELECT id FROM chunks ORDER BY id"));
    std::erase_if(chunks, [&](int64_t chunk) { return made.contains(chunk); });
    return chunks;
  };
  for (int round = 0; round < kMostRounds; ++round) {  // others may add notes meanwhile
    QWEN25_TRY(const std::vector<int64_t> chunks, missing());
    const size_t total = made.size() + chunks.size();
    for (size_t begin = 0; begin < chunks.size(); begin += kEmbedBatch) {
      const size_t count = std::min(kEmbedBatch, chunks.size() - begin);
      QWEN25_RETURN_IF_ERROR(embed(std::span(chunks).subspan(begin, count)));
      if (progress && !progress(made.size(), total)) return Cancelled("stopped; the store has not changed");
    }
    if (chunks.empty()) break;
  }
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(const std::vector<int64_t> last, missing());
  QWEN25_RETURN_IF_ERROR(embed(last));
  QWEN25_TRY(const std::vector<int64_t> now, Ids("SELECT id FROM chunks ORDER BY id"));
  QWEN25_RETURN_IF_ERROR(database_.Execute("DELETE FROM embeddings"));
  for (const int64_t chunk : now) QWEN25_RETURN_IF_ERROR(StoreVector(chunk, made[chunk]));
  QWEN25_RETURN_IF_ERROR(RememberEmbedder());
  QWEN25_RETURN_IF_ERROR(database_.Execute("DELETE FROM settings WHERE key LIKE 'vectors_%'"));
  return transaction.Commit();
}

Result<std::unique_ptr<NoteStore>> NoteStore::Reindex(
    const std::filesystem::path& directory, Embedder* embedder,
    const std::function<bool(uint64_t done, uint64_t total)>& progress, const NoteStoreOptions& options) {
  QWEN25_CHECK(embedder != nullptr);
  QWEN25_TRY(std::unique_ptr<NoteStore> store, OpenUnchecked(directory, embedder, options));
  QWEN25_RETURN_IF_ERROR(store->EmbedAgain(progress));
  return store;
}

std::string NoteStore::CachePath(int64_t name_space) const {
  return (directory_ / fmt::format("notes.vectors-{}.hnsw", name_space)).string();
}

// Removes caches of an earlier database. Their vectors would stay on disk, and in the clear even if this
// database is encrypted.
void NoteStore::RemoveForeignCaches() const {
  std::error_code error;
  std::vector<std::filesystem::path> caches;
  for (std::filesystem::directory_iterator item(directory_, error), end; !error && item != end;
       item.increment(error)) {
    if (item->path().filename().string().starts_with("notes.vectors-")) caches.push_back(item->path());
  }
  for (const std::filesystem::path& cache : caches) std::filesystem::remove(cache, error);
}

Status NoteStore::UpdateIndex(int64_t name_space, NamespaceIndex& index) {
  QWEN25_TRY(const int64_t version, DataVersion());
  if (index.vectors && index.data_version == version) return {};
  QWEN25_RETURN_IF_ERROR(CheckEmbedder());  // another process may have computed all vectors anew
  const uint32_t dimension = embedder_->id().dimension;
  if (!index.vectors) {
    QWEN25_TRY(const std::string hash, GetSetting(fmt::format("vectors_{}", name_space)));
    if (hash.size() == 16) {
      const uint64_t wanted = std::strtoull(hash.c_str(), nullptr, 16);
      if (auto loaded = VectorIndex::Load(CachePath(name_space), dimension, wanted, CacheCipher());
          loaded.ok()) {
        index.vectors.emplace(std::move(*loaded));
      }
    }
    if (!index.vectors) index.vectors.emplace(dimension);
  }
  // Ids are never used twice and vectors never change, so that comparing the sets of ids is enough.
  std::unordered_set<int64_t> gone = index.vectors->ids();
  std::vector<int64_t> fresh;
  {
    QWEN25_TRY(Statement ids,
               database_.Prepare("SELECT c.id FROM chunks c JOIN embeddings e ON e.chunk = c.id "
                                 "WHERE c.namespace = ? ORDER BY c.id"));
    ids.Bind(1, name_space);
    while (true) {
      QWEN25_TRY(const bool row, ids.Step());
      if (!row) break;
      if (gone.erase(ids.Int(0)) == 0) fresh.push_back(ids.Int(0));
    }
  }
  if (index.vectors->num_removed() + gone.size() > index.vectors->size() + fresh.size() && !gone.empty()) {
    // More removed vectors than others: a new graph is smaller and faster.
    index.vectors.emplace(dimension);
    return UpdateIndex(name_space, index);
  }
  for (const int64_t id : gone) index.vectors->Remove(id);
  QWEN25_TRY(Statement vector, database_.Prepare("SELECT vector FROM embeddings WHERE chunk = ?"));
  std::vector<float> decoded(dimension);
  for (const int64_t id : fresh) {
    QWEN25_TRY(const bool row, vector.Bind(1, id).Step());
    const std::span<const std::byte> bytes = row ? vector.Blob(0) : std::span<const std::byte>();
    if (bytes.size() != dimension * sizeof(uint16_t)) {
      return Corrupt(
          "{}: the vector of chunk {} has {} bytes, expected {}; `qwen25 memory reindex` makes it again",
          database_.path(), id, bytes.size(), dimension * sizeof(uint16_t));
    }
    for (uint32_t d = 0; d < dimension; ++d) {
      uint16_t half;
      std::memcpy(&half, bytes.data() + d * sizeof half, sizeof half);
      decoded[d] = Float16ToFloat(half);
    }
    QWEN25_RETURN_IF_ERROR(index.vectors->Add(id, decoded));
  }
  index.num_changes += gone.size() + fresh.size();
  index.data_version = version;
  return {};
}

Result<NoteStore::NamespaceIndex*> NoteStore::IndexOf(int64_t name_space) {
  NamespaceIndex& index = indexes_[name_space];
  QWEN25_RETURN_IF_ERROR(UpdateIndex(name_space, index));
  return &index;
}

Status NoteStore::SaveVectorCaches() {
  const auto has_changed = [](const auto& entry) {
    const NamespaceIndex& index = entry.second;
    return index.vectors && index.num_changes * kChangesPerSave > index.vectors->size();
  };
  if (database_.read_only() || std::ranges::none_of(indexes_, has_changed)) return {};
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  if (!CheckEmbedder().ok()) return {};  // the vectors were computed anew: these are of no use any more
  for (auto& entry : indexes_) {
    if (!has_changed(entry)) continue;
    auto& [name_space, index] = entry;
    QWEN25_TRY(const uint64_t hash, index.vectors->Save(CachePath(name_space), CacheCipher()));
    QWEN25_RETURN_IF_ERROR(SetSetting(fmt::format("vectors_{}", name_space), fmt::format("{:016x}", hash)));
    index.num_changes = 0;
  }
  return transaction.Commit();
}

}  // namespace qwen25
