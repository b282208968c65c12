// Decompression of .gz files (RFC 1952), with a limit on what comes out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// The content of a gzip file of one or more members. kCorrupt where the bytes are no gzip, damaged or cut
// short; kResourceExhausted where the content is longer than `max_bytes`. `origin` is named in the message.
Result<std::string> Gunzip(std::string_view compressed, size_t max_bytes, std::string_view origin);

}  // namespace qwen25
