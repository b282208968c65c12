// The semantic memory: notes and documents in one SQLite file, found by words (BM25 of FTS5), by meaning
// (vectors of an Embedder in HNSW graphs) or by both (reciprocal rank fusion). docs/memory.md.
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
#include "knowledge/sqlite.h"
#include "knowledge/vector_index.h"

namespace qwen25 {

struct NoteStoreOptions {
  int busy_milliseconds = 10000;  // how long another writer is waited for
  ChunkOptions chunks;
  std::optional<std::string> key;  // 32 bytes; with them, all files are encrypted
};

struct NoteStats {
  uint64_t notes = 0, superseded = 0, chunks = 0, embedded = 0;
  uint64_t file_bytes = 0;                                   // with the log, without vector caches
  std::vector<std::pair<std::string, uint64_t>> namespaces;  // with their numbers of notes
  std::string embedder;                                      // EmbedderId::ToString, or empty
};

// Which notes: all conditions that are set must hold.
struct NoteFilter {
  std::string name_space;  // empty: all
  std::string source;
  std::vector<std::string> tags;
  bool include_superseded = true;
};

// The store in a memory folder: notes.sqlite, and a cache of vectors per namespace. Several processes may
// have it open; one writes at a time, the others wait. What a call has acknowledged survives a kill and a
// power loss. Used by one thread at a time.
//
// Namespaces are kept apart by construction: each has its own full-text index and its own graph, so that a
// search in one neither reads nor weighs anything of another.
class NoteStore {
 public:
  // Opens or creates. `embedder` may be null: then notes are found by words, and new ones get no vectors. An
  // embedder other than the one that made the vectors is kInvalidArgument (Reindex changes it), and so is a
  // missing, superfluous or wrong key. A store that can only be read (its folder, its medium) is opened for
  // reading; what would change it is an error then.
  static Result<std::unique_ptr<NoteStore>> Open(const std::filesystem::path& directory, Embedder* embedder,
                                                 const NoteStoreOptions& options = {});
  bool read_only() const { return database_.read_only(); }
  // Whether there is one in the folder.
  static bool Exists(const std::filesystem::path& directory);
  ~NoteStore();
  NoteStore(const NoteStore&) = delete;
  NoteStore& operator=(const NoteStore&) = delete;

  // What made the vectors; nothing while there are none.
  Result<std::optional<EmbedderId>> StoredEmbedder();
  // A note of the caller's beside that, e.g. where the embedder's model is; empty where it was never set.
  Result<std::string> GetSetting(const std::string& key);
  Status SetSetting(const std::string& key, const std::string& value);

  // Remembers a text and returns its id. A text that its namespace holds already, from the same source and
  // still true, is not stored again: its id is returned.
  Result<int64_t> Add(const NewNote& note);
  // The same for several in one transaction: all or none. Their vectors are computed before it begins, so
  // that other processes can write meanwhile.
  Result<std::vector<int64_t>> AddAll(std::span<const NewNote> notes);

  // `old_note` is no longer true, `new_note` of the same namespace is.
  Status MarkSuperseded(int64_t old_note, int64_t new_note);

  Result<Note> Get(int64_t id);
  // By id, without texts where `with_text` is false.
  Result<std::vector<Note>> List(const NoteFilter& filter, bool with_text = false);
  // Changes when another process has changed the store since.
  Result<int64_t> DataVersion() { return database_.QueryInt("PRAGMA data_version"); }
  // The chunks of a namespace's notes that are true, in their order; ranks and scores are 0.
  Result<std::vector<NoteHit>> Chunks(const std::string& name_space);
  // Removes notes; returns how many there were. `erase` leaves no trace of them in the files, which are
  // written anew: it takes as long as copying the store.
  Result<size_t> Forget(std::span<const int64_t> ids, bool erase);
  // Rewrites the files without what was removed earlier.
  Status EraseTraces();

  Result<std::vector<NoteHit>> Search(const NoteSearch& search);
  // UnrelatedCosine of this store's embedder; 1 without one. Measured at the first call.
  Result<double> UnrelatedCosine();

  // Embeds every chunk again with `embedder`, whatever made the vectors that are there. Others can write
  // until the new vectors replace the old ones, in one transaction. `progress(done, total)` may stop it by
  // returning false; nothing is changed then.
  static Result<std::unique_ptr<NoteStore>> Reindex(
      const std::filesystem::path& directory, Embedder* embedder,
      const std::function<bool(uint64_t done, uint64_t total)>& progress,
      const NoteStoreOptions& options = {});

  Result<NoteStats> Stats();
  // Holds the file to SQLite's own checks, every row to its sum, and every index to the notes. The error says
  // what is wrong.
  Status Verify();
  // Writes the caches of vectors that changed much, so that the next start need not build them; a few changes
  // are made up for faster than a cache is written.
  Status SaveVectorCaches();

 private:
  struct NamespaceIndex {
    std::optional<VectorIndex> vectors;
    size_t num_changes = 0;     // since its cache was written
    int64_t data_version = -1;  // of the database when it was brought up to date
  };
  struct Candidate {
    int64_t chunk;
    double score;
  };

  // A note that is about to be stored.
  struct PreparedNote {
    std::vector<TextRange> chunks;
    std::vector<float> vectors;  // one per chunk, one after another; empty: not computed
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

  // The first column of all rows.
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
  Status AddChunks(int64_t note, int64_t name_space, const std::string& text, PreparedNote& prepared);
  void LetOthersWrite() const;
  Status RemoveOne(int64_t id);
  Status FillNote(Note& note, bool with_text);
  Result<std::string> TextOf(int64_t note);

  // note_schema.cc
  Status CreateSchema();
  Status CreateTables();
  Status AddSums();
  Status RebuildWordsIfNeeded();

  // note_verify.cc
  Result<int64_t> SumOf(int64_t note);
  // After every change of a note.
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
  Status SearchNamespace(const NoteSearch& search, const std::string& name, std::vector<Candidate>& words,
                         std::vector<Candidate>& vectors, std::span<const float> query_vector);
  Result<std::vector<Candidate>> SearchWords(const NoteSearch& search, int64_t name_space);
  Result<std::vector<Candidate>> SearchVectors(const NoteSearch& search, int64_t name_space,
                                               std::span<const float> query);
  Result<std::string> MatchExpression(const std::string& query, int64_t name_space);

  const std::filesystem::path directory_;
  Embedder* const embedder_;
  const ChunkOptions chunk_options_;
  const std::optional<Cipher> cache_cipher_;
  Database database_;
  bool has_sums_ = true;  // false: an older file that can only be read
  std::chrono::steady_clock::time_point writing_end_;
  std::chrono::steady_clock::duration writing_time_{};  // of the last transaction of AddAll
  std::optional<double> unrelated_cosine_;
  std::map<int64_t, NamespaceIndex> indexes_;  // by namespace, made when first searched
};

// What a place in one ranking adds to the score of an item: weight / (60 + rank) (Cormack, Clarke and
// Buettcher 2009, where every weight is 1). Ranks count from 1; 0: not in the list.
double ReciprocalRankScore(size_t rank, double weight = 1);

}  // namespace qwen25
