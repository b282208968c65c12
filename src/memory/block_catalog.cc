#include "memory/block_catalog.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "memory/slot_file.h"
#include "memory/slot_header.h"

namespace qwen25 {
namespace {

constexpr uint32_t kPlainVersion = 1;
constexpr uint32_t kEncryptedVersion = 2;  // version 1 did not encrypt names of namespaces
constexpr const char* kFileName = "index.mdb";
constexpr const char* kTemporaryName = "index.mdb.tmp";
constexpr size_t kMaxNameBytes = 200;
constexpr std::string_view kKeyCheckText = "the key of this memory";

enum Table : LmdbTable { kMeta, kNamespaces, kFormats, kBlocks };
constexpr const char* kTableNames[] = {"meta", "namespaces", "formats", "blocks"};

// Records before Protect.
struct BlockRecord {
  uint64_t sequence, last_used;
  Hash128 id, parent;
  uint32_t position, slot, num_uses, zero;
};
struct FormatRecord {
  Hash128 fingerprint;
  uint32_t num_layers, layer_bytes, summary_bytes, zero;
};
// The key of a block's record. In an encrypted store `id` is a keyed hash (Cipher::Hide).
struct BlockName {
  uint32_t name_space, format;
  std::array<std::byte, 16> id;
};
static_assert(sizeof(BlockRecord) == 64 && sizeof(FormatRecord) == 32 && sizeof(BlockName) == 24);

template <typename T>
LmdbBytes BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}
LmdbBytes TextBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Keys of the table meta.
const LmdbBytes kVersionKey = TextBytes("version");
const LmdbBytes kCountersKey = TextBytes("counters");
const LmdbBytes kKeyCheckKey = TextBytes("key check");

template <typename T>
std::optional<T> FromBytes(LmdbBytes bytes) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// A record as it is stored: sealed, or followed by a CRC-32C over key and record. Both bind it to its key, so
// that records cannot be swapped unnoticed.
std::vector<std::byte> Protect(LmdbBytes key, LmdbBytes record, const Cipher* cipher) {
  if (cipher != nullptr) return cipher->Seal(record, key);
  std::vector<std::byte> stored(record.begin(), record.end());
  const uint32_t crc = Crc32c(record, Crc32c(key));
  const LmdbBytes sum = BytesOf(crc);
  stored.insert(stored.end(), sum.begin(), sum.end());
  return stored;
}

std::optional<std::vector<std::byte>> Unprotect(LmdbBytes key, LmdbBytes stored, const Cipher* cipher) {
  if (cipher != nullptr) return cipher->Unseal(stored, key);
  if (stored.size() < sizeof(uint32_t)) return std::nullopt;
  const LmdbBytes record = stored.first(stored.size() - sizeof(uint32_t));
  if (FromBytes<uint32_t>(stored.last(sizeof(uint32_t))) != Crc32c(record, Crc32c(key))) return std::nullopt;
  return std::vector<std::byte>(record.begin(), record.end());
}

// What the sealed record of a namespace is bound to. The number alone may also be the key of a format.
std::array<uint32_t, 2> NamespaceContext(uint32_t number) {
  return {number, 0x656D616E};
}  // "name"

BlockName NameOf(const BlockKey& key, const Cipher* cipher) {
  BlockName name = {.name_space = key.name_space, .format = key.format};
  std::memcpy(name.id.data(), &key.id, sizeof key.id);
  if (cipher != nullptr) name.id = cipher->Hide(BytesOf(name));
  return name;
}

Status CorruptRecord(const std::string& path, std::string_view what) {
  return Corrupt(
      "{}: {} is damaged; restore the folder from a backup, or move it away: blocks can be computed again",
      path, what);
}

}  // namespace

Result<std::unique_ptr<BlockCatalog>> BlockCatalog::Open(const std::filesystem::path& folder,
                                                         uint64_t max_bytes, const Cipher* cipher) {
  std::error_code ignored;
  std::filesystem::remove(folder / kTemporaryName, ignored);  // of a process that was killed
  if (!std::filesystem::exists(folder / kFileName, ignored)) {
    QWEN25_RETURN_IF_ERROR(Create(folder, cipher));
  }
  // Room to work even with a tiny budget. The map takes address space, not memory.
  constexpr uint64_t kLeastMapBytes = uint64_t{64} << 20;
  const uint64_t map_bytes = (max_bytes / kLeastMapBytes + 1) * kLeastMapBytes;
  QWEN25_TRY(LmdbEnvironment database, LmdbEnvironment::Open(folder / kFileName, map_bytes, kTableNames));
  std::unique_ptr<BlockCatalog> catalog(new BlockCatalog(folder, cipher, std::move(database)));
  QWEN25_RETURN_IF_ERROR(catalog->Load());
  if (catalog->counters_.needs_compaction != 0) QWEN25_RETURN_IF_ERROR(catalog->Compact());
  return catalog;
}

// Written under a temporary name first, so that a file with the final name is complete.
Status BlockCatalog::Create(const std::filesystem::path& folder, const Cipher* cipher) {
  std::error_code error;
  for (std::filesystem::directory_iterator item(folder, error), end; !error && item != end;
       item.increment(error)) {
    if (item->path().extension() != ".kv") continue;
    return Corrupt("{}: is missing, but {} needs it as its index; restore it from a backup, or remove both",
                   (folder / kFileName).string(), item->path().filename().string());
  }
  if (error) return ErrnoStatus(error.value(), "read", folder.string());
  {
    QWEN25_TRY(LmdbEnvironment database,
               LmdbEnvironment::Open(folder / kTemporaryName, uint64_t{64} << 20, kTableNames));
    QWEN25_TRY(LmdbTransaction transaction, database.BeginWrite());
    const uint32_t version = cipher == nullptr ? kPlainVersion : kEncryptedVersion;
    QWEN25_RETURN_IF_ERROR(transaction.Put(kMeta, kVersionKey, BytesOf(version)));
    const Counters counters;
    QWEN25_RETURN_IF_ERROR(
        transaction.Put(kMeta, kCountersKey, Protect(kCountersKey, BytesOf(counters), nullptr)));
    if (cipher != nullptr) {
      QWEN25_RETURN_IF_ERROR(
          transaction.Put(kMeta, kKeyCheckKey, cipher->Seal(TextBytes(kKeyCheckText), kKeyCheckKey)));
    }
    QWEN25_RETURN_IF_ERROR(transaction.Commit());
  }
  std::filesystem::rename(folder / kTemporaryName, folder / kFileName, error);
  if (error) return ErrnoStatus(error.value(), "create", (folder / kFileName).string());
  return SyncDirectory(folder);
}

Status BlockCatalog::CheckVersionAndKey(const LmdbTransaction& transaction) {
  QWEN25_TRY(const auto stored, transaction.Get(kMeta, kVersionKey));
  const auto version = stored ? FromBytes<uint32_t>(*stored) : std::nullopt;
  if (!version) return Corrupt("{}: is not the index of a memory; choose another folder", path());
  QWEN25_TRY(const auto check, transaction.Get(kMeta, kKeyCheckKey));
  const uint32_t known = check ? kEncryptedVersion : kPlainVersion;
  if (*version != known) {
    return Unsupported(
        "{}: has version {} of the {} format, this program reads {}; use {} program, or remove the folder: "
        "its blocks can be computed again",
        path(), *version, check ? "encrypted" : "plain", known, *version > known ? "a newer" : "an older");
  }
  if (check && cipher_ == nullptr) {
    return InvalidArgument(
        "{}: this memory is encrypted; give the key that it was made with (--memory-key FILE)", path());
  }
  if (!check && cipher_ != nullptr) {
    return InvalidArgument("{}: this memory is not encrypted; open it without a key", path());
  }
  if (check && !cipher_->Unseal(*check, kKeyCheckKey)) {
    if (!OpensAny(transaction)) {
      return InvalidArgument("{}: the key is not the one that this memory was made with", path());
    }
    key_check_is_damaged_ = true;
    damage_.push_back(
        fmt::format("{}: the record that identifies its key is damaged; it will be rewritten", path()));
  }
  return {};
}

bool BlockCatalog::OpensAny(const LmdbTransaction& transaction) const {
  bool opens = false;
  const auto try_table = [&](Table table, const auto& context_of) {
    const Status status = transaction.ForEach(table, [&](LmdbBytes key, LmdbBytes value) -> Status {
      opens = opens || cipher_->Unseal(value, context_of(key)).has_value();
      return opens ? Cancelled("found") : Status();
    });
    static_cast<void>(status);
  };
  std::array<uint32_t, 2> context;
  try_table(kNamespaces, [&](LmdbBytes key) {
    context = NamespaceContext(FromBytes<uint32_t>(key).value_or(0));
    return BytesOf(context);
  });
  const auto itself = [](LmdbBytes key) { return key; };
  try_table(kFormats, itself);
  try_table(kBlocks, itself);
  return opens;
}

Status BlockCatalog::Load() {
  QWEN25_TRY(const LmdbTransaction transaction, database_.BeginRead());
  QWEN25_RETURN_IF_ERROR(CheckVersionAndKey(transaction));
  QWEN25_TRY(const auto stored, transaction.Get(kMeta, kCountersKey));
  const auto bytes = stored ? Unprotect(kCountersKey, *stored, nullptr) : std::nullopt;
  const auto counters = bytes ? FromBytes<Counters>(*bytes) : std::nullopt;
  if (!counters) return CorruptRecord(path(), "the record of its counters");
  counters_ = *counters;
  // Blocks come last: a block is valid only if its namespace and its format are.
  using LoadRecord = bool (BlockCatalog::*)(LmdbBytes key, LmdbBytes value);
  struct Kind {
    Table table;
    const char* name;
    LoadRecord load;
  };
  for (const auto& [table, name, load] : {Kind{kNamespaces, "namespaces", &BlockCatalog::LoadNamespace},
                                          Kind{kFormats, "formats", &BlockCatalog::LoadFormat},
                                          Kind{kBlocks, "blocks", &BlockCatalog::LoadBlock}}) {
    const size_t before = damaged_.size();
    QWEN25_RETURN_IF_ERROR(transaction.ForEach(table, [&](LmdbBytes key, LmdbBytes value) -> Status {
      if (!(this->*load)(key, value)) damaged_.emplace_back(table, std::vector(key.begin(), key.end()));
      return {};
    }));
    if (damaged_.size() > before) {
      damage_.push_back(
          fmt::format("{}: {} records of {} are damaged; their blocks are lost, and can be computed again",
                      path(), damaged_.size() - before, name));
    }
  }
  return {};
}

bool BlockCatalog::LoadNamespace(LmdbBytes key, LmdbBytes value) {
  const auto number = FromBytes<uint32_t>(key);
  const auto context = NamespaceContext(number.value_or(0));
  const auto record = Unprotect(cipher_ == nullptr ? key : BytesOf(context), value, cipher_);
  if (!number || *number >= counters_.next_namespace || !record || record->size() < 2 ||
      record->size() > 1 + kMaxNameBytes || (*record)[0] > std::byte{1}) {
    return false;
  }
  namespaces_[*number] = {
      .name = std::string(reinterpret_cast<const char*>(record->data()) + 1, record->size() - 1),
      .pinned = (*record)[0] == std::byte{1}};
  return true;
}

bool BlockCatalog::LoadFormat(LmdbBytes key, LmdbBytes value) {
  const auto number = FromBytes<uint32_t>(key);
  const auto bytes = Unprotect(key, value, cipher_);
  const auto record = bytes ? FromBytes<FormatRecord>(*bytes) : std::nullopt;
  if (!number || *number >= counters_.next_format || !record) return false;
  const BlockFormat format = {.fingerprint = record->fingerprint,
                              .num_layers = record->num_layers,
                              .layer_bytes = record->layer_bytes,
                              .summary_bytes = record->summary_bytes};
  if (!ValidateBlockFormat(format).ok()) return false;
  formats_[*number] = format;
  return true;
}

bool BlockCatalog::LoadBlock(LmdbBytes key, LmdbBytes value) {
  const auto name = FromBytes<BlockName>(key);
  const auto bytes = name ? Unprotect(key, value, cipher_) : std::nullopt;
  const auto record = bytes ? FromBytes<BlockRecord>(*bytes) : std::nullopt;
  if (!record) return false;
  auto entry = std::make_unique<BlockEntry>();
  entry->key = {name->name_space, name->format, record->id};
  if (NameOf(entry->key, cipher_).id != name->id || !namespaces_.contains(name->name_space) ||
      !formats_.contains(name->format) || record->slot >= SlotFile::kMaxSlots ||
      record->sequence >= counters_.sequence || record->last_used > counters_.clock) {
    return false;
  }
  entry->parent = record->parent;
  entry->position = record->position;
  entry->slot = record->slot;
  entry->sequence = record->sequence;
  entry->last_used = record->last_used;
  entry->num_uses = record->num_uses;
  entry->checked = std::make_unique<std::atomic<uint8_t>[]>(formats_[name->format].num_layers);
  entries_.emplace(entry->key, std::move(entry));
  return true;
}

void BlockCatalog::Use(BlockEntry& entry) {
  entry.last_used = counters_.clock;
  if (entry.num_uses < UINT32_MAX) ++entry.num_uses;
  unsaved_.insert(&entry);
}

BlockEntry* BlockCatalog::Find(const BlockKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : found->second.get();
}

std::optional<uint32_t> BlockCatalog::FindNamespace(std::string_view name) const {
  const auto found =
      std::ranges::find_if(namespaces_, [&](const auto& item) { return item.second.name == name; });
  return found == namespaces_.end() ? std::nullopt : std::optional(found->first);
}

std::optional<uint32_t> BlockCatalog::FindFormat(const BlockFormat& format) const {
  const auto found = std::ranges::find_if(formats_, [&](const auto& item) { return item.second == format; });
  return found == formats_.end() ? std::nullopt : std::optional(found->first);
}

Status BlockCatalog::Save(const Change& change) {
  Counters counters = counters_;
  for (const auto& entry : change.added) counters.sequence = std::max(counters.sequence, entry->sequence + 1);
  for (const auto& [number, row] : change.namespaces) {
    counters.next_namespace = std::max(counters.next_namespace, number + 1);
  }
  for (const auto& [number, format] : change.formats) {
    counters.next_format = std::max(counters.next_format, number + 1);
  }
  if (change.needs_compaction) counters.needs_compaction = 1;
  {
    QWEN25_TRY(LmdbTransaction transaction, database_.BeginWrite());
    QWEN25_RETURN_IF_ERROR(Write(transaction, change, counters));
    QWEN25_RETURN_IF_ERROR(transaction.Commit());
  }
  counters_ = counters;
  unsaved_.clear();
  damaged_.clear();
  key_check_is_damaged_ = false;
  return {};
}

Status BlockCatalog::Commit(Change change) {
  QWEN25_RETURN_IF_ERROR(Save(change));
  Apply(std::move(change));
  return {};
}

Status BlockCatalog::Write(LmdbTransaction& transaction, const Change& change,
                           const Counters& counters) const {
  // Before all else: an added record may have the key of a damaged one.
  for (const auto& [table, key] : damaged_) QWEN25_RETURN_IF_ERROR(transaction.Delete(table, key));
  if (key_check_is_damaged_) {
    QWEN25_RETURN_IF_ERROR(
        transaction.Put(kMeta, kKeyCheckKey, cipher_->Seal(TextBytes(kKeyCheckText), kKeyCheckKey)));
  }
  for (const BlockEntry* entry : change.removed) {
    QWEN25_RETURN_IF_ERROR(transaction.Delete(kBlocks, BytesOf(NameOf(entry->key, cipher_))));
  }
  for (const uint32_t number : change.removed_namespaces) {
    QWEN25_RETURN_IF_ERROR(transaction.Delete(kNamespaces, BytesOf(number)));
  }
  for (const uint32_t number : change.removed_formats) {
    QWEN25_RETURN_IF_ERROR(transaction.Delete(kFormats, BytesOf(number)));
  }
  for (const auto& [number, row] : change.namespaces) {
    QWEN25_CHECK(!row.name.empty() && row.name.size() <= kMaxNameBytes);
    const std::string record = std::string(1, row.pinned ? '\1' : '\0') + row.name;
    const LmdbBytes key = BytesOf(number);
    const auto context = NamespaceContext(number);
    QWEN25_RETURN_IF_ERROR(transaction.Put(
        kNamespaces, key, Protect(cipher_ == nullptr ? key : BytesOf(context), TextBytes(record), cipher_)));
  }
  for (const auto& [number, format] : change.formats) {
    const FormatRecord record = {format.fingerprint, format.num_layers, format.layer_bytes,
                                 format.summary_bytes, 0};
    const LmdbBytes key = BytesOf(number);
    QWEN25_RETURN_IF_ERROR(transaction.Put(kFormats, key, Protect(key, BytesOf(record), cipher_)));
  }
  for (const auto& entry : change.added) {
    QWEN25_RETURN_IF_ERROR(WriteBlock(transaction, *entry, entry->slot));
  }
  // Removed entries were deleted above; writing their uses would bring them back.
  const std::set<const BlockEntry*> gone(change.removed.begin(), change.removed.end());
  for (const BlockEntry* entry : unsaved_) {
    if (!gone.contains(entry)) QWEN25_RETURN_IF_ERROR(WriteBlock(transaction, *entry, entry->slot));
  }
  for (const auto& [entry, slot] : change.moved) {
    QWEN25_RETURN_IF_ERROR(WriteBlock(transaction, *entry, slot));
  }
  return transaction.Put(kMeta, kCountersKey, Protect(kCountersKey, BytesOf(counters), nullptr));
}

Status BlockCatalog::WriteBlock(LmdbTransaction& transaction, const BlockEntry& entry, uint32_t slot) const {
  const BlockRecord record = {
      entry.sequence, entry.last_used, entry.key.id, entry.parent, entry.position, slot, entry.num_uses, 0};
  const BlockName name = NameOf(entry.key, cipher_);
  return transaction.Put(kBlocks, BytesOf(name), Protect(BytesOf(name), BytesOf(record), cipher_));
}

void BlockCatalog::Apply(Change change) {
  for (const auto& [entry, slot] : change.moved) entry->slot = slot;
  for (const BlockEntry* entry : change.removed) entries_.erase(BlockKey(entry->key));
  for (const uint32_t number : change.removed_namespaces) namespaces_.erase(number);
  for (const uint32_t number : change.removed_formats) formats_.erase(number);
  for (auto& [number, row] : change.namespaces) namespaces_[number] = std::move(row);
  for (const auto& [number, format] : change.formats) formats_[number] = format;
  for (auto& entry : change.added) entries_.emplace(entry->key, std::move(entry));
}

Status BlockCatalog::Compact() {
  QWEN25_RETURN_IF_ERROR(database_.Compact(folder_ / kTemporaryName));
  if (counters_.needs_compaction == 0) return {};
  counters_.needs_compaction = 0;
  return Commit({});
}

uint64_t BlockCatalog::GrowthBound(uint64_t num_added, uint64_t num_removed) const {
  // LMDB's pages have the system's page size, at most 32 KiB.
  static const auto page = std::min<uint64_t>(static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)), 32768);
  // A changed or removed record copies its leaf and perhaps a neighbour; a transaction copies each page of
  // the file at most once. A new record may also split its leaf. The 16 pages are for the roots of the tables
  // and the list of free pages.
  const uint64_t copied = std::min((num_removed + unsaved_.size()) * 2 * page, FileBytes());
  return copied + (2 * num_added + 16) * page;
}

}  // namespace qwen25
