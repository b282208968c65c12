// The parsers of files that come from outside, each behind one function that takes a file's bytes. Whatever
// they are, a parser must come back: with an error that names the file, or with a value that keeps its
// promises. Anything else aborts, which is what a fuzzer looks for. docs/fuzzing.md says how to run them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace qwen25 {

using FuzzFunction = void (*)(std::span<const uint8_t> bytes);

void FuzzSafetensors(std::span<const uint8_t> bytes);
void FuzzGguf(std::span<const uint8_t> bytes);
void FuzzTokenizer(std::span<const uint8_t> bytes);
void FuzzConfig(std::span<const uint8_t> bytes);
void FuzzSlot(std::span<const uint8_t> bytes);
void FuzzLmdb(std::span<const uint8_t> bytes);
void FuzzKvExport(std::span<const uint8_t> bytes);
void FuzzDocuments(std::span<const uint8_t> bytes);
void FuzzChatTemplate(std::span<const uint8_t> bytes);
void FuzzHttp(std::span<const uint8_t> bytes);
void FuzzHub(std::span<const uint8_t> bytes);
void FuzzJinja(std::span<const uint8_t> bytes);
void FuzzApi(std::span<const uint8_t> bytes);
void FuzzSchema(std::span<const uint8_t> bytes);
void FuzzPattern(std::span<const uint8_t> bytes);
void FuzzGbnf(std::span<const uint8_t> bytes);
void FuzzAdapter(std::span<const uint8_t> bytes);

struct FuzzTarget {
  std::string_view name;  // of its folder of seeds, too
  FuzzFunction function;
};
inline constexpr FuzzTarget kFuzzTargets[] = {
    {"safetensors", FuzzSafetensors},
    {"gguf", FuzzGguf},
    {"tokenizer", FuzzTokenizer},
    {"config", FuzzConfig},
    {"slot", FuzzSlot},
    {"lmdb", FuzzLmdb},
    {"kv_export", FuzzKvExport},
    {"documents", FuzzDocuments},
    {"chat_template", FuzzChatTemplate},
    {"http", FuzzHttp},
    {"hub", FuzzHub},
    {"jinja", FuzzJinja},
    {"api", FuzzApi},
    {"schema", FuzzSchema},
    {"pattern", FuzzPattern},
    {"gbnf", FuzzGbnf},
    {"adapter", FuzzAdapter},
};

}  // namespace qwen25
