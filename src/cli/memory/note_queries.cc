// Commands that look at notes.
#include <cstdio>

#include "base/file.h"
#include "cli/memory/note_flags.h"
#include "cli/terminal/note_lines.h"
#include "knowledge/note_transfer.h"

namespace qwen25 {
namespace {

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
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, search.mode != SearchMode::kWords));
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
        hit.superseded ? "  (superseded)" : "",
        (hit.speaker.empty() ? "" : hit.speaker + ": ") + Snippet(hit.text, flags.query));
  }
  if (hits.empty() && !flags.json) fmt::print("nothing found\n");
  return {};
}

Status RunList(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, false));
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
               OneLine((note.title.empty() ? "" : note.title + ": ") +
                           (note.speaker.empty() ? "" : note.speaker + ": ") + note.text,
                       80),
               note.superseded_by ? fmt::format("  (superseded by {})", *note.superseded_by) : "");
  }
  return {};
}

Status RunShow(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, false));
  for (const int64_t id : flags.ids) {
    QWEN25_TRY(const Note note, notes.store->Get(id));
    if (flags.json) {
      fmt::print("{}\n", DumpJson(NoteToJson(note)));
      continue;
    }
    fmt::print("note {} in {}, {} chunks\n", note.id, note.name_space, note.num_chunks);
    if (!note.title.empty()) fmt::print("title: {}\n", note.title);
    if (!note.source.empty()) fmt::print("source: {}\n", note.source);
    if (!note.speaker.empty()) fmt::print("speaker: {}\n", note.speaker);
    if (!note.session.empty()) fmt::print("session: {}\n", note.session);
    if (!note.tags.empty()) fmt::print("tags: {}\n", fmt::join(note.tags, ", "));
    fmt::print("created: {}\n", LocalTime(note.created_ms));
    if (note.superseded_by) fmt::print("superseded by: {}\n", *note.superseded_by);
    fmt::print("\n{}\n", note.text);
  }
  return {};
}

Status RunExport(const NoteFlags& flags) {
  QWEN25_TRY(const LoadedNotes notes, OpenNotes(flags, false));
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

}  // namespace

void AddNoteSearch(CLI::App& verb, RunVerb& run) {
  const auto [search, flags] =
      AddNoteCommand(verb, run, "search", "Find notes by words and by meaning", RunSearch);
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

void AddNoteList(CLI::App& verb, RunVerb& run) {
  const auto [list, flags] = AddNoteCommand(verb, run, "list", "List notes", RunList);
  list->add_option("--namespace", flags->name_space, "Only of this one");
  list->add_option("--source", flags->source, "Only of this source");
  list->add_option("--tag", flags->tags, "Only notes with all of these");
  list->add_flag("--all", flags->all, "Superseded notes, too");
  list->add_flag("--json", flags->json, "One JSON object per line, with the whole text");
  list->footer(
      "Examples:\n  qwen25 memory list --namespace work\n  qwen25 memory list --tag home --all --json");
}

void AddNoteShow(CLI::App& verb, RunVerb& run) {
  const auto [show, flags] = AddNoteCommand(verb, run, "show", "Show notes in full", RunShow);
  show->add_option("ids", flags->ids, "Numbers of notes")->required();
  show->add_flag("--json", flags->json, "One JSON object per line");
  show->footer("Example:\n  qwen25 memory show 1 4");
}

void AddNoteExport(CLI::App& verb, RunVerb& run) {
  const auto [out, flags] = AddNoteCommand(verb, run, "export", "Write notes as JSON lines", RunExport);
  flags->file = "-";
  out->add_option("file", flags->file, "A file, or - for standard output")->capture_default_str();
  out->add_option("--namespace", flags->name_space, "Only of this one");
  out->add_option("--source", flags->source, "Only of this source");
  out->add_option("--tag", flags->tags, "Only notes with all of these");
  out->footer(
      "Examples:\n"
      "  qwen25 memory export notes.jsonl\n"
      "  qwen25 memory export --namespace work | gzip > work.jsonl.gz");
}

}  // namespace qwen25
