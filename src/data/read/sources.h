// Where text comes from: a list of kinds of sources, and the files of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// The most that files which are read whole (compressed or rendered ones) may have, and unpack to.
inline constexpr uint64_t kMaxWholeFileBytes = uint64_t{64} << 20;

// How the bytes of a file become text. A file whose name ends in .gz or .zst is decompressed first, whatever
// the reader.
enum class Reader {
  kAuto,   // by the name: .jsonl or .ndjson, .pod or .pm, .info, .1 to .9 that hold roff; everything else is
           // plain, unless it begins with a JSON line that has a "text"
  kPlain,  // text, Markdown, source code: as it is
  kRoff,   // manual pages
  kPod,    // Perl: documentation, and the code of a module as a second document
  kInfo,   // GNU Info manuals
  kJsonl,  // one JSON object per line with a "text", and optionally an "id"
};

// One kind of source. A list of these is the whole description of a corpus.
struct SourceSpec {
  std::string kind;                     // "python", "manual", ...: names the source in reports and documents
  std::string title = {};               // for people: "Python's standard library"
  std::vector<std::string> roots = {};  // glob(3) patterns of folders or files
  std::vector<std::string> names = {};  // patterns of file names to take; empty: every file
  std::vector<std::string> excluded = {};  // patterns of paths below the root ("/a/b.txt"); `*` spans slashes
  Reader reader = Reader::kAuto;
  double share = 1;  // of the corpus, relative to the other kinds, which fill up what one lacks
  // Larger files are dropped: in a system's folders they are mostly generated. 0: no limit; text and JSONL
  // are then read in pieces, everything else up to kMaxWholeFileBytes.
  uint64_t max_file_bytes = 512 << 10;
  bool required = false;   // an error if no root exists
  uint64_t max_bytes = 0;  // of text taken from this kind; 0: as much as its share and the others leave
};

// What a Debian or Ubuntu machine has: Python's library, manual pages, Perl's documentation and modules,
// package documentation, C and C++ headers, CMake's modules and manual, Info manuals.
std::vector<SourceSpec> SystemSources();

// One kind for a folder or file that the user names, read by kAuto. Hidden files and folders are left out.
SourceSpec UserSource(const std::string& path);

struct SourceFile {
  std::string path;
  uint64_t size;  // bytes on disk
};

// What was found of one kind.
struct SourceListing {
  std::vector<std::string> roots = {};  // those that exist, expanded
  std::vector<SourceFile> files;        // in the order of a hash of the path: see ListFiles
  uint64_t bytes = 0;                   // on disk
  uint64_t aliases = 0;     // links to files that are listed under another name, and repeated roots
  uint64_t unreadable = 0;  // folders and links that the operating system refuses
};

// Walks the roots. Each file is listed once, under its own name if that is below a root: links are followed
// after everything else, and never into a folder already seen. Sockets and devices are left out.
//
// Files come in the order of a hash of their path, not by name. So a corpus that stops at its size limit
// holds a sample of the whole source instead of its first names, an added file moves no other, and the order
// is the same on every run.
SourceListing ListFiles(const SourceSpec& spec);

// The library folder of the `python3` that stands first in `path` (as in $PATH): for .../bin/python3 that is
// .../lib/python3.*. Follows links, runs nothing. Empty if there is none.
std::string PythonLibraryPattern(std::string_view path);

const char* ReaderName(Reader reader);

}  // namespace qwen25
