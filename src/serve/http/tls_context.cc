#include "serve/http/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace qwen25 {
namespace {

// What OpenSSL reports of its last call, which is used up thereby.
std::string OpenSslReason() {
  const unsigned long error = ::ERR_get_error();
  const char* reason = ::ERR_reason_error_string(error);
  ::ERR_clear_error();
  return reason != nullptr ? reason : "no reason given";
}

int NoPassword(char*, int, int, void*) {
  return -1;
}

}  // namespace

Result<TlsContext> LoadTlsContext(const std::string& certificate_file, const std::string& key_file) {
  ::ERR_clear_error();
  TlsContext context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
  if (context == nullptr) return Status(StatusCode::kIo, "TLS cannot be used: " + OpenSslReason());
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_default_passwd_cb(context.get(), NoPassword);
  if (::SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1) {
    return InvalidArgument("{}: cannot be read as a certificate in PEM format: {}", certificate_file,
                           OpenSslReason());
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return InvalidArgument("{}: cannot be used as the private key (PEM, without a password) of {}: {}",
                           key_file, certificate_file, OpenSslReason());
  }
  if (::SSL_CTX_check_private_key(context.get()) != 1) {
    return InvalidArgument("{}: is not the private key of {}: {}", key_file, certificate_file,
                           OpenSslReason());
  }
  return context;
}

}  // namespace qwen25
