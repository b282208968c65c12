#include "serve/models/model_registry.h"

#include <algorithm>
#include <ctime>
#include <future>
#include <limits>
#include <utility>

#include "base/clock.h"

namespace qwen25 {

ModelRegistry::ModelRegistry(std::vector<Source> sources, Options options) : options_(std::move(options)) {
  QWEN25_CHECK(options_.max_loaded > 0 && !sources.empty());
  const int64_t now = std::time(nullptr);
  for (Source& source : sources) models_.push_back({.source = std::move(source), .created = now});
  loader_ = std::thread([this] { Run(); });
}

ModelRegistry::~ModelRegistry() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  loader_.join();
  for (Model& model : models_) {
    for (Use& use : model.waiting) use(Cancelled("the server ends"));
    model.served = nullptr;
  }
  DeleteReturned();
}

ModelRegistry::Model* ModelRegistry::Find(const std::string& name) {
  if (name.empty()) return &models_.front();
  const auto found = std::ranges::find(models_, name, [](const Model& model) { return model.source.name; });
  if (found == models_.end() && name == "default") return &models_.front();
  return found == models_.end() ? nullptr : &*found;
}

void ModelRegistry::With(const std::string& name, Use use) {
  std::shared_ptr<ServedModel> served;
  {
    const std::lock_guard lock(mutex_);
    Model* model = Find(name);
    if (model != nullptr && stopping_) return use(Cancelled("the server ends"));
    if (model != nullptr) {
      model->last_use = ++num_uses_;
      served = model->served;
      if (!served) {
        if (model->waiting.empty()) to_load_.push_back(model);
        model->waiting.push_back(std::move(use));
        changed_.notify_all();
        return;
      }
    }
  }
  if (served) return use(std::move(served));
  std::string known;
  for (const Model& model : models_) known += (known.empty() ? "" : ", ") + model.source.name;
  use(Status(StatusCode::kNotFound, fmt::format("there is no model \"{}\"; there are {}", name, known)));
}

Result<std::shared_ptr<ServedModel>> ModelRegistry::Get(const std::string& name) {
  std::promise<Result<std::shared_ptr<ServedModel>>> promise;
  With(name, [&](Result<std::shared_ptr<ServedModel>> model) { promise.set_value(std::move(model)); });
  return promise.get_future().get();
}

std::vector<ModelRegistry::Listed> ModelRegistry::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<Listed> list;
  for (const Model& model : models_) {
    list.push_back({.name = model.source.name,
                    .is_loaded = model.served != nullptr,
                    .created = model.created,
                    .max_context_tokens = model.served ? model.served->max_context_tokens() : 0});
  }
  return list;
}

std::vector<std::shared_ptr<ServedModel>> ModelRegistry::Loaded() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ServedModel>> loaded;
  for (const Model& model : models_) {
    if (model.served) loaded.push_back(model.served);
  }
  return loaded;
}

void ModelRegistry::Log(const std::string& line) const {
  if (options_.log) options_.log(line);
}

bool ModelRegistry::UnloadOldest() {
  std::shared_ptr<ServedModel> oldest;
  {
    const std::lock_guard lock(mutex_);
    const auto num_loaded =
        std::ranges::count_if(models_, [](const Model& model) { return model.served != nullptr; });
    if (static_cast<size_t>(num_loaded) < options_.max_loaded) return true;
    const auto last_use = [](const Model& model) {
      return model.served ? model.last_use : std::numeric_limits<uint64_t>::max();
    };
    oldest = std::move(std::ranges::min_element(models_, {}, last_use)->served);
  }
  Log(fmt::format("unloading {}", oldest->name()));
  const ServedModel* model = std::exchange(oldest, nullptr).get();
  {
    // Who has it already may still ask it.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return stopping_ ||
             std::ranges::find(returned_, model, &std::unique_ptr<ServedModel>::get) != returned_.end();
    });
    if (stopping_) return false;
  }
  DeleteReturned();
  return true;
}

void ModelRegistry::DeleteReturned() {
  std::vector<std::unique_ptr<ServedModel>> returned;  // deleted without the lock
  {
    const std::lock_guard lock(mutex_);
    returned.swap(returned_);
  }
}

void ModelRegistry::Run() {
  while (true) {
    Model* model = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !to_load_.empty() || !returned_.empty(); });
      if (stopping_) return;
      if (!to_load_.empty()) {
        model = to_load_.front();
        to_load_.pop_front();
      }
    }
    DeleteReturned();
    if (model == nullptr) continue;
    if (!UnloadOldest()) return;
    const double start = NowSeconds();
    Result<std::unique_ptr<ServedModel>> loaded =
        ServedModel::Load(model->source.name, model->source.model, options_.served);
    std::vector<Use> waiting;
    std::shared_ptr<ServedModel> served;
    {
      const std::lock_guard lock(mutex_);
      if (loaded.ok()) {
        const auto give_back = [this](ServedModel* done) {
          const std::lock_guard lock_of_giver(mutex_);
          returned_.emplace_back(done);
          changed_.notify_all();
        };
        served = model->served = std::shared_ptr<ServedModel>(loaded->release(), give_back);
      }
      waiting.swap(model->waiting);
    }
    if (served) {
      for (const std::string& remark : served->model().remarks) Log("note: " + remark);
      Log(fmt::format("loaded {} in {:.1f} s", served->name(), NowSeconds() - start));
    } else {
      Log(fmt::format("error: {} cannot be loaded: {}", model->source.name, loaded.status().message()));
    }
    for (Use& use : waiting) {
      use(served ? Result<std::shared_ptr<ServedModel>>(served)
                 : Result<std::shared_ptr<ServedModel>>(Status(StatusCode::kIo, loaded.status().message())));
    }
  }
}

}  // namespace qwen25
