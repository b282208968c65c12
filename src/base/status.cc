#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace qwen25 {

Status ErrnoStatus(int error_number, const std::string& action, const std::string& path) {
  StatusCode code = StatusCode::kIo;
  std::string advice;
  if (error_number == ENOENT) code = StatusCode::kNotFound;
  if (error_number == ENOSPC || error_number == EDQUOT) {
    code = StatusCode::kResourceExhausted;
    advice = "; free some space or choose another folder";
  }
  if (error_number == EFBIG) {
    code = StatusCode::kResourceExhausted;
    advice = "; the file system or a limit of the shell (ulimit -f) allows no larger file";
  }
  return {code, fmt::format("{}: cannot {}: {}{}", path, action, std::strerror(error_number), advice)};
}

}  // namespace qwen25
