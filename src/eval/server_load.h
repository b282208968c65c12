// How a server of language models does under load: many clients at once, over HTTP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// One request of /chat/completions, whose answer is streamed.
struct LoadRequest {
  std::string user;
  std::string system = {};      // empty: none
  uint32_t answer_tokens = 64;  // "max_tokens"; the end of text is ignored by servers that know "ignore_eos"
  bool is_long = false;         // counted apart: a long prompt among short ones
};

struct LoadOptions {
  std::string base_url;          // up to and including "/v1"
  std::string model;             // "model" of the requests
  std::string key = {};          // sent as a bearer; empty: none
  size_t num_clients = 1;        // each sends its next request when its last one was answered
  double timeout_seconds = 600;  // of one request
};

// Times in seconds, ascending.
struct LoadTimes {
  std::vector<double> seconds;
  // 0 if there are none; `share` from 0 to 1.
  double Percentile(double share) const;
};

struct LoadResult {
  size_t num_answers = 0;
  std::map<int, size_t> refused;  // by status, other than 200; 0: the connection failed
  std::string first_error;        // what the first one that was refused said
  uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // as servers count them
  double seconds = 0;                       // from the first request to the last answer
  LoadTimes first_token, long_first_token;  // of short and of long requests
  LoadTimes between_tokens;                 // between two pieces of an answer; of short requests

  double TokensPerSecond() const { return seconds == 0 ? 0 : static_cast<double>(answer_tokens) / seconds; }
};

// Sends all requests, in their order. `progress` is told how many were answered; false stops (kCancelled).
// kInvalidArgument if the address is none. Servers that refuse or break off are in the result.
Result<LoadResult> MeasureServerLoad(const LoadOptions& options, const std::vector<LoadRequest>& requests,
                                     const std::function<bool(size_t num_done)>& progress);

}  // namespace qwen25
