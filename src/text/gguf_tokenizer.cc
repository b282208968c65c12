#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>

#include "text/bpe_tables.h"
#include "text/chat_template.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/score_merges.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// ggml.token_type.
enum TokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

std::string Shown(std::string_view text) {
  return RepairUtf8(text.substr(0, 64));
}

Status CheckParts(const GgufTokenizer& parts, std::string_view origin) {
  const size_t size = parts.tokens.size();
  if (size == 0) return Corrupt("{}: tokenizer.ggml.tokens is missing or empty", origin);
  if (size > static_cast<size_t>(kMaxTokenId) + 1) {
    return Corrupt("{}: tokenizer.ggml.tokens has {} entries, at most {} are handled", origin, size,
                   kMaxTokenId + 1);
  }
  if (!parts.token_types.empty() && parts.token_types.size() != size) {
    return Corrupt("{}: tokenizer.ggml.token_type has {} entries, but tokenizer.ggml.tokens has {}", origin,
                   parts.token_types.size(), size);
  }
  if (!parts.scores.empty() && parts.scores.size() != size) {
    return Corrupt("{}: tokenizer.ggml.scores has {} entries, but tokenizer.ggml.tokens has {}", origin,
                   parts.scores.size(), size);
  }
  const auto bad = std::ranges::find_if(parts.scores, [](float score) { return !std::isfinite(score); });
  if (bad != parts.scores.end()) {
    return Corrupt("{}: tokenizer.ggml.scores holds {} at {}", origin, *bad, bad - parts.scores.begin());
  }
  for (const auto& [key, id] : {std::pair{"bos", parts.bos_id},
                                {"eos", parts.eos_id},
                                {"unknown", parts.unk_id},
                                {"padding", parts.pad_id}}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= size)) {
      return Corrupt("{}: tokenizer.ggml.{}_token_id is {}, outside the {} tokens", origin, key, *id, size);
    }
  }
  return {};
}

// The type of token `id`. In a file without types, the tokens with a role are control tokens.
int32_t TypeOf(const GgufTokenizer& parts, size_t id) {
  if (!parts.token_types.empty()) {
    return parts.token_types[id] == kUndefined ? kNormal : parts.token_types[id];
  }
  const auto is = [id](const std::optional<int32_t>& role) {
    return role && static_cast<size_t>(*role) == id;
  };
  return is(parts.bos_id) || is(parts.eos_id) || is(parts.pad_id) ? kControl : kNormal;
}

// Fills in tokens (of byte-level vocabularies their bytes) and added tokens.
Status FillTokens(const GgufTokenizer& parts, std::string_view origin, TokenizerSpec& spec) {
  spec.tokens.resize(parts.tokens.size());
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    const std::string& text = parts.tokens[id];
    const int32_t type = TypeOf(parts, id), number = static_cast<int32_t>(id);
    switch (type) {
      case kControl:
      case kUnknown:
      case kUserDefined:
        spec.added_tokens.push_back({.id = number, .content = text, .special = type != kUserDefined});
        break;
      case kNormal:
      case kByte:
      case kUnused:
        break;
      default:
        return Corrupt("{}: tokenizer.ggml.token_type holds {} at {}, expected 1 to 6", origin, type, id);
    }
    if (type == kUnused || text.empty()) continue;
    if (spec.model == BpeModel::kCharacters) {
      spec.tokens[id] = text;
    } else if (type == kNormal && !AlphabetToBytes(text, spec.tokens[id])) {
      spec.tokens[id].clear();
      spec.foreign_tokens.emplace_back(number, text);
    }
  }
  return {};
}

// A table from the texts of the vocabulary to ids.
Result<PieceTable> TableOf(const GgufTokenizer& parts, std::string_view origin, const TokenizerSpec& spec) {
  std::vector<std::string_view> texts;
  std::vector<int32_t> ids;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (spec.tokens[id].empty()) continue;
    texts.push_back(parts.tokens[id]);
    ids.push_back(static_cast<int32_t>(id));
  }
  PieceTable table;
  const size_t repeated = table.Build(texts, ids);
  if (repeated == texts.size()) return table;
  return Corrupt("{}: tokenizer.ggml.tokens lists \"{}\" twice, with the ids {} and {}", origin,
                 Shown(texts[repeated]), table.Find(texts[repeated]), ids[repeated]);
}

Status FillMerges(const GgufTokenizer& parts, std::string_view origin, TokenizerSpec& spec) {
  if (parts.merges.size() > kMaxMerges) {
    return Corrupt("{}: tokenizer.ggml.merges has {} entries, at most {} are handled", origin,
                   parts.merges.size(), kMaxMerges);
  }
  QWEN25_TRY(const PieceTable table, TableOf(parts, origin, spec));
  spec.merges.reserve(parts.merges.size());
  std::string joined;
  for (size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const std::string_view merge = parts.merges[rank];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      return Corrupt("{}: tokenizer.ggml.merges[{}] is \"{}\", expected \"left right\"", origin, rank,
                     Shown(merge));
    }
    joined.assign(merge.substr(0, space));
    joined += merge.substr(space + 1);
    // Most vocabularies are numbered in the order of their merges: look there first, a search costs more.
    const size_t guess = spec.merges.empty() ? 0 : static_cast<size_t>(spec.merges.back().result) + 1;
    const bool next =
        guess < parts.tokens.size() && !spec.tokens[guess].empty() && parts.tokens[guess] == joined;
    const TokenizerSpec::Merge found = {table.Find(merge.substr(0, space)),
                                        table.Find(merge.substr(space + 1)),
                                        next ? static_cast<int32_t>(guess) : table.Find(joined)};
    if (found.left < 0 || found.right < 0 || found.result < 0) {
      return Corrupt("{}: tokenizer.ggml.merges[{}], \"{}\", needs a token that is not in the vocabulary",
                     origin, rank, Shown(merge));
    }
    spec.merges.push_back(found);
  }
  return {};
}

// A vocabulary with merges, cut into pieces as tokenizer.ggml.pre says.
Status FillWithMerges(const GgufTokenizer& parts, std::string_view origin, TokenizerSpec& spec) {
  QWEN25_TRY(GgufPreTokenizer pre,
             PreTokenizerOfGguf(parts.model == "gemma4" ? "gemma4" : parts.pre, origin));
  if (parts.model == "gpt2" && parts.pre.empty()) {
    spec.remark = fmt::format(
        "{}: the file does not say how to cut text into pieces (tokenizer.ggml.pre); they are cut by "
        "llama.cpp's "
        "default, which may not be the model's own",
        origin);
  }
  spec.model = pre.model;
  spec.normalizer = std::move(pre.normalizer);
  spec.pre_tokenizer = std::move(pre.steps);
  spec.ignore_merges = pre.ignore_merges;
  if (spec.model == BpeModel::kCharacters) {
    spec.decoder = SpaceMarkDecoder(false);
    spec.byte_fallback = true;
  }
  if (parts.add_bos.value_or(pre.add_bos) && parts.bos_id) spec.prefix_ids = {*parts.bos_id};
  QWEN25_RETURN_IF_ERROR(FillTokens(parts, origin, spec));
  return FillMerges(parts, origin, spec);
}

Status FillSentencePiece(const GgufTokenizer& parts, std::string_view origin, TokenizerSpec& spec) {
  spec.model = BpeModel::kCharacters;
  const bool prefix = parts.add_space_prefix.value_or(true);
  if (parts.remove_extra_whitespaces.value_or(false)) {
    spec.normalizer.resize(2);
    for (NormalizerStep& step : spec.normalizer) {
      step.kind = NormalizerStep::Kind::kReplace;
      step.pattern.is_regex = true;
    }
    spec.normalizer[0].pattern.text = R"(\A +| +\z)";
    spec.normalizer[1].pattern.text = " +";
    spec.normalizer[1].content = " ";
  }
  for (NormalizerStep& step : SpaceMarkSteps(prefix)) spec.normalizer.push_back(std::move(step));
  spec.decoder = SpaceMarkDecoder(prefix);
  spec.byte_fallback = true;
  if (parts.add_bos.value_or(true) && parts.bos_id) spec.prefix_ids = {*parts.bos_id};
  if (parts.scores.empty()) return Corrupt("{}: tokenizer.ggml.scores is missing", origin);
  QWEN25_RETURN_IF_ERROR(FillTokens(parts, origin, spec));
  std::vector<bool> is_piece(parts.tokens.size());
  for (size_t id = 0; id < is_piece.size(); ++id) {
    is_piece[id] =
        TypeOf(parts, id) == kNormal && !spec.tokens[id].empty() && ByteOfSentencePiece(spec.tokens[id]) < 0;
  }
  DeriveMerges(parts.scores, is_piece, spec);
  return {};
}

// Scores that express the merges: the later a merge, the lower the score of its result. All merges into one
// token must be adjacent.
Result<std::vector<float>> ScoresOf(const TokenizerSpec& spec, std::string_view origin) {
  std::vector<float> scores(spec.tokens.size());
  int32_t last = -1, rank = 0;
  for (const TokenizerSpec::Merge& merge : spec.merges) {
    if (merge.result == last) continue;
    last = merge.result;
    float& score = scores[static_cast<size_t>(last)];
    if (score != 0) {
      return Unsupported(
          "{}: the merges into the token \"{}\" are not adjacent; GGUF has one score per token and cannot "
          "express that",
          origin, Shown(spec.tokens[static_cast<size_t>(last)]));
    }
    score = static_cast<float>(-++rank);
  }
  return scores;
}

}  // namespace

Result<Tokenizer> TokenizerFromGguf(const GgufTokenizer& parts, std::string_view origin) {
  QWEN25_RETURN_IF_ERROR(CheckParts(parts, origin));
  TokenizerSpec spec;
  if (parts.model == "gpt2" || parts.model == "gemma4") {
    QWEN25_RETURN_IF_ERROR(FillWithMerges(parts, origin, spec));
  } else if (parts.model == "llama") {
    QWEN25_RETURN_IF_ERROR(FillSentencePiece(parts, origin, spec));
  } else {
    return Unsupported("{}: tokenizer.ggml.model is \"{}\"; handled are \"gpt2\", \"gemma4\" and \"llama\"",
                       origin, Shown(parts.model));
  }
  const auto text_of = [&](const std::optional<int32_t>& id) {
    return id ? parts.tokens[static_cast<size_t>(*id)] : std::string();
  };
  spec.bos_token = text_of(parts.bos_id);
  spec.eos_token = text_of(parts.eos_id);
  spec.pad_token = text_of(parts.pad_id);
  std::optional<int32_t> unk_id = parts.unk_id;
  for (size_t id = 0; id < parts.tokens.size() && !unk_id; ++id) {
    if (TypeOf(parts, id) == kUnknown) unk_id = static_cast<int32_t>(id);
  }
  spec.unk_token = text_of(unk_id);
  // The unknown token of a byte-level file is a role that its configuration names; bytes that have no token
  // give nothing.
  if (spec.model == BpeModel::kCharacters) spec.unk_id = unk_id;
  if (parts.add_eos.value_or(false) && parts.eos_id) spec.suffix_ids = {*parts.eos_id};
  spec.chat_template = parts.chat_template;
  spec.turn_end_ids = parts.turn_end_ids;
  if (!parts.named_chat_templates.empty()) {  // in the form of tokenizer_config.json
    Json& all = spec.config["chat_template"] = Json::array();
    if (!spec.chat_template.empty()) all.push_back({{"name", "default"}, {"template", spec.chat_template}});
    for (const auto& [name, source] : parts.named_chat_templates) {
      all.push_back({{"name", name}, {"template", source}});
    }
  }
  return Tokenizer::FromSpec(std::move(spec), origin);
}

namespace {

// The templates with names, without the default one.
std::vector<std::pair<std::string, std::string>> FurtherChatTemplates(const TokenizerSpec& spec,
                                                                      std::string_view origin) {
  auto named = NamedChatTemplates(spec.config.value("chat_template", Json()), origin);
  if (!named.ok()) return {};
  std::erase_if(*named, [](const auto& entry) { return entry.first == "default"; });
  return std::move(*named);
}

// What the format says about normalisation and pieces; kUnsupported if it cannot express it.
Status FillPipeline(const TokenizerSpec& spec, std::string_view origin, GgufTokenizer& parts) {
  if (spec.model == BpeModel::kByteLevel) {
    QWEN25_TRY(parts.pre, GgufPreNameOf(spec, origin));
    return {};
  }
  const bool prefix = spec.normalizer == SpaceMarkSteps(true);
  // Splitting at spaces, as Gemma does, changes nothing once there are none.
  const SplitStep at_spaces = {.kind = SplitStep::Kind::kPattern,
                               .pattern = {" ", false},
                               .behavior = SplitBehavior::kMergedWithPrevious};
  const bool whole = spec.pre_tokenizer.empty() || spec.pre_tokenizer == std::vector<SplitStep>{at_spaces};
  const bool marked = whole && (prefix || spec.normalizer == SpaceMarkSteps(false));
  const bool metaspace = spec.normalizer.empty() && spec.pre_tokenizer.size() == 1 &&
                         spec.pre_tokenizer[0].kind == SplitStep::Kind::kMetaspace &&
                         spec.pre_tokenizer[0].replacement == kSpaceMark && !spec.pre_tokenizer[0].cuts &&
                         spec.pre_tokenizer[0].prepend != SplitStep::Prepend::kFirst;
  if (!marked && !metaspace) {
    return Unsupported(
        "{}: GGUF cannot express this tokenizer's normalizer and pre_tokenizer; of vocabularies with "
        "characters, it has those with \"\u2581\" for spaces and nothing else",
        origin);
  }
  if (!spec.byte_fallback || spec.ignore_merges) {
    return Unsupported("{}: GGUF has no vocabularies of characters {}", origin,
                       spec.ignore_merges ? "with ignore_merges" : "without byte_fallback");
  }
  parts.add_space_prefix = metaspace ? spec.pre_tokenizer[0].prepend == SplitStep::Prepend::kAlways : prefix;
  return {};
}

}  // namespace

Result<GgufTokenizer> GgufTokenizerOf(const Tokenizer& tokenizer, size_t vocab_size,
                                      std::string_view origin) {
  const TokenizerSpec& spec = tokenizer.spec();
  const bool byte_level = spec.model == BpeModel::kByteLevel;
  if (spec.tokens.size() > vocab_size) {
    return InvalidArgument("{}: the tokenizer has {} entries, but the model only {} rows of embeddings",
                           origin, spec.tokens.size(), vocab_size);
  }
  GgufTokenizer parts;
  parts.model = byte_level ? "gpt2" : "llama";
  QWEN25_RETURN_IF_ERROR(FillPipeline(spec, origin, parts));
  parts.tokens.resize(vocab_size);
  parts.token_types.assign(vocab_size, kUnused);
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].empty()) continue;
    parts.tokens[id] = byte_level ? BytesToAlphabet(spec.tokens[id]) : spec.tokens[id];
    parts.token_types[id] = !byte_level && ByteOfSentencePiece(spec.tokens[id]) >= 0 ? kByte : kNormal;
  }
  for (const auto& [id, text] : spec.foreign_tokens) {
    parts.tokens[static_cast<size_t>(id)] = text;
    parts.token_types[static_cast<size_t>(id)] = kNormal;
  }
  for (const AddedToken& added : spec.added_tokens) {
    const auto id = static_cast<size_t>(added.id);
    if (id >= vocab_size) continue;  // the model has no row for it
    parts.tokens[id] = added.content;
    parts.token_types[id] = spec.unk_id == added.id && !byte_level ? kUnknown
                            : added.special                        ? kControl
                                                                   : kUserDefined;
  }
  for (size_t id = 0; id < vocab_size; ++id) {
    if (parts.token_types[id] == kUnused) parts.tokens[id] = fmt::format("[PAD{}]", id);
  }
  if (byte_level) {
    for (const TokenizerSpec::Merge& merge : spec.merges) {
      parts.merges.push_back(parts.tokens[static_cast<size_t>(merge.left)] + " " +
                             parts.tokens[static_cast<size_t>(merge.right)]);
    }
  } else {
    QWEN25_TRY(parts.scores, ScoresOf(spec, origin));
    parts.scores.resize(vocab_size);
  }
  const auto with_row = [&](std::optional<int32_t> id) {
    return id && static_cast<size_t>(*id) < vocab_size ? id : std::nullopt;
  };
  parts.bos_id = with_row(tokenizer.bos_id());
  parts.eos_id = with_row(tokenizer.eos_id());
  parts.pad_id = with_row(tokenizer.pad_id());
  parts.unk_id = with_row(spec.unk_id ? spec.unk_id : tokenizer.TokenId(spec.unk_token));
  parts.add_bos = !spec.prefix_ids.empty();
  parts.add_eos = !spec.suffix_ids.empty();
  parts.chat_template = spec.chat_template;
  parts.named_chat_templates = FurtherChatTemplates(spec, origin);
  return parts;
}

}  // namespace qwen25
