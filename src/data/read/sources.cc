#include "data/read/sources.h"

#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "base/hash.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

using FileKey = std::pair<uint64_t, uint64_t>;  // device and inode

bool Matches(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), FNM_EXTMATCH) == 0;
}

bool MatchesAny(const std::vector<std::string>& patterns, const std::string& text) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return Matches(pattern, text); });
}

std::vector<std::string> ExpandRoots(const std::vector<std::string>& patterns) {
  std::vector<std::string> roots;
  for (const std::string& pattern : patterns) {
    glob_t found = {};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
      roots.insert(roots.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
  }
  return roots;
}

class Walker {
 public:
  Walker(const SourceSpec& spec, SourceListing& listing) : spec_(spec), listing_(listing) {}

  void Walk(const std::string& root) {
    root_ = root;
    Visit(root, /*follow=*/true);
  }

  // Links come last, so that a file is known by its own name if that is below some root.
  void FollowLinks() {
    while (!links_.empty()) {
      std::vector<std::pair<std::string, std::string>> links = std::exchange(links_, {});
      std::ranges::sort(links);
      for (const auto& [path, root] : links) {
        root_ = root;
        Visit(path, /*follow=*/true);
      }
    }
  }

 private:
  void Visit(const std::string& path, bool follow) {
    struct stat info;
    if ((follow ? ::stat(path.c_str(), &info) : ::lstat(path.c_str(), &info)) != 0) {
      ++listing_.unreadable;  // a link to nowhere, or a folder that may not be searched
      return;
    }
    if (path != root_ && MatchesAny(spec_.excluded, path.substr(root_.size()))) return;
    if (S_ISLNK(info.st_mode)) {
      links_.emplace_back(path, root_);
    } else if (S_ISDIR(info.st_mode)) {
      VisitFolder(path, {info.st_dev, info.st_ino});
    } else if (S_ISREG(info.st_mode)) {
      VisitFile(path, info);
    }
  }

  void VisitFolder(const std::string& path, FileKey key) {
    if (!seen_.insert(key).second) {
      ++listing_.aliases;
      return;
    }
    std::error_code error;
    std::vector<std::string> entries;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      entries.push_back(it->path().string());
    if (error) ++listing_.unreadable;
    std::ranges::sort(entries);
    for (const std::string& entry : entries) Visit(entry, /*follow=*/false);
  }

  void VisitFile(const std::string& path, const struct stat& info) {
    // A file that the user names is taken whatever it is called.
    if (path != root_ && !spec_.names.empty() && !MatchesAny(spec_.names, fs::path(path).filename().string()))
      return;
    if (!seen_.insert({info.st_dev, info.st_ino}).second) {
      ++listing_.aliases;
      return;
    }
    listing_.files.push_back({path, static_cast<uint64_t>(info.st_size)});
    listing_.bytes += static_cast<uint64_t>(info.st_size);
  }

  const SourceSpec& spec_;
  SourceListing& listing_;
  std::string root_;
  std::set<FileKey> seen_;
  std::vector<std::pair<std::string, std::string>> links_;  // path, and the root it was found below
};

}  // namespace

const char* ReaderName(Reader reader) {
  switch (reader) {
    case Reader::kAuto:
      return "auto";
    case Reader::kPlain:
      return "plain";
    case Reader::kRoff:
      return "roff";
    case Reader::kPod:
      return "pod";
    case Reader::kInfo:
      return "info";
    case Reader::kJsonl:
      return "jsonl";
  }
  return "?";
}

std::string PythonLibraryPattern(std::string_view path) {
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    const std::string folder(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    std::error_code error;
    const fs::path program = fs::canonical(fs::path(folder) / "python3", error);
    if (folder.empty() || error) continue;
    return (program.parent_path().parent_path() / "lib" / "python3.*").string();
  }
  return {};
}

std::vector<SourceSpec> SystemSources() {
  std::vector<std::string> python = {"/usr/lib/python3.*", "/usr/lib/python3/dist-packages"};
  const char* path = std::getenv("PATH");
  if (const std::string own = PythonLibraryPattern(path != nullptr ? path : "");
      !own.empty() && own != python[0])
    python.push_back(own);
  return {
      {.kind = "python",
       .title = "Python's standard library and packages",
       .roots = std::move(python),
       .names = {"*.py"},
       .excluded = {"*/lib2to3/tests/*", "*/_sysconfigdata*"},
       .reader = Reader::kPlain,
       .share = 8},
      {.kind = "manual",
       .title = "manual pages",
       .roots = {"/usr/share/man/man[1-9]", "/usr/local/share/man/man[1-9]"},
       .names = {"*.[1-9]*"},
       .excluded = {"*.3perl*", "*.3pm*", "/perl*.1*"},  // pages made from Perl's documentation: see "perl"
       .reader = Reader::kRoff,
       .share = 5},
      {.kind = "perl",
       .title = "Perl's documentation and modules",
       .roots = {"/usr/share/perl/*", "/usr/share/perl5", "/usr/lib/*/perl/*", "/usr/lib/*/perl-base"},
       .names = {"*.pod", "*.pm"},
       .excluded = {"*/unicore/*"},  // generated tables
       .reader = Reader::kPod,
       .share = 4},
      {.kind = "package-doc",
       .title = "package documentation",
       .roots = {"/usr/share/doc"},
       .names = {"copyright", "README*", "*.txt", "*.txt.gz", "*.md", "*.md.gz", "*.rst", "*.rst.gz",
                 "AUTHORS*", "TODO*", "FAQ*", "HOWTO*", "INSTALL*"},
       .excluded = {"*/changelog*", "*/ChangeLog*", "*/RelNotes/*", "*/NEWS*"},  // lists of names and dates
       .reader = Reader::kPlain,
       .share = 3},
      {.kind = "headers",
       .title = "C and C++ headers",
       .roots = {"/usr/include"},
       .names = {"*.h", "*.hh", "*.hpp", "*.ipp", "*.tcc",
                 "+([A-Za-z0-9_])"},  // the last: <vector>, <span>, ...
       .reader = Reader::kPlain,
       .share = 4},
      {.kind = "cmake",
       .title = "CMake's modules and manual",
       .roots = {"/usr/share/cmake*/Help", "/usr/share/cmake*/Modules"},
       .names = {"*.rst", "*.cmake"},
       .reader = Reader::kPlain,
       .share = 2},
      {.kind = "info",
       .title = "GNU Info manuals",
       .roots = {"/usr/share/info"},
       .names = {"*.info", "*.info.gz", "*.info-[0-9]*"},
       .reader = Reader::kInfo,
       .share = 2,
       .max_file_bytes = 8 << 20},
  };
}

SourceSpec UserSource(const std::string& path) {
  // The path is a name, not a pattern: what glob(3) would read as one is escaped.
  std::string pattern;
  for (const char c : path) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  while (pattern.size() > 1 && pattern.ends_with('/')) pattern.pop_back();
  return {.kind = "directory",
          .title = path,
          .roots = {std::move(pattern)},
          .excluded = {"*/.*"},
          .max_file_bytes = 0,
          .required = true};
}

SourceListing ListFiles(const SourceSpec& spec) {
  SourceListing listing;
  listing.roots = ExpandRoots(spec.roots);
  Walker walker(spec, listing);
  for (const std::string& root : listing.roots) walker.Walk(root);
  walker.FollowLinks();

  std::vector<std::pair<uint64_t, size_t>> order;
  for (size_t i = 0; i < listing.files.size(); ++i)
    order.emplace_back(Hash64(std::as_bytes(std::span(listing.files[i].path))), i);
  std::ranges::sort(order, [&](const auto& a, const auto& b) {
    return std::tie(a.first, listing.files[a.second].path) < std::tie(b.first, listing.files[b.second].path);
  });
  std::vector<SourceFile> files;
  for (const auto& [hash, i] : order) files.push_back(std::move(listing.files[i]));
  listing.files = std::move(files);
  return listing;
}

}  // namespace qwen25
