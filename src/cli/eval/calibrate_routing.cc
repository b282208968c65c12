#include "cli/eval/calibrate_routing.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "eval/routing_calibration.h"
#include "pretrained/calibrated_routing.h"
#include "pretrained/hub/resolve_model.h"
#include "pretrained/load_tokenizer.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {
namespace {

void PrintJson(const RoutingCalibration& calibration, const std::string& kept) {
  Json json = {{"dense_perplexity", calibration.dense_perplexity},
               {"tokens", calibration.num_tokens},
               {"window", calibration.window},
               {"policies", Json::array()},
               {"chosen", calibration.chosen ? Json(calibration.points[*calibration.chosen].policy.ToString())
                                             : Json(nullptr)},
               {"kept", kept.empty() ? Json(nullptr) : Json(kept)}};
  for (const CalibrationPoint& point : calibration.points) {
    json["policies"].push_back({{"policy", point.policy.ToString()},
                                {"loss", point.loss},
                                {"read_share", point.read_share},
                                {"reranked_share", point.reranked_share},
                                {"work", point.Work()}});
  }
  fmt::print("{}\n", json.dump());
}

void Print(const RoutingCalibration& calibration, double max_loss, const std::string& kept) {
  fmt::print("dense: perplexity {:.4f} over {} tokens, window {}\n{:>9}{:>9}{:>9}{:>9}  policy\n",
             calibration.dense_perplexity, calibration.num_tokens, calibration.window, "loss", "read",
             "scored", "work");
  for (size_t i = 0; i < calibration.points.size(); ++i) {
    const CalibrationPoint& point = calibration.points[i];
    fmt::print("{:>+7.2f} %{:>7.1f} %{:>7.1f} %{:>7.1f} %{}{}\n", 100 * point.loss, 100 * point.read_share,
               100 * point.reranked_share, 100 * point.Work(), calibration.chosen == i ? " *" : "  ",
               point.policy.ToString());
  }
  if (calibration.chosen) {
    fmt::print("* the least work within {} %, kept in {}\n", max_loss, kept);
  } else {
    fmt::print("no policy is within {} %: the model stays as it was trained; see --max-loss\n", max_loss);
  }
}

}  // namespace

Status RunCalibration(const std::string& model_name, const std::string& text_name, const std::string& text,
                      const std::string& output, const CalibrateFlags& flags) {
  if (!(flags.max_loss >= 0)) return InvalidArgument("--max-loss is {}, expected at least 0", flags.max_loss);
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(model_name));
  QWEN25_TRY(const Model model, Model::Load(path));
  PrintNotes(model.remarks());
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(model_name));
  QWEN25_RETURN_IF_ERROR(CheckTokenizerFits(tokenizer, model.config(), model_name));
  const InterruptGuard guard;
  Progress progress("calibrating", "tokens", 0);
  QWEN25_TRY(const RoutingCalibration calibration,
             CalibrateRouting(
                 model, tokenizer, text,
                 {.window = flags.window, .max_tokens = flags.max_tokens, .max_loss = flags.max_loss / 100},
                 ShowUntilInterrupt(progress)));
  progress.Finish();
  std::string kept;
  if (calibration.chosen) {
    const CalibrationPoint& point = calibration.points[*calibration.chosen];
    QWEN25_RETURN_IF_ERROR(WriteCalibratedRouting(path, model.config(),
                                                  {.policy = point.policy,
                                                   .loss = point.loss,
                                                   .text = text_name,
                                                   .num_tokens = calibration.num_tokens,
                                                   .window = calibration.window}));
    kept = CalibratedRoutingPath(path).string();
  } else {
    std::error_code error;
    std::filesystem::remove(CalibratedRoutingPath(path), error);
    if (error)
      return Status(StatusCode::kIo, fmt::format("{}: cannot be removed: {}",
                                                 CalibratedRoutingPath(path).string(), error.message()));
  }
  if (!output.empty()) QWEN25_RETURN_IF_ERROR(WriteFileAtomically(output, RenderCalibration(calibration)));
  if (flags.json) {
    PrintJson(calibration, kept);
    return {};
  }
  Print(calibration, flags.max_loss, kept);
  if (!output.empty()) fmt::print("chart: {}\n", output);
  return {};
}

}  // namespace qwen25
