// The models that a server offers, loaded when they are asked for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/models/served_model.h"

namespace qwen25 {

// Loads models one at a time, on a thread of its own. If as many are loaded as may be, the one that was not
// used for longest answers what it was asked and is unloaded.
class ModelRegistry {
 public:
  struct Source {
    std::string name;  // what requests call it
    ModelSource model;
  };
  struct Options {
    ServedModelOptions served;
    size_t max_loaded = 1;  // at a time, at least 1
    // Told about loading, on the registry's thread. May be null.
    std::function<void(const std::string& line)> log = nullptr;
  };
  struct Listed {
    std::string name;
    bool is_loaded = false;
    int64_t created = 0;            // seconds since 1970, when the server began to offer it
    size_t max_context_tokens = 0;  // 0: not known before it is loaded
  };
  // Receives a model or why it cannot be loaded.
  using Use = std::function<void(Result<std::shared_ptr<ServedModel>> model)>;

  // Names must differ.
  ModelRegistry(std::vector<Source> sources, Options options);
  // Ends all answers. Nobody may have a model any more.
  ~ModelRegistry();
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  // Calls `use` with the model of that name, the first one if it is "" or, unless one is called so,
  // "default": at once if it is loaded, later, on the registry's thread, if not. kNotFound, naming those that
  // there are; kIo with the reason if it cannot be loaded.
  void With(const std::string& name, Use use);
  // The same, and waits for it.
  Result<std::shared_ptr<ServedModel>> Get(const std::string& name);
  std::vector<Listed> List() const;
  // Those that are loaded now.
  std::vector<std::shared_ptr<ServedModel>> Loaded() const;

 private:
  struct Model {
    Source source;
    int64_t created = 0;
    std::shared_ptr<ServedModel> served;  // null: not loaded
    std::vector<Use> waiting;             // for it to be loaded
    uint64_t last_use = 0;
  };

  Model* Find(const std::string& name);
  void Run();
  // Makes room for one more model. False if the registry is to end. Called without the lock.
  bool UnloadOldest();
  // Deletes models that nobody has any more. Whoever lets one go last may be on a thread of its own.
  void DeleteReturned();
  void Log(const std::string& line) const;

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Model> models_;
  std::deque<Model*> to_load_;
  std::vector<std::unique_ptr<ServedModel>> returned_;
  uint64_t num_uses_ = 0;
  bool stopping_ = false;
  std::thread loader_;
};

}  // namespace qwen25
