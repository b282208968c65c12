#include "serve/calls/memory_calls.h"

#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/object_reader.h"
#include "serve/api/request_json.h"
#include "serve/http/query_parameters.h"
#include "store/namespace_name.h"

namespace qwen25 {
namespace {

constexpr std::string_view kNotesPath = "/v1/memory/notes/";
constexpr size_t kMaxNoteBytes = size_t{16} << 20;

// The namespace of a call, if its key may use it; else the call is refused.
std::optional<std::string> NamespaceOf(ServerCall& call, const std::optional<std::string>& wanted) {
  std::string name_space = wanted.value_or(call.DefaultNamespace());
  if (const Status status = CheckNamespace(name_space); !status.ok()) {
    call.Refuse(InvalidRequest("namespace", status.message()));
    return std::nullopt;
  }
  if (call.MayUse(name_space)) return name_space;
  call.Refuse(NotAllowed("namespace", "This key may not use this namespace."));
  return std::nullopt;
}

// The parameters of the address, of which all must be among `known`; else the call is refused.
std::optional<std::map<std::string, std::string>> ParametersOf(
    ServerCall& call, std::initializer_list<std::string_view> known) {
  Result<std::map<std::string, std::string>> parameters = ParseQuery(call.request().query);
  if (!parameters.ok()) {
    call.Refuse(InvalidRequest("", parameters.status().message()));
    return std::nullopt;
  }
  for (const auto& [name, value] : *parameters) {
    if (std::ranges::find(known, name) != known.end()) continue;
    call.Refuse(InvalidRequest(name, fmt::format("\"{}\" is no parameter of this endpoint.", name)));
    return std::nullopt;
  }
  return std::move(*parameters);
}

std::optional<std::string> Find(const std::map<std::string, std::string>& parameters,
                                const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::nullopt : std::optional(found->second);
}

bool IsSet(const std::map<std::string, std::string>& parameters, const std::string& name) {
  const auto value = Find(parameters, name);
  return value && *value != "0" && *value != "false";
}

// The number at the end of the path; else the call is refused.
std::optional<int64_t> NumberOf(ServerCall& call) {
  const std::string text = call.request().path.substr(kNotesPath.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  call.Refuse(InvalidRequest("", "The address ends with something other than the number of a note."));
  return std::nullopt;
}

struct NoteRequest {
  std::optional<std::string> name_space;
  NewNote note;
};

ApiResult<NoteRequest> ReadNote(const Json& body) {
  ErrorSlot error;
  ObjectReader reader(body, "", error);
  NoteRequest request;
  std::optional<std::string> text;
  reader.Read("namespace", request.name_space, 1, kMaxNamespaceBytes);
  reader.Read("text", text, 1, kMaxNoteBytes);
  if (!text) reader.Refuse("text", "a string");
  reader.Read("title", request.note.title);
  reader.Read("source", request.note.source);
  std::optional<int64_t> supersedes;
  reader.Read("supersedes", 1, INT64_MAX, supersedes);
  request.note.supersedes = supersedes;
  if (const Json* tags = reader.Find("tags")) {
    const bool is_list =
        tags->is_array() && std::ranges::all_of(*tags, [](const Json& tag) { return tag.is_string(); });
    if (!is_list) reader.Refuse("tags", "an array of strings");
    if (is_list) request.note.tags = tags->get<std::vector<std::string>>();
  }
  reader.Finish();
  if (error) return *error;
  request.note.text = std::move(*text);
  return request;
}

struct SearchRequest {
  std::optional<std::string> name_space;
  std::string query;
  int64_t limit = 10;
};

ApiResult<SearchRequest> ReadSearch(const Json& body) {
  ErrorSlot error;
  ObjectReader reader(body, "", error);
  SearchRequest request;
  std::optional<std::string> query;
  reader.Read("namespace", request.name_space, 1, kMaxNamespaceBytes);
  reader.Read("query", query, 1, size_t{1} << 16);
  if (!query) reader.Refuse("query", "a string");
  reader.Read("limit", 1, 1000, request.limit);
  reader.Finish();
  if (error) return *error;
  request.query = std::move(*query);
  return request;
}

// Reads the body; refuses the call if that is wrong.
template <typename Request>
std::optional<Request> ReadBody(ServerCall& call, ApiResult<Request> (*read)(const Json&)) {
  const ApiResult<Json> body = ParseRequestJson(call.request().body);
  if (!body.ok()) {
    call.Refuse(body.error());
    return std::nullopt;
  }
  ApiResult<Request> request = read(*body);
  if (request.ok()) return std::move(*request);
  call.Refuse(request.error());
  return std::nullopt;
}

Json ListJson(Json data) {
  return {{"object", "list"}, {"data", std::move(data)}};
}

}  // namespace

void AnswerListNotes(ServerCall& call, MemoryService& memory) {
  const auto parameters = ParametersOf(call, {"namespace", "all"});
  if (!parameters) return;
  const auto name_space = NamespaceOf(call, Find(*parameters, "namespace"));
  if (!name_space) return;
  const Result<std::vector<Note>> notes = memory.List(*name_space, IsSet(*parameters, "all"));
  if (!notes.ok()) return call.Refuse(notes.status());
  Json data = Json::array();
  for (const Note& note : *notes) data.push_back(NoteToJson(note));
  call.Answer(ListJson(std::move(data)));
}

void AnswerAddNote(ServerCall& call, MemoryService& memory) {
  auto request = ReadBody(call, ReadNote);
  if (!request) return;
  const auto name_space = NamespaceOf(call, request->name_space);
  if (!name_space) return;
  request->note.name_space = *name_space;
  const Result<int64_t> id = memory.Add(request->note);
  if (!id.ok()) return call.Refuse(id.status());
  const Result<Note> note = memory.Get(*name_space, *id);
  if (!note.ok()) return call.Refuse(note.status());
  call.Answer(NoteToJson(*note));
}

void AnswerGetNote(ServerCall& call, MemoryService& memory) {
  const auto parameters = ParametersOf(call, {"namespace"});
  if (!parameters) return;
  const auto name_space = NamespaceOf(call, Find(*parameters, "namespace"));
  if (!name_space) return;
  const auto id = NumberOf(call);
  if (!id) return;
  const Result<Note> note = memory.Get(*name_space, *id);
  if (!note.ok()) return call.Refuse(note.status());
  call.Answer(NoteToJson(*note));
}

void AnswerForgetNote(ServerCall& call, MemoryService& memory) {
  const auto parameters = ParametersOf(call, {"namespace", "erase"});
  if (!parameters) return;
  const auto name_space = NamespaceOf(call, Find(*parameters, "namespace"));
  if (!name_space) return;
  const auto id = NumberOf(call);
  if (!id) return;
  const Status status = memory.Forget(*name_space, *id, IsSet(*parameters, "erase"));
  if (!status.ok()) return call.Refuse(status);
  call.Answer({{"id", *id}, {"deleted", true}});
}

void AnswerSearchNotes(ServerCall& call, MemoryService& memory) {
  const auto request = ReadBody(call, ReadSearch);
  if (!request) return;
  const auto name_space = NamespaceOf(call, request->name_space);
  if (!name_space) return;
  const Result<std::vector<NoteHit>> hits = memory.Search(
      {.query = request->query, .namespaces = {*name_space}, .limit = static_cast<size_t>(request->limit)});
  if (!hits.ok()) return call.Refuse(hits.status());
  Json data = Json::array();
  for (const NoteHit& hit : *hits) data.push_back(NoteHitToJson(hit));
  call.Answer(ListJson(std::move(data)));
}

void AnswerExportNotes(ServerCall& call, MemoryService& memory) {
  const auto parameters = ParametersOf(call, {"namespace"});
  if (!parameters) return;
  const auto name_space = NamespaceOf(call, Find(*parameters, "namespace"));
  if (!name_space) return;
  const Result<std::vector<Note>> notes = memory.List(*name_space, /*include_superseded=*/true);
  if (!notes.ok()) return call.Refuse(notes.status());
  std::string lines;
  for (const Note& note : *notes) lines += DumpJson(NoteToJson(note)) + "\n";
  call.AnswerText("application/x-ndjson", std::move(lines));
}

}  // namespace qwen25
