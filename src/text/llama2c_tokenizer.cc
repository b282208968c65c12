#include "text/llama2c_tokenizer.h"

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "text/score_merges.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr int32_t kUnk = 0, kBos = 1, kEos = 2, kFirstByte = 3, kFirstPiece = 259;
constexpr int32_t kMaxPieceBytes = 4096;

struct Piece {
  float score;
  std::string text;
};

Result<std::vector<Piece>> ReadPieces(std::string_view file, std::string_view origin) {
  size_t at = 0;
  const auto read = [&](auto& value) {
    if (file.size() - at < sizeof value) return false;
    std::memcpy(&value, file.data() + at, sizeof value);
    at += sizeof value;
    return true;
  };
  int32_t max_length = 0;
  if (!read(max_length) || max_length <= 0 || max_length > kMaxPieceBytes) {
    return Corrupt("{}: max_token_length is {}, expected 1 to {}; is this a tokenizer.bin of llama2.c?",
                   origin, max_length, kMaxPieceBytes);
  }
  std::vector<Piece> pieces;
  while (at < file.size()) {
    Piece piece;
    int32_t length = 0;
    if (!read(piece.score) || !read(length)) {
      return Corrupt("{}: the file ends inside the header of token {} (at byte {})", origin, pieces.size(),
                     at);
    }
    // llama2.c's own export understates max_token_length: it counts characters, and its <s> has newlines.
    if (length < 1 || length > kMaxPieceBytes || static_cast<size_t>(length) > file.size() - at) {
      return Corrupt("{}: token {} has length {}, but {} bytes follow (at byte {})", origin, pieces.size(),
                     length, file.size() - at, at);
    }
    if (!std::isfinite(piece.score))
      return Corrupt("{}: token {} has no finite score", origin, pieces.size());
    piece.text = file.substr(at, static_cast<size_t>(length));
    at += static_cast<size_t>(length);
    pieces.push_back(std::move(piece));
    if (pieces.size() > static_cast<size_t>(kMaxTokenId)) {
      return Corrupt("{}: more than {} tokens", origin, kMaxTokenId);
    }
  }
  if (pieces.size() < kFirstPiece) {
    return Corrupt("{}: {} tokens, expected at least {} (<unk>, <s>, </s> and 256 bytes)", origin,
                   pieces.size(), kFirstPiece);
  }
  return pieces;
}

Status FillTokens(const std::vector<Piece>& pieces, std::string_view origin, TokenizerSpec& spec) {
  spec.tokens = {"<unk>", "<s>", "</s>"};
  for (int32_t id = kFirstByte; id < kFirstPiece; ++id) {
    const std::string expected = fmt::format("<0x{:02X}>", id - kFirstByte);
    const std::string& found = pieces[static_cast<size_t>(id)].text;
    if (found != expected) {
      return Corrupt("{}: token {} is \"{}\", expected \"{}\"", origin, id, RepairUtf8(found), expected);
    }
    spec.tokens.push_back(expected);
  }
  for (size_t id = kFirstPiece; id < pieces.size(); ++id) {
    std::string& token = spec.tokens.emplace_back();
    for (const char c : pieces[id].text) c == ' ' ? token += kSpaceMark : token += c;
  }
  return {};
}

}  // namespace

Result<Tokenizer> TokenizerFromLlama2c(const std::filesystem::path& path) {
  QWEN25_TRY(const std::string file, ReadFile(path));
  const std::string origin = path.string();
  QWEN25_TRY(const std::vector<Piece> pieces, ReadPieces(file, origin));
  TokenizerSpec spec;
  spec.model = BpeModel::kCharacters;
  spec.normalizer = SpaceMarkSteps();
  spec.decoder = SpaceMarkDecoder();
  spec.byte_fallback = true;
  QWEN25_RETURN_IF_ERROR(FillTokens(pieces, origin, spec));
  std::vector<float> scores(spec.tokens.size());
  std::vector<bool> is_piece(spec.tokens.size());
  for (size_t id = kFirstPiece; id < spec.tokens.size(); ++id) {
    scores[id] = pieces[id].score;
    is_piece[id] = true;
  }
  DeriveMerges(scores, is_piece, spec);
  spec.unk_id = kUnk;
  for (const int32_t id : {kUnk, kBos, kEos}) {
    spec.added_tokens.push_back({.id = id, .content = spec.tokens[static_cast<size_t>(id)]});
  }
  spec.prefix_ids = {kBos};
  spec.bos_token = spec.tokens[kBos];
  spec.eos_token = spec.tokens[kEos];
  return Tokenizer::FromSpec(std::move(spec), origin);
}

}  // namespace qwen25
