// How a published model makes vectors of sentences: the files that sentence-transformers puts beside the
// weights (modules.json, 1_Pooling, sentence_bert_config.json, config_sentence_transformers.json), or the
// metadata of a GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// How the hidden states of a text's tokens become one vector.
enum class SentencePooling {
  kCls,             // that of the first token
  kMax,             // the greatest of each dimension
  kMean,            // their mean
  kMeanSqrtLength,  // their sum divided by the square root of their number
  kWeightedMean,    // their mean, weighted by the place 1, 2, 3, ...
  kLast,            // that of the last token
};
std::string_view SentencePoolingName(SentencePooling pooling);

// y = activation(weight x + bias), behind the pooling.
struct DenseModule {
  size_t num_in = 0, num_out = 0;
  std::vector<float> weight;  // [num_out, num_in]
  std::vector<float> bias;    // [num_out], or empty
  bool tanh = false;          // else the identity
};

struct SentenceSettings {
  std::filesystem::path model;               // the folder or file of the weights and the tokenizer
  std::vector<SentencePooling> poolings;     // their results are concatenated
  std::vector<DenseModule> dense;            // applied in this order
  std::optional<uint32_t> max_tokens;        // of a text, special tokens included
  bool causal = true;                        // of a language model: "is_causal" of its config.json
  bool lowercase = false;                    // texts are put in lower case before the tokenizer sees them
  std::string query_prompt, passage_prompt;  // put before a text to search with, and before one to be found
  std::vector<std::string> remarks;          // for the user, one sentence each
};

// The settings of a folder with modules.json, or of a GGUF file that states a pooling_type; nothing for
// others, such as ordinary language models. Models of the E5 and BGE families whose files state no prompts
// get those that their authors published, recognised by the name of the folder or in the file, with a
// remark. kUnsupported names a module or pooling that this program does not have; kCorrupt and
// kInvalidArgument name file and field.
Result<std::optional<SentenceSettings>> ReadSentenceSettings(const std::filesystem::path& path);

// States in the folder of a language model that its vectors are the mean of the final hidden states, with
// causal attention or with every token attending to every other: modules.json, 1_Pooling, and "is_causal" in
// config.json, which transformers reads, too.
Status WriteMeanPooling(const std::filesystem::path& folder, bool causal);

}  // namespace qwen25
