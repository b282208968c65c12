#include "data/read/compression.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace qwen25 {

struct Decompressor::State {
  State(Compression given, std::string name) : compression(given), origin(std::move(name)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (zlib_ready) inflateEnd(&zlib);
    ZSTD_freeDStream(zstd);
  }

  Result<Step> RunGzip(std::string_view input, std::span<char> output);
  Result<Step> RunZstd(std::string_view input, std::span<char> output);

  Compression compression;
  std::string origin;
  z_stream zlib = {};
  bool zlib_ready = false;
  ZSTD_DStream* zstd = nullptr;
  size_t consumed = 0;    // in all
  bool between = false;   // the last member or frame is complete
  bool ignoring = false;  // the rest is padding
};

Result<Decompressor::Step> Decompressor::State::RunGzip(std::string_view input, std::span<char> output) {
  Step step;
  if (between && !ignoring) {
    if (input.size() < 2) return step;
    ignoring = !input.starts_with("\x1F\x8B");
    if (!ignoring) {
      inflateReset(&zlib);
      between = false;
    }
  }
  if (ignoring) {
    step.consumed = input.size();
    return step;
  }
  constexpr size_t kMost = std::numeric_limits<uInt>::max();
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // zlib does not write to it
  zlib.avail_in = static_cast<uInt>(std::min(input.size(), kMost));
  zlib.next_out = reinterpret_cast<Bytef*>(output.data());
  zlib.avail_out = static_cast<uInt>(std::min(output.size(), kMost));
  const uInt given = zlib.avail_in, room = zlib.avail_out;
  const int code = inflate(&zlib, Z_NO_FLUSH);
  step.consumed = given - zlib.avail_in;
  step.produced = room - zlib.avail_out;
  if (code == Z_STREAM_END) {
    between = true;
  } else if (code != Z_OK && code != Z_BUF_ERROR) {
    return Corrupt("{}: not valid gzip data at byte {}: {}", origin, consumed + step.consumed,
                   zlib.msg != nullptr ? zlib.msg : "wrong header");
  }
  return step;
}

Result<Decompressor::Step> Decompressor::State::RunZstd(std::string_view input, std::span<char> output) {
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  ZSTD_outBuffer out{output.data(), output.size(), 0};
  const size_t code = ZSTD_decompressStream(zstd, &out, &in);
  if (ZSTD_isError(code)) {
    return Corrupt("{}: not valid zstd data at byte {}: {}", origin, consumed + in.pos,
                   ZSTD_getErrorName(code));
  }
  if (in.pos > 0 || out.pos > 0) between = code == 0;
  return Step{.consumed = in.pos, .produced = out.pos};
}

Decompressor::Decompressor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

Result<Decompressor> Decompressor::Create(Compression compression, std::string origin) {
  auto state = std::make_unique<State>(compression, std::move(origin));
  if (compression == Compression::kGzip) {
    state->zlib_ready = inflateInit2(&state->zlib, 16 + MAX_WBITS) == Z_OK;  // 16: the gzip wrapper
    if (!state->zlib_ready) return ResourceExhausted("{}: no memory for zlib", state->origin);
  } else {
    state->zstd = ZSTD_createDStream();
    if (state->zstd == nullptr) return ResourceExhausted("{}: no memory for zstd", state->origin);
  }
  return Decompressor(std::move(state));
}

Result<Decompressor::Step> Decompressor::Run(std::string_view input, std::span<char> output) {
  Result<Step> step = state_->compression == Compression::kGzip ? state_->RunGzip(input, output)
                                                                : state_->RunZstd(input, output);
  if (step.ok()) state_->consumed += step->consumed;
  return step;
}

Status Decompressor::Finish() const {
  if (state_->between) return {};
  return Corrupt("{}: the {} data is cut short after {} bytes", state_->origin,
                 state_->compression == Compression::kGzip ? "gzip" : "zstd", state_->consumed);
}

Compression CompressionOf(std::string_view path) {
  if (path.ends_with(".gz")) return Compression::kGzip;
  return path.ends_with(".zst") ? Compression::kZstd : Compression::kNone;
}

std::string_view WithoutCompression(std::string_view path) {
  const Compression compression = CompressionOf(path);
  if (compression == Compression::kNone) return path;
  return path.substr(0, path.size() - (compression == Compression::kGzip ? 3 : 4));
}

Result<std::string> Decompress(Compression compression, std::string_view compressed, size_t max_bytes,
                               std::string_view origin) {
  QWEN25_TRY(Decompressor decompressor, Decompressor::Create(compression, std::string(origin)));
  std::string out;
  size_t filled = 0;
  while (true) {
    // One byte beyond the limit tells a content that just fits from one that does not.
    if (filled == out.size()) {
      out.resize(std::min(max_bytes + 1, std::max<size_t>(4096, 4 * compressed.size() + 2 * filled)));
    }
    QWEN25_TRY(const Decompressor::Step step, decompressor.Run(compressed, std::span(out).subspan(filled)));
    filled += step.produced;
    compressed.remove_prefix(step.consumed);
    if (filled > max_bytes) {
      return ResourceExhausted("{}: holds more than {} bytes when decompressed", origin, max_bytes);
    }
    if (step.consumed == 0 && step.produced == 0) break;
  }
  QWEN25_RETURN_IF_ERROR(decompressor.Finish());
  out.resize(filled);
  return out;
}

}  // namespace qwen25
