// Packed weights in a file beside the model, so that the next start maps them instead of packing again.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "quant/packed_weight.h"
#include "store/safetensors.h"

namespace qwen25 {

// <folder>/qwen25-<format>.packed, beside a GGUF file <file>.qwen25-<format>.packed: a safetensors file with
// the tensors "matrices" (U8, as packed) and "vectors" (F32). Its metadata hold the formats of the matrices,
// the hash of its tensors ("content") and the hash of the files it was made from ("source"). The name has the
// format of most matrices.
std::filesystem::path PackedCachePath(const std::filesystem::path& model_path,
                                      std::span<const WeightFormat> formats);

// The formats of all matrices as text.
std::string PackedCacheFormats(std::span<const WeightFormat> formats);

// What decides the weights of a model: config.json, the index and all *.safetensors of a folder, or all parts
// of a GGUF file. In order of their names.
Result<std::vector<std::filesystem::path>> PackedCacheSources(const std::filesystem::path& model_path);

// Differs as soon as one of the files was written to or replaced, whatever its times were set to afterwards:
// names, inodes, sizes, and both times of change.
Result<std::string> StateOfFiles(std::span<const std::filesystem::path> files);

// The hash of their names and contents, as text.
Result<std::string> HashOfFiles(std::span<const std::filesystem::path> files, ThreadPool& threads);
// The same of parts of memory.
std::string HashOfParts(std::span<const std::span<const std::byte>> parts, ThreadPool& threads);

// Holds a cache file to the two hashes in its metadata. A check that succeeded is remembered beside the file
// (<file>.checked) with the state of all files, so that each content is read through once and not at every
// start. kNotFound: made from other weights; kCorrupt: damaged.
Status CheckPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path,
                        const SafetensorsReader& file, ThreadPool& threads);
// Remembers that a file that was just written is good. Best effort: without it, the next start checks.
void RememberPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path);

}  // namespace qwen25
