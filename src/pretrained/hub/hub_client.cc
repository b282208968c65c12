#include "pretrained/hub/hub_client.h"

#include "base/json.h"
#include "pretrained/hub/content_digest.h"

namespace qwen25 {
namespace {

constexpr size_t kMaxFiles = 100'000, kMaxPages = 1000;

// The body of a successful answer.
Result<HttpResult> GetWithRetry(HttpClient& client, const FetchRequest& request, Retry retry) {
  while (true) {
    HttpResult result = client.Get(request);
    if (Retry::Succeeded(result)) return result;
    QWEN25_RETURN_IF_ERROR(retry.Next(result));
  }
}

std::string NotFromAHub(const std::string& endpoint) {
  return endpoint == kDefaultEndpoint ? "" : fmt::format("; is {} a hub (HF_ENDPOINT)?", endpoint);
}

Result<std::string> ParseCommit(const std::string& body, const std::string& origin,
                                const std::string& endpoint) {
  const Result<Json> json = ParseJson(body, origin);
  std::string commit;
  if (json.ok() && json->is_object()) QWEN25_RETURN_IF_ERROR(ReadField(*json, "sha", origin, commit));
  if (!IsCommitHash(commit)) {
    return Corrupt("{}: the answer names no commit (\"sha\"){}", origin, NotFromAHub(endpoint));
  }
  return commit;
}

}  // namespace

Result<std::vector<RepositoryFile>> ParseFileList(std::string_view text, std::string_view origin) {
  QWEN25_TRY(const Json json, ParseJson(text, origin));
  if (!json.is_array()) return Corrupt("{}: expected a list of files", origin);
  std::vector<RepositoryFile> files;
  for (const Json& entry : json) {
    if (!entry.is_object()) return Corrupt("{}: expected objects in the list of files", origin);
    std::string type;
    RepositoryFile file;
    QWEN25_RETURN_IF_ERROR(ReadField(entry, "type", origin, type));
    if (type != "file") continue;
    QWEN25_RETURN_IF_ERROR(ReadField(entry, "path", origin, file.path));
    QWEN25_RETURN_IF_ERROR(ReadField(entry, "size", origin, file.size));
    QWEN25_RETURN_IF_ERROR(ReadField(entry, "oid", origin, file.digest));
    const auto large = entry.find("lfs");  // then "oid" is that of a pointer
    if (large != entry.end() && large->is_object()) {
      QWEN25_RETURN_IF_ERROR(ReadField(*large, "size", origin, file.size));
      QWEN25_RETURN_IF_ERROR(ReadField(*large, "oid", origin, file.digest));
    }
    if (!IsSafeRelativePath(file.path)) {
      return Corrupt("{}: lists the path {}, which leads outside of the repository", origin,
                     DumpJson(file.path));
    }
    if (!ContentDigest::IsDigest(file.digest)) {
      return Corrupt("{}: gives no SHA-256 and no git digest for {}", origin, file.path);
    }
    files.push_back(std::move(file));
  }
  return files;
}

std::string FileUrl(const HubSettings& settings, const std::string& repository, const std::string& commit,
                    const std::string& path) {
  return fmt::format("{}/{}/resolve/{}/{}", settings.endpoint, repository, commit,
                     PercentEncoded(path, /*keep_slashes=*/true));
}

Result<RepositoryListing> ListRepository(const ModelName& name, const HubSettings& settings,
                                         const std::function<bool()>& cancelled, const OnWait& on_wait) {
  QWEN25_RETURN_IF_ERROR(CheckEndpoint(settings.endpoint));
  QWEN25_RETURN_IF_ERROR(CheckToken(settings.token));
  HttpClient client(cancelled);
  const std::string what =
      name.repository + (name.revision.empty() ? "" : fmt::format(", revision {}", name.revision));
  constexpr int kMaxFailures = 3;  // nothing is lost yet: who has no network should learn it soon
  const Retry retry(what, !settings.token.empty(), kMaxFailures, on_wait);
  const std::string api = fmt::format("{}/api/models/{}", settings.endpoint, name.repository);
  RepositoryListing listing;
  {
    const FetchRequest request = {
        .url = fmt::format("{}/revision/{}", api, PercentEncoded(name.revision_or_main(), false)),
        .token = settings.token};
    QWEN25_TRY(const HttpResult result, GetWithRetry(client, request, retry));
    QWEN25_TRY(listing.commit, ParseCommit(result.body, what, settings.endpoint));
  }
  std::string url = fmt::format("{}/tree/{}?recursive=true", api, listing.commit);
  for (size_t page = 0; !url.empty(); ++page) {
    const FetchRequest request = {.url = url, .token = settings.token};
    QWEN25_TRY(const HttpResult result, GetWithRetry(client, request, retry));
    QWEN25_TRY(std::vector<RepositoryFile> files,
               ParseFileList(result.body, what + ": the hub's list of files"));
    listing.files.insert(listing.files.end(), std::make_move_iterator(files.begin()),
                         std::make_move_iterator(files.end()));
    if (listing.files.size() > kMaxFiles || page == kMaxPages) {
      return Corrupt("{}: the hub lists more than {} files", what, kMaxFiles);
    }
    url = NextLink(result.response.Header("link"));
    if (url.empty()) break;
    QWEN25_TRY(url, ResolveUrl(request.url, url));
    if (!IsSameOrigin(url, settings.endpoint)) {
      return Corrupt("{}: the list of files goes on at another host", what);
    }
  }
  return listing;
}

}  // namespace qwen25
