#include "store/lmdb_check.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace qwen25 {
namespace {

// The layout is from the sources of LMDB 0.9 (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta).
static_assert(std::endian::native == std::endian::little && sizeof(size_t) == 8);
constexpr uint32_t kMagic = 0xBEEFC0DE;
constexpr uint16_t kBranch = 1, kLeaf = 2, kOverflow = 4, kMeta = 8;       // kinds of pages
constexpr uint16_t kBigData = 1, kSubDatabase = 2;                         // kinds of nodes
constexpr uint16_t kTableKinds = 0x02 | 0x04 | 0x08 | 0x10 | 0x20 | 0x40;  // of keys and values
constexpr uint16_t kIntegerKeys = 0x08;
constexpr uint64_t kNoPage = ~uint64_t{0};
constexpr size_t kMaxKeyBytes = 511, kMaxDepth = 30;
constexpr uint64_t kMaxTransaction = uint64_t{1} << 62;  // LMDB does not notice when the count overflows

struct PageHead {
  uint64_t number;
  uint16_t pad, flags;
  uint16_t lower, upper;  // in an overflow page: together, the number of pages
};
struct NodeHead {
  uint16_t low, high, flags, key_bytes;
};
struct TableRecord {
  uint32_t pad;  // in the table of free pages: bytes of a page
  uint16_t flags, depth;
  uint64_t branch_pages, leaf_pages, overflow_pages, num_entries, root;
};
struct MetaRecord {
  uint32_t magic, version;
  uint64_t address, map_bytes;
  TableRecord free_pages, main;
  uint64_t last_page, transaction;
};
static_assert(sizeof(PageHead) == 16 && sizeof(NodeHead) == 8 && sizeof(TableRecord) == 48 &&
              sizeof(MetaRecord) == 136);

template <typename T>
T Load(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

enum class TableKind { kFreePages, kMain, kNamed };

class Checker {
 public:
  Checker(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

  Status Run() {
    MetaRecord meta = {};
    QWEN25_RETURN_IF_ERROR(ChooseMeta(meta));
    if (meta.last_page < 1 || meta.last_page >= file_.size() / page_bytes_) {
      return Bad(0, "the file has been cut short");
    }
    used_.assign(meta.last_page + 1, false);
    used_[0] = used_[1] = true;
    QWEN25_RETURN_IF_ERROR(CheckTable(meta.main, TableKind::kMain));
    QWEN25_RETURN_IF_ERROR(CheckTable(meta.free_pages, TableKind::kFreePages));
    for (const uint64_t page : free_) {
      if (used_[page]) return Bad(page, "is in use, and listed as free");
      used_[page] = true;
    }
    return {};
  }

 private:
  struct Walk {
    TableKind kind;
    TableRecord found = {};
    std::span<const std::byte> last_key;
    bool any_key = false;
  };

  Status Bad(uint64_t page, std::string_view what) const {
    return Corrupt("{}: is not a valid LMDB database: page {} {}; restore it from a backup", path_, page,
                   what);
  }

  // The newer of the two, as LMDB chooses.
  Status ChooseMeta(MetaRecord& chosen) {
    for (size_t i = 0; i < 2; ++i) {
      const size_t offset = i * page_bytes_;
      if (file_.size() < offset + sizeof(PageHead) + sizeof(MetaRecord)) return Bad(i, "is cut short");
      const auto meta = Load<MetaRecord>(file_, offset + sizeof(PageHead));
      if (Load<PageHead>(file_, offset).flags != kMeta || meta.magic != kMagic) {
        return Bad(i, "does not begin as a page of an LMDB database does");
      }
      if (meta.version != 1) {
        return Unsupported(
            "{}: was written by another version of LMDB (data format {}, this program reads 1)", path_,
            meta.version);
      }
      const uint32_t page_bytes = meta.free_pages.pad;
      if (!std::has_single_bit(page_bytes) || page_bytes < 512 || page_bytes > 32768 ||
          (i == 1 && page_bytes != page_bytes_)) {
        return Bad(i, "claims an invalid page size");
      }
      page_bytes_ = page_bytes;
      if (meta.transaction > kMaxTransaction) return Bad(i, "has an impossible number of transactions");
      if (i == 0 || meta.transaction > chosen.transaction) chosen = meta;
    }
    return {};
  }

  Status CheckTable(const TableRecord& table, TableKind kind) {
    const uint16_t wanted_flags = kind == TableKind::kFreePages ? kIntegerKeys : 0;
    if ((table.flags & kTableKinds) != wanted_flags) return Bad(table.root, "is of an unknown kind of table");
    Walk walk = {.kind = kind};
    if (table.root != kNoPage) QWEN25_RETURN_IF_ERROR(CheckPage(table.root, 1, walk));
    if (walk.found.depth != table.depth || walk.found.num_entries != table.num_entries ||
        walk.found.branch_pages != table.branch_pages || walk.found.leaf_pages != table.leaf_pages ||
        walk.found.overflow_pages != table.overflow_pages) {
      return Bad(table.root, "begins a table whose counts differ from its record");
    }
    return {};
  }

  // Marks `count` pages as used; an error if one of them is used already.
  Status Claim(uint64_t page, uint64_t count) {
    if (page < 2 || page >= used_.size() || count > used_.size() - page) {
      return Bad(page, "is referred to, but lies outside of the file");
    }
    for (uint64_t i = page; i < page + count; ++i) {
      if (used_[i]) return Bad(i, "is used twice");
      used_[i] = true;
    }
    return {};
  }

  Status CheckPage(uint64_t number, size_t depth, Walk& walk) {
    QWEN25_RETURN_IF_ERROR(Claim(number, 1));
    const std::span<const std::byte> page = file_.subspan(number * page_bytes_, page_bytes_);
    const auto head = Load<PageHead>(page, 0);
    const bool is_leaf = head.flags == kLeaf;
    if (head.number != number || (!is_leaf && head.flags != kBranch))
      return Bad(number, "is of the wrong kind");
    if (depth > kMaxDepth) return Bad(number, "lies too deep");
    if (head.lower < sizeof head || head.lower % 2 != 0 || head.lower > head.upper ||
        head.upper > page_bytes_) {
      return Bad(number, "has wrong bounds");
    }
    const size_t num_nodes = (head.lower - sizeof head) / 2;
    if (num_nodes < (is_leaf || walk.kind == TableKind::kFreePages ? 1u : 2u)) {
      return Bad(number, "has too few entries");
    }
    ++(is_leaf ? walk.found.leaf_pages : walk.found.branch_pages);
    if (is_leaf && walk.found.depth == 0) walk.found.depth = static_cast<uint16_t>(depth);
    if (is_leaf && walk.found.depth != depth) return Bad(number, "lies at another depth than other leaves");
    QWEN25_RETURN_IF_ERROR(CheckPlaces(number, page, head, num_nodes));
    for (size_t i = 0; i < num_nodes; ++i) {
      const auto node = page.subspan(Load<uint16_t>(page, sizeof head + 2 * i));
      QWEN25_RETURN_IF_ERROR(is_leaf ? CheckLeafNode(number, node, walk)
                                     : CheckBranchNode(number, node, i, depth, walk));
    }
    return {};
  }

  // Entries fill the page from `upper` to its end, without gaps: LMDB moves them by their sizes.
  Status CheckPlaces(uint64_t number, std::span<const std::byte> page, const PageHead& head,
                     size_t num_nodes) const {
    std::vector<std::pair<size_t, size_t>> places;  // begin, end
    for (size_t i = 0; i < num_nodes; ++i) {
      const size_t begin = Load<uint16_t>(page, sizeof head + 2 * i);
      if (begin < head.upper || begin + sizeof(NodeHead) > page_bytes_) {
        return Bad(number, "has an entry outside of its bounds");
      }
      const auto node = Load<NodeHead>(page, begin);
      size_t bytes = sizeof node + node.key_bytes;
      if (head.flags == kLeaf) {
        bytes += node.flags == kBigData ? sizeof(uint64_t) : node.low | size_t{node.high} << 16;
      }
      places.emplace_back(begin, begin + bytes + bytes % 2);
    }
    std::ranges::sort(places);
    size_t at = head.upper;
    for (const auto& [begin, end] : places) {
      if (begin != at) return Bad(number, "has entries that overlap, or a gap between them");
      at = end;
    }
    return at == page_bytes_ ? Status() : Bad(number, "has an entry outside of its bounds");
  }

  Status CheckBranchNode(uint64_t number, std::span<const std::byte> rest, size_t index, size_t depth,
                         Walk& walk) {
    const auto node = Load<NodeHead>(rest, 0);
    const uint64_t child = node.low | uint64_t{node.high} << 16 | uint64_t{node.flags} << 32;
    if (node.key_bytes > kMaxKeyBytes) return Bad(number, "has a key that is too long");
    // LMDB ignores the first key of a branch page, which stands for all lower keys.
    if (index > 0 && walk.kind == TableKind::kFreePages && node.key_bytes != 8) {
      return Bad(number, "has a key of a wrong size");
    }
    return CheckPage(child, depth + 1, walk);
  }

  Status CheckLeafNode(uint64_t number, std::span<const std::byte> rest, Walk& walk) {
    const auto node = Load<NodeHead>(rest, 0);
    const size_t data_bytes = node.low | size_t{node.high} << 16;
    const bool is_big = node.flags == kBigData;
    const size_t stored_bytes = is_big ? sizeof(uint64_t) : data_bytes;
    if (node.key_bytes < 1 || node.key_bytes > kMaxKeyBytes)
      return Bad(number, "has a key of a wrong length");
    const auto key = rest.subspan(sizeof node, node.key_bytes);
    std::span<const std::byte> data = rest.subspan(sizeof node + node.key_bytes, stored_bytes);
    if (walk.any_key && !IsBefore(walk.last_key, key, walk.kind)) return Bad(number, "has keys out of order");
    walk.last_key = key;
    walk.any_key = true;
    ++walk.found.num_entries;
    if (is_big) QWEN25_RETURN_IF_ERROR(CheckOverflow(Load<uint64_t>(data, 0), data_bytes, walk, data));
    if (walk.kind == TableKind::kMain) {
      if (node.flags != kSubDatabase || data_bytes != sizeof(TableRecord)) {
        return Bad(number, "has an entry that is not a table");
      }
      return CheckTable(Load<TableRecord>(data, 0), TableKind::kNamed);
    }
    if (node.flags != 0 && !is_big) return Bad(number, "has an entry of an unknown kind");
    return walk.kind == TableKind::kFreePages ? CheckFreeList(number, key, data) : Status();
  }

  static bool IsBefore(std::span<const std::byte> a, std::span<const std::byte> b, TableKind kind) {
    if (kind != TableKind::kFreePages) return std::ranges::lexicographical_compare(a, b);
    return a.size() == 8 && b.size() == 8 && Load<uint64_t>(a, 0) < Load<uint64_t>(b, 0);
  }

  Status CheckOverflow(uint64_t number, size_t data_bytes, Walk& walk, std::span<const std::byte>& data) {
    QWEN25_RETURN_IF_ERROR(Claim(number, 1));
    const auto head = Load<PageHead>(file_, number * page_bytes_);
    const uint64_t num_pages = head.lower | uint64_t{head.upper} << 16;
    // There may be more pages than needed: a smaller value that replaces a larger one keeps its pages.
    const uint64_t needed = (sizeof(PageHead) - 1 + data_bytes) / page_bytes_ + 1;
    if (head.number != number || head.flags != kOverflow || num_pages < needed) {
      return Bad(number, "is not the large value that it should be");
    }
    if (num_pages > 1) QWEN25_RETURN_IF_ERROR(Claim(number + 1, num_pages - 1));
    walk.found.overflow_pages += num_pages;
    data = file_.subspan(number * page_bytes_ + sizeof head, data_bytes);
    return {};
  }

  // A list holds its count, then page numbers in descending order.
  Status CheckFreeList(uint64_t number, std::span<const std::byte> key, std::span<const std::byte> data) {
    if (key.size() != 8 || data.size() < 8 || data.size() % 8 != 0 ||
        Load<uint64_t>(data, 0) > data.size() / 8 - 1) {
      return Bad(number, "has a damaged list of free pages");
    }
    uint64_t previous = kNoPage;
    for (uint64_t i = 1; i <= Load<uint64_t>(data, 0); ++i) {
      const auto page = Load<uint64_t>(data, 8 * i);
      if (page < 2 || page >= used_.size() || page >= previous) {
        return Bad(number, "has a damaged list of free pages");
      }
      free_.push_back(page);
      previous = page;
    }
    return {};
  }

  std::span<const std::byte> file_;
  const std::string& path_;
  size_t page_bytes_ = 0;
  std::vector<bool> used_;
  std::vector<uint64_t> free_;
};

}  // namespace

Status CheckLmdbFile(std::span<const std::byte> file, const std::string& path) {
  return Checker(file, path).Run();
}

}  // namespace qwen25
