// The connections that are open: how many there may be, and how all of them are told to end.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace qwen25 {

// What the server asks of a connection, from any thread.
class ConnectionControl {
 public:
  virtual ~ConnectionControl() = default;
  // Ends the connection after the request that it is busy with; at once, if there is none.
  virtual void Drain() = 0;
  virtual void Cut() = 0;
};

// Thread-safe.
class ConnectionTable : public std::enable_shared_from_this<ConnectionTable> {
 public:
  // A limit of 0 for each peer means none.
  ConnectionTable(size_t max_connections, size_t max_connections_per_peer)
      : max_connections_(max_connections), max_connections_per_peer_(max_connections_per_peer) {}

  // One connection's place; free again when it is destroyed. A refused connection has a place of its own
  // kind, from which it is told why.
  class Place {
   public:
    ~Place() { table_->Leave(*this); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // Why the connection is refused; empty if it is not.
    const std::string& refusal() const { return refusal_; }
    const std::string& peer() const { return peer_; }

   private:
    friend class ConnectionTable;
    Place(std::shared_ptr<ConnectionTable> table, uint64_t id, std::string peer, std::string refusal)
        : table_(std::move(table)), id_(id), peer_(std::move(peer)), refusal_(std::move(refusal)) {}

    const std::shared_ptr<ConnectionTable> table_;
    const uint64_t id_;
    const std::string peer_, refusal_;
  };

  // Null if so many connections are being refused already that this one must be closed without a word.
  std::unique_ptr<Place> Enter(const std::string& peer);
  // Whom Drain() and Cut() reach from now on.
  void Register(const Place& place, std::weak_ptr<ConnectionControl> connection);

  // Tells all connections, those that come later too.
  void Drain();
  void Cut();
  bool is_draining() const { return is_draining_; }
  bool is_cutting() const { return is_cutting_; }

  // Whether all places were free before `deadline`.
  bool WaitUntilEmpty(std::chrono::steady_clock::time_point deadline);

  size_t num_open() const;  // refused ones do not count
  uint64_t num_accepted() const { return num_accepted_; }
  uint64_t num_refused() const { return num_refused_; }

 private:
  void Leave(const Place& place);
  void ForEach(const std::function<void(ConnectionControl&)>& function);

  const size_t max_connections_, max_connections_per_peer_;
  std::atomic<bool> is_draining_{false}, is_cutting_{false};
  std::atomic<uint64_t> num_accepted_{0}, num_refused_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t num_open_ = 0, num_being_refused_ = 0;
  std::unordered_map<std::string, size_t> num_of_peer_;
  std::map<uint64_t, std::weak_ptr<ConnectionControl>> connections_;
};

}  // namespace qwen25
