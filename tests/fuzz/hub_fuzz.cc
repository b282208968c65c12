#include <string>

#include "base/check.h"
#include "pretrained/hub/content_digest.h"
#include "pretrained/hub/hub_client.h"
#include "targets.h"

namespace qwen25 {

// What a hub answers: a list of files, of which a set is chosen; and what else is read of its headers. No
// path leads outside of the cache, whatever the hub lists.
void FuzzHub(std::span<const uint8_t> bytes) {
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  (void)NextLink(content);
  (void)ResolveUrl("https://host/a/b", std::string(content));
  if (const Result<ModelName> name = ModelName::Parse(content); name.ok()) {
    QWEN25_CHECK(IsSafeRelativePath(name->repository) && IsSafeRelativePath(name->revision_or_main()));
  }
  const Result<std::vector<RepositoryFile>> files = ParseFileList(content, "list");
  if (!files.ok()) {
    QWEN25_CHECK(files.status().message().find("list") == 0);
    return;
  }
  for (const RepositoryFile& file : *files) {
    QWEN25_CHECK(IsSafeRelativePath(file.path) && ContentDigest::IsDigest(file.digest));
  }
  for (const char* format : {"", "q8_0", "safetensors"}) {
    const auto chosen = ChooseFiles(*files, format, {}, "repository");
    QWEN25_CHECK(chosen.ok() ? !chosen->empty() : chosen.status().message().find("repository") == 0);
  }
}

}  // namespace qwen25
