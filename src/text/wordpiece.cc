#include "text/wordpiece.h"

#include <algorithm>

#include "text/utf8.h"

namespace qwen25 {
namespace {

std::string Shown(std::string_view token) {
  return RepairUtf8(token.substr(0, 64));
}

// Vocabulary pieces of one of the two kinds, and a table of them.
struct Pieces {
  std::vector<std::string_view> texts;
  std::vector<int32_t> ids;
  size_t longest = 0;

  void Add(std::string_view text, size_t id) {
    if (text.empty()) return;  // no word has it
    texts.push_back(text);
    ids.push_back(static_cast<int32_t>(id));
    longest = std::max(longest, text.size());
  }
  Status Build(std::string_view origin, PieceTable& table) const {
    const size_t repeated = table.Build(texts, ids);
    if (repeated == texts.size()) return {};
    return Corrupt("{}: the token \"{}\" is listed twice, with the ids {} and {}", origin,
                   Shown(texts[repeated]), table.Find(texts[repeated]), ids[repeated]);
  }
};

// The start of the last code point of text[0, end); end > 0.
size_t LastStart(std::string_view text, size_t end) {
  --end;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return end;
}

// The longest beginning of `text` (not empty) in `table`, or an id of PieceTable::kNone.
struct Match {
  int32_t id;
  size_t size;
};
Match LongestMatch(const PieceTable& table, size_t longest, std::string_view text) {
  size_t size = text.size();
  while (size > longest) size = LastStart(text, size);
  const char* const readable_end = text.data() + text.size();
  for (; size > 0; size = LastStart(text, size)) {
    const int32_t id = table.Find(text.substr(0, size), readable_end);
    if (id != PieceTable::kNone) return {id, size};
  }
  return {PieceTable::kNone, 0};
}

}  // namespace

Result<int32_t> WordPieceTokenizer::IdOf(std::string_view token, std::string_view role,
                                         std::string_view origin) const {
  for (const AddedToken& added : spec_.added_tokens) {
    if (added.content == token) return added.id;
  }
  const auto found = std::ranges::find(spec_.tokens, token);
  if (found != spec_.tokens.end()) return static_cast<int32_t>(found - spec_.tokens.begin());
  return Corrupt("{}: the {} token \"{}\" is not in the vocabulary", origin, role, Shown(token));
}

Status WordPieceTokenizer::Build(std::string_view origin) {
  if (spec_.continuation.empty()) {
    return Unsupported("{}: pieces inside a word have no prefix; \"##\" is usual", origin);
  }
  Pieces words, continuations;
  for (size_t id = 0; id < spec_.tokens.size(); ++id) {
    const std::string_view token = spec_.tokens[id];
    if (token.size() > kMaxTokenBytes) {
      return Corrupt("{}: the token with id {} has {} bytes, at most {} are handled", origin, id,
                     token.size(), kMaxTokenBytes);
    }
    // A word may begin with the mark, too: the reference looks up what stands in the text.
    words.Add(token, id);
    if (token.starts_with(spec_.continuation)) {
      continuations.Add(token.substr(spec_.continuation.size()), id);
    }
  }
  QWEN25_RETURN_IF_ERROR(words.Build(origin, words_));
  QWEN25_RETURN_IF_ERROR(continuations.Build(origin, continuations_));
  longest_word_ = words.longest;
  longest_continuation_ = continuations.longest;
  vocab_size_ = spec_.tokens.size();
  std::vector<AddedTokenFinder::Pattern> raw, normalized;
  for (const AddedToken& added : spec_.added_tokens) {
    if (added.content.empty()) return Corrupt("{}: the added token with id {} is empty", origin, added.id);
    if (added.id < 0 || added.id > kMaxTokenId) {
      return Corrupt("{}: the added token \"{}\" has id {}, expected 0 to {}", origin, Shown(added.content),
                     added.id, kMaxTokenId);
    }
    vocab_size_ = std::max(vocab_size_, static_cast<size_t>(added.id) + 1);
    AddedTokenFinder::Pattern pattern = {added.content, added.id,     added.special,
                                         added.lstrip,  added.rstrip, added.single_word};
    if (added.normalized) {
      pattern.text.clear();
      NormalizeBert(RepairUtf8(added.content), spec_.normalizer, pattern.text);
      if (pattern.text.empty()) continue;
    }
    (added.normalized ? normalized : raw).push_back(std::move(pattern));
  }
  raw_ = AddedTokenFinder(std::move(raw));
  normalized_ = AddedTokenFinder(std::move(normalized));
  QWEN25_TRY(unk_id_, IdOf(spec_.unk_token, "unknown", origin));
  for (const auto& [token, ids] :
       {std::pair{&spec_.cls_token, &prefix_ids_}, {&spec_.sep_token, &suffix_ids_}}) {
    if (token->empty()) continue;
    QWEN25_TRY(const int32_t id, IdOf(*token, ids == &prefix_ids_ ? "first" : "last", origin));
    ids->push_back(id);
  }
  return {};
}

Result<WordPieceTokenizer> WordPieceTokenizer::FromSpec(WordPieceSpec spec, std::string_view origin) {
  WordPieceTokenizer tokenizer;
  tokenizer.spec_ = std::move(spec);
  QWEN25_RETURN_IF_ERROR(tokenizer.Build(origin));
  return tokenizer;
}

void WordPieceTokenizer::Encode(std::string_view text, std::vector<int32_t>& ids,
                                SpecialTokens special) const {
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  const auto allow = [special](const AddedTokenFinder::Pattern& pattern, size_t) {
    return special == SpecialTokens::kParse || (special == SpecialTokens::kControlAsText && !pattern.control);
  };
  const auto on_token = [&](int32_t id) { ids.push_back(id); };
  std::string normalized;
  raw_.Split(
      text, allow,
      [&](std::string_view part) {
        normalized.clear();
        NormalizeBert(part, spec_.normalizer, normalized);
        normalized_.Split(
            normalized, allow, [&](std::string_view words) { EncodeNormalized(words, ids); }, on_token);
      },
      on_token);
}

void WordPieceTokenizer::EncodeNormalized(std::string_view text, std::vector<int32_t>& ids) const {
  const char* const end = text.data() + text.size();
  size_t begin = 0, num_characters = 0;  // of the word that is being read
  const auto finish = [&](size_t at) {
    if (num_characters > 0) EncodeWord(text.substr(begin, at - begin), num_characters, ids);
    num_characters = 0;
  };
  for (size_t at = 0; at < text.size();) {
    const DecodedCodePoint c = DecodeCodePoint(text.data() + at, end);
    const bool space = IsBertSpace(c.code_point);
    if (space || IsBertPunctuation(c.code_point)) {
      finish(at);
      if (!space) EncodeWord(text.substr(at, c.bytes), 1, ids);
    } else {
      if (num_characters == 0) begin = at;
      ++num_characters;
    }
    at += c.bytes;
  }
  finish(text.size());
}

void WordPieceTokenizer::EncodeWord(std::string_view word, size_t num_characters,
                                    std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  bool known = num_characters <= spec_.max_word_characters;
  const PieceTable* table = &words_;
  size_t longest = longest_word_;
  while (known && !word.empty()) {
    const Match match = LongestMatch(*table, longest, word);
    known = match.id != PieceTable::kNone;
    if (known) ids.push_back(match.id);
    word.remove_prefix(match.size);
    table = &continuations_;
    longest = longest_continuation_;
  }
  if (known) return;
  ids.resize(first);
  ids.push_back(unk_id_);
}

}  // namespace qwen25
