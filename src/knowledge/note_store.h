// The semantic memory: notes and documents in one SQLite file, found by words (BM25 of FTS5), by meaning
// (vectors of an Embedder in HNSW graphs) or by both (note_ranking.h). docs/memory.md.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "knowledge/embedder.h"
#include "knowledge/note.h"
#include "knowledge/note_continuity.h"
#include "knowledge/note_ranking.h"
#include "knowledge/search_terms.h"
#include "knowledge/sqlite.h"
#include "knowledge/vector_index.h"

namespace qwen25 {

struct NoteStoreOptions {
  int busy_milliseconds = 10000;  // the longest wait for another writer
  ChunkOptions chunks;
  std::optional<std::string> key;  // 32 bytes; if set, all files are encrypted
};

struct NoteStats {
  uint64_t notes = 0, superseded = 0, chunks = 0, embedded = 0;
  uint64_t file_bytes = 0;                                   // with the log, without vector caches
  std::vector<std::pair<std::string, uint64_t>> namespaces;  // and their numbers of notes
  std::string embedder;                                      // EmbedderId::ToString, or empty
};

// Selects the notes for which all conditions that are set hold.
struct NoteFilter {
  std::string name_space;  // empty: all
  std::string source;
  std::vector<std::string> tags;
  bool include_superseded = true;
};

// The store in a memory folder: notes.sqlite, and a cached graph of vectors per namespace. Several processes
// may have it open; one writes at a time, the others wait. What a call has acknowledged survives a kill and a
// power loss. Used by one thread at a time.
//
// Namespaces are kept apart by construction: each has its own full-text index and its own graph, so that a
// search in one neither reads nor weighs anything of another.
class NoteStore {
 public:
  // Opens the store, or creates it. `embedder` must outlive it, or be null: then notes are found by words
  // alone, and new ones get no vectors. kInvalidArgument for an embedder other than the one that made the
  // vectors (Reindex changes it), and for a missing, superfluous or wrong key. A store that cannot be written
  // to (folder, medium) is opened for reading; calls that would change it give kIo.
  static Result<std::unique_ptr<NoteStore>> Open(const std::filesystem::path& directory, Embedder* embedder,
                                                 const NoteStoreOptions& options = {});
  bool read_only() const { return database_.read_only(); }
  // Whether the folder has a store.
  static bool Exists(const std::filesystem::path& directory);
  ~NoteStore();
  NoteStore(const NoteStore&) = delete;
  NoteStore& operator=(const NoteStore&) = delete;

  // The embedder that made the vectors; nothing if there are none.
  Result<std::optional<EmbedderId>> StoredEmbedder();
  // A value that the caller keeps in the store, e.g. where the embedder's model is; empty if it was never
  // set.
  Result<std::string> GetSetting(const std::string& key);
  Status SetSetting(const std::string& key, const std::string& value);

  // Stores a note and returns its id. If the namespace holds the same text from the same source already, and
  // it is not superseded, nothing is stored and its id is returned. kInvalidArgument for an empty text, and
  // for anything that is not UTF-8.
  Result<int64_t> Add(const NewNote& note);
  // Adds several notes in one transaction: all or none. Vectors are computed before it begins, so that other
  // processes can write meanwhile.
  Result<std::vector<int64_t>> AddAll(std::span<const NewNote> notes);

  // Records that `new_note` has replaced `old_note`. kNotFound unless both exist in one namespace.
  Status MarkSuperseded(int64_t old_note, int64_t new_note);

  Result<Note> Get(int64_t id);
  // By id; the notes have texts only if `with_text` is true.
  Result<std::vector<Note>> List(const NoteFilter& filter, bool with_text = false);
  // A number that changes when another process, not this one, changes the store.
  Result<int64_t> DataVersion() { return database_.QueryInt("PRAGMA data_version"); }
  // The chunks of a namespace's notes that are not superseded, by id; ranks and scores are 0.
  Result<std::vector<NoteHit>> Chunks(const std::string& name_space);
  // Removes notes, and returns how many of them there were. With `erase` the files are rewritten, so that no
  // trace is left; that takes as long as copying the store.
  Result<size_t> Forget(std::span<const int64_t> ids, bool erase);
  // Rewrites the files without what was removed earlier. kResourceExhausted if another process that is
  // reading keeps traces in the log.
  Status EraseTraces();

  // kInvalidArgument for a limit of 0, and for a search by vectors without an embedder.
  Result<std::vector<NoteHit>> Search(const NoteSearch& search);
  // UnrelatedCosine of this store's embedder; 1 without one. Measured at the first call.
  Result<double> UnrelatedCosine();

  // Embeds every chunk again with `embedder` (not null), whatever made the present vectors. Other processes
  // can write until one transaction replaces these. `progress(done, total)` counts chunks; if it returns
  // false, the result is kCancelled and nothing has changed.
  static Result<std::unique_ptr<NoteStore>> Reindex(
      const std::filesystem::path& directory, Embedder* embedder,
      const std::function<bool(uint64_t done, uint64_t total)>& progress,
      const NoteStoreOptions& options = {});

  Result<NoteStats> Stats();
  // Runs SQLite's own checks, and compares every row with its checksum and every index with the notes.
  // kCorrupt says what is wrong.
  Status Verify();
  // Writes the caches of graphs that have changed much, so that the next start need not build these again. A
  // graph with few changes is left out: repeating them is faster than writing a cache.
  Status SaveVectorCaches();

 private:
  struct NamespaceIndex {
    std::optional<VectorIndex> vectors;
    size_t num_changes = 0;     // since its cache was written
    int64_t data_version = -1;  // of the database when it was brought up to date
  };
  using ChunkKey = std::pair<int64_t, int64_t>;  // namespace and chunk
  using Candidate = RankedChunk;
  using Candidates = std::map<ChunkKey, Candidate>;

  // A note that is about to be stored.
  struct PreparedNote {
    std::vector<TextRange> chunks;
    std::vector<float> vectors;  // [chunks * dimension]; empty: not computed
    int64_t name_space = 0;
    std::vector<int64_t> ids;  // of its chunks, once they are stored
  };

  static Result<std::unique_ptr<NoteStore>> OpenUnchecked(const std::filesystem::path& directory,
                                                          Embedder* embedder,
                                                          const NoteStoreOptions& options);
  NoteStore(std::filesystem::path directory, Embedder* embedder, const ChunkOptions& chunks,
            std::optional<Cipher> cache_cipher, Database database)
      : directory_(std::move(directory)),
        embedder_(embedder),
        chunk_options_(chunks),
        cache_cipher_(std::move(cache_cipher)),
        database_(std::move(database)) {}

  // The columns of a turn's fields; empty texts in a file that has none.
  const char* TurnColumns() const { return has_turns_ ? "n.speaker, n.session" : "'', ''"; }
  // The first column of all rows of a query.
  Result<std::vector<int64_t>> Ids(const std::string& select);
  Result<int64_t> NamespaceId(const std::string& name, bool create);  // 0: there is none
  Result<PreparedNote> Prepare(const NewNote& note);
  Status EmbedChunks(const NewNote& note, PreparedNote& prepared);
  std::span<const float> VectorOf(const PreparedNote& note, size_t chunk) const {
    const size_t dimension = embedder_->id().dimension;
    return std::span(note.vectors).subspan(chunk * dimension, dimension);
  }
  Result<int64_t> AddOne(const NewNote& note, PreparedNote& prepared);
  Result<int64_t> FindSame(int64_t name_space, const NewNote& note);
  Status Supersede(int64_t old_note, int64_t new_note, int64_t name_space);
  Status SupersedeSource(const std::string& source, int64_t new_note, int64_t name_space);
  Status AddChunks(int64_t id, int64_t name_space, const NewNote& note, PreparedNote& prepared);
  void LetOthersWrite() const;
  Status RemoveOne(int64_t id);
  Status FillNote(Note& note, bool with_text);
  Result<std::string> TextOf(int64_t note);

  // note_schema.cc
  Status CreateSchema();
  Status CreateTables();
  Status Upgrade();
  Status AddSums();
  Status RebuildWordsIfNeeded();

  // note_verify.cc
  Result<int64_t> SumOf(int64_t note);
  // To be called after every change of a note.
  Status UpdateSum(int64_t note);
  Status VerifyFile();
  Status VerifyNotes();
  Status VerifyVectors();
  Status VerifyWords(int64_t name_space, const std::string& name);

  // note_vectors.cc
  Status CheckEmbedder();
  Status RememberEmbedder();
  Status RenewVectorsIfNeeded();
  Result<std::vector<float>> Embed(std::span<const std::string> texts);
  Status StoreVector(int64_t chunk, std::span<const uint16_t> encoded);
  Status EmbedAgain(const std::function<bool(uint64_t done, uint64_t total)>& progress);
  Result<NamespaceIndex*> IndexOf(int64_t name_space);
  Status UpdateIndex(int64_t name_space, NamespaceIndex& index);
  std::string CachePath(int64_t name_space) const;
  const Cipher* CacheCipher() const { return cache_cipher_ ? &*cache_cipher_ : nullptr; }
  void RemoveForeignCaches() const;

  // note_search.cc
  Status SearchNamespace(const NoteSearch& search, const std::string& name,
                         std::span<const float> query_vector, Candidates& found);
  Result<std::vector<WeightedTerm>> TermsToSearch(const std::string& query, int64_t name_space);
  Status SearchWords(const NoteSearch& search, int64_t name_space, Candidates& found);
  Status SearchVectors(const NoteSearch& search, int64_t name_space, std::span<const float> query,
                       Candidates& found);
  static void RankLists(Candidates& found);
  Status ScoreCandidates(const NoteSearch& search, Candidates& found);
  Status ShareWithNeighbours(const NoteSearch& search, Candidates& found);
  Result<bool> IsConversation(int64_t name_space);
  Result<std::vector<NotesInARow>> NotesInRows(int64_t name_space);
  Result<std::vector<NoteHit>> BestHits(const Candidates& found, size_t limit);

  const std::filesystem::path directory_;
  Embedder* const embedder_;
  const ChunkOptions chunk_options_;
  const std::optional<Cipher> cache_cipher_;
  Database database_;
  // False: an older file that can only be read.
  bool has_sums_ = true, has_turns_ = true;
  std::chrono::steady_clock::time_point writing_end_;
  std::chrono::steady_clock::duration writing_time_{};  // of the last transaction of AddAll
  std::optional<double> unrelated_cosine_;
  struct Continuity {
    int64_t num_chunks = 0;  // when it was measured
    bool is_conversation = false;
  };
  std::map<int64_t, Continuity> continuity_;   // by namespace
  std::map<int64_t, NamespaceIndex> indexes_;  // by namespace, made when first searched
};

}  // namespace qwen25
