// Fetches files of a repository into the cache: several at a time, resumed after cuts, checked before they
// count.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/status.h"
#include "pretrained/hub/hub_cache.h"
#include "pretrained/hub/hub_settings.h"
#include "pretrained/hub/repository_files.h"

namespace qwen25 {

// Told, by the calling thread, several times a second: bytes that are there, of all that are wanted, and what
// a file waits for, if any does. False stops the download.
using DownloadProgress = std::function<bool(uint64_t done, uint64_t total, const std::string& note)>;

struct DownloadJob {
  const HubCache& cache;
  const HubSettings& hub;
  std::string repository, commit;
  std::span<const RepositoryFile> files;  // without two of one digest
  size_t num_connections = 4;
  DownloadProgress progress = {};
};

// Makes the blobs of all files: each is written as blobs/DIGEST.incomplete under its lock, and gets its name
// when length and digest are right and it is on disk. What is there of such a file is completed by a Range. A
// wrong length or digest makes it start again from nothing, once. After an error or a stop, unfinished files
// stay for the next call. Links are the caller's.
// kCancelled after a stop; kCorrupt if the hub sends another content; kResourceExhausted for a full disk;
// errors of Retry.
Status DownloadBlobs(const DownloadJob& job);

// Where an unfinished file lies.
std::filesystem::path UnfinishedBlob(const HubCache& cache, const std::string& repository,
                                     const std::string& digest);

}  // namespace qwen25
