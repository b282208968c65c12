// A request that is being served.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "infer/drafter.h"
#include "infer/scheduler/stream_request.h"

namespace qwen25 {

// One request with its session: first it reads its tokens, in as many passes as the scheduler chooses, then
// it draws an answer. All its memory can be taken away between passes; it then reads its tokens again and
// goes on as if nothing had happened.
class ScheduledStream {
 public:
  ScheduledStream(uint64_t id, InferenceEngine& engine, const Tokenizer& tokenizer, StreamRequest request,
                  std::shared_ptr<StreamObserver> observer, double submitted);
  ScheduledStream(const ScheduledStream&) = delete;
  ScheduledStream& operator=(const ScheduledStream&) = delete;

  uint64_t id() const { return id_; }
  const StreamRequest& request() const { return request_; }

  // Gets a session with what others have computed of its tokens. If one of `others`, which are being served,
  // will soon have computed more, it waits for that one.
  Status Begin(std::span<const std::unique_ptr<ScheduledStream>> others);
  // Gives its keys and values back. It then has to begin again.
  void Preempt();

  // Has tokens to read before it can draw.
  bool reads() const { return has_begun_ && num_read() < reading_.size(); }
  bool draws() const { return has_begun_ && !reads(); }
  // Lets another stream compute tokens that both have to read.
  bool waits() const { return leader_ != 0; }
  // Goes on if that stream has done so, or does not any more.
  Status Follow(std::span<const std::unique_ptr<ScheduledStream>> others);
  size_t num_left() const { return reading_.size() - num_read(); }
  // Tokens that it must hold before it can draw.
  size_t num_to_read() const { return reading_.size(); }

  // The tokens of the next pass: up to `count` of those to read, which must not be none, or the last token
  // drawn and proposals of what follows it. Without `speculates` there are only proposals that the answer
  // depends on. Valid until the pass was made.
  SessionTokens NextRead(size_t count);
  SessionTokens NextDraw(bool speculates);

  // After a pass that kept so many rows of its logits; different streams may do this at the same time. Draws
  // if all is read.
  void Draw(size_t num_rows);
  // Then: tells the observer about what was drawn, on one thread. The answer may have ended.
  void Take();

  // Ends the answer before it has come to an end, or takes it as it is if it has.
  void End(FinishReason reason, Status error = {});
  void EndAtDeadline();
  bool ended() const { return answer_.ended() && (ended_early_ || draws()); }
  // The last pass failed for its session.
  bool failed() const { return !session_->error().ok(); }
  // Tells the observer about the end. Call it once.
  const StreamResult& Finish();

  // When the first token was drawn.
  std::optional<double> first_token() const { return first_token_; }

 private:
  size_t num_read() const { return session_->tokens().size(); }
  void ScorePrompt(size_t num_rows);
  // The tokens in full blocks at the beginning that both have to read.
  size_t NumCommonTokens(const ScheduledStream& other) const;

  const uint64_t id_;
  InferenceEngine& engine_;
  const StreamRequest request_;
  const std::shared_ptr<StreamObserver> observer_;
  const double submitted_;
  double begun_ = 0;
  std::optional<double> first_token_;
  std::vector<int32_t> reading_;    // what the session must hold before it can draw: the prompt, or more
  std::optional<Session> session_;  // since the first Begin
  bool has_begun_ = false;          // and no Preempt since then
  std::unique_ptr<LookupDrafter> drafter_;
  std::optional<TokenStream> stream_;  // since the first token
  Answer answer_;
  std::vector<TokenScore> prompt_scores_;
  bool has_told_prompt_ = false;
  std::string piece_;         // of the answer's text, since the observer was last told
  uint64_t leader_ = 0;       // the stream that it waits for; 0: none
  size_t num_to_follow_ = 0;  // tokens that the leader will have computed
  bool has_read_ = false;     // the last pass was of tokens to read
  bool has_drawn_ = false;
  bool ended_early_ = false;
  StreamResult result_;
};

}  // namespace qwen25
