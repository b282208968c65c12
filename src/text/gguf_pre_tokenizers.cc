#include "text/gguf_pre_tokenizers.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "text/piece_splitter.h"

namespace qwen25 {
namespace {

// One way to cut text: expressions that are applied one after the other, each to the pieces of the one
// before, isolating its matches. Where the model's own tokenizer.json is published with another expression
// than llama.cpp writes (which has no case folding and no classes of letters), it is the published one.
struct Family {
  std::vector<const char*> names;  // the first is the one that is written
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
  bool nfc = false;
  BpeModel model = BpeModel::kByteLevel;
};

constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeek3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Lists of characters as DeepSeek, AFMoE, Youtu and BLOOM have them. Escaped, since editors normalise some.
constexpr std::string_view kDeepSeekLetters =
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5"
    "\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-"
    "\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D"
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-"
    "\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113"
    "\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149"
    "\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-"
    "\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0"
    "-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+";
constexpr std::string_view kDeepSeekPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kDeepSeekScripts = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr std::string_view kAfmoeScripts =
    "[\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-"
    "\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+";
constexpr std::string_view kYoutuScripts =
    "[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-"
    "\u303F\uFE30-\uFE4F]+|[\u3105-\u312F]+|[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kHanAndKana = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kBloomPattern = " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+";
constexpr std::string_view kDigit = R"(\p{N})", kThreeDigits = R"(\p{N}{1,3})";

std::vector<Family> MakeFamilies() {
  std::vector<Family> families = {
      {.names = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"},
       .patterns = {kQwen2Pattern},
       .nfc = true},
      {.names = {"stablelm2", "hunyuan", "solar-open", "grok-2"}, .patterns = {kQwen2Pattern}},
      {.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0",
                 "mellum", "modern-bert", "jais", "trillion", "granite-docling", "exaone4", "jina-v1-en",
                 "jina-v2-code", "roberta-bpe"},
       .patterns = {kGpt2Pattern}},
      {.names = {"mpt", "olmo"}, .patterns = {kGpt2Pattern}, .nfc = true},
      {.names = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
                 "mellum2"},
       .patterns = {kDigit, kGpt2Pattern}},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"},
       .patterns = {kLlama3Pattern},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, .patterns = {kLlama3Pattern}},
      {.names = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, .patterns = {kGpt4oPattern}},
      {.names = {"granite-embed-multi-97m"}, .patterns = {kGpt4oPattern}, .ignore_merges = true},
      {.names = {"tekken"}, .patterns = {kTekkenPattern}, .ignore_merges = true, .add_bos = true},
      {.names = {"deepseek-llm"},
       .patterns = {"[\r\n]", kDeepSeekLetters, kDeepSeekPunctuation, R"(\s+$)", kDeepSeekScripts,
                    R"(\p{N}+)"}},
      {.names = {"deepseek-coder"},
       .patterns = {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekScripts, kDigit}},
      {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm"},
       .patterns = {kThreeDigits, kHanAndKana, kDeepSeek3Pattern}},
      {.names = {"falcon"}, .patterns = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Pattern, "[0-9][0-9][0-9]"}},
      {.names = {"default", ""},
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .patterns = {kBloomPattern}},
      {.names = {"viking"}, .patterns = {kBloomPattern, kDigit}},
      {.names = {"qwen35"},
       .patterns = {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
                    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
       .nfc = true},
  };
  return families;
}

std::vector<Family> MakeRareFamilies() {
  return {
      {.names = {"jais-2"},
       .patterns =
           {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
            R"(\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|)"
            R"(\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"}},
      {.names = {"youtu"},
       .patterns = {kYoutuScripts,
                    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
                    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
                    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}|)"
                    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
       .ignore_merges = true},
      {.names = {"chameleon"},
       .patterns = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", R"(([\t\n]|    |  ))", kDigit,
                    R"([\p{P}!-/:-@\[-`{-~])", kGpt2Pattern},
       .add_bos = true},
      {.names = {"tiny_aya", "cohere2moe"}, .patterns = {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4oPattern}},
      {.names = {"superbpe"}, .patterns = {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}},
      {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
       .patterns = {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
                    R"(\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {.names = {"seed-coder"},
       .patterns =
           {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)"
            R"(\s*[\r\n]+|\s+(?!\S)|\s+)"}},
      {.names = {"kimi-k2"},
       .patterns = {R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
                    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
                    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
                    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|)"
                    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}},
      {.names = {"afmoe"},
       .patterns = {R"(\p{N}{1,2}(?=(?:\p{N}{3})+(?!\p{N}))|\p{N}{3}(?=(?:\p{N}{3})*(?!\p{N}))|\p{N}+)",
                    kAfmoeScripts, kDeepSeek3Pattern}},
      {.names = {"laguna"}, .patterns = {R"([^\n]+|[\n]+)", kQwen2Pattern}},
      {.names = {"exaone-moe"},
       .patterns =
           {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|)"
            R"( ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"}},
      {.names = {"minicpm5"},
       .patterns =
           {kThreeDigits,
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
            R"(\s*[\r\n]+|\s+(?!\S)|\s+)"},
       .ignore_merges = true},
      {.names = {"gemma4", "granite-embed-multi-311m", "sarvam-moe"},
       .patterns = {R"([^\n]+|[\n]+)"},
       .add_bos = true,
       .model = BpeModel::kCharacters},
  };
}

const std::vector<Family>& Families() {
  static const std::vector<Family> families = [] {
    std::vector<Family> all = MakeFamilies();
    for (Family& family : MakeRareFamilies()) all.push_back(std::move(family));
    return all;
  }();
  return families;
}

GgufPreTokenizer Meaning(const Family& family) {
  GgufPreTokenizer out;
  out.model = family.model;
  out.ignore_merges = family.ignore_merges;
  out.add_bos = family.add_bos;
  const bool characters = family.model == BpeModel::kCharacters;
  if (family.nfc) out.normalizer = NfcSteps();
  if (characters) out.normalizer = SpaceMarkSteps(false);
  if (family.patterns == std::vector<std::string_view>{kDigit, kGpt2Pattern}) {
    out.steps = StepsOf(PreTokenizerKind::kDigitsGpt2);  // as these models' tokenizer.json has it
  } else if (family.patterns == std::vector<std::string_view>{kGpt2Pattern}) {
    out.steps = StepsOf(PreTokenizerKind::kGpt2);
  } else {
    for (const std::string_view pattern : family.patterns) out.steps.push_back(PatternStep(pattern));
    if (!characters) out.steps.push_back(PlainByteLevelStep());
  }
  return out;
}

// Steps that differ only in how they are written, in one form.
std::vector<SplitStep> Comparable(std::vector<SplitStep> steps) {
  for (SplitStep& step : steps) {
    step.trim_offsets = false;
    if (step.kind == SplitStep::Kind::kDigits && step.individual) step = PatternStep(kDigit);
    if (step.behavior == SplitBehavior::kRemoved && step.invert) {
      step.behavior = SplitBehavior::kIsolated;
      step.invert = false;
    }
  }
  if (!steps.empty() && steps.back().kind == SplitStep::Kind::kByteLevel && steps.back().use_regex &&
      !steps.back().add_prefix_space) {
    steps.back() = PatternStep(kGpt2Pattern);
    steps.push_back(PlainByteLevelStep());
  }
  return steps;
}

}  // namespace

Result<GgufPreTokenizer> PreTokenizerOfGguf(std::string_view name, std::string_view origin) {
  std::vector<std::string> known;
  for (const Family& family : Families()) {
    if (std::ranges::find(family.names, name) != family.names.end()) return Meaning(family);
    for (const char* other : family.names) known.push_back(other);
  }
  std::erase(known, "");
  std::ranges::sort(known);
  return Unsupported("{}: tokenizer.ggml.pre is \"{}\"; handled are {}", origin, name,
                     fmt::join(known, ", "));
}

Result<std::string> GgufPreNameOf(const TokenizerSpec& spec, std::string_view origin) {
  const std::vector<SplitStep> steps = Comparable(spec.pre_tokenizer);
  for (const bool same_normalizer : {true, false}) {
    for (const Family& family : Families()) {
      const GgufPreTokenizer meaning = Meaning(family);
      if (meaning.model != spec.model || meaning.ignore_merges != spec.ignore_merges) continue;
      if (Comparable(meaning.steps) != steps) continue;
      if (same_normalizer ? meaning.normalizer == spec.normalizer : spec.normalizer.empty()) {
        return std::string(family.names[0]);
      }
    }
  }
  return Unsupported("{}: GGUF has no name for this tokenizer's normalizer and pre_tokenizer{}", origin,
                     spec.ignore_merges ? " with ignore_merges" : "");
}

}  // namespace qwen25
