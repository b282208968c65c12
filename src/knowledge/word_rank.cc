#include "knowledge/word_rank.h"

#include <cmath>
#include <memory>
#include <vector>

namespace qwen25 {
namespace {

constexpr double kSaturation = 0.9;  // k1
constexpr double kLength = 0.4;      // b

// What is the same for all rows of a query.
struct QueryStatistics {
  std::vector<double> factors;  // by term: weight * idf * (k1 + 1)
  double average_length = 1;
};

int CountRow(const Fts5ExtensionApi*, Fts5Context*, void* count) {
  ++*static_cast<int64_t*>(count);
  return SQLITE_OK;
}

int ReadStatistics(const Fts5ExtensionApi* api, Fts5Context* fts, int num_weights, sqlite3_value** weights,
                   QueryStatistics& statistics) {
  sqlite3_int64 rows = 0, tokens = 0;
  int code = api->xRowCount(fts, &rows);
  if (code == SQLITE_OK) code = api->xColumnTotalSize(fts, -1, &tokens);
  if (code != SQLITE_OK) return code;
  if (rows > 0 && tokens > 0) {
    statistics.average_length = static_cast<double>(tokens) / static_cast<double>(rows);
  }
  for (int term = 0; term < api->xPhraseCount(fts); ++term) {
    int64_t holding = 0;
    code = api->xQueryPhrase(fts, term, &holding, CountRow);
    if (code != SQLITE_OK) return code;
    const double idf =
        std::log1p((static_cast<double>(rows - holding) + 0.5) / (static_cast<double>(holding) + 0.5));
    const double weight = term < num_weights ? sqlite3_value_double(weights[term]) : 1;
    statistics.factors.push_back(weight * idf * (kSaturation + 1));
  }
  return SQLITE_OK;
}

// The statistics, computed at the first row and kept by FTS5 until the query ends.
int StatisticsOf(const Fts5ExtensionApi* api, Fts5Context* fts, int num_weights, sqlite3_value** weights,
                 const QueryStatistics** found) {
  *found = static_cast<const QueryStatistics*>(api->xGetAuxdata(fts, /*bClear=*/0));
  if (*found != nullptr) return SQLITE_OK;
  auto statistics = std::make_unique<QueryStatistics>();
  int code = ReadStatistics(api, fts, num_weights, weights, *statistics);
  if (code != SQLITE_OK) return code;
  *found = statistics.get();
  // FTS5 calls the destructor even if it cannot keep the pointer.
  code = api->xSetAuxdata(fts, statistics.release(),
                          [](void* data) { delete static_cast<QueryStatistics*>(data); });
  return code;
}

void WordRank(const Fts5ExtensionApi* api, Fts5Context* fts, sqlite3_context* context, int num_weights,
              sqlite3_value** weights) {
  const QueryStatistics* statistics = nullptr;
  int code = StatisticsOf(api, fts, num_weights, weights, &statistics);
  int length = 0, instances = 0;
  if (code == SQLITE_OK) code = api->xColumnSize(fts, -1, &length);
  if (code == SQLITE_OK) code = api->xInstCount(fts, &instances);
  if (code != SQLITE_OK) return sqlite3_result_error_code(context, code);
  std::vector<double> counts(statistics->factors.size());
  for (int i = 0; i < instances; ++i) {
    int term = 0, column = 0, offset = 0;
    code = api->xInst(fts, i, &term, &column, &offset);
    if (code != SQLITE_OK) return sqlite3_result_error_code(context, code);
    ++counts[static_cast<size_t>(term)];
  }
  const double norm = kSaturation * (1 - kLength + kLength * length / statistics->average_length);
  double score = 0;
  for (size_t term = 0; term < counts.size(); ++term) {
    if (counts[term] > 0) score += statistics->factors[term] * counts[term] / (counts[term] + norm);
  }
  sqlite3_result_double(context, -score);
}

// As https://www.sqlite.org/fts5.html#extending_fts5 says.
int FindApi(sqlite3* connection, fts5_api** api) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection, "SELECT fts5(?1)", -1, &statement, nullptr);
  if (code != SQLITE_OK) return code;
  sqlite3_bind_pointer(statement, 1, static_cast<void*>(api), "fts5_api_ptr", nullptr);
  sqlite3_step(statement);
  sqlite3_finalize(statement);
  return *api == nullptr ? SQLITE_ERROR : SQLITE_OK;
}

}  // namespace

int RegisterWordRank(sqlite3* connection) {
  fts5_api* api = nullptr;
  if (const int code = FindApi(connection, &api); code != SQLITE_OK) return code;
  return api->xCreateFunction(api, "word_rank", nullptr, WordRank, nullptr);
}

}  // namespace qwen25
