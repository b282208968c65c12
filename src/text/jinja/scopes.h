// Finds out where the names of a template live. Jinja decides that before a template runs: a name that a
// frame (the template, the body of a loop, a macro...) assigns to anywhere is that frame's own, and holds
// what the outer one had when the frame was entered.
#pragma once

#include "base/status.h"
#include "text/jinja/ast.h"

namespace qwen25::jinja {

// Fills the layouts of all frames and the places of all names. kInvalidArgument, with the place in `*at`, for
// filters and tests that do not exist (inside of conditions that is an error only when they are reached) and
// for assignments to `loop` inside of a loop.
Status ResolveNames(Program& program, size_t* at);

}  // namespace qwen25::jinja
