// Fetches models from a hub.
#include <algorithm>
#include <deque>

#include "base/clock.h"
#include "base/format.h"
#include "base/progress.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "pretrained/hub/pull.h"

namespace qwen25 {
namespace {

struct PullFlags {
  std::string name, revision, endpoint;
  std::vector<std::string> patterns;
  size_t connections = 4;
  bool offline = false, dry_run = false;
};

// Bytes per second over the last seconds.
class DownloadRate {
 public:
  double Update(uint64_t bytes) {
    const double now = NowSeconds();
    if (!samples_.empty() && bytes < samples_.back().bytes) samples_.clear();  // a file started again
    if (samples_.empty() || now - samples_.back().seconds > 0.25) samples_.push_back({now, bytes});
    while (samples_.size() > 2 && now - samples_.front().seconds > kSeconds) samples_.pop_front();
    const double seconds = now - samples_.front().seconds;
    return seconds > 0.2 ? static_cast<double>(bytes - samples_.front().bytes) / seconds : 0;
  }

 private:
  static constexpr double kSeconds = 8;
  struct Sample {
    double seconds;
    uint64_t bytes;
  };
  std::deque<Sample> samples_;
};

std::string PulledBytes(uint64_t bytes) {
  return FormatBytes(static_cast<double>(bytes));
}

Result<PullRequest> PullRequestOf(const PullFlags& flags) {
  PullRequest request;
  QWEN25_TRY(request.name, ModelName::Parse(flags.name));
  if (!flags.revision.empty()) {
    if (!request.name.revision.empty() && request.name.revision != flags.revision) {
      return InvalidArgument("{} names a revision, and --revision another one, {}", flags.name,
                             flags.revision);
    }
    if (!IsRevisionName(flags.revision)) {
      return InvalidArgument("--revision is \"{}\"; expected a branch, a tag or a commit", flags.revision);
    }
    request.name.revision = flags.revision;
  }
  request.hub = HubSettings::FromEnvironment();
  if (!flags.endpoint.empty()) request.hub.endpoint = flags.endpoint;
  while (request.hub.endpoint.ends_with('/')) request.hub.endpoint.pop_back();
  request.hub.offline = request.hub.offline || flags.offline;
  request.patterns = flags.patterns;
  request.num_connections = flags.connections;
  return request;
}

// What is there already, without asking anybody.
Status ShowFetched(const PullRequest& request) {
  for (const std::filesystem::path& cache : request.hub.Caches()) {
    const auto repository = HubCache(cache).Find(request.name.repository);
    if (!repository) continue;
    if (const auto model = FindModel(*repository, request.name)) {
      fmt::print("{}\n", model->path.string());
      return {};
    }
  }
  return NotFound("{}: is not in {}, and the network is not to be used (--offline or HF_HUB_OFFLINE)",
                  request.name.Text(), request.hub.cache.string());
}

void PrintPullPlan(const PullRequest& request, const PullPlan& plan, bool with_files) {
  fmt::print("{}, commit {}: {} files, {}", request.name.Text(), plan.commit.substr(0, 12), plan.files.size(),
             PulledBytes(plan.bytes));
  fmt::print("{}\n", plan.missing.empty() ? ", all there"
                                          : fmt::format("; {} to fetch", PulledBytes(plan.missing_bytes)));
  if (!with_files) return;
  for (const RepositoryFile& file : plan.files) {
    const bool missing =
        std::ranges::find(plan.missing, file.digest, &RepositoryFile::digest) != plan.missing.end();
    fmt::print("  {:>10}  {}{}\n", PulledBytes(file.size), file.path, missing ? "" : "  (there)");
  }
}

// Ctrl-C is no failure: what is there counts.
Status WithHowToGoOn(const Status& status, const PullFlags& flags) {
  if (status.code() != StatusCode::kCancelled) return status;
  return Cancelled(
      "stopped; what was fetched is kept, and the same command goes on from there: qwen25 pull {}{}",
      flags.name, flags.revision.empty() ? "" : " --revision " + flags.revision);
}

Result<std::filesystem::path> FetchModel(const PullRequest& request, const PullPlan& plan) {
  if (plan.missing.empty()) {  // only the links may be missing
    return RunPull(request, plan, [](auto...) { return !InterruptGuard::requested(); });
  }
  uint64_t total = 0;
  for (const RepositoryFile& file : plan.missing) total += file.size;
  // In units that fit the size.
  const int shift = total < (1u << 14) ? 0 : total < (uint64_t{1} << 24) ? 10 : 20;
  Progress progress("pull",
                    shift == 0    ? "B"
                    : shift == 10 ? "KiB"
                                  : "MiB",
                    total >> shift, (total - plan.missing_bytes) >> shift);
  DownloadRate rate;
  const double start = NowSeconds();
  QWEN25_TRY(
      const std::filesystem::path path,
      RunPull(request, plan, [&](uint64_t done, uint64_t wanted, const std::string& note) {
        progress.set_total(std::max<uint64_t>(wanted >> shift, 1));
        const double speed = rate.Update(done);
        progress.Update(done >> shift, !note.empty() ? note : speed > 0 ? FormatBytes(speed) + "/s" : "");
        return !InterruptGuard::requested();
      }));
  const double speed = static_cast<double>(plan.missing_bytes) / (NowSeconds() - start);
  progress.Update(total >> shift, FormatBytes(speed) + "/s");
  return path;
}

Status RunPullVerb(const PullFlags& flags) {
  QWEN25_TRY(const PullRequest request, PullRequestOf(flags));
  if (request.hub.offline && !flags.dry_run) return ShowFetched(request);
  const InterruptGuard guard;
  std::string shown;
  const auto on_wait = [&](const std::string& reason) {
    const std::string what = reason.substr(0, reason.rfind(';'));  // without the countdown
    if (shown != what) fmt::print(stderr, "{}\n", reason);
    shown = what;
    return !InterruptGuard::requested();
  };
  const Result<PullPlan> plan = PlanPull(request, InterruptGuard::requested, on_wait);
  if (!plan.ok()) return WithHowToGoOn(plan.status(), flags);
  PrintPullPlan(request, *plan, flags.dry_run);
  std::fflush(stdout);
  if (flags.dry_run) return {};
  const Result<std::filesystem::path> path = FetchModel(request, *plan);
  if (!path.ok()) return WithHowToGoOn(path.status(), flags);
  fmt::print("{}\n", path->string());
  if (request.patterns.empty()) {
    const bool is_encoder =
        std::ranges::find(plan->files, "modules.json", &RepositoryFile::path) != plan->files.end();
    fmt::print("use it: qwen25 {} -m {}\n", is_encoder ? "embed" : "chat", request.name.Text());
  }
  return {};
}

}  // namespace

void AddPullVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "pull", "Fetch a model from Hugging Face's hub, or one like it", RunPullVerb);
  verb->add_option("name", flags->name,
                   "ORGANISATION/NAME, for GGUF repositories with the format: ORGANISATION/NAME:Q4_K_M")
      ->required();
  verb->add_option("--revision", flags->revision, "Branch, tag or commit; default: main");
  verb->add_option("--file", flags->patterns,
                   "Fetch only the files that match (* and ?); may be given several times")
      ->allow_extra_args(false);
  verb->add_flag("--dry-run", flags->dry_run, "Only print what would be fetched, with sizes");
  verb->add_flag("--offline", flags->offline, "Use no network: print where the model is, if it is there");
  verb->add_option("--endpoint", flags->endpoint,
                   "Another hub's address; default: HF_ENDPOINT, or the public hub");
  verb->add_option("--connections", flags->connections, "Files fetched at a time")
      ->check(CLI::Range(size_t{1}, size_t{16}))
      ->capture_default_str();
  verb->footer(
      "Fetches what a model needs: configuration, tokenizer, and weights as safetensors, or one GGUF file\n"
      "(default Q4_K_M, then Q8_0). The files are kept where huggingface_hub, transformers and llama.cpp "
      "keep\n"
      "theirs (HF_HOME, HF_HUB_CACHE; docs/models.md), so what they have fetched is there, too. Every verb "
      "then\n"
      "takes the name: -m ORGANISATION/NAME. A stopped pull goes on where it was. HF_TOKEN is the token for\n"
      "private and gated models.\n\n"
      "Examples:\n"
      "  qwen25 pull Qwen/Qwen2.5-0.5B-Instruct\n"
      "  qwen25 pull Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M\n"
      "  qwen25 pull sentence-transformers/all-MiniLM-L6-v2 --dry-run\n"
      "  HF_ENDPOINT=http://localhost:8080 qwen25 pull team/model --revision v2");
}

}  // namespace qwen25
