#include "memory/block_store.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "memory/block_eviction.h"
#include "memory/block_store_state.h"
#include "ops/attention/sequence_kv.h"
#include "store/namespace_name.h"

namespace qwen25 {

static_assert(kSlotTokens == kBlockTokens);

std::string HexId(const Hash128& id) {
  return fmt::format("{:016x}{:016x}", id.high, id.low);
}

BlockStore::BlockStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlockStore::BlockStore(BlockStore&&) noexcept = default;

BlockStore& BlockStore::operator=(BlockStore&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

BlockStore::~BlockStore() {
  if (state_ == nullptr) return;
  state_->CountUses();
  // If uses cannot be written, only the order of eviction suffers.
  if (state_->catalog->HasUnsaved()) static_cast<void>(state_->Commit({}));
}

Result<BlockStore> BlockStore::Open(const std::filesystem::path& folder, const Options& options) {
  std::optional<Cipher> cipher;
  if (options.key) {
    QWEN25_TRY(cipher, Cipher::Create(*options.key, KeyPurpose::kBlocks));
  }
  QWEN25_RETURN_IF_ERROR(CreateDirectories(folder));
  QWEN25_TRY(FolderLock lock, FolderLock::Acquire(folder));
  auto state = std::make_unique<State>(std::move(lock));
  state->folder = folder;
  state->max_bytes = options.max_bytes;
  state->cipher = std::move(cipher);
  QWEN25_TRY(state->catalog, BlockCatalog::Open(folder, options.max_bytes, state->CipherOrNull()));
  QWEN25_RETURN_IF_ERROR(state->OpenFiles());
  return BlockStore(std::move(state));
}

Status BlockStore::State::OpenFiles() {
  for (const auto& [key, entry] : catalog->entries()) {
    QWEN25_TRY(auto* of, OpenSlots(BytesOf(*entry)));
    if (entry->slot < of->owners.size() && of->owners[entry->slot] != nullptr) {
      return Corrupt(
          "{}: blocks {} and {} are in the same slot {} of {}; restore the folder from a backup, or move it "
          "away: its blocks can be computed again",
          catalog->path(), HexId(key.id), HexId(of->owners[entry->slot]->key.id), entry->slot,
          of->file.path());
    }
    of->file.MarkTaken(entry->slot);
    Own(*of, entry.get());
  }
  for (auto& [slot_bytes, of] : slots) {
    QWEN25_RETURN_IF_ERROR(of.file.EmptyFreeSlots());
    QWEN25_RETURN_IF_ERROR(of.file.Sync());
  }
  // Remove slot files that hold no block.
  std::error_code error;
  for (std::filesystem::directory_iterator item(folder, error), end; !error && item != end;
       item.increment(error)) {
    const std::filesystem::path path = item->path();
    const auto is_it = [&](const auto& of) { return of.second.file.path() == path; };
    if (path.extension() == ".kv" && std::ranges::none_of(slots, is_it)) std::filesystem::remove(path, error);
  }
  if (error) return ErrnoStatus(error.value(), "clean up", folder.string());
  return {};
}

Result<BlockStore::State::Slots*> BlockStore::State::OpenSlots(uint64_t slot_bytes) {
  if (const auto found = slots.find(slot_bytes); found != slots.end()) return &found->second;
  // Twice the budget: new blocks are written before old ones are given up. The map takes address space only.
  const uint64_t max_slots = std::min(2 * (max_bytes / slot_bytes + 1), SlotFile::kMaxSlots);
  QWEN25_TRY(SlotFile file, SlotFile::Open(folder, slot_bytes, max_slots));
  const std::unique_lock lock(content);
  return &slots.emplace(slot_bytes, Slots{std::move(file), {}}).first->second;
}

void BlockStore::State::Own(Slots& of, BlockEntry* entry) {
  if (of.owners.size() <= entry->slot) of.owners.resize(entry->slot + size_t{1});
  of.owners[entry->slot] = entry;
  used_bytes += of.file.slot_bytes();
}

BlockEntry* BlockStore::State::Find(std::string_view name_space, const BlockFormat& format,
                                    const Hash128& id) const {
  const auto number = catalog->FindNamespace(name_space);
  const auto format_number = number ? catalog->FindFormat(format) : std::nullopt;
  return format_number ? catalog->Find({*number, *format_number, id}) : nullptr;
}

void BlockStore::State::CountUses() {
  Uses noted;
  {
    const std::lock_guard lock(uses_mutex);
    std::swap(noted, uses);
  }
  for (const BlockKey& key : noted.read) {
    catalog->Tick();
    if (BlockEntry* entry = catalog->Find(key)) catalog->Use(*entry);
  }
  if (!noted.touched.empty()) catalog->Tick();
  for (const BlockKey& key : noted.touched) {
    BlockEntry* entry = catalog->Find(key);
    if (entry == nullptr) continue;
    entry->touched.store(false, std::memory_order_relaxed);
    catalog->Use(*entry);
  }
}

Status BlockStore::State::Commit(BlockCatalog::Change change) {
  std::vector<std::pair<Slots*, uint32_t>> freed;
  for (const BlockEntry* entry : change.removed) freed.emplace_back(&SlotsOf(*entry), entry->slot);
  const size_t num_removed = freed.size();
  for (const auto& [entry, target] : change.moved) freed.emplace_back(&SlotsOf(*entry), entry->slot);
  std::vector<BlockEntry*> added, moved;
  for (const auto& entry : change.added) added.push_back(entry.get());
  for (const auto& [entry, target] : change.moved) moved.push_back(entry);
  QWEN25_RETURN_IF_ERROR(catalog->Save(change));
  {
    const std::unique_lock lock(content);
    catalog->Apply(std::move(change));
    for (const auto& [of, slot] : freed) of->owners[slot] = nullptr;
    for (size_t i = 0; i < num_removed; ++i) used_bytes -= freed[i].first->file.slot_bytes();
    for (BlockEntry* entry : moved) SlotsOf(*entry).owners[entry->slot] = entry;
    for (BlockEntry* entry : added) Own(SlotsOf(*entry), entry);
    // If mapping again fails, the pages still read as zeros, whose checksums are wrong.
    for (auto& [slot_bytes, of] : slots) static_cast<void>(of.file.RepairMap());
  }
  for (const auto& [of, slot] : freed) static_cast<void>(of->file.Release(slot));
  return {};
}

void BlockStore::State::GiveUp(Slots& of, std::span<const std::unique_ptr<BlockEntry>> entries) {
  for (const auto& entry : entries) static_cast<void>(of.file.Release(entry->slot));
}

Result<std::vector<BlockEntry*>> BlockStore::State::MakeRoom(uint64_t slot_bytes, uint64_t num_new,
                                                             std::span<const BlockKey> new_parents) {
  const auto bytes_of = [&](uint32_t format) { return SlotLayout(catalog->formats().at(format)).slot_bytes; };
  // Removals, too, change the database, so the number of missing bytes rises with them.
  const auto missing = [&](size_t num_removed) {
    const uint64_t wanted =
        used_bytes + num_new * slot_bytes + catalog->FileBytes() + catalog->GrowthBound(num_new, num_removed);
    return wanted > max_bytes ? wanted - max_bytes : 0;
  };
  std::vector<BlockEntry*> chosen;
  if (missing(0) == 0) return chosen;
  ++num_eviction_walks;
  chosen = ChooseEvictions(*catalog, missing, new_parents, bytes_of);
  uint64_t freed = 0;
  for (const BlockEntry* entry : chosen) freed += BytesOf(*entry);
  if (freed >= missing(chosen.size())) return chosen;
  return ResourceExhausted(
      "{}: no room for {} more blocks of {} bytes: of {} bytes allowed, {} are in use, and only {} of them "
      "may be removed (the others are pinned, in use, or before blocks that stay); unpin or erase a "
      "namespace, or raise the limit (--memory-gib)",
      folder.string(), num_new, slot_bytes, max_bytes, used_bytes + catalog->FileBytes(), freed);
}

Result<std::unique_ptr<BlockEntry>> BlockStore::State::WriteBlock(Slots& into, const BlockKey& key,
                                                                  const BlockFormat& format,
                                                                  const NewBlock& block,
                                                                  std::span<std::byte> buffer) {
  const SlotLayout layout(format);
  SlotHeader header = {.name_space = key.name_space,
                       .format = format,
                       .id = block.id,
                       .parent = block.parent,
                       .position = block.position,
                       .sums = std::vector<SlotSum>(size_t{format.num_layers} + 1)};
  std::ranges::copy(block.tokens, header.tokens.begin());
  if (cipher) header.nonce = Cipher::NewNonce();
  std::ranges::fill(buffer, std::byte{0});
  const auto add = [&](size_t part, size_t offset, std::span<const std::byte> bytes) {
    const std::span<std::byte> out = buffer.subspan(offset, bytes.size());
    std::ranges::copy(bytes, out.begin());
    header.sums[part] = cipher ? cipher->Encrypt(out, header.nonce, SlotPart(part), {}) : CrcSum(out);
  };
  for (size_t layer = 0; layer < format.num_layers; ++layer) {
    add(layer, layout.LayerOffset(layer), {block.layers[layer], format.layer_bytes});
  }
  add(format.num_layers, layout.summaries_offset, block.summaries);
  EncodeSlotHeader(header, CipherOrNull(), buffer);

  auto entry = std::make_unique<BlockEntry>();
  entry->key = key;
  entry->parent = block.parent;
  entry->position = block.position;
  entry->last_used = catalog->clock();
  entry->checked = std::make_unique<std::atomic<uint8_t>[]>(format.num_layers);
  entry->slot = into.file.Take();
  const Status written = into.file.Write(entry->slot, buffer);
  if (written.ok()) return entry;
  GiveUp(into, {&entry, 1});
  return written;
}

uint64_t BlockStore::NumErasures(std::string_view name_space) const {
  const std::shared_lock lock(state_->content);
  const auto found = state_->num_erasures.find(name_space);
  return found == state_->num_erasures.end() ? 0 : found->second;
}

Status BlockStore::Put(std::string_view name_space, const BlockFormat& format,
                       std::span<const NewBlock> blocks, std::optional<uint64_t> num_erasures) {
  QWEN25_RETURN_IF_ERROR(ValidateBlockFormat(format));
  QWEN25_RETURN_IF_ERROR(CheckNamespace(name_space));
  const std::lock_guard writing(state_->writing);
  if (num_erasures && *num_erasures != NumErasures(name_space)) {
    return Cancelled("namespace {} was erased after these blocks were made; they are not stored", name_space);
  }
  BlockCatalog& catalog = *state_->catalog;
  state_->CountUses();
  catalog.Tick();

  BlockCatalog::Change change;
  const uint32_t number = catalog.FindNamespace(name_space).value_or(catalog.next_namespace());
  const uint32_t format_number = catalog.FindFormat(format).value_or(catalog.next_format());
  if (!catalog.namespaces().contains(number)) change.namespaces[number] = {.name = std::string(name_space)};
  if (!catalog.formats().contains(format_number)) change.formats[format_number] = format;

  std::vector<const NewBlock*> fresh;
  std::vector<BlockKey> parents;
  std::unordered_set<Hash128, Hash128Hasher> seen;
  for (const NewBlock& block : blocks) {
    QWEN25_CHECK(block.tokens.size() == kBlockTokens && block.layers.size() == format.num_layers);
    QWEN25_CHECK(block.summaries.size() == size_t{format.num_layers} * format.summary_bytes);
    if (BlockEntry* entry = catalog.Find({number, format_number, block.id})) {
      catalog.Use(*entry);
    } else if (seen.insert(block.id).second) {
      fresh.push_back(&block);
      parents.push_back({number, format_number, block.parent});
    }
  }
  if (fresh.empty()) return {};

  const uint64_t slot_bytes = SlotLayout(format).slot_bytes;
  QWEN25_TRY(change.removed, state_->MakeRoom(slot_bytes, fresh.size(), parents));
  QWEN25_TRY(auto* into, state_->OpenSlots(slot_bytes));
  if (into->file.end_slot() + fresh.size() > SlotFile::kMaxSlots) {
    return ResourceExhausted(
        "{}: has {} slots, no room for {} more (at most {}); run `qwen25 memory compact`", into->file.path(),
        into->file.end_slot(), fresh.size(), SlotFile::kMaxSlots);
  }
  std::vector<std::byte> buffer(slot_bytes);
  for (const NewBlock* block : fresh) {
    auto entry = state_->WriteBlock(*into, {number, format_number, block->id}, format, *block, buffer);
    if (!entry.ok()) {
      state_->GiveUp(*into, change.added);
      return entry.status();
    }
    (*entry)->sequence = catalog.next_sequence() + change.added.size();
    change.added.push_back(std::move(entry).value());
  }
  return state_->FlushAndCommit(*into, std::move(change));
}

Status BlockStore::State::FlushAndCommit(Slots& into, BlockCatalog::Change change) {
  std::vector<uint32_t> taken;
  for (const auto& entry : change.added) taken.push_back(entry->slot);
  Status status = into.file.Sync();
  if (status.ok()) status = Commit(std::move(change));
  if (!status.ok()) {
    for (const uint32_t slot : taken) static_cast<void>(into.file.Release(slot));
  }
  return status;
}

}  // namespace qwen25
