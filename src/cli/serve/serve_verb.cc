// qwen25 serve: models behind OpenAI's API.
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "cli/flags/check_numbers.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "serve/api_server.h"

namespace qwen25 {
namespace {

struct ServeFlags {
  ModelFlags model;
  std::vector<std::string> models;
  ApiServerOptions server;
  MemoryPlace memory;
  std::string embedder;
  uint32_t kv_mib = 0, step_ms = 40, drain_seconds = 60;
};

// "NAME=PATH", or a path that is its own name.
Result<ModelRegistry::Source> SourceOf(const std::string& text, const ModelSource& common) {
  ModelRegistry::Source source = {.model = common};
  const size_t equals = text.find('=');
  source.name = text.substr(0, equals);
  source.model.path = equals == text.npos ? text : text.substr(equals + 1);
  if (equals == text.npos) {
    // Of a path its last part, without what says that it is a file; the name of a model on a hub as it is.
    const std::filesystem::path path = source.model.path;
    const bool is_path = std::filesystem::exists(path) || path.is_absolute();
    const std::filesystem::path last = path.has_filename() ? path.filename() : path.parent_path().filename();
    if (is_path) source.name = last.extension() == ".gguf" ? last.stem().string() : last.string();
  }
  if (source.name.empty()) return InvalidArgument("--model {}: the model has no name; write NAME=PATH", text);
  return source;
}

Status ReadModels(ServeFlags& flags, ApiServerOptions& options) {
  QWEN25_TRY(const ModelSource common, flags.model.Source());
  for (const std::string& text : flags.models) {
    QWEN25_TRY(ModelRegistry::Source source, SourceOf(text, common));
    for (const ModelRegistry::Source& other : options.models) {
      if (other.name == source.name) {
        return InvalidArgument("two models are called \"{}\"; name one of them: --model NAME=PATH",
                               source.name);
      }
    }
    options.models.push_back(std::move(source));
  }
  return {};
}

// Serves until the program is to end. SIGHUP reloads.
Status ServeUntilEnd(ApiServer& server, uint32_t drain_seconds) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  while (true) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) break;
    const Status status = server.Reload();
    fmt::print(stderr, "{}\n", status.ok() ? "reloaded" : "note: not all was reloaded: " + status.message());
  }
  fmt::print(stderr, "ending: answers in progress may take {} s more; another Ctrl-C ends at once\n",
             drain_seconds);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const size_t num_cut = server.Drain(std::chrono::seconds(drain_seconds));
  if (num_cut > 0) fmt::print(stderr, "note: {} answers were cut\n", num_cut);
  return {};
}

Status RunServe(const ServeFlags& given) {
  ServeFlags flags = given;
  ApiServerOptions options = flags.server;
  QWEN25_RETURN_IF_ERROR(ReadModels(flags, options));
  options.registry.served.kv_bytes = uint64_t{flags.kv_mib} << 20;
  options.registry.served.scheduler.step_seconds = flags.step_ms / 1000.0;
  options.memory = {.place = flags.memory, .embedder = flags.embedder};
  options.registry.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  // All threads that are begun from here on leave the signals to the one that waits for them.
  sigset_t signals, before;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before);
  QWEN25_TRY(const std::unique_ptr<ApiServer> server, ApiServer::Start(std::move(options)));
  const HttpServerOptions& http = given.server.http;
  const std::string scheme = http.tls_certificate_file.empty() ? "http" : "https";
  if (!http.host.empty()) fmt::print("listening on {}://{}:{}/v1\n", scheme, http.host, server->port());
  if (!http.unix_socket.empty()) fmt::print("listening on {}\n", http.unix_socket);
  std::fflush(stdout);
  return ServeUntilEnd(*server, flags.drain_seconds);
}

void AddListening(CLI::App& verb, ServeFlags& flags) {
  HttpServerOptions& http = flags.server.http;
  http.port = 8080;
  http.max_connections = 2048;
  verb.add_option("--host", http.host, "Address to listen on; others than this machine's own need --keys")
      ->capture_default_str();
  verb.add_option("--port", http.port, "Port; 0: any that is free")->capture_default_str();
  verb.add_option("--unix-socket", http.unix_socket, "Path of a Unix socket to listen on, too");
  verb.add_option("--tls-certificate", http.tls_certificate_file, "PEM file: certificate, then its chain");
  verb.add_option("--tls-key", http.tls_key_file, "PEM file of the certificate's key");
  verb.add_option("--keys", flags.server.key_file, "File of keys, made by `qwen25 keys add`");
  verb.add_option("--allow-origin", flags.server.allowed_origins,
                  "Origins whose web pages may use the server, or \"*\"; default: none");
  verb.add_option("--audit-log", flags.server.audit_log, "File to append a line for each request to");
  verb.add_option("--max-connections", http.max_connections, "Connections at a time")->capture_default_str();
  verb.add_option("--drain-seconds", flags.drain_seconds, "How long answers in progress may go on at the end")
      ->capture_default_str();
}

}  // namespace

void AddServeVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "serve",
              "Answer requests over HTTP, by OpenAI's API; Ctrl-C ends, SIGHUP reloads keys", RunServe);
  AddModelFlags(*verb, flags->model, /*required=*/false);
  verb->remove_option(verb->get_option("--model"));
  verb->add_option("-m,--model", flags->models,
                   "Model folder, .gguf file or name; several, each as NAME=PATH, are loaded when asked for")
      ->required();
  AddListening(*verb, *flags);
  Scheduler::Options& scheduler = flags->server.registry.served.scheduler;
  verb->add_option("--streams", scheduler.num_streams, "Answers at a time, of each model")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  verb->add_option("--max-waiting", scheduler.max_waiting,
                   "Requests that may wait; further ones get status 429")
      ->capture_default_str();
  verb->add_option(
          "--step-ms", flags->step_ms,
          "Milliseconds that a step may take while prompts are read: what others wait between tokens")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_option("--kv-mib", flags->kv_mib,
                   "MiB of keys and values of all answers; default: half of what is free");
  verb->add_option("--max-loaded", flags->server.registry.max_loaded, "Models in memory at a time")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_flag("--keep-summaries", flags->model.keep_summaries, "Let requests choose a \"routing\"");
  AddMemoryFlags(*verb, flags->memory);
  verb->add_option(
      "--embedder", flags->embedder,
      "What finds notes by meaning: hashed, none or model:MODEL; default: what the notes were made with");
  verb->footer(
      "Examples:\n"
      "  qwen25 serve -m Qwen/Qwen2.5-0.5B-Instruct\n"
      "  qwen25 serve -m small=a.gguf -m large=b.gguf --max-loaded 1 --port 9000\n"
      "  qwen25 keys add alice --file keys.json && qwen25 serve -m MODEL --host 0.0.0.0 --keys keys.json");
}

}  // namespace qwen25
