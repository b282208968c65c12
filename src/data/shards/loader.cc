#include "data/shards/loader.h"

#include <algorithm>
#include <numeric>

#include "data/shards/permutation.h"

namespace qwen25 {
namespace {

constexpr uint64_t kMaxStreams = uint64_t{1} << 20;
constexpr uint64_t kMaxBatchTokens = uint64_t{1} << 30;  // positions and starts are int32
constexpr uint32_t kEveryId = uint32_t{1} << 31;         // only negative ids are outside

Status CheckOptions(const LoaderOptions& options) {
  if (options.num_streams == 0 || options.num_streams > kMaxStreams) {
    return InvalidArgument("num_streams is {}, expected 1 to {}", options.num_streams, kMaxStreams);
  }
  if (options.sequence_length == 0 || options.sequences_per_batch == 0 ||
      options.sequence_length > kMaxBatchTokens / options.sequences_per_batch) {
    return InvalidArgument(
        "{} sequences of {} tokens per batch; expected at least one of each, together up to {}",
        options.sequences_per_batch, options.sequence_length, kMaxBatchTokens);
  }
  if (options.vocab_size > kEveryId) {
    return InvalidArgument("vocab_size is {}, expected up to {}", options.vocab_size, kEveryId);
  }
  return {};
}

LoaderOptions WithVocabulary(LoaderOptions options) {
  if (options.vocab_size == 0) options.vocab_size = kEveryId;
  return options;
}

// Tokens [offset, offset + out.size()) of a document, checked against the vocabulary.
Status ReadTokens(const Corpus::Document& document, uint64_t offset, uint32_t vocab_size,
                  std::span<int32_t> out) {
  document.shard->Read(document.number, offset, out);
  return document.shard->CheckTokens(document.number, offset, out, vocab_size);
}

// Tokens [offset, offset + out.size()) of a document as targets: -1 if its loss mask has 0.
Status ReadTargets(const Corpus::Document& document, uint64_t offset, uint32_t vocab_size,
                   std::span<int32_t> out) {
  QWEN25_RETURN_IF_ERROR(ReadTokens(document, offset, vocab_size, out));
  if (document.loss_mask == nullptr) return {};
  constexpr size_t kPiece = 256;
  int32_t mask[kPiece];
  for (size_t begin = 0; begin < out.size(); begin += kPiece) {
    const std::span<int32_t> piece = std::span(mask).first(std::min(kPiece, out.size() - begin));
    document.loss_mask->Read(document.number, offset + begin, piece);
    for (size_t i = 0; i < piece.size(); ++i) {
      if (piece[i] == 0) out[begin + i] = -1;
    }
  }
  return {};
}

// Tokens of a document that are predicted when it is read alone.
uint64_t CountTargets(const Corpus::Document& document) {
  const uint64_t most = std::max<uint64_t>(document.length, 1) - 1;
  if (document.loss_mask == nullptr || most == 0) return most;
  std::vector<int32_t> mask(most);
  document.loss_mask->Read(document.number, 1, mask);
  return most - static_cast<uint64_t>(std::ranges::count(mask, 0));
}

// The loss mask beside a shard, if there is one.
Result<std::optional<IndexedDataset>> OpenLossMask(const IndexedDataset& shard) {
  const std::string prefix = LossMaskPrefix(shard.prefix());
  std::error_code ignored;
  if (!std::filesystem::exists(prefix + ".idx", ignored)) return std::optional<IndexedDataset>();
  QWEN25_TRY(IndexedDataset mask, IndexedDataset::Open(prefix));
  bool same = mask.num_documents() == shard.num_documents();
  for (uint64_t i = 0; same && i < shard.num_documents(); ++i) {
    same = mask.DocumentLength(i) == shard.DocumentLength(i);
  }
  if (!same) {
    return Corrupt(
        "{}.idx: the documents of the loss mask are not those of {}, so it belongs to another shard; write "
        "both again, or remove the mask to predict every token",
        prefix, shard.prefix());
  }
  return std::optional(std::move(mask));
}

}  // namespace

Result<Corpus> Corpus::Open(const std::vector<std::string>& prefixes) {
  if (prefixes.empty()) return InvalidArgument("no token shards were given");
  Corpus corpus;
  for (const std::string& prefix : prefixes) {
    QWEN25_TRY(IndexedDataset shard, IndexedDataset::Open(prefix));
    corpus.first_document_.push_back(corpus.first_document_.back() + shard.num_documents());
    for (uint64_t i = 0; i < shard.num_documents(); ++i) corpus.num_tokens_ += shard.DocumentLength(i);
    QWEN25_TRY(std::optional<IndexedDataset> mask, OpenLossMask(shard));
    QWEN25_TRY(std::string sum, shard.ContentSum());
    std::string mask_sum;
    if (mask) {
      QWEN25_TRY(mask_sum, mask->ContentSum());
    }
    corpus.sums_.push_back(std::move(sum));
    corpus.loss_mask_sums_.push_back(std::move(mask_sum));
    corpus.loss_masks_.push_back(std::move(mask));
    corpus.shards_.push_back(std::move(shard));
  }
  if (corpus.num_tokens_ == 0) {
    return InvalidArgument("{}: there is not one token; make the shards from a source that holds text",
                           corpus.Names());
  }
  return corpus;
}

Corpus::Document Corpus::Find(uint64_t document) const {
  QWEN25_CHECK(document < num_documents());
  const size_t shard =
      static_cast<size_t>(std::ranges::upper_bound(first_document_, document) - first_document_.begin() - 1);
  const uint64_t number = document - first_document_[shard];
  const auto& mask = loss_masks_[shard];
  return {&shards_[shard], mask ? &*mask : nullptr, number, shards_[shard].DocumentLength(number)};
}

Json Corpus::Sums() const {
  Json sums = Json::array();
  for (size_t i = 0; i < shards_.size(); ++i) {
    Json sum = {{"sum", sums_[i]}};
    if (!loss_mask_sums_[i].empty()) sum["loss_mask"] = loss_mask_sums_[i];
    sums.push_back(std::move(sum));
  }
  return sums;
}

Status Corpus::CheckSums(const Json& sums) const {
  if (!sums.is_array() || sums.size() != shards_.size()) {
    return InvalidArgument(
        "the run had {} shards, now there {}: {}; give the data of the run that is continued",
        sums.is_array() ? sums.size() : 0,
        shards_.size() == 1 ? "is 1" : fmt::format("are {}", shards_.size()), Names());
  }
  for (size_t i = 0; i < shards_.size(); ++i) {
    std::string sum, mask_sum;
    QWEN25_RETURN_IF_ERROR(ReadField(sums[i], "sum", "the loader's state", sum));
    QWEN25_RETURN_IF_ERROR(ReadField(sums[i], "loss_mask", "the loader's state", mask_sum));
    const bool same_tokens = sum == sums_[i];
    if (same_tokens && mask_sum == loss_mask_sums_[i]) continue;
    return InvalidArgument(
        "{} is not the shard that the run has read in this place: its {} have changed, though not "
        "necessarily in number; give the data of the run that is continued, or start another run",
        same_tokens ? LossMaskPrefix(shards_[i].prefix()) : shards_[i].prefix(),
        same_tokens ? "marks" : "tokens or documents");
  }
  return {};
}

std::string Corpus::Names() const {
  std::string names = shards_.front().prefix();
  if (shards_.size() == 2) names += " and " + shards_[1].prefix();
  if (shards_.size() > 2) names += fmt::format(" and {} more shards", shards_.size() - 1);
  return names;
}

Loader::Loader(Corpus corpus, const LoaderOptions& options)
    : corpus_(std::move(corpus)),
      options_(WithVocabulary(options)),
      streams_(std::min<uint64_t>(options.num_streams, corpus_.num_documents())) {
  const size_t num_tokens = options_.sequences_per_batch * options_.sequence_length;
  tokens_.resize(num_tokens);
  targets_.resize(num_tokens);
  positions_.resize(num_tokens);
  sequence_starts_.reserve(num_tokens + 1);
  Rewind();
}

Result<Loader> Loader::Open(std::vector<std::string> prefixes, const LoaderOptions& options) {
  QWEN25_RETURN_IF_ERROR(CheckOptions(options));
  QWEN25_TRY(Corpus corpus, Corpus::Open(prefixes));
  if (corpus.num_tokens() <= options.sequence_length) {
    return InvalidArgument(
        "{}: {} tokens are too few for one row of {} and the token after it; add text, or set a shorter "
        "--sequence-length",
        corpus.Names(), corpus.num_tokens(), options.sequence_length);
  }
  return Loader(std::move(corpus), options);
}

void Loader::Rewind() {
  next_stream_ = 0;
  for (size_t stream = 0; stream < streams_.size(); ++stream) {
    streams_[stream] = {};
    FindDocument(stream, streams_[stream]);
    SkipEnded(stream, streams_[stream]);
  }
}

uint64_t Loader::NumDocumentsOf(size_t stream) const {
  return (corpus_.num_documents() - stream + streams_.size() - 1) / streams_.size();
}

void Loader::FindDocument(size_t stream, Stream& place) const {
  const Permutation order(corpus_.num_documents(), options_.seed, place.epoch);
  place.document = corpus_.Find(order(stream + place.index * streams_.size()));
}

// Goes on to the next document that has tokens. It ends: another epoch brings other documents, and the corpus
// has at least one with tokens.
void Loader::SkipEnded(size_t stream, Stream& place) const {
  while (place.offset == place.document.length) {
    place.offset = 0;
    if (++place.index == NumDocumentsOf(stream)) {
      place.index = 0;
      ++place.epoch;
    }
    FindDocument(stream, place);
  }
}

Status Loader::FillRow(size_t row, size_t stream) {
  Stream& place = streams_[stream];
  const size_t row_end = (row + 1) * options_.sequence_length;
  size_t begin = row * options_.sequence_length, sequence_begin = begin;
  sequence_starts_.push_back(static_cast<int32_t>(begin));
  while (begin < row_end) {
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(row_end - begin, place.document.length - place.offset));
    const std::span<int32_t> tokens = std::span(tokens_).subspan(begin, count);
    QWEN25_RETURN_IF_ERROR(ReadTokens(place.document, place.offset, options_.vocab_size, tokens));
    std::iota(positions_.begin() + begin, positions_.begin() + begin + count,
              static_cast<int32_t>(begin - sequence_begin));
    QWEN25_RETURN_IF_ERROR(ReadTargets(place.document, place.offset + 1, options_.vocab_size,
                                       std::span(targets_).subspan(begin, count - 1)));
    place.offset += count;
    const bool boundary = place.offset == place.document.length && options_.split_documents;
    SkipEnded(stream, place);
    int32_t next = -1;
    if (!boundary) {
      QWEN25_RETURN_IF_ERROR(
          ReadTargets(place.document, place.offset, options_.vocab_size, std::span(&next, 1)));
    }
    begin += count;
    targets_[begin - 1] = next;
    if (boundary && begin < row_end) {
      sequence_begin = begin;
      sequence_starts_.push_back(static_cast<int32_t>(begin));
    }
  }
  return {};
}

Result<LoaderBatch> Loader::Next() {
  sequence_starts_.clear();
  for (size_t row = 0; row < options_.sequences_per_batch; ++row) {
    QWEN25_RETURN_IF_ERROR(FillRow(row, next_stream_));
    next_stream_ = (next_stream_ + 1) % streams_.size();
  }
  sequence_starts_.push_back(static_cast<int32_t>(tokens_.size()));
  return LoaderBatch{tokens_, targets_, positions_, sequence_starts_};
}

Json Loader::State() const {
  Json streams = Json::array();
  for (const Stream& stream : streams_) {
    streams.push_back(Json::array({stream.epoch, stream.index, stream.offset}));
  }
  return {{"seed", options_.seed},        {"num_documents", num_documents()},
          {"num_tokens", num_tokens()},   {"num_loss_masks", corpus_.num_loss_masks()},
          {"shards", corpus_.Sums()},     {"next_stream", next_stream_},
          {"streams", std::move(streams)}};  // each: epoch, document of the stream, offset
}

Status Loader::SetState(const Json& state) {
  if (!state.is_object()) return InvalidArgument("the loader's state is not a JSON object");
  const auto expect = [&](const char* key, uint64_t expected) -> Status {
    const auto found = state.find(key);
    if (found != state.end() && found->is_number_unsigned() && *found == expected) return {};
    return InvalidArgument(
        "the loader's state is of other data or another seed: {} is {}, here it is {}; give the data and the "
        "options of the run that is continued",
        key, found == state.end() ? "missing" : found->dump(), expected);
  };
  QWEN25_RETURN_IF_ERROR(expect("seed", options_.seed));
  QWEN25_RETURN_IF_ERROR(expect("num_documents", num_documents()));
  QWEN25_RETURN_IF_ERROR(expect("num_tokens", num_tokens()));
  // States from before there were loss masks do not have their number.
  if (state.contains("num_loss_masks") || corpus_.num_loss_masks() > 0) {
    QWEN25_RETURN_IF_ERROR(expect("num_loss_masks", corpus_.num_loss_masks()));
  }
  if (state.contains("shards")) QWEN25_RETURN_IF_ERROR(corpus_.CheckSums(state["shards"]));
  const auto places = state.find("streams");
  if (places == state.end() || !places->is_array() || places->size() != streams_.size()) {
    return InvalidArgument(
        "the loader's state does not have the places of {} streams; num_streams must stay as it was",
        streams_.size());
  }
  const auto next_stream = state.find("next_stream");
  if (next_stream == state.end() || !next_stream->is_number_unsigned() || *next_stream >= streams_.size()) {
    return InvalidArgument("the loader's state has no next_stream below {}", streams_.size());
  }
  std::vector<Stream> streams(streams_.size());
  for (size_t i = 0; i < streams.size(); ++i) {
    const Json& place = (*places)[i];
    const bool three = place.is_array() && place.size() == 3 &&
                       std::ranges::all_of(place, [](const Json& n) { return n.is_number_unsigned(); });
    if (three) {
      streams[i].epoch = place[0];
      streams[i].index = place[1];
      streams[i].offset = place[2];
    }
    if (three && streams[i].index < NumDocumentsOf(i)) FindDocument(i, streams[i]);
    if (streams[i].offset >= streams[i].document.length) {  // 0 if no document was found
      return InvalidArgument("the loader's state has stream {} at {}, which is not a place in this corpus", i,
                             place.dump());
    }
  }
  streams_ = std::move(streams);
  next_stream_ = *next_stream;
  return {};
}

ValidationBatches::ValidationBatches(Corpus corpus, const LoaderOptions& options)
    : corpus_(std::move(corpus)), options_(WithVocabulary(options)) {
  for (uint64_t i = 0; i < corpus_.num_documents(); ++i) num_targets_ += CountTargets(corpus_.Find(i));
  const size_t num_tokens = options_.sequences_per_batch * options_.sequence_length;
  tokens_.resize(num_tokens);
  targets_.resize(num_tokens);
  positions_.resize(num_tokens);
  sequence_starts_.reserve(num_tokens + 1);
}

Result<ValidationBatches> ValidationBatches::Open(std::vector<std::string> prefixes,
                                                  const LoaderOptions& options) {
  QWEN25_RETURN_IF_ERROR(CheckOptions(options));
  QWEN25_TRY(Corpus corpus, Corpus::Open(prefixes));
  ValidationBatches batches(std::move(corpus), options);
  if (batches.num_targets() == 0) {
    return InvalidArgument(
        "{}: nothing is to be predicted: no document has two tokens, or their loss masks hide them; add text",
        batches.corpus_.Names());
  }
  return batches;
}

Status ValidationBatches::CheckState(const Json& state) const {
  if (!state.is_object() || !state.contains("shards")) return {};  // from before there were sums
  return corpus_.CheckSums(state["shards"]);
}

Result<LoaderBatch> ValidationBatches::Next() {
  sequence_starts_.assign(1, 0);
  size_t begin = 0;
  while (document_ < corpus_.num_documents()) {
    const Corpus::Document document = corpus_.Find(document_);
    if (offset_ + 1 >= document.length) {  // its last token predicts nothing
      ++document_;
      offset_ = 0;
      continue;
    }
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(options_.sequence_length, document.length - 1 - offset_));
    if (count > tokens_.size() - begin) break;
    const auto part = [&](std::vector<int32_t>& all) { return std::span(all).subspan(begin, count); };
    QWEN25_RETURN_IF_ERROR(ReadTokens(document, offset_, options_.vocab_size, part(tokens_)));
    QWEN25_RETURN_IF_ERROR(ReadTargets(document, offset_ + 1, options_.vocab_size, part(targets_)));
    std::iota(part(positions_).begin(), part(positions_).end(), 0);
    begin += count;
    offset_ += count;
    sequence_starts_.push_back(static_cast<int32_t>(begin));
  }
  const auto filled = [&](const std::vector<int32_t>& all) { return std::span(all).first(begin); };
  return LoaderBatch{filled(tokens_), filled(targets_), filled(positions_), sequence_starts_};
}

}  // namespace qwen25
