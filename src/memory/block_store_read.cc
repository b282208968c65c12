// The part of BlockStore that reads blocks.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>
#include <shared_mutex>

#include "base/check.h"
#include "memory/block_store.h"
#include "memory/block_store_state.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {
namespace {

bool IsRightHeader(const SlotHeader& header, const BlockEntry& entry, const BlockFormat& format) {
  return header.name_space == entry.key.name_space && header.id == entry.key.id &&
         header.parent == entry.parent && header.position == entry.position && header.format == format;
}

}  // namespace

size_t StoredBlock::NumTokens() const {
  return IsOfPassage() ? std::clamp<size_t>(position >> 24 & 0x7f, 1, kBlockTokens) : kBlockTokens;
}

std::string BlockStore::State::Describe(const BlockEntry& entry) const {
  return fmt::format("{}: block {} of namespace {} (slot {})",
                     SlotFile::PathIn(folder, BytesOf(entry)).string(), HexId(entry.key.id),
                     catalog->namespaces().at(entry.key.name_space).name, entry.slot);
}

BlockEntry* BlockStore::State::FindHandle(const StoredBlock& block) const {
  const auto of = slots.find(block.slot / SlotFile::kMaxSlots * kSlotPage);
  const uint64_t slot = block.slot % SlotFile::kMaxSlots;
  if (of == slots.end() || slot >= of->second.owners.size()) return nullptr;
  BlockEntry* entry = of->second.owners[slot];
  return entry != nullptr && entry->key.id == block.id ? entry : nullptr;
}

Result<SlotHeader> BlockStore::State::ReadHeader(const BlockEntry& entry) const {
  const BlockFormat& format = FormatOf(entry);
  const SlotLayout layout(format);
  std::vector<std::byte> bytes(layout.header_bytes);
  const std::string name = Describe(entry);
  if (const Status status = slots.at(layout.slot_bytes).file.Read(entry.slot, 0, bytes); !status.ok()) {
    return Corrupt("{}: {}", name, status.message());
  }
  auto header = ParseSlotHeader(bytes, CipherOrNull(), name);
  // Damage, whatever the code (kUnsupported, for example): the index names only slots that this program can
  // read.
  if (!header.ok()) return Corrupt("{}", header.status().message());
  if (!IsRightHeader(*header, entry, format)) {
    return Corrupt("{}: the slot holds another block ({})", name, HexId(header->id));
  }
  return header;
}

Status BlockStore::State::ReadPart(const BlockEntry& entry, const SlotHeader& header, size_t part,
                                   std::span<std::byte> out) const {
  const SlotLayout layout(header.format);
  const bool is_layer = part < header.format.num_layers;
  const size_t offset = is_layer ? layout.LayerOffset(part) : layout.summaries_offset;
  QWEN25_CHECK(out.size() == (is_layer ? header.format.layer_bytes : layout.summaries_bytes));
  Status status = slots.at(layout.slot_bytes).file.Read(entry.slot, offset, out);
  if (!status.ok()) return Corrupt("{}: {}", Describe(entry), status.message());
  const bool right = cipher ? cipher->Decrypt(out, header.nonce, SlotPart(part), {}, header.sums[part])
                            : CrcSum(out) == header.sums[part];
  if (right) return {};
  return Corrupt("{}: the sum of {} is wrong", Describe(entry),
                 is_layer ? fmt::format("layer {}", part) : "the summaries");
}

bool BlockStore::Contains(std::string_view name_space, const BlockFormat& format, const Hash128& id) const {
  const std::shared_lock lock(state_->content);
  return state_->Find(name_space, format, id) != nullptr;
}

bool BlockStore::Contains(const StoredBlock& block) const {
  const std::shared_lock lock(state_->content);
  return state_->FindHandle(block) != nullptr;
}

bool BlockStore::Use(std::string_view name_space, const BlockFormat& format, const Hash128& id) {
  const std::shared_lock lock(state_->content);
  const BlockEntry* entry = state_->Find(name_space, format, id);
  if (entry == nullptr) return false;
  const std::lock_guard noting(state_->uses_mutex);
  state_->uses.NoteRead(entry->key);
  return true;
}

BlockStore::Reading BlockStore::BeginReading() const {
  return Reading(state_->content);
}

uint64_t BlockStore::NumReadFailures() const {
  const std::shared_lock lock(state_->content);
  uint64_t sum = 0;
  for (const auto& [slot_bytes, of] : state_->slots) sum += of.file.num_map_failures();
  return sum;
}

Status BlockStore::State::ReadBlock(const BlockEntry& entry, const SlotHeader& header,
                                    std::span<std::byte* const> layers,
                                    std::span<std::byte> summaries) const {
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    QWEN25_RETURN_IF_ERROR(ReadPart(entry, header, layer, {layers[layer], header.format.layer_bytes}));
  }
  if (summaries.empty()) return {};
  return ReadPart(entry, header, layers.size(), summaries);
}

Status BlockStore::Read(std::string_view name_space, const BlockFormat& format, const Hash128& id,
                        std::span<const int32_t> tokens, std::span<std::byte* const> layers,
                        std::span<std::byte> summaries) {
  QWEN25_CHECK(layers.size() == format.num_layers);
  BlockKey key;
  uint32_t slot = 0;
  uint64_t sequence = 0;
  Status status;
  {
    const std::shared_lock lock(state_->content);
    const BlockEntry* entry = state_->Find(name_space, format, id);
    if (entry == nullptr) return NotFound("there is no block {} in namespace {}", HexId(id), name_space);
    key = entry->key;
    slot = entry->slot;
    sequence = entry->sequence;
    const auto header = state_->ReadHeader(*entry);
    status = header.status();
    if (status.ok()) {
      if (!std::ranges::equal(header->tokens, tokens)) {
        return NotFound("block {} of namespace {} has other tokens", HexId(id), name_space);
      }
      status = state_->ReadBlock(*entry, *header, layers, summaries);
    }
  }
  if (!status.ok()) {
    const Status removed = state_->RemoveDamaged(key, slot, sequence);
    return Corrupt("{}; {}", status.message(),
                   removed.ok() ? "it was removed, and can be computed again" : removed.message());
  }
  const std::lock_guard noting(state_->uses_mutex);
  state_->uses.NoteRead(key);
  return {};
}

Status BlockStore::State::RemoveDamaged(const BlockKey& key, uint32_t slot, uint64_t sequence) {
  const std::lock_guard lock(writing);
  CountUses();
  BlockEntry* entry = catalog->Find(key);
  if (entry == nullptr || entry->slot != slot || entry->sequence != sequence) return {};
  return Commit({.removed = {entry}});
}

std::vector<BlockFormat> BlockStore::Formats(std::string_view name_space) const {
  const std::shared_lock lock(state_->content);
  const BlockCatalog& catalog = *state_->catalog;
  const auto number = catalog.FindNamespace(name_space);
  std::set<uint32_t> numbers;
  for (const auto& [key, entry] : catalog.entries()) {
    if (key.name_space == number) numbers.insert(key.format);
  }
  std::vector<BlockFormat> formats;
  for (const uint32_t format : numbers) formats.push_back(catalog.formats().at(format));
  return formats;
}

std::vector<StoredBlock> BlockStore::List(std::string_view name_space, const BlockFormat& format) const {
  const std::shared_lock lock(state_->content);
  std::vector<StoredBlock> blocks;
  const auto number = state_->catalog->FindNamespace(name_space);
  const auto format_number = state_->catalog->FindFormat(format);
  if (!number || !format_number) return blocks;
  const uint64_t slot_bytes = SlotLayout(format).slot_bytes;
  for (const auto& [key, entry] : state_->catalog->entries()) {
    if (key.name_space != *number || key.format != *format_number) continue;
    blocks.push_back({.id = key.id,
                      .parent = entry->parent,
                      .position = entry->position,
                      .slot = State::Handle(slot_bytes, entry->slot),
                      .sequence = entry->sequence});
  }
  std::ranges::sort(blocks, {}, &StoredBlock::sequence);
  return blocks;
}

bool BlockStore::IsEncrypted() const {
  return state_->cipher.has_value();
}

const std::byte* BlockStore::Layer(const StoredBlock& block, const BlockFormat& format, size_t layer) const {
  BlockEntry* entry = state_->FindHandle(block);
  if (entry == nullptr || state_->cipher) return nullptr;
  QWEN25_CHECK(layer < format.num_layers);
  const SlotLayout layout(format);
  const State::Slots& slots = state_->slots.at(layout.slot_bytes);
  const std::span<const std::byte> slot = slots.file.Map(entry->slot);
  if (slot.empty()) return nullptr;
  const std::span<const std::byte> bytes = slot.subspan(layout.LayerOffset(layer), format.layer_bytes);
  const uint64_t num_failures = slots.file.num_map_failures();
  if (entry->checked[layer].load(std::memory_order_relaxed) != State::CheckMark(num_failures)) {
    const auto header = ParseSlotHeader(slot, nullptr, "");
    if (!header.ok() || !IsRightHeader(*header, *entry, format)) return nullptr;
    // Whoever reads a layer soon reads the next one: let the disk start on it.
    if (layer + 1 < format.num_layers) {
      slots.file.Prefetch(slot.subspan(layout.LayerOffset(layer + 1), format.layer_bytes));
    }
    if (CrcSum(bytes) != header->sums[layer] || slots.file.num_map_failures() != num_failures) return nullptr;
    entry->checked[layer].store(State::CheckMark(num_failures), std::memory_order_relaxed);
  }
  if (!entry->touched.load(std::memory_order_relaxed) &&
      !entry->touched.exchange(true, std::memory_order_relaxed)) {
    const std::lock_guard noting(state_->uses_mutex);
    state_->uses.touched.push_back(entry->key);
  }
  return bytes.data();
}

Status BlockStore::Summaries(const Reading&, const StoredBlock& block, const BlockFormat& format,
                             std::span<std::byte> summaries) const {
  const BlockEntry* entry = state_->FindHandle(block);
  if (entry == nullptr) return NotFound("block {} is no longer there", HexId(block.id));
  QWEN25_TRY(const SlotHeader header, state_->ReadHeader(*entry));
  QWEN25_CHECK(header.format == format);
  return state_->ReadPart(*entry, header, format.num_layers, summaries);
}

Result<std::vector<int32_t>> BlockStore::Tokens(const StoredBlock& block) const {
  const std::shared_lock lock(state_->content);
  const BlockEntry* entry = state_->FindHandle(block);
  if (entry == nullptr) return NotFound("block {} is no longer there", HexId(block.id));
  QWEN25_TRY(const SlotHeader header, state_->ReadHeader(*entry));
  return std::vector<int32_t>(header.tokens.begin(), header.tokens.end());
}

Status BlockStore::Copy(const StoredBlock& block, const BlockFormat& format, std::span<int32_t> tokens,
                        std::span<std::byte* const> layers, std::span<std::byte> summaries) const {
  QWEN25_CHECK(tokens.size() == kSlotTokens && layers.size() == format.num_layers);
  const std::shared_lock lock(state_->content);
  const BlockEntry* entry = state_->FindHandle(block);
  if (entry == nullptr) return NotFound("block {} is no longer there", HexId(block.id));
  QWEN25_TRY(const SlotHeader header, state_->ReadHeader(*entry));
  QWEN25_CHECK(header.format == format);
  std::ranges::copy(header.tokens, tokens.begin());
  return state_->ReadBlock(*entry, header, layers, summaries);
}

}  // namespace qwen25
