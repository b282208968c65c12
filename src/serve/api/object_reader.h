// Reads the members of a JSON object of a request, keeps the first error and names the member at fault.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api/api_error.h"

namespace qwen25 {

// The first error that was found in a request, if any.
using ErrorSlot = std::optional<ApiError>;

// How an unexpected value is named in a message: numbers as they are, others by their kind, since a text may
// be part of a prompt. "a string of 12 bytes".
std::string DescribeJson(const Json& value);

// Every member that is accepted is read by one call; Finish refuses all others. A null member counts as
// absent, since clients send nulls for what they leave out; reading an absent member leaves `out` as it is.
// After an error all calls do nothing, so that a list of reads needs no checks in between.
class ObjectReader {
 public:
  // `path` is where the object stands in the body ("stream_options"), "" for the body itself. `error` must be
  // empty or hold an earlier error; all three must outlive the reader. An error is set if `object` is none.
  ObjectReader(const Json& object, std::string path, ErrorSlot& error);

  bool ok() const { return !error_.has_value(); }
  // For readers of what stands in this object.
  ErrorSlot& error() { return error_; }
  // The member, which is then known; null if it is absent or null, or after an error.
  const Json* Find(std::string_view key);
  // "stream_options.include_usage"
  std::string PathOf(std::string_view key) const;
  // "`key` is VALUE, expected WANTED."
  void Refuse(std::string_view key, std::string_view wanted);
  // A whole sentence about a member, which need not be there.
  void Fail(std::string_view key, std::string message);

  void Read(std::string_view key, bool& out);
  // Texts of `min_bytes` to `max_bytes`.
  void Read(std::string_view key, std::string& out, size_t min_bytes = 0, size_t max_bytes = kAnyLength);
  void Read(std::string_view key, std::optional<std::string>& out, size_t min_bytes = 0,
            size_t max_bytes = kAnyLength);
  // Numbers from `low` to `high`, both included.
  void Read(std::string_view key, double low, double high, std::optional<double>& out);
  // Integers from `low` to `high`; "1.0" is none.
  void Read(std::string_view key, int64_t low, int64_t high, std::optional<int64_t>& out);
  void Read(std::string_view key, int64_t low, int64_t high, int64_t& out);
  // One of a few words.
  void Read(std::string_view key, std::initializer_list<std::string_view> words, std::string& out);

  // Members of the given kind that clients send and that have no effect here. Those that are there are
  // appended to `ignored`.
  enum class Kind { kText, kBool, kNumber, kArray, kObject, kAnything };
  void Ignore(Kind kind, std::initializer_list<std::string_view> keys,
              std::vector<std::string>* ignored = nullptr);
  // Members that are not supported, refused with advice of one sentence each.
  void Unsupported(std::initializer_list<std::pair<std::string_view, std::string_view>> keys_and_advice);

  // Refuses members that no call has asked for.
  void Finish();

  static constexpr size_t kAnyLength = SIZE_MAX;

 private:
  std::optional<int64_t> Integer(std::string_view key, int64_t low, int64_t high);
  const std::string* Text(std::string_view key, size_t min_bytes, size_t max_bytes);

  const Json& object_;
  const std::string path_;
  ErrorSlot& error_;
  std::vector<std::string_view> known_;
};

// Reads `model`: a name of at most 256 bytes, "" if it is absent.
void ReadModel(ObjectReader& body, std::string& out);

}  // namespace qwen25
