// Checks that LMDB can work on a file. LMDB trusts every number in its file, so that a damaged one crashes
// the process that opens it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

// Visits all pages of the newest version in a file of LMDB 0.9 (data format 1, little-endian, 64 bits) whose
// named tables have plain keys (no MDB_DUPSORT, MDB_INTEGERKEY). Checks kinds, places, sizes, order of keys
// and counts, and that no page is used twice. kCorrupt, with `path`, the page and the fault; kUnsupported for
// another data format.
Status CheckLmdbFile(std::span<const std::byte> file, const std::string& path);

}  // namespace qwen25
