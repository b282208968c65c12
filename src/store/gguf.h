// GGUF, the file format of ggml programs: typed key/value metadata, a table of tensors, and their bytes.
// Versions 2 and 3 are read, 3 is written; little-endian only. Grammar and supported keys:
// docs/formats/gguf.md. Source: docs/gguf.md of ggml-org/ggml.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/ggml_type.h"
#include "base/mmap.h"
#include "base/status.h"

namespace qwen25 {

inline constexpr uint64_t kMaxGgufNameBytes = 65535;  // of keys and tensors; the format's limit for keys
inline constexpr uint32_t kMaxGgmlDimensions = 4;     // of a tensor
// 1 to kMaxGgufNameBytes bytes without control characters.
bool IsGgufName(std::string_view name);

// Types of metadata values, as the file numbers them.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
// "u8", "string", "array".
std::string_view GgufTypeName(GgufType type);

// A metadata value: a view of its checked bytes in the mapped file. Accessors return nothing if the value has
// another type.
class GgufValue {
 public:
  GgufValue(GgufType type, std::span<const std::byte> bytes) : type_(type), bytes_(bytes) {}

  GgufType type() const { return type_; }
  // "u32", "array of string".
  std::string TypeName() const;
  std::optional<int64_t> Integer() const;  // of any integer type; nothing for a u64 of 2^63 or more
  std::optional<double> Number() const;    // of any integer or float type
  std::optional<bool> Bool() const;
  std::optional<std::string_view> String() const;
  // Arrays, nested ones included.
  std::optional<std::vector<GgufValue>> Elements() const;
  std::optional<std::vector<std::string_view>> Strings() const;
  std::optional<std::vector<int64_t>> Integers() const;
  std::optional<std::vector<double>> Numbers() const;
  // As in the file. An array begins with the type (u32) and the number (u64) of its elements.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  GgufType type_;
  std::span<const std::byte> bytes_;
};

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;       // slowest first, as everywhere in this program; reversed in the file
  std::span<const std::byte> bytes;  // into the mapped file

  uint64_t NumElements() const;
};

// One mapped file with a checked header: every tensor lies inside the file, no two overlap, and sizes agree
// with shapes.
class GgufReader {
 public:
  // kCorrupt, kUnsupported (another version, big-endian, unknown tensor types), or an error of reading.
  static Result<GgufReader> Open(const std::filesystem::path& path);

  // Null if there is none of that name.
  const GgufValue* Find(std::string_view key) const;
  const GgufTensor* FindTensor(std::string_view name) const;
  // In the order of the file.
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }

 private:
  explicit GgufReader(MappedFile file) : file_(std::move(file)) {}
  Status Parse(const std::string& path);
  Status ReadAlignment(const std::string& path);

  MappedFile file_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::map<std::string, size_t, std::less<>> metadata_by_name_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensors_by_name_;
};

// The files of one model: a single file, or all parts of a split one ("name-00001-of-00003.gguf").
class GgufFiles {
 public:
  // `path` may be any part. Errors as GgufReader::Open; kInvalidArgument if a part is not named as above.
  static Result<GgufFiles> Open(const std::filesystem::path& path);

  // Metadata of the first part.
  const GgufValue* Find(std::string_view key) const { return parts_.front().Find(key); }
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return parts_.front().metadata(); }
  const GgufTensor* FindTensor(std::string_view name) const;
  std::vector<const GgufTensor*> tensors() const;

 private:
  std::vector<GgufReader> parts_;
};

// Metadata to write, in the order of the calls. Each key may be set once and must be a valid name
// (IsGgufName); strings may hold any bytes.
class GgufMetadata {
 public:
  void SetBool(std::string_view key, bool value);
  void SetU32(std::string_view key, uint32_t value);
  void SetF32(std::string_view key, float value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, std::span<const std::string> values);
  void SetI32s(std::string_view key, std::span<const int32_t> values);
  void SetF32s(std::string_view key, std::span<const float> values);
  void SetBools(std::string_view key, const std::vector<bool>& values);
  // Copies a value of another file byte for byte.
  void SetValue(std::string_view key, const GgufValue& value);

  uint64_t count() const { return keys_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  void AddKey(std::string_view key, GgufType type);
  template <typename Number>
  void AddNumbers(std::string_view key, GgufType type, std::span<const Number> values);

  std::map<std::string, bool, std::less<>> keys_;
  std::string bytes_;
};

// A tensor to write. Names of more than 63 bytes, more than 4 dimensions, and rows that are not a whole
// number of blocks are bugs of the caller and abort, since ggml refuses such files.
struct GgufTensorPlan {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;  // slowest first

  uint64_t NumBytes() const;
};

// Writes a file piece by piece: Open writes the header, Write the tensors' bytes in the order of the plan.
// Commit makes the file appear under its name (AtomicFile).
class GgufWriter {
 public:
  static Result<GgufWriter> Open(const std::filesystem::path& path, const GgufMetadata& metadata,
                                 std::vector<GgufTensorPlan> tensors);

  // Writes the next bytes of the current tensor, not beyond its end. A full tensor is followed by the next
  // one.
  Status Write(std::span<const std::byte> bytes);
  // Aborts unless all tensors are complete.
  Status Commit();

 private:
  GgufWriter(AtomicFile file, std::vector<GgufTensorPlan> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  Status PadToAlignment();

  AtomicFile file_;
  std::vector<GgufTensorPlan> tensors_;
  size_t next_ = 0;              // the current tensor
  uint64_t tensor_written_ = 0;  // bytes of it written so far
};

}  // namespace qwen25
