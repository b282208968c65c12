// Benchmarks, one file each: it declares its flags, and what runs when it was chosen. What they share at the
// command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "cli/flags/check_numbers.h"
#include "cli/verb.h"

namespace qwen25 {

void AddTrainBench(CLI::App& verb, RunVerb& run);
void AddInferenceBench(CLI::App& verb, RunVerb& run);
void AddSpeculationBench(CLI::App& verb, RunVerb& run);
void AddRoutingBench(CLI::App& verb, RunVerb& run);
void AddMemoryBench(CLI::App& verb, RunVerb& run);
void AddRecallBench(CLI::App& verb, RunVerb& run);
void AddLoadBench(CLI::App& verb, RunVerb& run);
void AddNeedleBench(CLI::App& verb, RunVerb& run);
void AddRetrievalBench(CLI::App& verb, RunVerb& run);

// Flags that several benchmarks have.
void AddPresetFlag(CLI::App& bench, std::string& preset);
void AddWeightsFlag(CLI::App& bench, std::string& weights);
template <typename Count>
void AddRoundsFlag(CLI::App& bench, Count& rounds, const char* names = "--rounds") {
  bench.add_option(names, rounds, "Measured rounds; medians are reported")->capture_default_str();
}
template <typename Count>
void AddThreadsFlag(CLI::App& bench, Count& num_threads) {
  bench.add_option("--threads", num_threads, "Threads; default: every core this process may use")
      ->check(kThreadCount);
}
// A list of values with commas between them.
template <typename Value>
void AddListFlag(CLI::App& bench, const char* names, std::vector<Value>& values, const char* what) {
  bench.add_option(names, values, what)->delimiter(',')->capture_default_str();
}
// --depth and --batch of the benchmarks that generate.
void AddGenerationFlags(CLI::App& bench, std::vector<uint32_t>& depths, std::vector<uint32_t>& batches);

// The files of a --text flag back to back, or nothing if there are none; an error if they hold no byte.
Result<std::string> ReadTexts(const std::vector<std::string>& paths);

// The members of an object, a line each, with their names padded to `width`.
void PrintFigures(const Json& object, size_t width);

}  // namespace qwen25
