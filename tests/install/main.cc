// What a user's program does with the installed library: writes a file atomically, reads it back as JSON, and
// gets a failure as a value.
#include <fmt/format.h>
#include <qwen25/base/file.h>
#include <qwen25/base/json.h>

#include <string>

namespace {

qwen25::Status Run() {
  const std::string path = "outside.json";
  QWEN25_RETURN_IF_ERROR(qwen25::WriteFileAtomically(path, R"({"hidden_size": 256})"));
  QWEN25_TRY(const qwen25::Json config, qwen25::ReadJsonFile(path));
  uint32_t hidden_size = 0;
  QWEN25_RETURN_IF_ERROR(qwen25::ReadField(config, "hidden_size", path, hidden_size));
  if (hidden_size != 256) return qwen25::Corrupt("hidden_size is {}, wrote 256", hidden_size);
  const auto missing = qwen25::ReadJsonFile("no_such_file.json");
  if (missing.ok() || missing.status().code() != qwen25::StatusCode::kNotFound)
    return qwen25::Corrupt("a missing file did not give kNotFound");
  return {};
}

}  // namespace

int main() {
  const qwen25::Status status = Run();
  if (!status.ok()) {
    fmt::print(stderr, "outside: {}\n", status.message());
    return 1;
  }
  fmt::print("outside: the installed library works\n");
}
