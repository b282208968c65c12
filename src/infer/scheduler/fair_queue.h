// The order in which waiting requests are served.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace qwen25 {

// Requests of a higher priority come first. Among those of the highest one, clients take turns by deficit
// round-robin (Shreedhar and Varghese 1995): a client is served while its deficit covers the cost of its next
// request, and every round adds the same quantum to all. Tokens that an answer turns out to have are charged
// later, and only while somebody else waits, so that a client may use what nobody wants.
class FairQueue {
 public:
  struct Entry {
    uint64_t id = 0;
    std::string client;  // who is to get a fair share, such as an API key
    int priority = 0;
    size_t cost = 0;  // tokens to read
  };

  // `quantum`: tokens, above 0.
  explicit FairQueue(size_t quantum = 1024) : quantum_(static_cast<int64_t>(quantum)) {}

  // Waits behind the client's requests of the same priority.
  void Push(Entry entry);
  // Waits before them: it was served already, and has been paid for.
  void PushAgain(Entry entry);
  // The request to be served next; the same one until another call changes something.
  std::optional<Entry> Next();
  // Takes the request that Next returned, and charges its cost.
  void Pop();
  // Charges tokens of an answer to a client.
  void Charge(const std::string& client, size_t num_tokens);
  // False if no such request waits.
  bool Remove(uint64_t id);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Client {
    int64_t deficit = 0;
    // By priority, highest first. No queue is empty.
    std::map<int, std::deque<Entry>, std::greater<>> waiting;
  };
  using Place = std::map<std::string, Client>::iterator;

  void ForgetIfIdle(Place client);
  // The client's next request, if it is of the highest priority that waits.
  const Entry* Candidate(const Client& client, int priority) const;

  const int64_t quantum_;
  std::map<std::string, Client> clients_;
  std::string turn_;  // the client whose turn it is, or the next one after that name
  size_t size_ = 0;
};

}  // namespace qwen25
