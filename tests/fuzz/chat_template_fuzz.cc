#include "base/check.h"
#include "targets.h"
#include "text/chat_template_jinja.h"
#include "text/jinja_tokens.h"

namespace qwen25 {

// Chat templates of checkpoints: pieces never hold two texts in a row, and a template that is recognised is
// recognised again as this program writes it.
void FuzzChatTemplate(std::span<const uint8_t> bytes) {
  const std::string_view source(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Result<std::vector<JinjaPiece>> pieces = JinjaPieces(source);
  if (pieces.ok()) {
    for (size_t i = 1; i < pieces->size(); ++i) {
      QWEN25_CHECK((*pieces)[i - 1].kind != JinjaPiece::Kind::kText ||
                   (*pieces)[i].kind != JinjaPiece::Kind::kText);
    }
  }
  const Result<ChatFormat> format = RecogniseChatFormat(source, "template");
  if (!format.ok()) return;
  const Result<ChatFormat> again =
      RecogniseChatFormat(ChatTemplateSource(format->default_system), "template");
  QWEN25_CHECK(again.ok() && again->default_system == format->default_system);
}

}  // namespace qwen25
