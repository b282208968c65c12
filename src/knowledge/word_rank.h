// The ranking by words that the full-text tables use: BM25 with a weight for each term of a query.
#pragma once

#include <sqlite3.h>

namespace qwen25 {

// Adds the function word_rank to a connection, for `rank MATCH 'word_rank(w0, w1, ...)'` (FTS5). The score of
// a row is minus the sum over the terms i of the query that it holds of
//
//   w_i * idf_i * f (k1 + 1) / (f + k1 (1 - b + b D / A)),   idf_i = ln(1 + (N - n_i + 0.5) / (n_i + 0.5)),
//
// so that the best row comes first: f times in a row of D terms, n_i of N rows hold the term, A is the mean
// of D (Robertson and Zaragoza 2009). Weights that are not given are 1. k1 = 0.9 and b = 0.4 are the
// customary choice for passages (Trotman, Puurula and Burgess 2014); FTS5's own bm25 has 1.2 and 0.75, with
// which a sentence of many words hardly competes with "Good morning!". Gives SQLite's code.
int RegisterWordRank(sqlite3* connection);

}  // namespace qwen25
