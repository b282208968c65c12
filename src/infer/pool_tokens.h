// From the hidden states of a text's tokens to one vector: what sentence encoders and decoders share.
#pragma once

#include <span>
#include <vector>

#include "pretrained/sentence_settings.h"
#include "tensor/view.h"

namespace qwen25 {

// The result of one pooling, width rows.cols, into `out`. `rows` [tokens >= 1, width]: the hidden states of
// one text.
void PoolTokens(SentencePooling pooling, MatrixView<const float> rows, std::span<double> out);

// `poolings` one behind the other, and then the dense modules.
std::vector<double> SentenceVector(std::span<const SentencePooling> poolings,
                                   std::span<const DenseModule> dense, MatrixView<const float> rows);

// Scales `row` to length one; zeros stay zeros.
void ScaleToUnit(std::span<float> row);

// Adds `weight` times the unit vector of `from` to `out`; zeros add nothing.
void AddUnit(std::span<const double> from, double weight, std::span<float> out);

}  // namespace qwen25
