// TLS, Unix sockets and addresses.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "serve/http/listening_socket.h"
#include "serve/http/network_address.h"
#include "serve/http/server_fixture_test_util.h"

namespace qwen25 {
namespace {

using std::chrono::milliseconds;

// Writes a key and a certificate that it signs itself, valid for an hour.
void MakeCertificate(const std::string& name, const std::string& certificate_file,
                     const std::string& key_file, bool with_password = false) {
  const std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)> key(::EVP_EC_gen("P-256"), ::EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(::X509_new(), ::X509_free);
  ::X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  ::X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  ::X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  ::X509_set_issuer_name(certificate.get(), subject);
  ASSERT_NE(::X509_sign(certificate.get(), key.get(), ::EVP_sha256()), 0);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(certificate_file.c_str(), "w"),
                                                            std::fclose);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> key_out(std::fopen(key_file.c_str(), "w"),
                                                                std::fclose);
  ASSERT_EQ(::PEM_write_X509(out.get(), certificate.get()), 1);
  std::string password = "secret";
  ASSERT_EQ(::PEM_write_PrivateKey(key_out.get(), key.get(), with_password ? ::EVP_aes_128_cbc() : nullptr,
                                   reinterpret_cast<unsigned char*>(password.data()),
                                   static_cast<int>(password.size()), nullptr, nullptr),
            1);
}

// Speaks TLS over a RawClient's socket.
class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int max_version = TLS1_3_VERSION)
      : client_(port), context_(::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free) {
    ::SSL_CTX_set_max_proto_version(context_.get(), max_version);
    tls_.reset(::SSL_new(context_.get()));
    const timeval patience = {.tv_sec = kTestPatience.count(), .tv_usec = 0};
    ::setsockopt(client_.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::SSL_set_fd(tls_.get(), client_.descriptor());
    is_connected_ = ::SSL_connect(tls_.get()) == 1;
    ::ERR_clear_error();
  }
  bool is_connected() const { return is_connected_; }
  // The name in the server's certificate.
  std::string server_name() const {
    const std::unique_ptr<X509, decltype(&::X509_free)> certificate(::SSL_get1_peer_certificate(tls_.get()),
                                                                    ::X509_free);
    char name[100] = "";
    if (certificate) {
      ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate.get()), NID_commonName, name,
                                  sizeof name);
    }
    return name;
  }
  void Send(const std::string& bytes) {
    ::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string ReceiveUntil(const std::string& text) {
    std::string received;
    char buffer[4096];
    while (received.find(text) == std::string::npos) {
      const int count = ::SSL_read(tls_.get(), buffer, sizeof buffer);
      if (count <= 0) break;
      received.append(buffer, static_cast<size_t>(count));
    }
    return received;
  }
  // Whether the server ends the connection as TLS wants it: with a word.
  bool ReceivesEnd() {
    char byte;
    return ::SSL_get_error(tls_.get(), ::SSL_read(tls_.get(), &byte, 1)) == SSL_ERROR_ZERO_RETURN;
  }
  RawClient& socket() { return client_; }

 private:
  RawClient client_;
  std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&::SSL_free)> tls_{nullptr, ::SSL_free};
  bool is_connected_ = false;
};

class HttpTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    MakeCertificate("first", certificate_, key_);
    options_.tls_certificate_file = certificate_;
    options_.tls_key_file = key_;
  }

  TemporaryDirectory folder_;
  const std::string certificate_ = folder_ / "cert.pem", key_ = folder_ / "key.pem";
  HttpServerOptions options_;
};

TEST_F(HttpTlsTest, ServesAndKeepsTheConnection) {
  TestServer server(options_);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    ASSERT_TRUE(client.is_connected());
    EXPECT_EQ(client.server_name(), "first");
    for (int i = 0; i < 2; ++i) {
      client.Send(kGoodRequest);
      EXPECT_NE(client.ReceiveUntil("\r\n\r\nhello").find("HTTP/1.1 200 OK"), std::string::npos);
    }
    client.Send("GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    client.ReceiveUntil("hello");
    EXPECT_TRUE(client.ReceivesEnd());
  }
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).is_connected());
  EXPECT_TRUE(TlsClient(server.port()).is_connected());
}

TEST_F(HttpTlsTest, LargeBodiesBothWays) {
  TestServer server(options_);
  TlsClient client(server.port());
  const std::string body(3'000'000, 'a');
  client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n" + body + "\r\n");
  EXPECT_NE(client.ReceiveUntil(body).find(body), std::string::npos);
}

TEST_F(HttpTlsTest, DeparturesAreNoticed) {
  TestServer server(options_);
  for (const bool resets : {false, true}) {
    TlsClient client(server.port());
    client.Send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n");
    const TestServer::Held held = server.TakeHeld();
    ASSERT_NE(held.exchange, nullptr);
    Event gone;
    held.exchange->OnDisconnect([&] { gone.Add(); });
    held.exchange->BeginStream(200, {});
    held.exchange->Write("text");
    client.ReceiveUntil("text");
    if (resets) {
      client.socket().Reset();
    } else {
      client.socket().Close();
    }
    EXPECT_TRUE(gone.WaitFor(1));
  }
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  EXPECT_TRUE(TlsClient(server.port()).is_connected());
}

TEST_F(HttpTlsTest, ClientsThatSpeakNoTlsOrNothingAtAll) {
  options_.header_time_limit = milliseconds(100);
  TestServer server(options_);
  RawClient plain(server.port()), silent(server.port()), half(server.port());
  plain.Send(kGoodRequest);
  half.Send("\x16\x03\x01");
  for (RawClient* client : {&plain, &silent, &half}) EXPECT_TRUE(client->ReceiveToEnd());
  TlsClient client(server.port());
  client.Send(kGoodRequest);
  EXPECT_NE(client.ReceiveUntil("hello").find("hello"), std::string::npos);
}

TEST_F(HttpTlsTest, AConnectionTooManyIsToldSo) {
  options_.max_connections = 1;
  TestServer server(options_);
  TlsClient first(server.port());
  ASSERT_TRUE(first.is_connected());
  TlsClient second(server.port());
  ASSERT_TRUE(second.is_connected());
  EXPECT_EQ(second.ReceiveUntil("later\n").rfind("HTTP/1.1 503 ", 0), 0u);
  EXPECT_TRUE(second.ReceivesEnd());
}

TEST_F(HttpTlsTest, CertificatesAreReadAgain) {
  TestServer server(options_);
  TlsClient before(server.port());
  EXPECT_EQ(before.server_name(), "first");
  MakeCertificate("second", certificate_, key_);
  EXPECT_EQ(TlsClient(server.port()).server_name(), "first");
  EXPECT_OK(server.server->ReloadCertificates());
  EXPECT_EQ(TlsClient(server.port()).server_name(), "second");
  before.Send(kGoodRequest);
  EXPECT_NE(before.ReceiveUntil("hello").find("hello"), std::string::npos) << "open connections go on";

  std::filesystem::remove(key_);
  EXPECT_ERROR_CONTAINS(server.server->ReloadCertificates(), key_);
  EXPECT_EQ(TlsClient(server.port()).server_name(), "second") << "the old one stays";
  TestServer plain;
  EXPECT_ERROR_CONTAINS(plain.server->ReloadCertificates(), "has no TLS certificate");
}

TEST_F(HttpTlsTest, FilesThatCannotBeUsedAreNamed) {
  const auto start = [&] {
    return HttpServer::Start(options_, [](HttpRequest, std::shared_ptr<HttpExchange>) {});
  };
  EXPECT_OK(start());
  MakeCertificate("other", folder_ / "other.pem", folder_ / "other_key.pem");
  options_.tls_key_file = folder_ / "other_key.pem";
  EXPECT_ERROR_CONTAINS(start(), "other_key.pem: ");
  MakeCertificate("locked", certificate_, folder_ / "locked_key.pem", true);
  options_.tls_key_file = folder_ / "locked_key.pem";
  EXPECT_ERROR_CONTAINS(start(),
                        "locked_key.pem: cannot be used as the private key (PEM, without a password)");
  options_.tls_certificate_file = folder_ / "missing.pem";
  EXPECT_ERROR_CONTAINS(start(), "missing.pem: cannot be read as a certificate");
  std::ofstream(folder_ / "text.pem") << "no certificate";
  options_.tls_certificate_file = folder_ / "text.pem";
  EXPECT_ERROR_CONTAINS(start(), "text.pem: cannot be read as a certificate");
  options_.host.clear();
  options_.unix_socket = folder_ / "socket";
  EXPECT_ERROR_CONTAINS(start(), "TLS applies to TCP");
}

TEST(HttpUnixSocketTest, ServesBesideTcpAndIsRemovedInTheEnd) {
  TemporaryDirectory folder;
  const std::string path = folder / "socket";
  HttpServerOptions options;
  options.unix_socket = path;
  options.max_connections_per_peer = 1;  // does not apply
  {
    TestServer server(options);
    struct stat info;
    ASSERT_EQ(::lstat(path.c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    ExpectServes(server.port());
    RawClient client(path), other(path);
    EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
    EXPECT_EQ(other.Exchange(kGoodRequest).body, "hello");
    client.Send("GET /held HTTP/1.1\r\nHost: t\r\n\r\n");
    const TestServer::Held held = server.TakeHeld();
    ASSERT_NE(held.exchange, nullptr);
    EXPECT_EQ(held.request.peer, "unix");
    Event gone;
    held.exchange->OnDisconnect([&] { gone.Add(); });
    client.Close();
    EXPECT_TRUE(gone.WaitFor(1));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  options.host.clear();
  TestServer server(options);
  EXPECT_EQ(server.port(), 0);
  EXPECT_EQ(RawClient(path).Exchange(kGoodRequest).body, "hello");
}

TEST(HttpUnixSocketTest, OnlyASocketThatNobodyServesIsReplaced) {
  TemporaryDirectory folder;
  const std::string path = folder / "socket";
  {
    // What a killed server leaves behind.
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(descriptor);
    ASSERT_TRUE(std::filesystem::exists(path));
  }
  {
    ASSERT_OK_AND_ASSIGN(const ListeningSocket first, ListeningSocket::OnPath(path));
    EXPECT_ERROR_CONTAINS(ListeningSocket::OnPath(path), path + ": another server listens");
    ASSERT_TRUE(std::filesystem::exists(path));
    // Another server's file at the same path is not ours to remove.
    std::filesystem::rename(path, folder / "moved");
    std::ofstream(path) << "text";
    EXPECT_ERROR_CONTAINS(ListeningSocket::OnPath(path), path + ": is there already and is no socket");
  }
  EXPECT_EQ(*ReadFile(path), "text");
  EXPECT_ERROR_CONTAINS(ListeningSocket::OnPath(folder / "missing/socket"), "missing/socket: cannot make");
  EXPECT_ERROR_CONTAINS(ListeningSocket::OnPath(folder / std::string(200, 'a')), "at most 107 are possible");
  EXPECT_ERROR_CONTAINS(ListeningSocket::OnPath(path + "/socket"), path + "/socket: cannot");
}

TEST(NetworkAddressTest, LoopbackIsThisMachineAlone) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1",
                           "localhost", "LocalHost"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host :
       {"", "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "example.org",
        "localhost.example.org", "127.0.0.1.example.org", "[localhost]", "[]", "127.1"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(NetworkAddressTest, ClientsOverIpv6) {
  sockaddr_storage address = {};
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(address);
  ipv6.sin6_family = AF_INET6;
  ASSERT_EQ(::inet_pton(AF_INET6, "::ffff:192.0.2.7", &ipv6.sin6_addr), 1);
  EXPECT_EQ(AddressText(address), "192.0.2.7");
  ASSERT_EQ(::inet_pton(AF_INET6, "2001:db8::1", &ipv6.sin6_addr), 1);
  EXPECT_EQ(AddressText(address), "2001:db8::1");
  address.ss_family = AF_UNIX;
  EXPECT_EQ(AddressText(address), "unix");
}

}  // namespace
}  // namespace qwen25
