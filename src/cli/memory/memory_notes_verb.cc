#include "cli/memory/memory_notes_verb.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/clock.h"
#include "base/file.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/talk/show_events.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/note_lines.h"
#include "cli/terminal/show_progress.h"
#include "data/read/text_files.h"
#include "data/read/text_stream.h"
#include "knowledge/dialogue/note_blocks.h"
#include "knowledge/memory_folder.h"
#include "knowledge/note_transfer.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

struct NoteFlags {
  MemoryPlace memory;  // its folder and its key
  EmbedderChoice embedder;
  std::string name_space;
  std::vector<std::string> inputs, tags, namespaces;
  std::string title, source, query, file, mode = "hybrid";
  std::vector<int64_t> ids;
  std::optional<int64_t> supersedes;
  size_t limit = 5;
  bool erase = false, yes = false, json = false, all = false, everything = false;

  fs::path directory() const { return memory.Folder(); }
};

Result<NoteStoreOptions> StoreOptions(const MemoryPlace& memory) {
  NoteStoreOptions options;
  QWEN25_TRY(options.key, memory.Key());
  return options;
}

Result<LoadedNotes> Open(const NoteFlags& flags, bool need_vectors) {
  QWEN25_TRY(LoadedNotes notes, OpenNotes(flags.memory, flags.embedder, need_vectors));
  PrintNotes(notes.embedder.remarks());
  return notes;
}

// For what needs no vectors. Null: the folder holds no notes.
Result<std::unique_ptr<NoteStore>> OpenIfThere(const MemoryPlace& memory) {
  if (!NoteStore::Exists(memory.Folder())) return std::unique_ptr<NoteStore>();
  QWEN25_TRY(const NoteStoreOptions options, StoreOptions(memory));
  return NoteStore::Open(memory.Folder(), nullptr, options);
}

// What chats have computed of notes that are gone.
Status RemoveBlocks(const MemoryPlace& memory, NoteStore& store, bool erase) {
  Status later;
  QWEN25_RETURN_IF_ERROR(RemoveForgottenNotes(memory, store, erase, later));
  if (!later.ok()) fmt::print(stderr, "note: {}{}\n", kForgottenLater, later.message());
  return {};
}

// What `memory add` was given. A word that names no file is a text to remember, unless it looks like a path.
Status AddInputs(const NoteFlags& flags, const NewNote& common, NoteStore& store) {
  size_t added = 0;
  const auto remember = [&](NewNote note) -> Status {
    QWEN25_TRY(const int64_t id, store.Add(note));
    fmt::print("{}\t{}\n", id, note.source.empty() ? OneLine(note.text, 70) : note.source);
    std::fflush(stdout);  // what is printed is safe, and what is safe is printed
    ++added;
    return {};
  };
  for (const std::string& input : flags.inputs) {
    NewNote note = common;
    if (input == "-") {
      QWEN25_TRY(note.text, ReadText("-"));
      QWEN25_RETURN_IF_ERROR(remember(std::move(note)));
      continue;
    }
    std::error_code ignored;
    if (!fs::exists(input, ignored)) {
      if (input.find(' ') == std::string::npos &&
          (input.find('/') != std::string::npos || IsTextFile(input))) {
        return NotFound("{}: there is no such file or folder", input);
      }
      note.text = input;
      QWEN25_RETURN_IF_ERROR(remember(std::move(note)));
      continue;
    }
    QWEN25_TRY(const std::vector<fs::path> files, TextFilesIn(input));
    if (files.empty()) return NotFound("{}: holds no text files (.txt, .md, .rst, .org, .tex)", input);
    Progress progress("add", "files", files.size());
    for (size_t i = 0; i < files.size(); ++i) {
      if (InterruptGuard::requested()) return Cancelled("stopped; {} texts were added and stay", added);
      const std::string source = fs::weakly_canonical(files[i], ignored).string();
      note.title = common.title.empty() ? files[i].filename().string() : common.title;
      note.replaces_source = common.source.empty();
      QWEN25_TRY(DocumentReader reader, DocumentReader::Open(files[i].string()));
      for (size_t line = 1;; ++line) {  // each document of JSON lines is a note with a source of its own
        QWEN25_TRY(std::optional<Document> document, reader.Next());
        if (!document) break;
        const std::string id = document->id.empty() ? fmt::to_string(line) : document->id;
        note.source = reader.is_json_lines() ? source + "#" + id : source;
        if (!common.source.empty()) note.source = common.source;
        note.text = std::move(document->text);
        QWEN25_RETURN_IF_ERROR(remember(note));
      }
      progress.Update(i + 1);
    }
  }
  return {};
}

Status RunAdd(const NoteFlags& flags) {
  const InterruptGuard guard;
  QWEN25_TRY(const LoadedNotes notes, Open(flags, /*need_vectors=*/true));
  NewNote common;
  common.name_space = flags.name_space;
  common.title = flags.title;
  common.source = flags.source;
  common.tags = flags.tags;
  common.supersedes = flags.supersedes;
  return AddInputs(flags, common, *notes.store);
}

Status RunSearch(const NoteFlags& flags) {
  NoteSearch search;
  search.query = flags.query;
  if (!flags.namespaces.empty()) search.namespaces = flags.namespaces;
  search.mode = flags.mode == "words"     ? SearchMode::kWords
                : flags.mode == "vectors" ? SearchMode::kVectors
                                          : SearchMode::kHybrid;
  search.limit = flags.limit;
  search.tags = flags.tags;
  search.source = flags.source;
  search.include_superseded = flags.all;
  QWEN25_TRY(const LoadedNotes notes, Open(flags, search.mode != SearchMode::kWords));
  QWEN25_TRY(const std::vector<NoteHit> hits, notes.store->Search(search));
  for (const NoteHit& hit : hits) {
    if (flags.json) {
      fmt::print("{}\n", DumpJson(NoteHitToJson(hit)));
      continue;
    }
    std::string lists;
    if (hit.word_rank != 0) lists += fmt::format("  words #{} ({:.2f})", hit.word_rank, hit.bm25);
    if (hit.vector_rank != 0) lists += fmt::format("  vectors #{} ({:.3f})", hit.vector_rank, hit.cosine);
    fmt::print(
        "note {}  {:.4f}{}  {}{}{}\n  {}\n", hit.note, hit.score, lists, LocalTime(hit.created_ms),
        hit.source.empty() ? "" : fmt::format("  {} [{}-{}]", hit.source, hit.range.begin, hit.range.end),
        hit.superseded ? "  (superseded)" : "", Snippet(hit.text, flags.query));
  }
  if (hits.empty() && !flags.json) fmt::print("nothing found\n");
  return {};
}

Status RunList(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, Open(flags, false));
  NoteFilter filter;
  filter.name_space = flags.name_space;
  filter.source = flags.source;
  filter.tags = flags.tags;
  filter.include_superseded = flags.all;
  QWEN25_TRY(const std::vector<Note> list, notes.store->List(filter, /*with_text=*/true));
  for (const Note& note : list) {
    if (flags.json) {
      fmt::print("{}\n", DumpJson(NoteToJson(note)));
      continue;
    }
    std::string tags;
    for (const std::string& tag : note.tags) tags += " #" + tag;
    fmt::print("{:>6}  {}  {}{}  {}{}\n", note.id, LocalTime(note.created_ms), note.name_space, tags,
               OneLine(note.title.empty() ? note.text : note.title + ": " + note.text, 80),
               note.superseded_by ? fmt::format("  (superseded by {})", *note.superseded_by) : "");
  }
  return {};
}

Status RunShow(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, Open(flags, false));
  for (const int64_t id : flags.ids) {
    QWEN25_TRY(const Note note, notes.store->Get(id));
    if (flags.json) {
      fmt::print("{}\n", DumpJson(NoteToJson(note)));
      continue;
    }
    fmt::print("note {} in {}, {} chunks\n", note.id, note.name_space, note.num_chunks);
    if (!note.title.empty()) fmt::print("title: {}\n", note.title);
    if (!note.source.empty()) fmt::print("source: {}\n", note.source);
    if (!note.tags.empty()) fmt::print("tags: {}\n", fmt::join(note.tags, ", "));
    fmt::print("created: {}\n", LocalTime(note.created_ms));
    if (note.superseded_by) fmt::print("superseded by: {}\n", *note.superseded_by);
    fmt::print("\n{}\n", note.text);
  }
  return {};
}

// Asks on the terminal; without one only --yes is a yes.
bool Confirmed(const NoteFlags& flags, size_t count) {
  if (flags.yes) return true;
  if (::isatty(STDIN_FILENO) == 0) return false;
  fmt::print("Forget {} notes? [y/N] ", count);
  std::fflush(stdout);
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "yes");
}

Status RunForget(const NoteFlags& flags) {
  const bool chosen = !flags.ids.empty() || !flags.query.empty() || !flags.source.empty() ||
                      !flags.name_space.empty() || flags.everything;
  if (!chosen && !flags.erase) {
    return InvalidArgument("say what to forget: ids, --query, --source, --namespace or --everything");
  }
  QWEN25_TRY(const LoadedNotes notes, Open(flags, /*need_vectors=*/!flags.query.empty()));
  NoteStore& store = *notes.store;
  if (!chosen) {  // --erase alone: the traces of what was forgotten before
    QWEN25_RETURN_IF_ERROR(store.EraseTraces());
    QWEN25_RETURN_IF_ERROR(RemoveBlocks(flags.memory, store, /*erase=*/true));
    fmt::print("erased the traces of earlier notes\n");
    return {};
  }
  std::vector<int64_t> ids = flags.ids;
  if (!flags.query.empty()) {
    NoteSearch search;
    search.query = flags.query;
    if (!flags.name_space.empty()) search.namespaces = {flags.name_space};
    search.limit = flags.limit;
    QWEN25_TRY(const std::vector<NoteHit> hits, store.Search(search));
    for (const NoteHit& hit : hits) {
      if (std::ranges::find(ids, hit.note) == ids.end()) ids.push_back(hit.note);
    }
  } else if (ids.empty()) {
    QWEN25_TRY(const std::vector<Note> list,
               store.List({.name_space = flags.name_space, .source = flags.source}));
    for (const Note& note : list) ids.push_back(note.id);
  }
  for (const int64_t id : ids) {
    QWEN25_TRY(const Note note, store.Get(id));
    fmt::print("{:>6}  {}\n", id, OneLine(note.text, 80));
  }
  if (ids.empty()) return NotFound("no note matches");
  const bool certain = !flags.ids.empty() && flags.query.empty();  // named one by one
  if (!certain && !Confirmed(flags, ids.size())) {
    return Cancelled("nothing was forgotten; --yes forgets these {} without asking", ids.size());
  }
  QWEN25_TRY(const size_t count, store.Forget(ids, flags.erase));
  QWEN25_RETURN_IF_ERROR(RemoveBlocks(flags.memory, store, flags.erase));
  fmt::print("{} {} notes\n", flags.erase ? "erased" : "forgot", count);
  return {};
}

Status RunExport(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, Open(flags, false));
  std::optional<AtomicFile> file;
  if (flags.file != "-") {
    QWEN25_TRY(AtomicFile opened, AtomicFile::Open(flags.file));
    file.emplace(std::move(opened));
  }
  const auto write = [&](std::string_view line) {
    if (file) return file->Write(line);
    fmt::print("{}", line);
    return Status();
  };
  QWEN25_TRY(
      const size_t count,
      ExportNotes(*notes.store, {.name_space = flags.name_space, .source = flags.source, .tags = flags.tags},
                  write));
  if (!file) return {};
  QWEN25_RETURN_IF_ERROR(file->Commit());
  fmt::print("{} notes in {}\n", count, flags.file);
  return {};
}

Status RunImport(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, Open(flags, /*need_vectors=*/true));
  QWEN25_TRY(const std::string content, ReadText(flags.file));
  QWEN25_TRY(std::vector<Note> list, ParseNoteLines(content, flags.file));
  if (!flags.name_space.empty()) {
    for (Note& note : list) note.name_space = flags.name_space;
  }
  const InterruptGuard guard;
  Progress progress("import", "notes", list.size());
  QWEN25_RETURN_IF_ERROR(ImportNotes(list, *notes.store, ShowUntilInterrupt(progress)));
  progress.Update(list.size());
  progress.Finish();
  fmt::print("{} notes\n", list.size());
  return {};
}

Status RunReindex(const NoteFlags& flags) {
  if (!NoteStore::Exists(flags.directory()))
    return NotFound("{}: holds no notes", flags.directory().string());
  EmbedderChoice wanted = flags.embedder;
  if (wanted.embedder.empty() || wanted.embedder == "none") wanted.embedder = "hashed";
  QWEN25_TRY(const LoadedEmbedder embedder, LoadEmbedder(wanted));
  PrintNotes(embedder.remarks());
  QWEN25_TRY(const NoteStoreOptions options, StoreOptions(flags.memory));
  const InterruptGuard guard;
  Progress progress("reindex", "chunks", 0);
  QWEN25_TRY(const auto store, NoteStore::Reindex(flags.directory(), embedder.embedder.get(),
                                                  ShowUntilInterrupt(progress), options));
  progress.Finish();
  QWEN25_RETURN_IF_ERROR(store->SetSetting("embedder_flags", EmbedderSetting(wanted)));
  fmt::print("vectors are now of {}\n", embedder.embedder->id().ToString());
  return {};
}

CLI::App* AddCommand(CLI::App& verb, const char* name, const char* what,
                     const std::shared_ptr<NoteFlags>& flags, RunVerb& run,
                     Status (*function)(const NoteFlags&)) {
  CLI::App* command = verb.add_subcommand(name, what);
  AddMemoryFolderFlags(*command, flags->memory);
  command->callback([flags, &run, function] { run = [flags, function] { return function(*flags); }; });
  return command;
}

}  // namespace

// Long: one block for each command, flags and help texts only.
void AddNoteCommands(CLI::App& verb, RunVerb& run) {
  {
    auto flags = std::make_shared<NoteFlags>();
    flags->name_space = "default";
    CLI::App* add = AddCommand(verb, "add", "Remember texts, files and folders", flags, run, RunAdd);
    add->add_option("inputs", flags->inputs, "Texts, text files, folders of them, or - for standard input")
        ->required();
    add->add_option("--namespace", flags->name_space, "Who it belongs to")->capture_default_str();
    add->add_option("--title", flags->title, "Of the note; default for files: their name");
    add->add_option("--source", flags->source,
                    "Where it comes from; default for files: their path, and adding a "
                    "changed file replaces what it held before");
    add->add_option("--tag", flags->tags, "May be given several times");
    add->add_option("--supersedes", flags->supersedes, "The note that is no longer true");
    AddEmbedderFlags(*add, flags->embedder);
    add->footer(
        "Examples:\n"
        "  qwen25 memory add \"The door code is 4711\" --tag home\n"
        "  qwen25 memory add ~/notes --namespace work\n"
        "  qwen25 memory add \"The door code is 0815\" --supersedes 1\n"
        "  man bash | qwen25 memory add - --title \"bash manual\"");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    CLI::App* search =
        AddCommand(verb, "search", "Find notes by words and by meaning", flags, run, RunSearch);
    search->add_option("query", flags->query, "What to look for")->required();
    search->add_option("--namespace", flags->namespaces, "Look only in these; default: default");
    search->add_option("-k,--limit", flags->limit, "Most results")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    search->add_option("--mode", flags->mode, "hybrid, words (BM25) or vectors")
        ->check(CLI::IsMember({"hybrid", "words", "vectors"}))
        ->capture_default_str();
    search->add_option("--tag", flags->tags, "Only notes with all of these");
    search->add_option("--source", flags->source, "Only notes of this source");
    search->add_flag("--all", flags->all, "Superseded notes, too");
    search->add_flag("--json", flags->json, "One JSON object per line");
    AddEmbedderFlags(*search, flags->embedder);
    search->footer(
        "Examples:\n"
        "  qwen25 memory search \"how do I get in?\"\n"
        "  qwen25 memory search invoice --namespace work --mode words -k 20 --json");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    CLI::App* list = AddCommand(verb, "list", "List notes", flags, run, RunList);
    list->add_option("--namespace", flags->name_space, "Only of this one");
    list->add_option("--source", flags->source, "Only of this source");
    list->add_option("--tag", flags->tags, "Only notes with all of these");
    list->add_flag("--all", flags->all, "Superseded notes, too");
    list->add_flag("--json", flags->json, "One JSON object per line, with the whole text");
    list->footer(
        "Examples:\n  qwen25 memory list --namespace work\n  qwen25 memory list --tag home --all --json");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    CLI::App* show = AddCommand(verb, "show", "Show notes in full", flags, run, RunShow);
    show->add_option("ids", flags->ids, "Numbers of notes")->required();
    show->add_flag("--json", flags->json, "One JSON object per line");
    show->footer("Example:\n  qwen25 memory show 1 4");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    CLI::App* forget = AddCommand(verb, "forget", "Forget notes", flags, run, RunForget);
    forget->add_option("ids", flags->ids, "Numbers of notes");
    forget->add_option("--query", flags->query, "What a search finds (asks first)");
    forget->add_option("-k,--limit", flags->limit, "Most notes of --query")->capture_default_str();
    forget->add_option("--namespace", flags->name_space, "All of this one, or what --query finds there");
    forget->add_option("--source", flags->source, "All of this source");
    forget->add_flag("--everything", flags->everything, "All notes of all namespaces");
    forget->add_flag("--erase", flags->erase,
                     "Leave no trace in the files; alone: of what was forgotten before");
    forget->add_flag("--yes", flags->yes, "Do not ask");
    AddEmbedderFlags(*forget, flags->embedder);
    forget->footer(
        "Examples:\n"
        "  qwen25 memory forget 1 4\n"
        "  qwen25 memory forget 1 --erase\n"
        "  qwen25 memory forget --query \"door code\" --yes\n"
        "  qwen25 memory forget --namespace work --erase");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    flags->file = "-";
    CLI::App* out = AddCommand(verb, "export", "Write notes as JSON lines", flags, run, RunExport);
    out->add_option("file", flags->file, "A file, or - for standard output")->capture_default_str();
    out->add_option("--namespace", flags->name_space, "Only of this one");
    out->add_option("--source", flags->source, "Only of this source");
    out->add_option("--tag", flags->tags, "Only notes with all of these");
    out->footer(
        "Examples:\n"
        "  qwen25 memory export notes.jsonl\n"
        "  qwen25 memory export --namespace work | gzip > work.jsonl.gz");
  }
  {
    auto flags = std::make_shared<NoteFlags>();
    CLI::App* in = AddCommand(verb, "import", "Add the notes of an export", flags, run, RunImport);
    in->add_option("file", flags->file, "JSON lines with at least \"text\"")->required();
    in->add_option("--namespace", flags->name_space, "Put all into this one");
    AddEmbedderFlags(*in, flags->embedder);
    in->footer(
        "Examples:\n  qwen25 memory import notes.jsonl\n  qwen25 memory import notes.jsonl --namespace work");
  }
  auto flags = std::make_shared<NoteFlags>();
  CLI::App* reindex =
      AddCommand(verb, "reindex", "Make all vectors anew, with another embedder", flags, run, RunReindex);
  AddEmbedderFlags(*reindex, flags->embedder);
  reindex->footer(
      "Examples:\n"
      "  qwen25 memory reindex --embedder model:runs/embed/model\n"
      "  qwen25 memory reindex --embedder hashed");
}

Status PrintNoteStats(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  QWEN25_TRY(const NoteStats stats, store->Stats());
  fmt::print("notes: {} ({} superseded), {} chunks, {} with vectors, {:.1f} MB{}\n", stats.notes,
             stats.superseded, stats.chunks, stats.embedded, static_cast<double>(stats.file_bytes) / 1e6,
             flags.key_file.empty() ? "" : ", encrypted");
  if (!stats.embedder.empty()) fmt::print("embedder: {}\n", stats.embedder);
  for (const auto& [name, count] : stats.namespaces) fmt::print("  {}: {} notes\n", name, count);
  return {};
}

Status CompactNotes(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  return store->EraseTraces();
}

Status VerifyNotes(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  QWEN25_RETURN_IF_ERROR(store->Verify());
  QWEN25_TRY(const NoteStats stats, store->Stats());
  fmt::print("notes: {} of them, sound\n", stats.notes);
  return {};
}

}  // namespace qwen25
