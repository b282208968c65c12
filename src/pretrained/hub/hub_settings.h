// What the environment says about hubs and the caches of models.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace qwen25 {

inline constexpr const char* kDefaultEndpoint = "https://huggingface.co";

struct HubSettings {
  // Where `pull` writes: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub
  // or
  // ~/.cache/huggingface/hub, as huggingface_hub has it. Empty if there is no home either.
  std::filesystem::path cache;
  // Others with the same layout, where models are found, too: LLAMA_CACHE.
  std::vector<std::filesystem::path> more_caches;
  // The models of Ollama: OLLAMA_MODELS or ~/.ollama/models.
  std::filesystem::path ollama;
  std::string endpoint = kDefaultEndpoint;  // HF_ENDPOINT, without a slash at its end
  // HF_TOKEN, or the file HF_TOKEN_PATH, or $HF_HOME/token, where `hf auth login` puts it. Empty: none.
  std::string token;
  bool offline = false;  // HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE

  static HubSettings FromEnvironment();
  // All folders with the layout of huggingface_hub.
  std::vector<std::filesystem::path> Caches() const;
};

// kInvalidArgument unless `endpoint` is http://HOST or https://HOST, perhaps with a port and a path.
Status CheckEndpoint(const std::string& endpoint);

// kInvalidArgument if the token holds what no header may hold.
Status CheckToken(const std::string& token);

}  // namespace qwen25
