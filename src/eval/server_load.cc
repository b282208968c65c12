#include "eval/server_load.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "pretrained/hub/http_client.h"

namespace qwen25 {
namespace {

struct MultiDeleter {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string BodyOf(const LoadOptions& options, const LoadRequest& request) {
  Json messages = Json::array();
  if (!request.system.empty()) messages.push_back({{"role", "system"}, {"content", request.system}});
  messages.push_back({{"role", "user"}, {"content", request.user}});
  return Json({{"model", options.model},
               {"messages", std::move(messages)},
               {"max_tokens", request.answer_tokens},
               {"temperature", 0},
               {"ignore_eos", true},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}}})
      .dump();
}

// One client: a connection that is used for one request after another.
class LoadClient {
 public:
  explicit LoadClient(const LoadOptions& options) : curl_(curl_easy_init()) {
    headers_.reset(curl_slist_append(nullptr, "Content-Type: application/json"));
    headers_.reset(curl_slist_append(headers_.release(), "Expect:"));
    if (!options.key.empty()) {
      headers_.reset(curl_slist_append(headers_.release(), ("Authorization: Bearer " + options.key).c_str()));
    }
    curl_easy_setopt(curl_.get(), CURLOPT_URL, (options.base_url + "/chat/completions").c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(curl_.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(1000 * options.timeout_seconds));
    curl_easy_setopt(curl_.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_.get(), CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, &LoadClient::Receive);
  }

  CURL* curl() const { return curl_.get(); }

  void Send(const LoadOptions& options, const LoadRequest& request) {
    body_ = BodyOf(options, request);
    is_long_ = request.is_long;
    line_.clear();
    first_ = last_ = 0;
    sent_again_ = false;
    curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body_.size()));
    curl_easy_setopt(curl_.get(), CURLOPT_POSTFIELDS, body_.c_str());
    sent_ = NowSeconds();
  }

  // Once for each request.
  bool MaySendAgain() { return first_ == 0 && !std::exchange(sent_again_, true); }

  // Adds the answer to the result.
  void Finish(CURLcode code, LoadResult& result) {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) status = 0;
    if (status != 200 || !failure_.empty()) {
      ++result.refused[static_cast<int>(status)];
      if (result.first_error.empty()) {
        result.first_error = code != CURLE_OK   ? curl_easy_strerror(code)
                             : failure_.empty() ? line_
                                                : failure_;
      }
      gaps_.clear();
      failure_.clear();
      return;
    }
    ++result.num_answers;
    result.prompt_tokens += prompt_tokens_;
    result.cached_tokens += cached_tokens_;
    result.answer_tokens += answer_tokens_;
    if (first_ != 0) {
      (is_long_ ? result.long_first_token : result.first_token).seconds.push_back(first_ - sent_);
    }
    if (!is_long_) {
      std::vector<double>& all = result.between_tokens.seconds;
      all.insert(all.end(), gaps_.begin(), gaps_.end());
    }
    gaps_.clear();
  }

 private:
  static size_t Receive(char* data, size_t size, size_t count, void* self) {
    static_cast<LoadClient*>(self)->Read({data, size * count});
    return size * count;
  }

  void Read(std::string_view data) {
    constexpr size_t kLongestLine = 1 << 20;
    for (const char letter : data) {
      if (letter != '\n') {
        if (line_.size() < kLongestLine) line_ += letter;
        continue;
      }
      if (line_.starts_with("data: {")) ReadEvent(std::string_view(line_).substr(6));
      line_.clear();
    }
  }

  void ReadEvent(std::string_view text) {
    const Json event = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) return;
    if (event.contains("error")) failure_ = event["error"].dump();
    if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
      prompt_tokens_ = usage->value("prompt_tokens", uint64_t{0});
      answer_tokens_ = usage->value("completion_tokens", uint64_t{0});
      const Json details = usage->value("prompt_tokens_details", Json::object());
      cached_tokens_ = details.is_object() ? details.value("cached_tokens", uint64_t{0}) : 0;
    }
    const auto choices = event.find("choices");
    if (choices == event.end() || !choices->is_array() || choices->empty()) return;
    const Json delta = (*choices)[0].value("delta", Json::object());
    const auto content = delta.find("content");
    if (content == delta.end() || !content->is_string() || content->get_ref<const std::string&>().empty())
      return;
    const double now = NowSeconds();
    if (first_ == 0) {
      first_ = now;
    } else {
      gaps_.push_back(now - last_);
    }
    last_ = now;
  }

  std::unique_ptr<CURL, EasyDeleter> curl_;
  std::unique_ptr<curl_slist, ListDeleter> headers_;
  std::string body_, line_, failure_;
  bool is_long_ = false, sent_again_ = false;
  double sent_ = 0, first_ = 0, last_ = 0;
  std::vector<double> gaps_;
  uint64_t prompt_tokens_ = 0, cached_tokens_ = 0, answer_tokens_ = 0;
};

// The clients of one measurement.
class LoadRun {
 public:
  LoadRun(const LoadOptions& options, const std::vector<LoadRequest>& requests)
      : options_(options), requests_(requests), multi_(curl_multi_init()) {
    // Every client has a connection of its own.
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options.num_clients));
    curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    const size_t count = std::min(options.num_clients, requests.size());
    for (size_t i = 0; i < count; ++i) clients_.push_back(std::make_unique<LoadClient>(options));
  }
  ~LoadRun() {
    for (const auto& client : clients_) curl_multi_remove_handle(multi_.get(), client->curl());
  }
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  Result<LoadResult> Measure(const std::function<bool(size_t)>& progress) {
    const double start = NowSeconds();
    for (const auto& client : clients_) SendNext(*client);
    while (num_done_ < requests_.size()) {
      int num_running = 0;
      curl_multi_perform(multi_.get(), &num_running);
      TakeFinished();
      if (progress && !progress(num_done_)) {
        return Cancelled("stopped after {} of {} requests", num_done_, requests_.size());
      }
      constexpr int kMilliseconds = 100;
      if (num_done_ < requests_.size()) curl_multi_poll(multi_.get(), nullptr, 0, kMilliseconds, nullptr);
    }
    result_.seconds = NowSeconds() - start;
    for (LoadTimes* times : {&result_.first_token, &result_.long_first_token, &result_.between_tokens}) {
      std::ranges::sort(times->seconds);
    }
    return std::move(result_);
  }

 private:
  void SendNext(LoadClient& client) {
    if (next_ >= requests_.size()) return;
    client.Send(options_, requests_[next_++]);
    curl_multi_add_handle(multi_.get(), client.curl());
  }

  void TakeFinished() {
    int num_left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &num_left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* curl = message->easy_handle;
      const CURLcode code = message->data.result;
      curl_multi_remove_handle(multi_.get(), curl);
      LoadClient& client = **std::ranges::find(clients_, curl, [](const auto& one) { return one->curl(); });
      if (code == CURLE_SEND_ERROR && client.MaySendAgain()) {  // the server had closed the idle connection
        curl_multi_add_handle(multi_.get(), curl);
        continue;
      }
      client.Finish(code, result_);
      ++num_done_;
      SendNext(client);
    }
  }

  const LoadOptions& options_;
  const std::vector<LoadRequest>& requests_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  size_t next_ = 0, num_done_ = 0;
  LoadResult result_;
};

}  // namespace

double LoadTimes::Percentile(double share) const {
  if (seconds.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(seconds.size())));
  return seconds[std::clamp<size_t>(rank, 1, seconds.size()) - 1];
}

Result<LoadResult> MeasureServerLoad(const LoadOptions& options, const std::vector<LoadRequest>& requests,
                                     const std::function<bool(size_t num_done)>& progress) {
  if (!options.base_url.starts_with("http://") && !options.base_url.starts_with("https://")) {
    return InvalidArgument(
        "the address \"{}\" does not begin with http:// or https://; expected one such as "
        "http://127.0.0.1:8080/v1",
        options.base_url);
  }
  if (options.num_clients == 0) return InvalidArgument("the number of clients is 0, expected at least 1");
  if (!InitializeCurl()) return Status(StatusCode::kIo, "libcurl cannot be initialised");
  return LoadRun(options, requests).Measure(progress);
}

}  // namespace qwen25
