#include "data/read/text_kind.h"

#include <algorithm>

#include "base/file.h"

namespace qwen25 {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kGzip = "gzip data", kZstd = "zstd data", kUtf16 = "UTF-16 text";

struct Magic {
  size_t at;
  std::string_view bytes;
  std::string_view name;
};
// Sources: the specifications of the formats. Marks of plain letters count only if there is a NUL byte, too.
constexpr Magic kMagics[] = {
    {0, "\x1F\x8B"sv, kGzip},
    {0, "\x28\xB5\x2F\xFD"sv, kZstd},
    {0, "BZh91AY&SY"sv, "bzip2 data"},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     "xz data"},
    {0, "\x04\x22\x4D\x18"sv, "lz4 data"},
    {0, "PK\x03\x04"sv, "a ZIP archive (docx, xlsx, epub, odt and PyTorch files are such)"},
    {0, "7z\xBC\xAF\x27\x1C"sv, "a 7-Zip archive"},
    {0, "Rar!\x1A\x07"sv, "a RAR archive"},
    {257, "ustar"sv, "a tar archive"},
    {0, "%PDF-"sv, "a PDF document"},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an old Microsoft Office document"},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG image"},
    {0, "\xFF\xD8\xFF"sv, "a JPEG image"},
    {0, "GIF87a"sv, "a GIF image"},
    {0, "GIF89a"sv, "a GIF image"},
    {0, "II*\0"sv, "a TIFF image"},
    {0, "MM\0*"sv, "a TIFF image"},
    {0, "OggS\0"sv, "an Ogg recording"},
    {0, "fLaC\0"sv, "a FLAC recording"},
    {0, "ID3\x03"sv, "an MP3 recording"},
    {0, "ID3\x04"sv, "an MP3 recording"},
    {4, "ftyp"sv, "an MP4 video"},
    {0, "\x1A\x45\xDF\xA3"sv, "a Matroska video"},
    {0,
     "\x7F"
     "ELF"sv,
     "a program"},
    {0, "MZ\x90\0"sv, "a Windows program"},
    {0, "SQLite format 3\0"sv, "an SQLite database"},
    {0, "GGUF"sv, "a GGUF model"},
    {0, "\x93NUMPY"sv, "a NumPy array"},
    {0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file"},
    {0, "PAR1"sv, "a Parquet table"},
    {0, "ARROW1\0"sv, "an Arrow table"},
    {0, "Obj\x01"sv, "an Avro file"},
    {0, "MMIDIDX\0\0"sv, "the index of a token shard"},
    {0, "\xFF\xFE\0\0"sv, "UTF-32 text"},
    {0, "\0\0\xFE\xFF"sv, "UTF-32 text"},
    {0, "\xFF\xFE"sv, kUtf16},
    {0, "\xFE\xFF"sv, kUtf16},
};

bool IsGraphic(char c) {
  return c > ' ' && c <= '~';
}

// The length of the header in eight bytes, then the header, a JSON object.
bool IsSafetensors(std::string_view bytes) {
  return bytes.size() > 9 && bytes.substr(4, 4) == "\0\0\0\0"sv && bytes.substr(8, 2) == "{\""sv;
}

// UTF-16 of mostly Latin letters: most bytes at even or at odd places are NUL, and no other one.
bool IsUnmarkedUtf16(std::string_view bytes) {
  size_t nuls[2] = {};
  for (size_t i = 0; i < bytes.size(); ++i) nuls[i % 2] += bytes[i] == '\0';
  return std::min(nuls[0], nuls[1]) == 0 && 10 * std::max(nuls[0], nuls[1]) > 4 * bytes.size();
}

}  // namespace

std::optional<std::string_view> NameOfBinary(std::string_view first_bytes) {
  const std::string_view bytes = first_bytes.substr(0, kKindBytes);
  const bool has_nul = bytes.find('\0') != std::string_view::npos;
  for (const Magic& magic : kMagics) {
    const bool is_sure = magic.bytes == "%PDF-" || !std::ranges::all_of(magic.bytes, IsGraphic);
    if ((is_sure || has_nul) && bytes.size() > magic.at && bytes.substr(magic.at).starts_with(magic.bytes)) {
      return magic.name;
    }
  }
  if (bytes.starts_with("RIFF") && bytes.size() >= 12) {
    if (bytes.substr(8, 4) == "WEBP") return "a WebP image";
    if (bytes.substr(8, 4) == "WAVE") return "a WAVE recording";
  }
  if (IsSafetensors(bytes)) return "a safetensors file";
  if (!has_nul) return std::nullopt;
  return IsUnmarkedUtf16(bytes) ? kUtf16 : "binary data (it holds NUL bytes)";
}

Status CheckIsText(std::string_view first_bytes, std::string_view origin) {
  if (IsGitLfsPointer(first_bytes)) return InvalidArgument("{}: {}", origin, kGitLfsPointer);
  const std::optional<std::string_view> name = NameOfBinary(first_bytes);
  if (!name) return {};
  if (*name == kGzip || *name == kZstd) {
    return InvalidArgument("{}: is {}, not text; it is read if its name ends in {}", origin, *name,
                           *name == kGzip ? ".gz" : ".zst");
  }
  if (name->ends_with(" text")) {
    return InvalidArgument("{}: is {}, expected UTF-8; `iconv -f {} -t UTF-8` converts it", origin, *name,
                           name->substr(0, name->find(' ')));
  }
  return InvalidArgument("{}: is {}, not text", origin, *name);
}

}  // namespace qwen25
