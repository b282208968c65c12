// The part of BlockStore for upkeep: pins, erasure, compaction, statistics, verification.
#include <algorithm>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "memory/block_store.h"
#include "memory/block_store_state.h"
#include "store/namespace_name.h"

namespace qwen25 {

Status BlockStore::Pin(std::string_view name_space, bool pinned) {
  QWEN25_RETURN_IF_ERROR(CheckNamespace(name_space));
  const std::lock_guard writing(state_->writing);
  const BlockCatalog& catalog = *state_->catalog;
  const auto number = catalog.FindNamespace(name_space);
  if (number ? catalog.namespaces().at(*number).pinned == pinned : !pinned) return {};
  BlockCatalog::Change change;
  change.namespaces[number.value_or(catalog.next_namespace())] = {std::string(name_space), pinned};
  return state_->Commit(std::move(change));
}

Status BlockStore::Erase(std::string_view name_space) {
  const std::lock_guard writing(state_->writing);
  {
    // Also if nothing is stored: a writer may be about to store blocks.
    const std::unique_lock lock(state_->content);
    ++state_->num_erasures[std::string(name_space)];
  }
  BlockCatalog& catalog = *state_->catalog;
  const auto number = catalog.FindNamespace(name_space);
  if (!number) return {};
  BlockCatalog::Change change;
  change.removed_namespaces = {*number};
  std::set<uint32_t> unused;
  for (const auto& [format, description] : catalog.formats()) unused.insert(format);
  for (const auto& [key, entry] : catalog.entries()) {
    if (key.name_space == *number) {
      change.removed.push_back(entry.get());
    } else {
      unused.erase(key.format);
    }
  }
  change.removed_formats.assign(unused.begin(), unused.end());
  return state_->CommitWithoutTrace(std::move(change));
}

Status BlockStore::State::CommitWithoutTrace(BlockCatalog::Change change) {
  change.needs_compaction = true;
  QWEN25_RETURN_IF_ERROR(Commit(std::move(change)));
  // If one file fails, the others are still emptied. Slots that Commit could not empty are tried again.
  Status status;
  const auto note = [&](const Status& part) {
    if (status.ok()) status = part;
  };
  for (auto& [slot_bytes, of] : slots) {
    note(of.file.EmptyFreeSlots());
    note(of.file.Sync());
  }
  note(catalog->Compact());
  return status;
}

Result<size_t> BlockStore::RemovePassages(std::string_view name_space, const PassageFilter& removes,
                                          bool erase) {
  const std::lock_guard writing(state_->writing);
  const auto number = state_->catalog->FindNamespace(name_space);
  BlockCatalog::Change change;
  for (const auto& [key, entry] : state_->catalog->entries()) {
    if (key.name_space != number || (entry->position & kPassageBlock) == 0) continue;
    if (removes(state_->FormatOf(*entry), entry->parent, key.id)) change.removed.push_back(entry.get());
  }
  const size_t count = change.removed.size();
  if (erase) {
    QWEN25_RETURN_IF_ERROR(state_->CommitWithoutTrace(std::move(change)));
  } else if (count > 0) {
    QWEN25_RETURN_IF_ERROR(state_->Commit(std::move(change)));
  }
  return count;
}

Status BlockStore::State::MoveToFront(Slots& of) {
  BlockCatalog::Change change;
  std::vector<uint32_t> targets;
  std::vector<std::byte> buffer(of.file.slot_bytes());
  Status status;
  for (size_t slot = of.owners.size(); slot-- > of.file.lowest_free() && status.ok();) {
    if (of.owners[slot] == nullptr) continue;
    // A block that cannot be read stays in its slot.
    if (!of.file.Read(static_cast<uint32_t>(slot), 0, buffer).ok()) continue;
    targets.push_back(of.file.Take());
    change.moved.emplace_back(of.owners[slot], targets.back());
    status = of.file.Write(targets.back(), buffer);
  }
  if (targets.empty()) return {};
  if (status.ok()) status = of.file.Sync();
  if (status.ok()) status = Commit(std::move(change));
  if (!status.ok()) {
    for (const uint32_t slot : targets) static_cast<void>(of.file.Release(slot));
  }
  return status;
}

Result<uint64_t> BlockStore::Compact() {
  const auto disk_bytes = [&] {
    uint64_t sum = state_->catalog->FileBytes();
    for (const auto& [slot_bytes, of] : state_->slots) sum += of.file.DiskBytes();
    return sum;
  };
  const std::lock_guard writing(state_->writing);
  state_->CountUses();
  const uint64_t before = disk_bytes();
  for (auto& [slot_bytes, of] : state_->slots) {
    QWEN25_RETURN_IF_ERROR(state_->MoveToFront(of));
    QWEN25_RETURN_IF_ERROR(of.file.EmptyFreeSlots());
    QWEN25_RETURN_IF_ERROR(of.file.Sync());
    const std::unique_lock lock(state_->content);
    of.owners.resize(of.file.end_slot());
  }
  QWEN25_RETURN_IF_ERROR(state_->catalog->Compact());
  const uint64_t after = disk_bytes();
  return before > after ? before - after : 0;
}

BlockStoreStats BlockStore::Stats() const {
  const std::shared_lock lock(state_->content);
  const BlockCatalog& catalog = *state_->catalog;
  BlockStoreStats stats = {.num_blocks = catalog.entries().size(),
                           .max_bytes = state_->max_bytes,
                           .index_bytes = catalog.FileBytes(),
                           .num_eviction_walks = state_->num_eviction_walks};
  stats.used_bytes = state_->used_bytes + stats.index_bytes;
  std::map<uint32_t, BlockStoreStats::Namespace> namespaces;
  for (const auto& [number, row] : catalog.namespaces()) {
    namespaces[number] = {.name = row.name, .pinned = row.pinned};
  }
  for (const auto& [key, entry] : catalog.entries()) {
    BlockStoreStats::Namespace& of = namespaces.at(key.name_space);
    ++of.num_blocks;
    of.num_passage_blocks += (entry->position & kPassageBlock) != 0;
    of.used_bytes += state_->BytesOf(*entry);
  }
  for (auto& [number, of] : namespaces) {
    if (of.pinned) stats.num_pinned += of.num_blocks;
    stats.namespaces.push_back(std::move(of));
  }
  return stats;
}

Result<BlockStoreReport> BlockStore::Verify(
    const std::function<bool(uint64_t done, uint64_t total)>& progress) const {
  const std::shared_lock lock(state_->content);
  std::vector<const BlockEntry*> entries;
  for (const auto& [key, entry] : state_->catalog->entries()) entries.push_back(entry.get());
  // In the order of their places on disk.
  std::ranges::sort(entries, {}, [&](const BlockEntry* entry) {
    return State::Handle(state_->BytesOf(*entry), entry->slot);
  });
  BlockStoreReport report = {.damaged = state_->catalog->damage()};
  std::vector<std::byte> buffer;
  for (const BlockEntry* entry : entries) {
    const BlockFormat& format = state_->FormatOf(*entry);
    const auto header = state_->ReadHeader(*entry);
    Status status = header.status();
    for (size_t part = 0; status.ok() && part <= format.num_layers; ++part) {
      buffer.resize(part < format.num_layers ? format.layer_bytes : SlotLayout(format).summaries_bytes);
      status = state_->ReadPart(*entry, *header, part, buffer);
    }
    if (!status.ok()) report.damaged.push_back(status.message());
    ++report.num_checked;
    if (progress && !progress(report.num_checked, entries.size())) {
      return Cancelled("stopped after {} of {} blocks", report.num_checked, entries.size());
    }
  }
  return report;
}

}  // namespace qwen25
