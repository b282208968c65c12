// When a request that failed is tried again.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "pretrained/hub/http_client.h"

namespace qwen25 {

// Told what a transfer waits for, several times a second: "the hub asks to wait 12 s". False ends the wait.
// May be called by any thread.
using OnWait = std::function<bool(const std::string& reason)>;

// Decides about the attempts of one transfer. Errors of the connection and of the server (5xx, 408) are tried
// again after half a second, then twice as long each time; 429 after what the server says. Answers that say
// no are final, and become messages that say what to do.
class Retry {
 public:
  // `what` names the request in messages: "Qwen/Qwen2.5-0.5B-Instruct: config.json". `has_token`: whether a
  // token was sent. `max_failures`: in a row, without a new byte in between; 6 of them are half a minute.
  Retry(std::string what, bool has_token, int max_failures, OnWait on_wait)
      : what_(std::move(what)),
        has_token_(has_token),
        max_failures_(max_failures),
        on_wait_(std::move(on_wait)) {}

  // Whether the result is a success: an OK transfer with status 200 or 206.
  static bool Succeeded(const HttpResult& result);
  // After a result that is none: waits and returns OK, which means another attempt, or an error that is
  // final.
  Status Next(const HttpResult& result);
  // New bytes have arrived: failures before count no more.
  void Progressed() { failures_ = 0; }

 private:
  Status Final(const HttpResult& result) const;
  Status Wait(double seconds, const std::string& reason) const;

  std::string what_;
  bool has_token_;
  int max_failures_;
  OnWait on_wait_;
  int failures_ = 0;
  double waited_for_server_ = 0;  // seconds, by 429
};

}  // namespace qwen25
