// The endpoints of the memory: notes are listed, added, searched, forgotten and exported.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/memory/memory_service.h"

namespace qwen25 {

// GET and POST /v1/memory/notes, GET and DELETE /v1/memory/notes/NUMBER, POST /v1/memory/search and
// GET /v1/memory/export. Each is about one namespace: "namespace" of the body or the address, or the key's
// own. 403 for one that the key may not use. They answer before they return.
void AnswerListNotes(ServerCall& call, MemoryService& memory);
void AnswerAddNote(ServerCall& call, MemoryService& memory);
void AnswerGetNote(ServerCall& call, MemoryService& memory);
void AnswerForgetNote(ServerCall& call, MemoryService& memory);
void AnswerSearchNotes(ServerCall& call, MemoryService& memory);
void AnswerExportNotes(ServerCall& call, MemoryService& memory);

}  // namespace qwen25
