#include "data/shards/loader.h"

#include <rapidcheck.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <set>

#include "base/allocation_counter.h"
#include "base/test_util.h"
#include "data/shards/permutation.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

constexpr uint32_t kVocab = 60000;

TEST(PermutationTest, IsABijectionOfAnySize) {
  EXPECT_TRUE(rc::check("every number comes once", [] {
    const auto size = *rc::gen::inRange<uint64_t>(1, 3000);
    const Permutation order(size, *rc::gen::arbitrary<uint64_t>(), *rc::gen::arbitrary<uint64_t>());
    std::vector<bool> seen(size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t image = order(i);
      RC_ASSERT(image < size);
      RC_ASSERT(!seen[image]);
      seen[image] = true;
    }
  }));
  const Permutation largest(uint64_t{1} << 62, 1, 2);
  EXPECT_NE(largest(0), largest((uint64_t{1} << 62) - 1));
}

// All 24 orders of four things, 24000 draws: the sum of squares below has a chi-square distribution with 23
// degrees of freedom if they are equally likely; 49.7 is its 0.999 quantile. The draws are fixed.
TEST(PermutationTest, AllOrdersAreEquallyLikely) {
  std::map<std::vector<uint64_t>, double> counts;
  for (uint64_t epoch = 0; epoch < 24000; ++epoch) {
    const Permutation order(4, 7, epoch);
    ++counts[{order(0), order(1), order(2), order(3)}];
  }
  EXPECT_EQ(counts.size(), 24u);
  double chi_square = 0;
  for (const auto& [_, count] : counts) chi_square += (count - 1000) * (count - 1000) / 1000;
  EXPECT_LT(chi_square, 49.7);
}

// Shards whose token ids count up from 0 over the whole corpus, so that an id tells its place.
class LoaderTest : public testing::Test {
 protected:
  // Hundreds of shards: written without flushing each to disk, and with the empty documents that
  // IndexedDatasetWriter refuses and other writers do not.
  void WriteShards(const std::vector<std::vector<size_t>>& lengths_of_shards) {
    prefixes_.clear();
    document_of_.clear();
    ends_document_.clear();
    size_t document = 0;
    for (const auto& lengths : lengths_of_shards) {
      std::vector<uint16_t> tokens;
      for (size_t length : lengths) {
        for (size_t i = 0; i < length; ++i) tokens.push_back(static_cast<uint16_t>(num_tokens() + i));
        document_of_.insert(document_of_.end(), length, document++);
        ends_document_.resize(document_of_.size());
        if (length > 0) ends_document_.back() = true;
      }
      QWEN25_CHECK(num_tokens() <= kVocab);
      prefixes_.push_back(directory_ / fmt::format("shard{}", prefixes_.size()));
      // Some file systems flush a file that is cut to nothing and written again.
      for (const char* extension : {".idx", ".bin"}) std::filesystem::remove(prefixes_.back() + extension);
      std::ofstream bin(prefixes_.back() + ".bin", std::ios::binary);
      bin.write(reinterpret_cast<const char*>(tokens.data()),
                static_cast<std::streamsize>(2 * tokens.size()));
      std::ofstream(prefixes_.back() + ".idx", std::ios::binary) << IndexOf(lengths);
    }
  }
  // The .idx of uint16 documents of these lengths.
  static std::string IndexOf(const std::vector<size_t>& lengths) {
    std::string idx("MMIDIDX\0\0", 9);
    const auto append = [&](auto number) {
      idx.append(reinterpret_cast<const char*>(&number), sizeof number);
    };
    append(uint64_t{1});
    append(uint8_t{8});
    append(uint64_t{lengths.size()});
    append(uint64_t{lengths.size() + 1});
    for (size_t length : lengths) append(static_cast<int32_t>(length));
    int64_t pointer = 0;
    for (size_t length : lengths) {
      append(pointer);
      pointer += static_cast<int64_t>(2 * length);
    }
    for (size_t i = 0; i <= lengths.size(); ++i) append(static_cast<int64_t>(i));
    return idx;
  }
  // One to three shards of random documents, with more tokens than `more_than`.
  void WriteRandomShards(size_t more_than) {
    auto shards = *rc::gen::resize(
        40, rc::gen::container<std::vector<std::vector<size_t>>>(
                *rc::gen::inRange<size_t>(1, 4),
                rc::gen::nonEmpty(rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 40)))));
    shards.back().push_back(more_than + 1);
    WriteShards(shards);
  }
  static LoaderOptions RandomOptions() {
    return {.num_streams = *rc::gen::inRange<size_t>(1, 40),
            .sequence_length = *rc::gen::inRange<size_t>(1, 50),
            .sequences_per_batch = *rc::gen::inRange<size_t>(1, 9),
            .seed = *rc::gen::arbitrary<uint64_t>(),
            .split_documents = *rc::gen::arbitrary<bool>(),
            .vocab_size = kVocab};
  }
  size_t num_tokens() const { return document_of_.size(); }

  TemporaryDirectory directory_;
  std::vector<std::string> prefixes_;
  std::vector<size_t> document_of_;  // of each id
  std::vector<bool> ends_document_;  // whether an id is its document's last
};

struct CopiedBatch {
  explicit CopiedBatch(const LoaderBatch& batch)
      : tokens(batch.tokens.begin(), batch.tokens.end()),
        targets(batch.targets.begin(), batch.targets.end()),
        positions(batch.positions.begin(), batch.positions.end()),
        sequence_starts(batch.sequence_starts.begin(), batch.sequence_starts.end()) {}
  bool operator==(const CopiedBatch&) const = default;

  std::vector<int32_t> tokens, targets, positions, sequence_starts;
};

CopiedBatch Take(Loader& loader) {
  const auto batch = loader.Next();
  RC_ASSERT(batch.ok());
  return CopiedBatch(*batch);
}

// What holds for every batch: sequences fill it, and positions count from 0 in each.
void CheckShape(const CopiedBatch& batch) {
  const size_t num_tokens = batch.tokens.size();
  RC_ASSERT(batch.targets.size() == num_tokens);
  RC_ASSERT(batch.positions.size() == num_tokens);
  RC_ASSERT(batch.sequence_starts.front() == 0);
  RC_ASSERT(batch.sequence_starts.back() == static_cast<int32_t>(num_tokens));
  for (size_t s = 0; s + 1 < batch.sequence_starts.size(); ++s) {
    RC_ASSERT(batch.sequence_starts[s] < batch.sequence_starts[s + 1]);
    for (int32_t i = batch.sequence_starts[s]; i < batch.sequence_starts[s + 1]; ++i) {
      RC_ASSERT(batch.positions[i] == i - batch.sequence_starts[s]);
    }
  }
}

TEST_F(LoaderTest, EachStreamGivesEachOfItsTokensOncePerEpoch) {
  EXPECT_TRUE(rc::check("streams cover the corpus", [&] {
    const LoaderOptions options = RandomOptions();
    WriteRandomShards(options.sequence_length);
    auto loader = Loader::Open(prefixes_, options);
    RC_ASSERT(loader.ok());
    const size_t num_streams = std::min<size_t>(options.num_streams, loader->num_documents());
    // What each stream gives, for so long that the largest ends its second epoch.
    std::vector<std::vector<int32_t>> streams(num_streams);
    for (size_t row = 0;
         std::ranges::any_of(streams, [&](auto& s) { return s.size() < 2 * num_tokens(); });) {
      const CopiedBatch batch = Take(*loader);
      for (size_t r = 0; r < options.sequences_per_batch; ++r, ++row) {
        const auto begin = batch.tokens.begin() + r * options.sequence_length;
        auto& stream = streams[row % num_streams];
        stream.insert(stream.end(), begin, begin + options.sequence_length);
      }
    }
    for (uint64_t epoch = 0; epoch < 2; ++epoch) {
      const Permutation order(loader->num_documents(), options.seed, epoch);
      std::vector<int> seen(num_tokens());
      for (size_t s = 0; s < num_streams; ++s) {
        size_t share = 0;  // tokens of the stream's documents in this epoch
        for (uint64_t i = s; i < loader->num_documents(); i += num_streams) {
          share += std::ranges::count(document_of_, order(i));
        }
        for (size_t i = 0; i < share; ++i) ++seen[streams[s][i]];
        streams[s].erase(streams[s].begin(), streams[s].begin() + share);
      }
      RC_ASSERT(std::ranges::all_of(seen, [](int n) { return n == 1; }));
    }
  }));
}

TEST_F(LoaderTest, TargetsAreTheNextTokens) {
  EXPECT_TRUE(rc::check("targets, positions and boundaries", [&] {
    const LoaderOptions options = RandomOptions();
    WriteRandomShards(options.sequence_length);
    auto loader = Loader::Open(prefixes_, options);
    RC_ASSERT(loader.ok());
    std::map<size_t, int32_t>
        expected_first;  // of the next row of each stream: the target that ended the last
    const size_t num_streams = std::min<size_t>(options.num_streams, loader->num_documents());
    size_t row = 0;
    for (int b = 0; b < 6; ++b) {
      const CopiedBatch batch = Take(*loader);
      CheckShape(batch);
      const std::set<int32_t> starts(batch.sequence_starts.begin(), batch.sequence_starts.end());
      for (size_t i = 0; i < batch.tokens.size(); ++i) {
        const int32_t token = batch.tokens[i], target = batch.targets[i];
        const bool row_begins = i % options.sequence_length == 0;
        const bool row_ends = (i + 1) % options.sequence_length == 0;
        const size_t stream = row % num_streams;
        if (row_begins && expected_first.contains(stream)) RC_ASSERT(token == expected_first[stream]);
        const bool begins_document = token == 0 || ends_document_[token - 1];
        RC_ASSERT(starts.contains(static_cast<int32_t>(i)) ==
                  (row_begins || (options.split_documents && begins_document)));
        if (!ends_document_[token]) RC_ASSERT(target == token + 1);
        if (ends_document_[token] && options.split_documents) RC_ASSERT(target == -1);
        if (!options.split_documents && !row_ends) RC_ASSERT(target == batch.tokens[i + 1]);
        if (row_ends) {
          if (target >= 0)
            expected_first[stream] = target;
          else
            expected_first.erase(stream);
          ++row;
        }
      }
    }
  }));
}

// Odd ids are predicted, even ones are not.
TEST_F(LoaderTest, LossMasksHideTargets) {
  WriteShards({{5, 1, 300}, {7}});
  ASSERT_OK_AND_ASSIGN(auto mask, IndexedDatasetWriter::Create(LossMaskPrefix(prefixes_[0]), 2));
  int32_t id = 0;
  for (const size_t length : {5, 1, 300}) {
    std::vector<int32_t> document(length);
    for (int32_t& bit : document) bit = id++ % 2;
    ASSERT_OK(mask.AddDocument(document));
  }
  ASSERT_OK(mask.Finish());
  const auto hidden = [](int32_t id) { return id < 306 && id % 2 == 0; };  // the second shard has no mask

  for (const bool split : {false, true}) {
    const LoaderOptions options = {.num_streams = 2, .sequence_length = 11, .split_documents = split};
    ASSERT_OK_AND_ASSIGN(auto loader, Loader::Open(prefixes_, options));
    size_t predicted = 0;
    for (int b = 0; b < 10; ++b) {
      const CopiedBatch batch = Take(loader);
      for (size_t i = 0; i < batch.tokens.size(); ++i) {
        const int32_t target = batch.targets[i];
        EXPECT_FALSE(target >= 0 && hidden(target));
        predicted += target >= 0;
        const bool same_row = (i + 1) % options.sequence_length != 0;
        if (same_row && !ends_document_[batch.tokens[i]] && !hidden(batch.tokens[i] + 1)) {
          EXPECT_EQ(target, batch.tokens[i] + 1);
        }
      }
    }
    EXPECT_GT(predicted, 300u);
  }
  ASSERT_OK_AND_ASSIGN(auto validation, ValidationBatches::Open(prefixes_, {.sequence_length = 400}));
  ASSERT_OK_AND_ASSIGN(const LoaderBatch all, validation.Next());
  EXPECT_EQ(static_cast<uint64_t>(std::ranges::count_if(all.targets, [](int32_t t) { return t >= 0; })),
            validation.num_targets());
  EXPECT_EQ(validation.num_targets(), 2u + 150u + 6u);

  WriteShards({{5, 2, 299}, {7}});  // the mask is of other documents
  EXPECT_ERROR_CONTAINS(Loader::Open(prefixes_, {.sequence_length = 4}), "belongs to another shard");
}

TEST_F(LoaderTest, ResumesBitForBitAtAnyBatch) {
  EXPECT_TRUE(rc::check("a state continues the run", [&] {
    const LoaderOptions options = RandomOptions();
    WriteRandomShards(options.sequence_length);
    auto loader = Loader::Open(prefixes_, options);
    RC_ASSERT(loader.ok());
    const CopiedBatch first = Take(*loader);
    for (int i = *rc::gen::inRange(0, 30); i > 0; --i) Take(*loader);
    const std::string state = loader->State().dump();
    std::vector<CopiedBatch> rest;
    for (int i = 0; i < 5; ++i) rest.push_back(Take(*loader));

    auto resumed = Loader::Open(prefixes_, options);
    RC_ASSERT(resumed.ok());
    const auto json = ParseJson(state, "state");
    RC_ASSERT(json.ok());
    RC_ASSERT(resumed->SetState(*json).ok());
    RC_ASSERT(resumed->State().dump() == state);
    for (const CopiedBatch& batch : rest) RC_ASSERT(Take(*resumed) == batch);
    resumed->Rewind();
    RC_ASSERT(Take(*resumed) == first);
  }));
}

TEST_F(LoaderTest, SeedsAndEpochsGiveOtherOrders) {
  WriteShards({std::vector<size_t>(200, 8)});
  const auto order = [&](uint64_t seed) {
    auto loader = Loader::Open(prefixes_, {.num_streams = 1, .sequence_length = 8, .seed = seed});
    std::vector<std::vector<int32_t>> epochs(2);
    for (auto& epoch : epochs) {
      for (int b = 0; b < 25; ++b) {
        const auto batch = loader->Next();
        for (size_t i = 0; i < batch->tokens.size(); i += 8) epoch.push_back(batch->tokens[i]);
      }
    }
    return epochs;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1)[0], order(2)[0]);
  EXPECT_NE(order(1)[0], order(1)[1]);
}

TEST_F(LoaderTest, NextAllocatesNothing) {
#if !QWEN25_COUNTS_ALLOCATIONS
  GTEST_SKIP() << "SKIPPED: allocations are not counted under this sanitizer or C library";
#endif
  WriteShards({{5, 9, 30, 1}, {2, 40, 7}});
  ASSERT_OK_AND_ASSIGN(auto loader, Loader::Open(prefixes_, {.sequence_length = 10}));
  ASSERT_OK_AND_ASSIGN(auto validation, ValidationBatches::Open(prefixes_, {.sequence_length = 10}));
  const AllocationCounter counter;
  size_t num_tokens = 0;
  for (int i = 0; i < 50; ++i) {
    num_tokens += loader.Next()->tokens.size() + validation.Next()->tokens.size();
  }
  const uint64_t num_allocations_of_next = counter.count();
  EXPECT_EQ(num_allocations_of_next, 0u);
  EXPECT_GT(num_tokens, 50u * 80u);
}

TEST_F(LoaderTest, EmptyDocumentsOfOtherWritersAreSkipped) {
  WriteShards({{0, 4, 0}, {}});
  ASSERT_OK_AND_ASSIGN(auto loader,
                       Loader::Open(prefixes_, {.sequence_length = 2, .sequences_per_batch = 6}));
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK_AND_ASSIGN(const LoaderBatch batch, loader.Next());
    for (size_t t = 0; t < 12; t += 2) EXPECT_EQ(batch.tokens[t + 1], batch.tokens[t] + 1);
    ASSERT_OK(loader.SetState(loader.State()));
  }
  ASSERT_OK_AND_ASSIGN(auto validation, ValidationBatches::Open(prefixes_, {}));
  EXPECT_EQ(validation.num_targets(), 3u);
  EXPECT_EQ(validation.Next()->targets.size(), 3u);
}

TEST_F(LoaderTest, SaysWhatIsWrong) {
  WriteShards({{3, 5}, {4}});
  const auto open = [&](LoaderOptions options) { return Loader::Open(prefixes_, options); };
  EXPECT_ERROR_CONTAINS(open({.num_streams = 0}), "num_streams is 0");
  EXPECT_ERROR_CONTAINS(open({.sequence_length = 0}), "8 sequences of 0 tokens");
  EXPECT_ERROR_CONTAINS(open({.sequence_length = size_t{1} << 40, .sequences_per_batch = size_t{1} << 40}),
                        "together up to 1073741824");
  EXPECT_ERROR_CONTAINS(open({.vocab_size = ~0u}), "vocab_size is 4294967295");
  EXPECT_ERROR_CONTAINS(open({.sequence_length = 12}),
                        "12 tokens are too few for one row of 12 and the token after it; add text, or set a "
                        "shorter --sequence-length");
  EXPECT_OK(open({.sequence_length = 11}));
  EXPECT_ERROR_CONTAINS(Loader::Open({}, {}), "no token shards were given");
  EXPECT_ERROR_CONTAINS(Loader::Open({directory_ / "none"}, {}), "none.idx: cannot open");

  ASSERT_OK_AND_ASSIGN(auto loader, open({.sequence_length = 4, .sequences_per_batch = 3, .vocab_size = 10}));
  EXPECT_ERROR_CONTAINS(loader.Next(),
                        "shard1.bin: document 0, token 2: id 10 is outside the vocabulary of 10");
  ASSERT_OK_AND_ASSIGN(auto validation, ValidationBatches::Open(prefixes_, {.vocab_size = 11}));
  EXPECT_ERROR_CONTAINS(validation.Next(), "shard1.bin: document 0, token 3: id 11");

  WriteShards({{}, {}});
  EXPECT_ERROR_CONTAINS(open({}), "shard1: there is not one token");
  WriteShards({{1, 1}});
  EXPECT_ERROR_CONTAINS(ValidationBatches::Open(prefixes_, {}), "no document has two tokens");
}

TEST_F(LoaderTest, StatesOfOtherDataAreRefused) {
  WriteShards({{3, 5}, {4}});
  ASSERT_OK_AND_ASSIGN(auto loader, Loader::Open(prefixes_, {.sequence_length = 2}));
  ASSERT_OK(loader.Next());
  const Json good = loader.State();
  ASSERT_OK(loader.SetState(good));
  const auto refuse = [&](const char* key, const Json& value, const char* message) {
    Json bad = good;
    bad[key] = value;
    EXPECT_ERROR_CONTAINS(loader.SetState(bad), message);
    EXPECT_EQ(loader.State(), good);
  };
  refuse("seed", 2, "seed is 2, here it is 1");
  refuse("num_documents", 4, "num_documents is 4, here it is 3");
  refuse("num_tokens", nullptr, "num_tokens is null");
  refuse("num_loss_masks", 1, "num_loss_masks is 1, here it is 0");
  refuse("next_stream", 3, "no next_stream below 3");
  refuse("next_stream", -1, "no next_stream below 3");
  refuse("streams", Json::array(), "places of 3 streams; num_streams must stay");
  for (const Json& place : {Json(1), Json({0, 0}), Json({0, 0, -1}), Json({0, 1, 0}), Json({0, 0, 5}),
                            Json({0, ~uint64_t{0}, 0}), Json({0, 0, ~uint64_t{0}})}) {
    Json streams = good["streams"];
    streams[1] = place;
    refuse("streams", streams, "has stream 1 at");
  }
  Json without_masks = good;  // as states were before there were loss masks
  without_masks.erase("num_loss_masks");
  ASSERT_OK(loader.SetState(without_masks));
  EXPECT_ERROR_CONTAINS(loader.SetState(Json()), "not a JSON object");
  EXPECT_ERROR_CONTAINS(loader.SetState(Json::object()), "seed is missing");
}

TEST_F(LoaderTest, ValidationPredictsEveryTokenOnce) {
  EXPECT_TRUE(rc::check("all but the first token of each document is a target once", [&] {
    const LoaderOptions options = RandomOptions();
    WriteRandomShards(1);
    auto batches = ValidationBatches::Open(prefixes_, options);
    RC_ASSERT(batches.ok());
    std::vector<int32_t> targets;
    std::map<int32_t, int32_t> position_of;
    for (;;) {
      const auto next = batches->Next();
      RC_ASSERT(next.ok());
      const CopiedBatch batch(*next);
      if (batch.tokens.empty()) break;
      RC_ASSERT(batch.tokens.size() <= options.sequences_per_batch * options.sequence_length);
      CheckShape(batch);
      for (size_t i = 0; i < batch.tokens.size(); ++i) {
        RC_ASSERT(batch.targets[i] == batch.tokens[i] + 1);
        position_of[batch.tokens[i]] = batch.positions[i];
      }
      targets.insert(targets.end(), batch.targets.begin(), batch.targets.end());
    }
    RC_ASSERT(targets.size() == batches->num_targets());
    std::vector<int32_t> expected;
    size_t offset = 0;  // in the document
    for (size_t id = 0; id < num_tokens(); ++id) {
      offset = id == 0 || ends_document_[id - 1] ? 0 : offset + 1;
      if (offset > 0) expected.push_back(static_cast<int32_t>(id));
      if (!ends_document_[id]) {
        RC_ASSERT(position_of[static_cast<int32_t>(id)] ==
                  static_cast<int32_t>(offset % options.sequence_length));
      }
    }
    RC_ASSERT(targets == expected);
    RC_ASSERT(batches->Next()->tokens.empty());
    batches->Reset();
    RC_ASSERT(batches->Next()->targets.front() == expected.front());
  }));
}

}  // namespace
}  // namespace qwen25
