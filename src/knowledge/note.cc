#include "knowledge/note.h"

namespace qwen25 {

Json NoteToJson(const Note& note) {
  Json json = {{"id", note.id}, {"namespace", note.name_space}, {"text", note.text}};
  if (!note.title.empty()) json["title"] = note.title;
  if (!note.source.empty()) json["source"] = note.source;
  if (!note.speaker.empty()) json["speaker"] = note.speaker;
  if (!note.session.empty()) json["session"] = note.session;
  if (!note.tags.empty()) json["tags"] = note.tags;
  json["created_ms"] = note.created_ms;
  json["updated_ms"] = note.updated_ms;
  if (note.superseded_by) json["superseded_by"] = *note.superseded_by;
  return json;
}

Result<Note> NoteFromJson(const Json& json, std::string_view origin) {
  if (!json.is_object()) return InvalidArgument("{}: expected an object with \"text\"", origin);
  Note note;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "id", origin, note.id));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "namespace", origin, note.name_space));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "text", origin, note.text));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "title", origin, note.title));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "source", origin, note.source));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "speaker", origin, note.speaker));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "session", origin, note.session));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "created_ms", origin, note.created_ms));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "updated_ms", origin, note.updated_ms));
  if (json.contains("superseded_by") && !json["superseded_by"].is_null()) {
    int64_t by = 0;
    QWEN25_RETURN_IF_ERROR(ReadField(json, "superseded_by", origin, by));
    note.superseded_by = by;
  }
  if (json.contains("tags")) {
    if (!json["tags"].is_array()) return InvalidArgument("{}: \"tags\" is not a list of strings", origin);
    for (const Json& tag : json["tags"]) {
      if (!tag.is_string()) return InvalidArgument("{}: \"tags\" is not a list of strings", origin);
      note.tags.push_back(tag.get<std::string>());
    }
  }
  if (note.text.empty()) return InvalidArgument("{}: \"text\" is missing or empty", origin);
  return note;
}

Json NoteHitToJson(const NoteHit& hit) {
  return {{"note", hit.note},
          {"chunk", hit.chunk},
          {"namespace", hit.name_space},
          {"title", hit.title},
          {"source", hit.source},
          {"speaker", hit.speaker},
          {"session", hit.session},
          {"first_byte", hit.range.begin},
          {"end_byte", hit.range.end},
          {"text", hit.text},
          {"score", hit.score},
          {"word_rank", hit.word_rank},
          {"bm25", hit.bm25},
          {"vector_rank", hit.vector_rank},
          {"cosine", hit.cosine},
          {"created_ms", hit.created_ms},
          {"superseded", hit.superseded}};
}

}  // namespace qwen25
