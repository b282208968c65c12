#include "infer/scheduler/fair_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace qwen25 {

void FairQueue::Push(Entry entry) {
  std::deque<Entry>& waiting = clients_[entry.client].waiting[entry.priority];
  waiting.push_back(std::move(entry));
  ++size_;
}

void FairQueue::PushAgain(Entry entry) {
  entry.cost = 0;
  std::deque<Entry>& waiting = clients_[entry.client].waiting[entry.priority];
  waiting.push_front(std::move(entry));
  ++size_;
}

const FairQueue::Entry* FairQueue::Candidate(const Client& client, int priority) const {
  if (client.waiting.empty() || client.waiting.begin()->first != priority) return nullptr;
  return &client.waiting.begin()->second.front();
}

std::optional<FairQueue::Entry> FairQueue::Next() {
  if (empty()) return std::nullopt;
  int priority = std::numeric_limits<int>::min();
  for (const auto& [name, client] : clients_) {
    if (!client.waiting.empty()) priority = std::max(priority, client.waiting.begin()->first);
  }
  while (true) {
    // Once around, beginning with the client whose turn it is.
    Place place = clients_.lower_bound(turn_);
    int64_t num_rounds = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < clients_.size(); ++i, ++place) {
      if (place == clients_.end()) place = clients_.begin();
      const Entry* entry = Candidate(place->second, priority);
      if (entry == nullptr) continue;
      const int64_t missing = static_cast<int64_t>(entry->cost) - place->second.deficit;
      if (missing <= 0) {
        turn_ = place->first;
        return *entry;
      }
      num_rounds = std::min(num_rounds, (missing + quantum_ - 1) / quantum_);
    }
    for (auto& [name, client] : clients_) {
      if (Candidate(client, priority) != nullptr) client.deficit += num_rounds * quantum_;
    }
  }
}

void FairQueue::Pop() {
  const std::optional<Entry> entry = Next();
  QWEN25_CHECK(entry);
  const Place place = clients_.find(entry->client);
  place->second.deficit -= static_cast<int64_t>(entry->cost);
  Remove(entry->id);
}

void FairQueue::Charge(const std::string& client, size_t num_tokens) {
  const bool others_wait = std::ranges::any_of(
      clients_, [&](const auto& other) { return other.first != client && !other.second.waiting.empty(); });
  if (others_wait) clients_[client].deficit -= static_cast<int64_t>(num_tokens);
}

bool FairQueue::Remove(uint64_t id) {
  for (Place place = clients_.begin(); place != clients_.end(); ++place) {
    for (auto& [priority, waiting] : place->second.waiting) {
      const auto found = std::ranges::find(waiting, id, &Entry::id);
      if (found == waiting.end()) continue;
      waiting.erase(found);
      if (waiting.empty()) place->second.waiting.erase(priority);
      --size_;
      ForgetIfIdle(place);
      return true;
    }
  }
  return false;
}

void FairQueue::ForgetIfIdle(Place client) {
  if (empty()) return clients_.clear();  // nobody is kept waiting by what others have used
  if (client->second.waiting.empty() && client->second.deficit >= 0) clients_.erase(client);
}

}  // namespace qwen25
