#include "data/read/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace qwen25 {
namespace {

// Ends zlib's state on every way out.
struct Inflater {
  z_stream stream = {};
  bool ready = inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK;  // 16: the gzip wrapper
  ~Inflater() {
    if (ready) inflateEnd(&stream);
  }
};

}  // namespace

Result<std::string> Gunzip(std::string_view compressed, size_t max_bytes, std::string_view origin) {
  if (compressed.size() > std::numeric_limits<uInt>::max())
    return ResourceExhausted("{}: {} compressed bytes, more than zlib takes at once", origin,
                             compressed.size());
  Inflater inflater;
  if (!inflater.ready) return ResourceExhausted("{}: no memory for zlib", origin);
  z_stream& stream = inflater.stream;
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));  // zlib does not write to it
  stream.avail_in = static_cast<uInt>(compressed.size());

  std::string out;
  size_t filled = 0;
  for (;;) {
    // One byte beyond the limit tells a content that just fits from one that does not.
    if (filled == out.size())
      out.resize(std::min(max_bytes + 1, std::max<size_t>(4096, 4 * compressed.size() + 2 * filled)));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    stream.avail_out =
        static_cast<uInt>(std::min<size_t>(out.size() - filled, std::numeric_limits<uInt>::max()));
    const uInt room = stream.avail_out;
    const int code = inflate(&stream, Z_NO_FLUSH);
    filled += room - stream.avail_out;
    if (filled > max_bytes)
      return ResourceExhausted("{}: holds more than {} bytes when decompressed", origin, max_bytes);
    if (code == Z_STREAM_END) {
      // A further member; other bytes behind the last one (padding) are ignored, as gzip does.
      const bool another = stream.avail_in >= 2 && stream.next_in[0] == 0x1F && stream.next_in[1] == 0x8B;
      if (!another) break;
      inflateReset(&stream);
    } else if (code == Z_BUF_ERROR || (code == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      return Corrupt("{}: the gzip data is cut short after {} bytes", origin, compressed.size());
    } else if (code != Z_OK) {
      return Corrupt("{}: not valid gzip data at byte {}: {}", origin, compressed.size() - stream.avail_in,
                     stream.msg != nullptr ? stream.msg : "wrong header");
    }
  }
  out.resize(filled);
  return out;
}

}  // namespace qwen25
