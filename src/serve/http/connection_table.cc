#include "serve/http/connection_table.h"

#include <fmt/format.h>

#include <vector>

#include "base/check.h"

namespace qwen25 {
namespace {

// Connections that are told at the same time that there is no room. Each takes a descriptor for a moment.
constexpr size_t kMaxBeingRefused = 64;

}  // namespace

std::unique_ptr<ConnectionTable::Place> ConnectionTable::Enter(const std::string& peer) {
  const uint64_t id = num_accepted_.fetch_add(1) + 1;
  std::lock_guard lock(mutex_);
  const bool counts_peer = max_connections_per_peer_ > 0 && peer != "unix";
  std::string refusal;
  if (num_open_ >= max_connections_) {
    refusal =
        fmt::format("the server has its limit of {} connections open; try again later", max_connections_);
  } else if (counts_peer && num_of_peer_[peer] >= max_connections_per_peer_) {
    refusal = fmt::format("{} has its limit of {} connections open; close some or try again later", peer,
                          max_connections_per_peer_);
  }
  if (!refusal.empty()) {
    ++num_refused_;
    if (num_being_refused_ >= kMaxBeingRefused) return nullptr;
    ++num_being_refused_;
  } else {
    ++num_open_;
    ++num_of_peer_[peer];
  }
  connections_.emplace(id, std::weak_ptr<ConnectionControl>());
  return std::unique_ptr<Place>(new Place(shared_from_this(), id, peer, std::move(refusal)));
}

void ConnectionTable::Register(const Place& place, std::weak_ptr<ConnectionControl> connection) {
  std::lock_guard lock(mutex_);
  connections_[place.id_] = std::move(connection);
}

void ConnectionTable::Leave(const Place& place) {
  std::lock_guard lock(mutex_);
  connections_.erase(place.id_);
  if (!place.refusal_.empty()) {
    --num_being_refused_;
  } else {
    --num_open_;
    const auto of_peer = num_of_peer_.find(place.peer_);
    QWEN25_CHECK(of_peer != num_of_peer_.end());
    if (--of_peer->second == 0) num_of_peer_.erase(of_peer);
  }
  changed_.notify_all();
}

void ConnectionTable::ForEach(const std::function<void(ConnectionControl&)>& function) {
  // A connection can end, and take the lock to leave, as soon as it is not held here any more.
  std::vector<std::shared_ptr<ConnectionControl>> connections;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, weak] : connections_) {
      if (auto connection = weak.lock()) connections.push_back(std::move(connection));
    }
  }
  for (const auto& connection : connections) function(*connection);
}

void ConnectionTable::Drain() {
  is_draining_ = true;
  ForEach([](ConnectionControl& connection) { connection.Drain(); });
}

void ConnectionTable::Cut() {
  is_cutting_ = true;
  ForEach([](ConnectionControl& connection) { connection.Cut(); });
}

bool ConnectionTable::WaitUntilEmpty(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return connections_.empty(); });
}

size_t ConnectionTable::num_open() const {
  std::lock_guard lock(mutex_);
  return num_open_;
}

}  // namespace qwen25
