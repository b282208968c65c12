// Replies that list the parts of an answer one after the other, as those of /v1/messages and /v1/responses
// do.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/reply_writer.h"

namespace qwen25 {

// A text, or a call of a function. All of it is UTF-8.
struct AnswerPart {
  size_t index = 0;                  // in the answer, from 0
  std::optional<FunctionCall> call;  // none: a text
  std::string text;
  std::vector<TokenLogprob> logprobs;  // of a text
};

// The parts of a whole answer: its text, unless that is empty, then its calls.
std::vector<AnswerPart> PartsOf(const ReplyChoice& choice);

// Turns the pieces of the only choice into the beginning, the growth and the end of parts. What these look
// like is for derived classes.
class PartReplyWriter : public ReplyWriter {
 public:
  std::vector<Json> Begin(size_t choice) final;
  std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                         std::span<const TokenLogprob> logprobs) final;
  std::vector<Json> Finish(size_t choice, const AnswerEnd& end) final;
  // Named after the event's "type", as clients of both APIs expect.
  std::string Frame(const Json& event) const final;

 protected:
  // Each appends the events for what it says. A part that begins has no text or arguments yet; `more` is what
  // was added to them.
  virtual void BeginReply(std::vector<Json>& events) = 0;
  virtual void BeginPart(const AnswerPart& part, std::vector<Json>& events) = 0;
  virtual void ContinuePart(const AnswerPart& part, std::string_view more,
                            std::span<const TokenLogprob> logprobs, std::vector<Json>& events) = 0;
  // `is_cut`: a limit ended the answer within the part.
  virtual void EndPart(const AnswerPart& part, bool is_cut, std::vector<Json>& events) = 0;

  // All parts so far, and after Finish why there are no more.
  const std::vector<AnswerPart>& parts() const { return parts_; }
  const AnswerEnd& end() const { return end_; }

 private:
  void Open(std::optional<FunctionCall> call, std::vector<Json>& events);
  void Grow(std::string more, std::vector<Json>& events);
  void Close(bool is_cut, std::vector<Json>& events);

  bool has_begun_ = false;
  bool is_open_ = false;  // the last part
  std::vector<AnswerPart> parts_;
  Utf8Pieces text_;                     // of the open part
  std::vector<TokenLogprob> logprobs_;  // not given yet
  AnswerEnd end_;
};

// Whether a limit ended the answer before the model did.
bool IsCut(const AnswerEnd& end);

}  // namespace qwen25
