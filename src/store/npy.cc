#include "store/npy.h"

#include <string>

#include "base/file.h"

namespace qwen25 {

Status WriteNpy(const std::filesystem::path& path, std::span<const float> values, size_t rows, size_t cols) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPreamble = 10;  // magic, version, length
  header.append((64 - (kPreamble + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble += static_cast<char>(header.size() & 0xFF);
  preamble += static_cast<char>(header.size() >> 8);
  QWEN25_TRY(AtomicFile file, AtomicFile::Open(path));
  QWEN25_RETURN_IF_ERROR(file.Write(preamble + header));
  QWEN25_RETURN_IF_ERROR(file.Write(std::as_bytes(values)));
  return file.Commit();
}

}  // namespace qwen25
