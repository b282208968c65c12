#include "knowledge/encrypted_vfs.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <new>
#include <string_view>

#include "base/check.h"
#include "knowledge/sealed_page.h"

namespace qwen25 {
namespace {

constexpr std::string_view kPlainMagic("SQLite format 3\0", kPageMagicBytes);
constexpr size_t kVersionOffset = 7;  // of the digit in the magic

// The header that SQLite reads first, to learn the size of pages, before it looks at the log.
constexpr size_t kHeaderBytes = 100;
std::array<std::byte, kHeaderBytes> KnownHeader() {
  std::array<std::byte, kHeaderBytes> header = {};
  std::memcpy(header.data(), kPlainMagic.data(), kPlainMagic.size());
  constexpr std::array<uint8_t, 8> kFields = {kPageBytes >> 8,
                                              kPageBytes & 0xFF,
                                              2,
                                              2,  // write-ahead log
                                              kReservedPageBytes,
                                              64,
                                              32,
                                              32};  // payload fractions
  std::memcpy(header.data() + kPlainMagic.size(), kFields.data(), kFields.size());
  return header;
}

sqlite3_int64 FrameOffset(uint64_t frame) {
  return static_cast<sqlite3_int64>(kLogHeadBytes + (frame - 1) * kFrameBytes);
}

// A file that SQLite opens but does not need: writes are dropped, and there is nothing to read.
int CloseNothing(sqlite3_file*) {
  return SQLITE_OK;
}
int ReadNothing(sqlite3_file*, void* out, int amount, sqlite3_int64) {
  std::memset(out, 0, static_cast<size_t>(amount));
  return SQLITE_IOERR_SHORT_READ;
}
int WriteNothing(sqlite3_file*, const void*, int, sqlite3_int64) {
  return SQLITE_OK;
}
int TruncateNothing(sqlite3_file*, sqlite3_int64) {
  return SQLITE_OK;
}
int SizeOfNothing(sqlite3_file*, sqlite3_int64* bytes) {
  *bytes = 0;
  return SQLITE_OK;
}
int FlagsOfNothing(sqlite3_file*, int) {
  return SQLITE_OK;
}
int NotReserved(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}
int NoControl(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int NoTraits(sqlite3_file*) {
  return 0;
}
constexpr sqlite3_io_methods kNothing = {.iVersion = 1,
                                         .xClose = CloseNothing,
                                         .xRead = ReadNothing,
                                         .xWrite = WriteNothing,
                                         .xTruncate = TruncateNothing,
                                         .xSync = FlagsOfNothing,
                                         .xFileSize = SizeOfNothing,
                                         .xLock = FlagsOfNothing,
                                         .xUnlock = FlagsOfNothing,
                                         .xCheckReservedLock = NotReserved,
                                         .xFileControl = NoControl,
                                         .xSectorSize = NoTraits,
                                         .xDeviceCharacteristics = NoTraits};

}  // namespace

Status CheckDatabaseKey(const std::filesystem::path& path, const Cipher* cipher) {
  std::array<std::byte, kPageMagicBytes> start = {};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(start.data()), start.size());
  if (file.gcount() == 0) return {};
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  const bool is_encrypted = text.starts_with("q25page");
  if (!is_encrypted && cipher == nullptr) return {};  // SQLite says what is wrong with it
  if (!is_encrypted && text == kPlainMagic) {
    return InvalidArgument(
        "{}: these notes are not encrypted; open them without a key, or encrypt them: `qwen25 memory export` "
        "here, `qwen25 memory import` into another folder with --memory-key",
        path.string());
  }
  if (!is_encrypted) {
    return Corrupt(
        "{}: is not a database of encrypted notes; restore it from a backup, or move it away to start anew",
        path.string());
  }
  if (text[kVersionOffset] != '1') {
    return Unsupported("{}: has version {} of the encrypted format, expected 1; use a newer program",
                       path.string(), text[kVersionOffset]);
  }
  if (cipher == nullptr) {
    return InvalidArgument(
        "{}: these notes are encrypted; give the key that they were made with (--memory-key FILE)",
        path.string());
  }
  if (start != PageMagic(*cipher)) {
    return InvalidArgument(
        "{}: the key is not the one that these notes were made with; give that one (--memory-key FILE)",
        path.string());
  }
  return {};
}

// The database or its log. SQLite allocates it, with room for the system's file after it.
class EncryptedVfs::File : public sqlite3_file {
 public:
  File(EncryptedVfs& owner, bool is_log) : sqlite3_file{}, owner_(owner), is_log_(is_log) {}

  static File& Of(sqlite3_file* file) { return *static_cast<File*>(file); }
  sqlite3_file* base() { return reinterpret_cast<sqlite3_file*>(this + 1); }

  int Read(std::span<std::byte> out, sqlite3_int64 offset) {
    return is_log_ ? ReadLog(out, offset) : ReadDatabase(out, offset);
  }
  int Write(std::span<const std::byte> bytes, sqlite3_int64 offset) {
    return is_log_ ? WriteLog(bytes, offset) : WriteDatabase(bytes, offset);
  }

  static const sqlite3_io_methods kMethods;

 private:
  // Calls the system's method, which is right for an encrypted file, too.
  template <auto kMethod, typename... Arguments>
  static auto Pass(sqlite3_file* file, Arguments... arguments) {
    sqlite3_file* base = Of(file).base();
    return (base->pMethods->*kMethod)(base, arguments...);
  }

  int ReadBase(std::span<std::byte> out, sqlite3_int64 offset) {
    return base()->pMethods->xRead(base(), out.data(), static_cast<int>(out.size()), offset);
  }
  int WriteBase(std::span<const std::byte> bytes, sqlite3_int64 offset) {
    return base()->pMethods->xWrite(base(), bytes.data(), static_cast<int>(bytes.size()), offset);
  }
  int Damaged(std::string what) {
    owner_.damage_ = std::move(what);
    return SQLITE_CORRUPT;
  }

  int ReadDatabase(std::span<std::byte> out, sqlite3_int64 offset);
  int ReadHeader(std::span<std::byte> out);
  int ReadPage(uint64_t number, PageBytes page);
  int WriteDatabase(std::span<const std::byte> bytes, sqlite3_int64 offset);
  int ReadLog(std::span<std::byte> out, sqlite3_int64 offset);
  int WriteLog(std::span<const std::byte> bytes, sqlite3_int64 offset);
  bool IsFollowedByCommits(FramePlace place);

  EncryptedVfs& owner_;
  const bool is_log_;
};

// SQLite reads whole pages, and sometimes a part of one.
int EncryptedVfs::File::ReadDatabase(std::span<std::byte> out, sqlite3_int64 offset) {
  if (offset == 0 && out.size() == kHeaderBytes) return ReadHeader(out);
  std::array<std::byte, kPageBytes> page;
  for (size_t done = 0; done < out.size();) {
    const size_t begin = (static_cast<size_t>(offset) + done) % kPageBytes;
    const size_t count = std::min(kPageBytes - begin, out.size() - done);
    const int code = ReadPage((static_cast<size_t>(offset) + done) / kPageBytes + 1, page);
    if (code == SQLITE_IOERR_SHORT_READ) std::ranges::fill(out.subspan(done), std::byte{0});
    if (code != SQLITE_OK) return code;
    std::memcpy(out.data() + done, page.data() + begin, count);
    done += count;
  }
  return SQLITE_OK;
}

// Gives constants, since these sizes never change, and the first page on disk may be incomplete: another
// process may be writing it (there is no lock yet), or was killed while it did; then the log has it.
int EncryptedVfs::File::ReadHeader(std::span<std::byte> out) {
  sqlite3_int64 bytes = 0;
  if (const int code = base()->pMethods->xFileSize(base(), &bytes); code != SQLITE_OK) return code;
  if (bytes == 0) return ReadNothing(this, out.data(), static_cast<int>(out.size()), 0);
  std::ranges::copy(KnownHeader(), out.begin());
  return SQLITE_OK;
}

int EncryptedVfs::File::ReadPage(uint64_t number, PageBytes page) {
  const auto offset = static_cast<sqlite3_int64>((number - 1) * kPageBytes);
  const int code = ReadBase(page, offset);
  if (code == SQLITE_IOERR_SHORT_READ) {
    sqlite3_int64 bytes = 0;
    if (base()->pMethods->xFileSize(base(), &bytes) == SQLITE_OK && bytes <= offset) return code;
    return Damaged(fmt::format("page {} is incomplete, the file has only {} bytes", number, bytes));
  }
  if (code != SQLITE_OK) return code;
  if (!OpenDatabasePage(owner_.cipher_, number, page)) {
    return Damaged(
        fmt::format("page {} cannot be decrypted, its bytes are not those that were written", number));
  }
  RenewPad(page);
  return SQLITE_OK;
}

int EncryptedVfs::File::WriteDatabase(std::span<const std::byte> bytes, sqlite3_int64 offset) {
  if (bytes.size() % kPageBytes != 0 || static_cast<size_t>(offset) % kPageBytes != 0) {
    return SQLITE_IOERR_WRITE;  // Database sets the size of pages
  }
  std::array<std::byte, kPageBytes> page;
  for (size_t done = 0; done < bytes.size(); done += kPageBytes) {
    std::memcpy(page.data(), bytes.data() + done, kPageBytes);
    const auto place = offset + static_cast<sqlite3_int64>(done);
    SealDatabasePage(owner_.cipher_, static_cast<uint64_t>(place) / kPageBytes + 1, page);
    if (const int code = WriteBase(page, place); code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

// The log's header holds no content and is plain. SQLite reads a frame's page, the whole frame (to rebuild
// the log's index) or its checksum; never more than one frame.
int EncryptedVfs::File::ReadLog(std::span<std::byte> out, sqlite3_int64 offset) {
  const auto at = static_cast<size_t>(offset);
  if (at < kLogHeadBytes) return ReadBase(out, offset);
  FramePlace place = {.frame = (at - kLogHeadBytes) / kFrameBytes + 1};
  const size_t begin = (at - kLogHeadBytes) % kFrameBytes;
  if (begin + out.size() > kFrameBytes) return SQLITE_IOERR_READ;
  std::array<std::byte, kFrameBytes> bytes;
  const FrameHead head = std::span(bytes).first<kFrameHeadBytes>();
  const PageBytes page = std::span(bytes).last<kPageBytes>();
  const bool needs_page = begin + out.size() > kFrameHeadBytes, is_whole = begin < kFrameHeadBytes;
  int code = ReadBase(place.salts, kLogSaltOffset);
  if (code == SQLITE_OK) {
    code = ReadBase(needs_page ? std::span<std::byte>(bytes) : head, FrameOffset(place.frame));
  }
  if (code == SQLITE_IOERR_SHORT_READ) std::ranges::fill(out, std::byte{0});
  if (code != SQLITE_OK) return code;
  if (is_whole) ShowChecksum(owner_.cipher_, place, head);
  const bool is_good = !needs_page || OpenLogPage(owner_.cipher_, place, head, page);
  if (!is_good && (!is_whole || IsFollowedByCommits(place))) {
    return Damaged(fmt::format(
        "frame {} of its log cannot be decrypted, its bytes are not those that were written", place.frame));
  }
  if (!is_good) {
    // After a kill the last frame may be half written; a wrong checksum tells SQLite so.
    std::ranges::fill(page, std::byte{0});
    for (std::byte& byte : head.subspan<kFrameChecksumOffset>()) byte = ~byte;
  }
  if (!is_whole) RenewPad(page);
  std::memcpy(out.data(), bytes.data() + begin, out.size());
  return SQLITE_OK;
}

// Whether a frame that cannot be decrypted belongs to an acknowledged transaction. Each transaction is
// flushed before the next one begins, so only the last can be incomplete: the frame is damaged if a later
// commit follows. (Plain SQLite silently drops everything after such a frame.)
bool EncryptedVfs::File::IsFollowedByCommits(FramePlace place) {
  const uint64_t first = place.frame;
  size_t num_commits = 0;
  std::array<std::byte, kFrameBytes> bytes;
  const FrameHead head = std::span(bytes).first<kFrameHeadBytes>();
  for (; ReadBase(bytes, FrameOffset(place.frame)) == SQLITE_OK; ++place.frame) {
    const bool is_first = place.frame == first;
    if (!is_first && !std::ranges::equal(head.subspan<kFrameSaltOffset, kSaltBytes>(), place.salts)) break;
    const auto database_size = head.subspan<4, 4>();  // set in the last frame of a transaction
    if (std::ranges::all_of(database_size, [](std::byte byte) { return byte == std::byte{0}; })) continue;
    const PageBytes page = std::span(bytes).last<kPageBytes>();
    num_commits += is_first || OpenLogPage(owner_.cipher_, place, head, page) ? 1 : 0;
  }
  return num_commits > 1;
}

int EncryptedVfs::File::WriteLog(std::span<const std::byte> bytes, sqlite3_int64 offset) {
  const auto at = static_cast<size_t>(offset);
  if (at == 0 && bytes.size() == kLogHeadBytes) return WriteBase(bytes, offset);
  if (at < kLogHeadBytes) return SQLITE_IOERR_WRITE;
  FramePlace place = {.frame = (at - kLogHeadBytes) / kFrameBytes + 1};
  if (const int code = ReadBase(place.salts, kLogSaltOffset); code != SQLITE_OK) return code;
  const size_t begin = (at - kLogHeadBytes) % kFrameBytes;
  std::array<std::byte, kFrameHeadBytes> head;
  if (begin == 0 && bytes.size() == kFrameHeadBytes) {
    std::ranges::copy(bytes, head.begin());
    HideChecksum(owner_.cipher_, place, head);
    return WriteBase(head, offset);
  }
  if (begin != kFrameHeadBytes || bytes.size() != kPageBytes) return SQLITE_IOERR_WRITE;
  // SQLite writes the header before its page.
  if (const int code = ReadBase(head, FrameOffset(place.frame)); code != SQLITE_OK) return code;
  std::array<std::byte, kPageBytes> page;
  std::ranges::copy(bytes, page.begin());
  SealLogPage(owner_.cipher_, place, head, page);
  // Changes the page in SQLite's cache, as its cksumvfs does: this write's checksum is on disk already, and
  // the next one is to cover other random bytes.
  RenewPad(std::span(const_cast<std::byte*>(bytes.data()), bytes.size()).first<kPageBytes>());
  return WriteBase(page, offset);
}

namespace {

// The device's properties that SQLite may use: a write leaves neighbouring bytes alone, without which SQLite
// would not write each frame of the log in one piece. Access to parts of pages is not among them.
constexpr int kTraits = SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;

}  // namespace

// Version 2 has no xFetch: a mapped page could not be decrypted.
const sqlite3_io_methods EncryptedVfs::File::kMethods = {
    .iVersion = 2,
    .xClose =
        [](sqlite3_file* file) {
          sqlite3_file* base = File::Of(file).base();
          const int code = base->pMethods->xClose(base);
          File::Of(file).~File();
          return code;
        },
    .xRead =
        [](sqlite3_file* file, void* out, int amount, sqlite3_int64 offset) {
          return File::Of(file).Read({static_cast<std::byte*>(out), static_cast<size_t>(amount)}, offset);
        },
    .xWrite =
        [](sqlite3_file* file, const void* bytes, int amount, sqlite3_int64 offset) {
          return File::Of(file).Write({static_cast<const std::byte*>(bytes), static_cast<size_t>(amount)},
                                      offset);
        },
    .xTruncate = Pass<&sqlite3_io_methods::xTruncate>,
    .xSync = Pass<&sqlite3_io_methods::xSync>,
    .xFileSize = Pass<&sqlite3_io_methods::xFileSize>,
    .xLock = Pass<&sqlite3_io_methods::xLock>,
    .xUnlock = Pass<&sqlite3_io_methods::xUnlock>,
    .xCheckReservedLock = Pass<&sqlite3_io_methods::xCheckReservedLock>,
    .xFileControl =
        [](sqlite3_file* file, int operation, void* argument) {
          if (operation == SQLITE_FCNTL_MMAP_SIZE) return SQLITE_NOTFOUND;
          return Pass<&sqlite3_io_methods::xFileControl>(file, operation, argument);
        },
    .xSectorSize = Pass<&sqlite3_io_methods::xSectorSize>,
    .xDeviceCharacteristics =
        [](sqlite3_file* file) { return Pass<&sqlite3_io_methods::xDeviceCharacteristics>(file) & kTraits; },
    .xShmMap = Pass<&sqlite3_io_methods::xShmMap>,
    .xShmLock = Pass<&sqlite3_io_methods::xShmLock>,
    .xShmBarrier = Pass<&sqlite3_io_methods::xShmBarrier>,
    .xShmUnmap = Pass<&sqlite3_io_methods::xShmUnmap>,
};

Result<std::unique_ptr<EncryptedVfs>> EncryptedVfs::Register(const Cipher& cipher, const char* base) {
  static std::atomic<uint64_t> num_made = 0;
  std::unique_ptr<EncryptedVfs> vfs(new EncryptedVfs(cipher));
  vfs->name_ = fmt::format("qwen25-encrypted-{}", ++num_made);
  vfs->base_ = sqlite3_vfs_find(base);
  if (vfs->base_ == nullptr) return Unsupported("SQLite has no VFS for files on this machine");
  vfs->OverrideBase();
  const int code = sqlite3_vfs_register(&vfs->vfs_, /*makeDflt=*/0);
  if (code != SQLITE_OK) {
    return Status(StatusCode::kIo,
                  fmt::format("SQLite cannot register a VFS for encryption: {}", sqlite3_errstr(code)));
  }
  return vfs;
}

EncryptedVfs::~EncryptedVfs() {
  if (base_ != nullptr) sqlite3_vfs_unregister(&vfs_);
}

void EncryptedVfs::OverrideBase() {
  vfs_ = *base_;  // methods not replaced below (time, randomness, sleep) use no file
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + base_->szOsFile;
  vfs_.xOpen = [](sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    auto& self = *static_cast<EncryptedVfs*>(vfs->pAppData);
    file->pMethods = nullptr;
    if ((flags & SQLITE_OPEN_MAIN_JOURNAL) != 0) {
      file->pMethods = &kNothing;
      return SQLITE_OK;
    }
    if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0) return SQLITE_CANTOPEN;  // temporary files
    auto* opened = new (file) File(self, (flags & SQLITE_OPEN_WAL) != 0);
    opened->base()->pMethods = nullptr;
    const int code = self.base_->xOpen(self.base_, name, opened->base(), flags, out_flags);
    // If it has methods, SQLite closes it even after a failed open, as the system's file requires.
    if (opened->base()->pMethods != nullptr) file->pMethods = &File::kMethods;
    return code;
  };
  vfs_.xDelete = [](sqlite3_vfs* vfs, const char* name, int sync) {
    const int code = Pass<&sqlite3_vfs::xDelete>(vfs, name, sync);
    return code == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : code;  // a journal that was never made
  };
  vfs_.xAccess = Pass<&sqlite3_vfs::xAccess>;
  vfs_.xFullPathname = Pass<&sqlite3_vfs::xFullPathname>;
}

}  // namespace qwen25
