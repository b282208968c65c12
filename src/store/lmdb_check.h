// Whether a file is one that LMDB can work on. LMDB follows every number in its file without looking, so that
// a damaged one crashes the process that opens it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

// Walks all pages of the newest version in a file of LMDB 0.9 (data format 1, little-endian, 64 bits), whose
// named tables have plain keys (no MDB_DUPSORT, MDB_INTEGERKEY): kinds, places, sizes, order of keys, counts,
// and that every page is used once. kCorrupt, with `path`, the page and what is wrong.
Status CheckLmdbFile(std::span<const std::byte> file, const std::string& path);

}  // namespace qwen25
