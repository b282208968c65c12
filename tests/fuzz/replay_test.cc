// The fuzz targets on the seeds and on mutations of them that are the same in every run: what a build without
// libFuzzer can check, and what the sanitizer stage of CI runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "targets.h"

namespace qwen25 {
namespace {

constexpr int kMutationsPerTarget = 10000;

std::vector<std::string> Seeds(std::string_view target) {
  std::vector<std::string> paths, seeds;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(QWEN25_FUZZ_SEEDS) / target)) {
    paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  for (const std::string& path : paths) seeds.push_back(*ReadFile(path));
  return seeds;
}

// Changes one place: a bit, a byte, a number, a cut, a repeat, a digit, or a piece of another seed.
void Mutate(Rng& rng, const std::vector<std::string>& seeds, std::string& bytes) {
  constexpr std::string_view kTokens[] = {"null",    "-1",
                                          "1e999",   "\"\"",
                                          "[]",      "{}",
                                          "true",    "0.5",
                                          "\\u0000", "18446744073709551615",
                                          "}",       "\xFF",
                                          ",",       "9007199254740993"};
  if (bytes.empty()) bytes = "\0";
  const size_t at = rng.Below(bytes.size());
  switch (rng.Below(8)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.Below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(rng.Below(256));
      break;
    case 2: {
      constexpr uint64_t kNumbers[] = {0,           1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, uint64_t{1} << 63,
                                       ~uint64_t{0}};
      const uint64_t number = kNumbers[rng.Below(std::size(kNumbers))];
      std::memcpy(bytes.data() + at, &number, std::min<size_t>(bytes.size() - at, size_t{1} << rng.Below(4)));
      break;
    }
    case 3:
      bytes.resize(at);
      break;
    case 4:
      bytes.erase(at, 1 + rng.Below(16));
      break;
    case 5:
      bytes.insert(at, bytes.substr(rng.Below(bytes.size()), 1 + rng.Below(64)));
      break;
    case 6:
      bytes.replace(at, rng.Below(8), kTokens[rng.Below(std::size(kTokens))]);
      break;
    default: {
      const std::string& other = seeds[rng.Below(seeds.size())];
      if (!other.empty()) bytes = bytes.substr(0, at) + other.substr(rng.Below(other.size()));
    }
  }
}

class FuzzReplayTest : public testing::TestWithParam<FuzzTarget> {};

TEST_P(FuzzReplayTest, SeedsAndTheirMutationsComeBack) {
  const std::vector<std::string> seeds = Seeds(GetParam().name);
  ASSERT_GE(seeds.size(), 3u);
  const auto run = [&](const std::string& bytes) {
    GetParam().function({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  };
  run("");
  for (const std::string& seed : seeds) run(seed);
  Rng rng(20);
  for (int i = 0; i < kMutationsPerTarget; ++i) {
    std::string bytes = seeds[rng.Below(seeds.size())];
    for (uint64_t count = 1 + rng.Below(4); count > 0; --count) Mutate(rng, seeds, bytes);
    run(bytes);  // aborts with the reason where a promise is broken
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzReplayTest, testing::ValuesIn(kFuzzTargets),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace qwen25
