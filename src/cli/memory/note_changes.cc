// Commands that change notes.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "cli/flags/model_flags.h"
#include "cli/memory/note_flags.h"
#include "cli/talk/show_events.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/note_lines.h"
#include "cli/terminal/show_progress.h"
#include "data/read/text_files.h"
#include "data/read/text_stream.h"
#include "knowledge/dialogue/note_blocks.h"
#include "knowledge/note_transfer.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

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
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, /*need_vectors=*/true));
  NewNote common;
  common.name_space = flags.name_space;
  common.title = flags.title;
  common.source = flags.source;
  common.speaker = flags.speaker;
  common.session = flags.session;
  common.tags = flags.tags;
  common.supersedes = flags.supersedes;
  return AddInputs(flags, common, *notes.store);
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
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, /*need_vectors=*/!flags.query.empty()));
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

Status RunImport(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, /*need_vectors=*/true));
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
  if (!NoteStore::Exists(flags.memory.Folder()))
    return NotFound("{}: holds no notes", flags.memory.Folder().string());
  EmbedderChoice wanted = flags.embedder;
  if (wanted.embedder.empty() || wanted.embedder == "none") wanted.embedder = "hashed";
  QWEN25_TRY(const LoadedEmbedder embedder, LoadEmbedder(wanted));
  PrintNotes(embedder.remarks());
  NoteStoreOptions options;
  QWEN25_TRY(options.key, flags.memory.Key());
  const InterruptGuard guard;
  Progress progress("reindex", "chunks", 0);
  QWEN25_TRY(const auto store, NoteStore::Reindex(flags.memory.Folder(), embedder.embedder.get(),
                                                  ShowUntilInterrupt(progress), options));
  progress.Finish();
  QWEN25_RETURN_IF_ERROR(store->SetSetting("embedder_flags", EmbedderSetting(wanted)));
  fmt::print("vectors are now of {}\n", embedder.embedder->id().ToString());
  return {};
}

}  // namespace

void AddNoteAdd(CLI::App& verb, RunVerb& run) {
  const auto [add, flags] = AddNoteCommand(verb, run, "add", "Remember texts, files and folders", RunAdd);
  flags->name_space = "default";
  add->add_option("inputs", flags->inputs, "Texts, text files, folders of them, or - for standard input")
      ->required();
  add->add_option("--namespace", flags->name_space, "Who it belongs to")->capture_default_str();
  add->add_option("--title", flags->title, "Of the note; default for files: their name");
  add->add_option("--source", flags->source,
                  "Where it comes from; default for files: their path, and adding a "
                  "changed file replaces what it held before");
  add->add_option("--speaker", flags->speaker, "Who said it, of a turn of a conversation");
  add->add_option("--session", flags->session,
                  "The conversation that it is a turn of; turns are found by what stands beside them, too");
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

void AddNoteForget(CLI::App& verb, RunVerb& run) {
  const auto [forget, flags] = AddNoteCommand(verb, run, "forget", "Forget notes", RunForget);
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

void AddNoteImport(CLI::App& verb, RunVerb& run) {
  const auto [in, flags] = AddNoteCommand(verb, run, "import", "Add the notes of an export", RunImport);
  in->add_option("file", flags->file,
                 "JSON lines with at least \"text\"; with \"speaker\", \"session\" and "
                 "\"created_ms\" they are the turns of conversations (docs/memory.md)")
      ->required();
  in->add_option("--namespace", flags->name_space, "Put all into this one");
  AddEmbedderFlags(*in, flags->embedder);
  in->footer(
      "Examples:\n  qwen25 memory import notes.jsonl\n  qwen25 memory import notes.jsonl --namespace work");
}

void AddNoteReindex(CLI::App& verb, RunVerb& run) {
  const auto [reindex, flags] =
      AddNoteCommand(verb, run, "reindex", "Make all vectors anew, with another embedder", RunReindex);
  AddEmbedderFlags(*reindex, flags->embedder);
  reindex->footer(
      "Examples:\n"
      "  qwen25 memory reindex --embedder model:runs/embed/model\n"
      "  qwen25 memory reindex --embedder hashed");
}

}  // namespace qwen25
