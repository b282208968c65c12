#pragma once

#include <memory>
#include <string>

#include "base/status.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace qwen25 {

using TlsContext = std::shared_ptr<ssl_ctx_st>;

// Reads a certificate chain and its private key (PEM) for a server of TLS 1.2 and 1.3. The error names the
// file and what OpenSSL says of it. A key with a password is refused: nobody could be asked for it.
Result<TlsContext> LoadTlsContext(const std::string& certificate_file, const std::string& key_file);

}  // namespace qwen25
