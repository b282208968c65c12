#include "pretrained/hub/repository_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/format.h"

namespace qwen25 {
namespace {

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

bool IsLetterOrDigit(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

std::string_view FileName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// "NAME-00001-of-00003" as NAME, 1 and 3.
struct PartName {
  std::string_view prefix;
  uint32_t index = 1, count = 1;
};
std::optional<PartName> ParsePartName(std::string_view stem) {
  constexpr size_t kDigits = 5, kEnding = 1 + kDigits + 4 + kDigits;  // "-00001-of-00003"
  if (stem.size() <= kEnding) return std::nullopt;
  const std::string_view ending = stem.substr(stem.size() - kEnding);
  if (ending[0] != '-' || ending.substr(1 + kDigits, 4) != "-of-") return std::nullopt;
  PartName part = {.prefix = stem.substr(0, stem.size() - kEnding)};
  const auto number = [](std::string_view digits, uint32_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() && value > 0;
  };
  if (!number(ending.substr(1, kDigits), part.index) || !number(ending.substr(5 + kDigits), part.count)) {
    return std::nullopt;
  }
  return part;
}

// The last word of the name: "x-Q4_K_M" -> "Q4_K_M".
std::string FormatOf(std::string_view stem) {
  const std::string_view name = FileName(stem);
  const size_t at = name.find_last_of("-.");
  if (at == name.npos) return "";
  const std::string_view word = name.substr(at + 1);
  const bool plain = std::ranges::all_of(word, [](char c) { return IsLetterOrDigit(c) || c == '_'; });
  return plain ? Upper(word) : "";
}

bool IsModelGguf(std::string_view path) {
  constexpr std::array<std::string_view, 6> kOthers = {"mmproj",  "imatrix", "mtp-",
                                                       "eagle3-", "dflash-", "dspark-"};
  const std::string_view name = FileName(path);
  return std::ranges::none_of(kOthers, [&](std::string_view word) { return name.find(word) != name.npos; });
}

// Both in capitals. `whole_word`: no letter or digit stands before it.
bool HoldsFormat(std::string_view path, std::string_view format, bool whole_word) {
  for (size_t at = path.find(format); at != path.npos; at = path.find(format, at + 1)) {
    const size_t end = at + format.size();
    if (end >= path.size() || (path[end] != '.' && path[end] != '-')) continue;
    if (!whole_word || at == 0 || !IsLetterOrDigit(path[at - 1])) return true;
  }
  return false;
}

bool MatchesAny(const std::string& path, std::span<const std::string> patterns) {
  return std::ranges::any_of(
      patterns, [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0; });
}

// Small files that readers of models, tokenizers and sentence encoders look for.
bool IsCompanion(const std::string& path) {
  constexpr std::array<std::string_view, 16> kNames = {"config.json",
                                                       "generation_config.json",
                                                       "tokenizer.json",
                                                       "tokenizer_config.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "vocab.txt",
                                                       "added_tokens.json",
                                                       "special_tokens_map.json",
                                                       "tokenizer.model",
                                                       "chat_template.jinja",
                                                       "chat_template.json",
                                                       "modules.json",
                                                       "sentence_bert_config.json",
                                                       "config_sentence_transformers.json",
                                                       "model.safetensors.index.json"};
  if (std::ranges::find(kNames, path) != kNames.end()) return true;
  // Modules of a sentence encoder, such as 1_Pooling and 2_Dense; named templates.
  constexpr std::array<const char*, 3> kPatterns = {"[0-9]_*/config.json", "[0-9]_*/model.safetensors",
                                                    "additional_chat_templates/*.jinja"};
  return std::ranges::any_of(
      kPatterns, [&](const char* pattern) { return ::fnmatch(pattern, path.c_str(), FNM_PATHNAME) == 0; });
}

bool IsPickled(const std::string& path) {
  constexpr std::array<std::string_view, 4> kEndings = {".bin", ".pt", ".pth", ".ckpt"};
  return path.find('/') == path.npos &&
         std::ranges::any_of(kEndings, [&](std::string_view end) { return path.ends_with(end); });
}

// The weights of a folder: model.safetensors, else its parts.
Result<std::vector<RepositoryFile>> SafetensorsOf(std::span<const RepositoryFile> files,
                                                  const std::string& origin) {
  std::vector<RepositoryFile> parts;
  for (const RepositoryFile& file : files) {
    if (file.path == "model.safetensors") return std::vector<RepositoryFile>{file};
    if (file.path.find('/') == file.path.npos && file.path.starts_with("model-") &&
        IsPartName(file.path, ".safetensors")) {
      parts.push_back(file);
    }
  }
  if (parts.empty()) return parts;
  const std::string_view path = parts.front().path;
  const uint32_t count = ParsePartName(path.substr(0, path.rfind('.')))->count;
  if (parts.size() != count) {
    return NotFound(
        "{}: lists {} of the {} parts of its weights (model-00001-of-{:05}.safetensors, ...); the "
        "repository is not complete",
        origin, parts.size(), count, count);
  }
  return parts;
}

std::string Listing(std::span<const RepositoryFile> files) {
  constexpr size_t kMost = 40;
  std::string text;
  for (size_t i = 0; i < files.size() && i < kMost; ++i) {
    text += fmt::format("\n  {:>10}  {}", FormatBytes(static_cast<double>(files[i].size)), files[i].path);
  }
  if (files.size() > kMost) text += fmt::format("\n  and {} more", files.size() - kMost);
  return text;
}

Status NothingFits(std::span<const RepositoryFile> files, std::span<const GgufModel> ggufs,
                   std::string_view format, const std::string& origin) {
  if (!ggufs.empty()) {
    std::string list;
    for (const GgufModel& model : ggufs) {
      double bytes = 0;
      for (const RepositoryFile& file : files) {
        if (std::ranges::find(model.paths, file.path) != model.paths.end()) {
          bytes += static_cast<double>(file.size);
        }
      }
      list += fmt::format("\n  {:>10}  :{:<10} {}", FormatBytes(bytes), model.format, model.paths.front());
    }
    return NotFound("{}: there is no {}; these are there:{}", origin, format, list);
  }
  const auto pickled = std::ranges::find_if(files, [](const auto& file) { return IsPickled(file.path); });
  if (pickled != files.end()) {
    return Unsupported(
        "{}: its weights are pickled ({}, {}), and such files can run programs when they are read; look for "
        "a revision or a copy with safetensors, or convert it with transformers (save_pretrained)",
        origin, pickled->path, FormatBytes(static_cast<double>(pickled->size)));
  }
  return NotFound("{}: holds no weights that this program reads (safetensors or GGUF); its files:{}", origin,
                  files.empty() ? " none" : Listing(files));
}

}  // namespace

bool IsPartName(std::string_view path, std::string_view extension) {
  if (!path.ends_with(extension)) return false;
  return ParsePartName(path.substr(0, path.size() - extension.size())).has_value();
}

std::vector<GgufModel> GgufModelsIn(std::vector<std::string> paths) {
  std::ranges::sort(paths);  // the parts of a model follow each other
  std::vector<GgufModel> models;
  std::vector<std::string> prefixes;  // of the models
  for (const std::string& path : paths) {
    constexpr std::string_view kExtension = ".gguf";
    if (path.size() <= kExtension.size() || !Upper(path).ends_with(".GGUF") || !IsModelGguf(path)) continue;
    const std::string_view stem = std::string_view(path).substr(0, path.size() - kExtension.size());
    const PartName part = ParsePartName(stem).value_or(PartName{.prefix = stem});
    const std::string prefix = fmt::format("{} {}", part.count, part.prefix);
    const auto known = std::ranges::find(prefixes, prefix);
    if (known == prefixes.end()) {
      prefixes.push_back(prefix);
      models.push_back({.format = FormatOf(part.prefix), .paths = {path}, .num_parts = part.count});
    } else {
      models[static_cast<size_t>(known - prefixes.begin())].paths.push_back(path);
    }
  }
  return models;
}

const GgufModel* FindGguf(std::span<const GgufModel> models, std::string_view format) {
  const std::vector<std::string> formats =
      format.empty() ? std::vector<std::string>{"Q4_K_M", "Q8_0"} : std::vector<std::string>{Upper(format)};
  for (const std::string& wanted : formats) {
    for (const bool whole_word : {true, false}) {
      for (const GgufModel& model : models) {
        if (HoldsFormat(Upper(model.paths.front()), wanted, whole_word)) return &model;
      }
    }
  }
  return format.empty() && !models.empty() ? &models.front() : nullptr;
}

Result<std::vector<RepositoryFile>> ChooseFiles(std::span<const RepositoryFile> files,
                                                std::string_view format,
                                                std::span<const std::string> patterns,
                                                const std::string& origin) {
  std::vector<RepositoryFile> chosen;
  if (!patterns.empty()) {
    std::ranges::copy_if(files, std::back_inserter(chosen),
                         [&](const RepositoryFile& file) { return MatchesAny(file.path, patterns); });
    if (chosen.empty()) {
      return NotFound("{}: no file matches {}; its files:{}", origin, fmt::join(patterns, ", "),
                      Listing(files));
    }
    return chosen;
  }
  std::vector<std::string> paths;
  for (const RepositoryFile& file : files) paths.push_back(file.path);
  const std::vector<GgufModel> ggufs = GgufModelsIn(std::move(paths));
  if (format.empty() || Upper(format) == "SAFETENSORS") {
    QWEN25_TRY(chosen, SafetensorsOf(files, origin));
    if (!chosen.empty()) {
      std::ranges::copy_if(files, std::back_inserter(chosen),
                           [](const RepositoryFile& file) { return IsCompanion(file.path); });
      return chosen;
    }
    if (!format.empty()) return NothingFits(files, ggufs, format, origin);
  }
  const GgufModel* gguf = FindGguf(ggufs, format);
  if (gguf == nullptr) return NothingFits(files, ggufs, format, origin);
  if (!gguf->complete()) {
    return NotFound("{}: lists {} of the {} parts of {}; the repository is not complete", origin,
                    gguf->paths.size(), gguf->num_parts, gguf->paths.front());
  }
  for (const std::string& path : gguf->paths) {
    chosen.push_back(*std::ranges::find(files, path, &RepositoryFile::path));
  }
  return chosen;
}

}  // namespace qwen25
