#include "grammar/key_tracker.h"

namespace qwen25::grammar {

bool KeyTracker::Advance(Position& position, uint8_t byte) {
  if (position.in_string) {
    const bool ends = byte == '"' && !position.is_escaped;
    if (position.is_key && !ends) position.key += static_cast<char>(byte);
    position.is_escaped = byte == '\\' && !position.is_escaped;
    if (!ends) return true;
    position.in_string = false;
    return !position.is_key || EndKey(position);
  }
  switch (byte) {
    case '"':
      position.in_string = true;
      position.is_key = position.expects_key;
      position.key.clear();
      break;
    case '{':
    case '[':
      levels_.push_back({position.level, 0, byte == '{'});
      position.level = static_cast<uint32_t>(levels_.size() - 1);
      position.expects_key = byte == '{';
      break;
    case '}':
    case ']':
      position.level = levels_[position.level].parent;
      position.expects_key = false;
      break;
    case ',':
      position.expects_key = levels_[position.level].is_object;
      break;
    case ':':
      position.expects_key = false;
      break;
    default:
      break;
  }
  return true;
}

bool KeyTracker::Advance(Position& position, std::string_view bytes) {
  for (const char byte : bytes) {
    if (!Advance(position, static_cast<uint8_t>(byte))) return false;
  }
  return true;
}

bool KeyTracker::EndKey(Position& position) {
  bool is_new = true;
  ForEachKey(position, [&](std::string_view key) { is_new &= key != position.key; });
  if (!is_new) return false;
  Level level = levels_[position.level];
  keys_.push_back({level.last_key, std::move(position.key)});
  position.key.clear();
  level.last_key = static_cast<uint32_t>(keys_.size() - 1);
  levels_.push_back(level);
  position.level = static_cast<uint32_t>(levels_.size() - 1);
  return true;
}

void KeyTracker::Restore(Mark mark) {
  levels_.resize(mark.num_levels);
  keys_.resize(mark.num_keys);
}

}  // namespace qwen25::grammar
