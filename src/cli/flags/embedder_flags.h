// Which embeddings a verb uses, as flags.
#pragma once

#include <CLI/CLI.hpp>

#include "knowledge/load_embedder.h"

namespace qwen25 {

void AddEmbedderFlags(CLI::App& verb, EmbedderChoice& choice);

}  // namespace qwen25
