// A JSON Schema document: where its parts stand, what its references lead to, and schemas made from its
// parts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/json.h"

namespace qwen25::grammar {

class SchemaDocument {
 public:
  // `root` must outlive this object.
  explicit SchemaDocument(const Json& root);

  const Json* root() const { return root_; }
  // The member or element, which must be there.
  const Json* Child(const Json* parent, std::string_view key);
  const Json* Child(const Json* parent, size_t index);
  // The JSON pointer of a part that Child, Resolve or Made returned, as errors show it: "#/properties/a".
  const std::string& Where(const Json* part) const { return where_.at(part); }
  // "<what> at <where>", for a keyword of a schema.
  std::string Place(const Json* schema, std::string_view keyword) const;

  // The schema that the value of $ref at `schema` leads to. kUnsupported outside of this document,
  // kInvalidArgument if there is nothing.
  Result<const Json*> Resolve(const Json* schema, std::string_view reference);

  // A schema that stands for a part of the document, where errors place it. Equal schemas are one.
  const Json* Made(Json schema, const Json* stands_for);

 private:
  // The identifier of a schema.
  std::optional<std::string> IdOf(const Json& schema) const;
  void FindAnchors(const Json* part, size_t depth);
  Result<const Json*> FollowPointer(std::string_view pointer);
  bool IsInsideOtherResource(const std::string& pointer);

  const Json* root_;
  const char* id_keyword_ = "$id";
  std::unordered_map<const Json*, std::string> where_;
  std::unordered_map<std::string, const Json*> anchors_;
  bool has_anchors_ = false;
  std::unordered_map<std::string, std::unique_ptr<const Json>> made_;  // by text
};

}  // namespace qwen25::grammar
