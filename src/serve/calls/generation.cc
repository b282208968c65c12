#include "serve/calls/generation.h"

#include <mutex>
#include <utility>

namespace qwen25 {
namespace {

// What the choices of one request share. It lives as long as one of them.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(std::shared_ptr<ServedModel> model, std::shared_ptr<GenerationListener> listener,
             size_t num_choices)
      : model_(std::move(model)), listener_(std::move(listener)), num_open_(num_choices) {}

  Status Submit(std::vector<StreamRequest> requests);

  // From any thread.
  void Cancel() {
    std::vector<uint64_t> ids;
    {
      const std::lock_guard lock(mutex_);
      is_cancelled_ = true;
      ids = ids_;
    }
    for (const uint64_t id : ids) model_->scheduler().Cancel(id);
  }

  // On the scheduler's thread.
  void OnPrompt(size_t choice, std::span<const TokenScore> scores) { listener_->OnPrompt(choice, scores); }
  void OnText(size_t choice, std::string_view piece, std::span<const int32_t> tokens,
              std::span<const TokenScore> scores) {
    listener_->OnText(choice, piece, tokens, scores);
  }
  void OnChoiceEnd(size_t choice, const StreamResult& result) {
    listener_->OnChoiceEnd(choice, result);
    if (--num_open_ == 0) listener_->OnEnd();
  }

 private:
  const std::shared_ptr<ServedModel> model_;
  const std::shared_ptr<GenerationListener> listener_;
  size_t num_open_;
  std::mutex mutex_;
  std::vector<uint64_t> ids_;
  bool is_cancelled_ = false;
};

class ChoiceObserver : public StreamObserver {
 public:
  ChoiceObserver(std::shared_ptr<Generation> generation, size_t choice)
      : generation_(std::move(generation)), choice_(choice) {}
  void OnPrompt(std::span<const TokenScore> scores) override { generation_->OnPrompt(choice_, scores); }
  void OnText(std::string_view piece, std::span<const int32_t> tokens,
              std::span<const TokenScore> scores) override {
    generation_->OnText(choice_, piece, tokens, scores);
  }
  void OnEnd(const StreamResult& result) override { generation_->OnChoiceEnd(choice_, result); }

 private:
  const std::shared_ptr<Generation> generation_;
  const size_t choice_;
};

Status Generation::Submit(std::vector<StreamRequest> requests) {
  std::vector<Scheduler::Submission> submissions;
  for (StreamRequest& request : requests) {
    submissions.push_back(
        {std::move(request), std::make_shared<ChoiceObserver>(shared_from_this(), submissions.size())});
  }
  QWEN25_TRY(std::vector<uint64_t> ids, model_->scheduler().SubmitAll(std::move(submissions)));
  bool is_cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    ids_ = std::move(ids);
    is_cancelled = is_cancelled_;
  }
  if (is_cancelled) Cancel();
  return {};
}

}  // namespace

Status StartGeneration(std::shared_ptr<ServedModel> model, std::vector<StreamRequest> requests,
                       std::shared_ptr<GenerationListener> listener, HttpExchange& exchange) {
  const auto generation =
      std::make_shared<Generation>(std::move(model), std::move(listener), requests.size());
  // The exchange must not keep what is done alive.
  exchange.OnDisconnect([weak = std::weak_ptr<Generation>(generation)] {
    if (const auto open = weak.lock()) open->Cancel();
  });
  return generation->Submit(std::move(requests));
}

}  // namespace qwen25
