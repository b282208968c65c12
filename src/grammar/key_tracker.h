// Which keys the open objects of a JSON text have so far. No grammar of bounded size can tell that a key
// comes twice, so the matcher asks this beside it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25::grammar {

// Keeps what positions refer to. Keys are compared as they are written: grammars write a key in one way only.
class KeyTracker {
 public:
  // Where a text stands. Cheap to copy; belongs to the tracker that made it.
  struct Position {
    uint32_t level = 0;
    bool in_string = false;
    bool is_key = false;       // of in_string
    bool is_escaped = false;   // the next byte belongs to a backslash
    bool expects_key = false;  // the next string is a key
    std::string key;           // what is there of a key
    bool in_key() const { return in_string && is_key; }
  };

  // The position after `byte`; false if that ends a key which the object has already.
  bool Advance(Position& position, uint8_t byte);
  bool Advance(Position& position, std::string_view bytes);

  // Calls visit(std::string_view key) for the keys of the innermost open object, latest first.
  template <typename Visit>
  void ForEachKey(const Position& position, Visit&& visit) const {
    for (uint32_t at = levels_[position.level].last_key; at != 0; at = keys_[at].before)
      visit(keys_[at].text);
  }
  // Of all objects, those included that have ended.
  bool has_keys() const { return keys_.size() > 1; }

  // Forgets what positions made later refer to.
  struct Mark {
    size_t num_levels, num_keys;
  };
  Mark mark() const { return {levels_.size(), keys_.size()}; }
  void Restore(Mark mark);

 private:
  struct Level {
    uint32_t parent;
    uint32_t last_key;
    bool is_object;
  };
  struct Key {
    uint32_t before;
    std::string text;
  };

  bool EndKey(Position& position);

  std::vector<Level> levels_ = {{0, 0, false}};  // the first is outside of all
  std::vector<Key> keys_ = {{0, ""}};            // the first stands for none
};

}  // namespace qwen25::grammar
