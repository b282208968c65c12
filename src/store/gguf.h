// GGUF, the file of ggml programs: metadata of typed key/value pairs, a table of tensors, and their bytes.
// Versions 2 and 3 are read, 3 is written; little-endian. docs/formats/gguf.md has the grammar and what of it
// this program uses. Source: docs/gguf.md of ggml-org/ggml.
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

// A value of the metadata: a view of its checked bytes in the mapped file. Accessors give nothing where the
// value is of another kind.
class GgufValue {
 public:
  GgufValue(GgufType type, std::span<const std::byte> bytes) : type_(type), bytes_(bytes) {}

  GgufType type() const { return type_; }
  // "u32", "array of string".
  std::string TypeName() const;
  std::optional<int64_t> Integer() const;  // of any integer type; a u64 above the range gives nothing
  std::optional<double> Number() const;    // of any integer or float type
  std::optional<bool> Bool() const;
  std::optional<std::string_view> String() const;
  // Arrays, nested ones included.
  std::optional<std::vector<GgufValue>> Elements() const;
  std::optional<std::vector<std::string_view>> Strings() const;
  std::optional<std::vector<int64_t>> Integers() const;
  std::optional<std::vector<double>> Numbers() const;
  // As in the file, the type of an array's elements and their number included.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  GgufType type_;
  std::span<const std::byte> bytes_;
};

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;       // slowest first, as everywhere here; the file has the reverse
  std::span<const std::byte> bytes;  // into the mapped file

  uint64_t NumElements() const;
};

// One file, mapped, with a checked header: every tensor lies inside the file, none overlaps another, sizes
// agree with shapes.
class GgufReader {
 public:
  static Result<GgufReader> Open(const std::filesystem::path& path);

  // Null when there is none of that name.
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

// The files of one model: a single file, or all parts of a split one, "name-00001-of-00003.gguf", where any
// part names the model.
class GgufFiles {
 public:
  static Result<GgufFiles> Open(const std::filesystem::path& path);

  // The metadata is the first part's.
  const GgufValue* Find(std::string_view key) const { return parts_.front().Find(key); }
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return parts_.front().metadata(); }
  const GgufTensor* FindTensor(std::string_view name) const;
  std::vector<const GgufTensor*> tensors() const;

 private:
  std::vector<GgufReader> parts_;
};

// Metadata to be written, in the order of the calls. A key may be set once; it and strings may be of any
// bytes that a reader takes (keys: 1..65535 bytes without control characters).
class GgufMetadata {
 public:
  void SetBool(std::string_view key, bool value);
  void SetU32(std::string_view key, uint32_t value);
  void SetF32(std::string_view key, float value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, std::span<const std::string> values);
  void SetI32s(std::string_view key, std::span<const int32_t> values);
  void SetF32s(std::string_view key, std::span<const float> values);
  // A value of another file, byte for byte.
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

// A tensor of a file to be written. ggml refuses names of more than 63 bytes, more than 4 sizes, and rows
// that are no whole number of blocks: bugs here.
struct GgufTensorPlan {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;  // slowest first

  uint64_t NumBytes() const;
};

// Writes a file piece by piece: the header at once, then the bytes of the tensors in the order of the plan.
// The file appears when all is there (AtomicFile).
class GgufWriter {
 public:
  static Result<GgufWriter> Open(const std::filesystem::path& path, const GgufMetadata& metadata,
                                 std::vector<GgufTensorPlan> tensors);

  // The next bytes of the current tensor, never beyond its end; the next tensor begins where it is full.
  Status Write(std::span<const std::byte> bytes);
  // All tensors must be written.
  Status Commit();

 private:
  GgufWriter(AtomicFile file, std::vector<GgufTensorPlan> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}
  Status PadToAlignment();

  AtomicFile file_;
  std::vector<GgufTensorPlan> tensors_;
  size_t next_ = 0;              // the current tensor
  uint64_t tensor_written_ = 0;  // bytes of it that are written
};

}  // namespace qwen25
