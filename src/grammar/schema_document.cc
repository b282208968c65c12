#include "grammar/schema_document.h"

#include <charconv>
#include <optional>

namespace qwen25::grammar {
namespace {

constexpr size_t kMaxAnchorDepth = 200;

// "~" and "/" of a key, as JSON pointers write them.
std::string EscapedKey(std::string_view key) {
  std::string escaped;
  for (const char c : key) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string UnescapedKey(std::string_view key) {
  std::string plain;
  for (size_t i = 0; i < key.size(); ++i) {
    const bool is_escape = key[i] == '~' && i + 1 < key.size() && (key[i + 1] == '0' || key[i + 1] == '1');
    plain += !is_escape ? key[i] : key[++i] == '0' ? '~' : '/';
  }
  return plain;
}

// %41 is "A" in a fragment of a URI.
std::string WithoutPercents(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* begin = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(begin, begin + 2, byte, 16).ptr == begin + 2) {
      plain += static_cast<char>(byte);
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The member or element that one part of a pointer names.
const Json* Named(const Json* parent, const std::string& key) {
  if (parent->is_object()) {
    const auto member = parent->find(key);
    return member == parent->end() ? nullptr : &*member;
  }
  size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  const bool is_index = !key.empty() && error == std::errc() && end == key.data() + key.size();
  return parent->is_array() && is_index && index < parent->size() ? &(*parent)[index] : nullptr;
}

}  // namespace

// $id, or id in draft 4. Nothing for a property of that name.
std::optional<std::string> SchemaDocument::IdOf(const Json& schema) const {
  if (!schema.is_object()) return std::nullopt;
  const auto id = schema.find(id_keyword_);
  return id != schema.end() && id->is_string() ? std::optional(id->get<std::string>()) : std::nullopt;
}

SchemaDocument::SchemaDocument(const Json& root) : root_(&root) {
  where_[root_] = "#";
  const auto draft = root.is_object() ? root.find("$schema") : root.end();
  const bool is_early = root.is_object() && draft != root.end() && draft->is_string() &&
                        (draft->get_ref<const std::string&>().find("draft-04") != std::string::npos ||
                         draft->get_ref<const std::string&>().find("draft-03") != std::string::npos);
  if (is_early) id_keyword_ = "id";
}

const Json* SchemaDocument::Child(const Json* parent, std::string_view key) {
  const Json* child = &*parent->find(std::string(key));
  if (!where_.contains(child)) where_[child] = where_.at(parent) + '/' + EscapedKey(key);
  return child;
}

const Json* SchemaDocument::Child(const Json* parent, size_t index) {
  const Json* child = &(*parent)[index];
  if (!where_.contains(child)) where_[child] = fmt::format("{}/{}", where_.at(parent), index);
  return child;
}

std::string SchemaDocument::Place(const Json* schema, std::string_view keyword) const {
  return fmt::format("\"{}\" at {}", keyword, Where(schema));
}

Result<const Json*> SchemaDocument::Resolve(const Json* schema, std::string_view reference) {
  const std::string_view whole = reference;
  const std::optional<std::string> id = IdOf(*root_);
  if (id && !reference.starts_with('#') && reference.starts_with(*id)) {
    reference.remove_prefix(id->size());
    if (reference.empty()) return root_;
  }
  if (reference == "#") reference.remove_prefix(1);
  const bool is_fragment = reference.empty() || reference.starts_with('#');
  if (!is_fragment || IsInsideOtherResource(Where(schema))) {
    return Unsupported(
        "{}: \"{}\" leads outside of this document; put the schema under $defs and refer to it as "
        "\"#/$defs/...\"",
        Place(schema, "$ref"), whole);
  }
  if (!reference.empty()) reference.remove_prefix(1);
  const std::string fragment = WithoutPercents(reference);
  if (fragment.empty()) return root_;
  if (!fragment.starts_with('/')) {
    if (!std::exchange(has_anchors_, true)) FindAnchors(root_, 0);
    const auto anchor = anchors_.find(fragment);
    if (anchor != anchors_.end()) return anchor->second;
  } else {
    Result<const Json*> found = FollowPointer(fragment);
    if (found.ok()) return found;
  }
  return InvalidArgument("{}: there is nothing at \"{}\"", Place(schema, "$ref"), whole);
}

Result<const Json*> SchemaDocument::FollowPointer(std::string_view pointer) {
  const Json* at = root_;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const size_t end = std::min(pointer.find('/'), pointer.size());
    const std::string key = UnescapedKey(pointer.substr(0, end));
    pointer.remove_prefix(end);
    const Json* next = Named(at, key);
    if (next == nullptr) return InvalidArgument("nothing there");
    if (!where_.contains(next)) where_[next] = where_.at(at) + '/' + EscapedKey(key);
    at = next;
  }
  return at;
}

// Whether some schema around the pointer has an identifier of its own, from which references start. Draft 6
// and earlier wrote anchors as identifiers: "#name".
bool SchemaDocument::IsInsideOtherResource(const std::string& pointer) {
  const Json* at = root_;
  std::string_view rest = std::string_view(pointer).substr(1);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find('/'), rest.size());
    at = Named(at, UnescapedKey(rest.substr(0, end)));
    rest.remove_prefix(end);
    if (at == nullptr) return false;
    const std::optional<std::string> id = IdOf(*at);
    if (id && !id->starts_with('#') && id != IdOf(*root_)) return true;
  }
  return false;
}

void SchemaDocument::FindAnchors(const Json* part, size_t depth) {
  if (depth > kMaxAnchorDepth || !part->is_structured()) return;
  if (part->is_object()) {
    const auto anchor = part->find("$anchor");
    if (anchor != part->end() && anchor->is_string()) anchors_.emplace(anchor->get<std::string>(), part);
    const std::optional<std::string> id = IdOf(*part);
    if (id && id->starts_with('#')) anchors_.emplace(id->substr(1), part);
    for (const auto& [key, member] : part->items()) FindAnchors(Child(part, key), depth + 1);
  } else {
    for (size_t i = 0; i < part->size(); ++i) FindAnchors(Child(part, i), depth + 1);
  }
}

const Json* SchemaDocument::Made(Json schema, const Json* stands_for) {
  const auto [entry, is_new] = made_.try_emplace(DumpJson(schema));
  if (is_new) {
    entry->second = std::make_unique<const Json>(std::move(schema));
    where_[entry->second.get()] = Where(stands_for);
  }
  return entry->second.get();
}

}  // namespace qwen25::grammar
