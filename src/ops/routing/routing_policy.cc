#include "ops/routing/routing_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace qwen25 {
namespace {

struct ScoreName {
  BlockScore score;
  std::string_view name;
};
constexpr ScoreName kScoreNames[] = {
    {BlockScore::kMean, "mean"}, {BlockScore::kBound, "bound"}, {BlockScore::kOutlier, "outlier"}};

constexpr std::string_view kExample =
    "expected dense, top_k:16 or top_p:0.95, then options such as "
    "score=outlier,max_blocks=64,sink=1,local=4,dense_below=2048,max_missed=0.5";

constexpr uint32_t kMostReranked = 64;

template <typename Number>
Status ParseNumber(std::string_view key, std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return {};
  return InvalidArgument("routing: {} is \"{}\", expected a number", key, text);
}

Status ParseScore(std::string_view text, BlockScore& score) {
  for (const ScoreName& known : kScoreNames) {
    if (known.name == text) {
      score = known.score;
      return {};
    }
  }
  return InvalidArgument("routing: score is \"{}\", expected mean, bound or outlier", text);
}

Status ParseOption(std::string_view key, std::string_view value, RoutingPolicy& policy) {
  if (key == "score") return ParseScore(value, policy.score);
  if (key == "max_blocks") return ParseNumber(key, value, policy.max_blocks);
  if (key == "probe") return ParseNumber(key, value, policy.probe_blocks);
  if (key == "sink") return ParseNumber(key, value, policy.sink_blocks);
  if (key == "local") return ParseNumber(key, value, policy.local_blocks);
  if (key == "dense_below") return ParseNumber(key, value, policy.dense_below);
  if (key == "max_missed") return ParseNumber(key, value, policy.max_missed);
  if (key == "dense_layers") return ParseNumber(key, value, policy.dense_layers);
  if (key == "far_panels") return ParseNumber(key, value, policy.far_panels);
  if (key == "rerank") return ParseNumber(key, value, policy.rerank);
  return InvalidArgument("routing: \"{}\" is no option; {}", key, kExample);
}

Status ParseKind(std::string_view text, RoutingPolicy& policy) {
  if (text == "dense") return {};
  const size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view value = colon == text.npos ? "" : text.substr(colon + 1);
  if (kind == "top_k") {
    policy.kind = RoutingPolicy::Kind::kTopK;
    return value.empty() ? Status() : ParseNumber("top_k", value, policy.max_blocks);
  }
  if (kind == "top_p") {
    policy.kind = RoutingPolicy::Kind::kTopP;
    return value.empty() ? Status() : ParseNumber("top_p", value, policy.top_p);
  }
  return InvalidArgument("routing: \"{}\" is no policy; {}", text, kExample);
}

Status CheckShare(std::string_view name, float value) {
  if (value >= 0 && value <= 1) return {};
  return InvalidArgument("routing: {} is {}, expected 0 to 1", name, value);
}

Status CheckCount(std::string_view name, uint32_t value, uint32_t least) {
  constexpr uint32_t kMost = 1u << 20;
  if (value >= least && value <= kMost) return {};
  return InvalidArgument("routing: {} is {}, expected {} to {}", name, value, least, kMost);
}

}  // namespace

std::string_view BlockScoreName(BlockScore score) {
  return std::ranges::find(kScoreNames, score, &ScoreName::score)->name;
}

Status RoutingPolicy::Validate() const {
  QWEN25_RETURN_IF_ERROR(CheckShare("top_p", top_p));
  QWEN25_RETURN_IF_ERROR(CheckShare("max_missed", max_missed));
  QWEN25_RETURN_IF_ERROR(CheckCount("max_blocks", max_blocks, 1));
  QWEN25_RETURN_IF_ERROR(CheckCount("sink", sink_blocks, 1));
  QWEN25_RETURN_IF_ERROR(CheckCount("far_panels", far_panels, 1));
  QWEN25_RETURN_IF_ERROR(CheckCount("probe", probe_blocks, 0));
  if (rerank < 1 || rerank > kMostReranked) {
    return InvalidArgument("routing: rerank is {}, expected 1 to {}: so many times max_blocks", rerank,
                           kMostReranked);
  }
  return CheckCount("local", local_blocks, 0);
}

Result<RoutingPolicy> RoutingPolicy::Parse(std::string_view text) {
  RoutingPolicy policy;
  bool first = true;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, comma - begin);
    begin = comma + 1;
    if (std::exchange(first, false)) {
      QWEN25_RETURN_IF_ERROR(ParseKind(part, policy));
      continue;
    }
    const size_t equals = part.find('=');
    if (equals == part.npos) return InvalidArgument("routing: \"{}\" has no value; {}", part, kExample);
    QWEN25_RETURN_IF_ERROR(ParseOption(part.substr(0, equals), part.substr(equals + 1), policy));
  }
  QWEN25_RETURN_IF_ERROR(policy.Validate());
  return policy;
}

std::string RoutingPolicy::ToString() const {
  if (kind == Kind::kDense) return "dense";
  const std::string head =
      kind == Kind::kTopK ? fmt::format("top_k:{}", max_blocks)
                          : fmt::format("top_p:{},max_blocks={},probe={}", top_p, max_blocks, probe_blocks);
  return fmt::format(
      "{},score={},sink={},local={},dense_below={},max_missed={},dense_layers={},far_panels={}{}", head,
      BlockScoreName(score), sink_blocks, local_blocks, dense_below, max_missed, dense_layers, far_panels,
      rerank == 1 ? "" : fmt::format(",rerank={}", rerank));
}

}  // namespace qwen25
