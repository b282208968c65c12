// Jinja templates as Hugging Face transformers runs them: Jinja 3.1 in its immutable sandbox, with
// trim_blocks and lstrip_blocks, loop controls, `{% generation %}`, raise_exception, strftime_now and its
// tojson. docs/formats/chat_template.md lists what is not there.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/marked_text.h"

namespace qwen25::jinja {

// Immutable, cheap to copy, safe to use from many threads at once.
class Template {
 public:
  // kInvalidArgument, naming `origin`, line and column, for source that is no template.
  static Result<Template> Parse(std::string_view source, std::string_view origin);

  // Renders with these variables, which hide the functions of Jinja with the same names. Errors of
  // Interpreter::Run.
  Result<MarkedText> Render(const std::vector<std::pair<std::string, Value>>& variables,
                            const RenderOptions& options = {}) const;

  // Whether the template reads a variable or a member of this name, as in x.name and x["name"], or holds it
  // as a string.
  bool Mentions(std::string_view name) const;
  // The source, with '\n' for every line end.
  const std::string& source() const { return program_->source; }

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  std::shared_ptr<const Program> program_;
};

// A document as a value. Its texts, keys too, have the mark. Integers that ParsePythonJson kept beyond 64
// bits are integers here.
Value ValueOf(const Json& json, Mark mark);

}  // namespace qwen25::jinja
