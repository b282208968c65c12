// What compare_tokenizers.py, compare_wordpiece.py and tokenizer_speed.py drive; not installed.
//
//   tokenize_tool encode TOKENIZER IN OUT     documents -> ids
//   tokenize_tool text TOKENIZER IN OUT       the same, with added tokens as ordinary text
//   tokenize_tool decode TOKENIZER IN OUT     ids -> documents
//   tokenize_tool qwen2|gpt2 - IN OUT         documents -> lengths of the pre-tokenizer's pieces, in bytes
//   tokenize_tool bench TOKENIZER IN          for every line on standard input: encodes all documents and
//                                             prints seconds of processor time and the number of ids
//   tokenize_tool save TOKENIZER OUT          writes the tokenizer's folder
//   tokenize_tool wordpiece|wordpiece-text FOLDER IN OUT
//                                             documents -> ids of a WordPiece tokenizer; -text as above
//   tokenize_tool bert FLAGS IN OUT           documents -> texts as BERT's normalizer gives them; FLAGS has
//                                             letters of clean, chinese (h), accents, lower
//
// TOKENIZER is what Tokenizer::Load takes, or a llama2c tokenizer.bin. IN and OUT hold records: u32 count,
// then as many bytes (documents) or i32 values, little-endian.
#include <ctime>

#include <cstring>
#include <iostream>

#include "base/clock.h"
#include "base/file.h"
#include "pretrained/gguf_tokenizer_io.h"
#include "text/llama2c_tokenizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "text/wordpiece.h"

namespace qwen25 {
namespace {

template <typename T>
Result<std::vector<std::vector<T>>> ReadRecords(const std::string& path) {
  QWEN25_TRY(const std::string file, ReadFile(path));
  std::vector<std::vector<T>> records;
  for (size_t at = 0; at < file.size();) {
    uint32_t count = 0;
    if (file.size() - at >= sizeof count) std::memcpy(&count, file.data() + at, sizeof count);
    at += sizeof count;
    if (at > file.size() || count * sizeof(T) > file.size() - at) {
      return Corrupt("{}: record {} is cut short", path, records.size());
    }
    std::vector<T> record(count);
    if (count > 0) std::memcpy(record.data(), file.data() + at, count * sizeof(T));
    at += count * sizeof(T);
    records.push_back(std::move(record));
  }
  return records;
}

template <typename T>
void AppendRecord(const T* values, size_t size, std::string& out) {
  const auto count = static_cast<uint32_t>(size);
  out.append(reinterpret_cast<const char*>(&count), sizeof count);
  out.append(reinterpret_cast<const char*>(values), size * sizeof(T));
}

std::string_view View(const std::vector<char>& text) {
  return {text.data(), text.size()};
}

Status SplitDocuments(PreTokenizerKind kind, const std::string& in, const std::string& out) {
  QWEN25_TRY(const auto documents, ReadRecords<char>(in));
  const PreTokenizer pre_tokenizer(kind);
  std::string result;
  for (const auto& document : documents) {
    std::vector<int32_t> lengths;
    pre_tokenizer.ForEachPiece(View(document), [&](std::string_view piece) {
      lengths.push_back(static_cast<int32_t>(piece.size()));
    });
    AppendRecord(lengths.data(), lengths.size(), result);
  }
  return WriteFileAtomically(out, result);
}

template <typename AnyTokenizer>
Status EncodeDocuments(const AnyTokenizer& tokenizer, SpecialTokens special, const std::string& in,
                       const std::string& out) {
  QWEN25_TRY(const auto documents, ReadRecords<char>(in));
  std::string result;
  std::vector<int32_t> ids;
  for (const auto& document : documents) {
    ids.clear();
    tokenizer.Encode(View(document), ids, special);
    AppendRecord(ids.data(), ids.size(), result);
  }
  return WriteFileAtomically(out, result);
}

Status DecodeDocuments(const Tokenizer& tokenizer, const std::string& in, const std::string& out) {
  QWEN25_TRY(const auto records, ReadRecords<int32_t>(in));
  std::string result;
  for (const auto& ids : records) {
    const std::string text = tokenizer.Decode(ids);
    AppendRecord(text.data(), text.size(), result);
  }
  return WriteFileAtomically(out, result);
}

Status NormalizeDocuments(const std::string& flags, const std::string& in, const std::string& out) {
  QWEN25_TRY(const auto documents, ReadRecords<char>(in));
  const auto has = [&](char flag) { return flags.find(flag) != std::string::npos; };
  const BertNormalizerOptions options = {has('c'), has('h'), has('a'), has('l')};
  std::string result;
  for (const auto& document : documents) {
    std::string text;
    NormalizeBert(RepairUtf8(View(document)), options, text);
    AppendRecord(text.data(), text.size(), result);
  }
  return WriteFileAtomically(out, result);
}

// Processor time of this thread: other programs on a shared machine disturb it less than the clock.
double ThreadSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Status Bench(const Tokenizer& tokenizer, const std::string& in) {
  QWEN25_TRY(const auto documents, ReadRecords<char>(in));
  std::vector<int32_t> ids;
  for (std::string line; std::getline(std::cin, line);) {
    size_t count = 0;
    const double start = ThreadSeconds();
    for (const auto& document : documents) {
      ids.clear();
      tokenizer.Encode(View(document), ids);
      count += ids.size();
    }
    std::cout << ThreadSeconds() - start << ' ' << count << std::endl;
  }
  return {};
}

// From a folder or tokenizer.json, a tokenizer.bin of llama2.c, or a GGUF file, which may hold no tensors.
Result<Tokenizer> LoadAny(const std::string& path) {
  if (path.ends_with(".bin")) return TokenizerFromLlama2c(path);
  if (!path.ends_with(".gguf")) return Tokenizer::Load(path);
  QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
  return ReadGgufTokenizer(files, path);
}

Status Run(const std::vector<std::string>& args) {
  if (args.size() < 3) return InvalidArgument("usage: tokenize_tool COMMAND TOKENIZER IN [OUT]");
  const std::string& command = args[0];
  const std::string out = args.size() > 3 ? args[3] : "";
  if (command == "qwen2") return SplitDocuments(PreTokenizerKind::kQwen2, args[2], out);
  if (command == "gpt2") return SplitDocuments(PreTokenizerKind::kGpt2, args[2], out);
  if (command == "bert") return NormalizeDocuments(args[1], args[2], out);
  if (command == "wordpiece" || command == "wordpiece-text") {
    QWEN25_TRY(const WordPieceTokenizer tokenizer, WordPieceTokenizer::Load(args[1]));
    const SpecialTokens special = command == "wordpiece" ? SpecialTokens::kParse : SpecialTokens::kAsText;
    return EncodeDocuments(tokenizer, special, args[2], out);
  }
  const double start = NowSeconds();
  QWEN25_TRY(const Tokenizer tokenizer, LoadAny(args[1]));
  std::cerr << "loaded in " << NowSeconds() - start << " s\n";
  if (command == "encode") return EncodeDocuments(tokenizer, SpecialTokens::kParse, args[2], out);
  if (command == "text") return EncodeDocuments(tokenizer, SpecialTokens::kAsText, args[2], out);
  if (command == "decode") return DecodeDocuments(tokenizer, args[2], out);
  if (command == "bench") return Bench(tokenizer, args[2]);
  if (command == "save") return tokenizer.Save(args[2]);
  return InvalidArgument("unknown command {}", command);
}

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  const qwen25::Status status = qwen25::Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << status.message() << '\n';
  return status.ok() ? 0 : 1;
}
