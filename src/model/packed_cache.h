// Packed weights in a cache file beside the model: the next start maps them instead of packing them again.
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

// <folder>/qwen25-<format>.packed, or <file>.qwen25-<format>.packed for a GGUF file, where <format> is that
// of most matrices; in PackedCacheFolder if there is one. A safetensors file with the tensors "matrices" (U8,
// as packed) and "vectors" (F32). Its metadata hold the formats of all matrices, a version, the hash of its
// tensors ("content") and the hash of the files it was made from ("source").
std::filesystem::path PackedCachePath(const std::filesystem::path& model_path,
                                      std::span<const WeightFormat> formats);

// Where packed weights lie if the model is in a store of another program, in which only its own files belong:
// a folder of $XDG_CACHE_HOME/qwen25/packed or ~/.cache/qwen25/packed. For `model_path` below
// models--*/snapshots (the cache of huggingface_hub, all of it or one commit or file) or a file
// blobs/sha256-* (Ollama). Empty for other paths, and without a home.
std::filesystem::path PackedCacheFolder(const std::filesystem::path& model_path);

// The formats of all matrices, as text for the metadata.
std::string PackedCacheFormats(std::span<const WeightFormat> formats);

// The files that determine a model's weights: config.json, the index and all *.safetensors of a folder, or
// all parts of a GGUF model. Sorted by name.
Result<std::vector<std::filesystem::path>> PackedCacheSources(const std::filesystem::path& model_path);

// Names, inodes, sizes, mtimes and ctimes of files. Changes if a file is written to or replaced, even if its
// mtime is set back.
Result<std::string> StateOfFiles(std::span<const std::filesystem::path> files);

// The hash of the files' names and contents, as text.
Result<std::string> HashOfFiles(std::span<const std::filesystem::path> files, ThreadPool& threads);
// The hash of parts of memory, as text.
std::string HashOfParts(std::span<const std::span<const std::byte>> parts, ThreadPool& threads);

// Checks a cache file against the two hashes in its metadata. Remembers a successful check, with the state of
// all files, in <file>.checked, so that unchanged files are not hashed at every start. kNotFound: made from
// other weights; kCorrupt: damaged.
Status CheckPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path,
                        const SafetensorsReader& file, ThreadPool& threads);
// Remembers that a cache file just written is good. Best effort: if it fails, the next start checks the file.
void RememberPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path);

}  // namespace qwen25
