#include <cstring>
#include <string>

#include "base/check.h"
#include "memory_file.h"
#include "store/lmdb.h"
#include "targets.h"

namespace qwen25 {

// A database that is accepted can be read from end to end, changed and committed, without a crash of LMDB.
void FuzzLmdb(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;  // an empty file is a new database
  const MemoryFile file(bytes);
  constexpr const char* kTables[] = {"a", "b"};
  auto database = LmdbEnvironment::Open(file.path(), 1 << 20, kTables);
  if (!database.ok()) {
    QWEN25_CHECK(database.status().message().find(file.path()) != std::string::npos);
    return;
  }
  auto transaction = database->BeginWrite();
  if (!transaction.ok()) return;
  std::vector<std::string> keys;
  unsigned sum = 0;
  for (LmdbTable table = 0; table < 2; ++table) {
    const Status read = transaction->ForEach(table, [&](LmdbBytes key, LmdbBytes value) -> Status {
      for (const std::byte byte : value) sum += static_cast<unsigned>(byte);
      keys.emplace_back(reinterpret_cast<const char*>(key.data()), key.size());
      return {};
    });
    QWEN25_CHECK(read.ok() || !read.message().empty());
  }
  const auto as_bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  const std::string large(3000 + sum % 2, 'v');
  for (const std::string& key : keys) static_cast<void>(transaction->Delete(keys.size() % 2, as_bytes(key)));
  for (const char* key : {"", "k", "zz"})
    static_cast<void>(transaction->Put(0, as_bytes(key), as_bytes(large)));
  const Status committed = transaction->Commit();
  QWEN25_CHECK(committed.ok() || !committed.message().empty());
}

}  // namespace qwen25
