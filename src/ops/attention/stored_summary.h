// Summaries of single blocks, as they are stored beside them, and panels made of them.
#pragma once

#include <cstddef>
#include <span>

#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// Bytes of the summary of one block in one layer: kv head by kv head a column of a panel
// (kernels/block_summary.h), 3 D float16.
size_t SummaryBytes(const AttentionShape& shape);

// The summary of a full block of BytesPerBlock() bytes: what AppendKv writes into a panel for it.
void SummarizeStoredBlock(const AttentionShape& shape, const std::byte* block, std::span<std::byte> summary);

// Fills a panel, kv head by kv head, of the summaries of up to kPanelBlocks blocks. The columns after them,
// and the columns of null entries, say that nothing there is worth reading.
void FillPanel(const AttentionShape& shape, std::span<const std::byte* const> summaries, std::byte* panel);

// Summarises the parts of a panel that FillPanel wrote, in the kPanelParts columns of a super panel from
// `lane` on.
void SummarizeStoredPanel(const AttentionShape& shape, const std::byte* panel, size_t lane,
                          std::byte* super_panel);

}  // namespace qwen25
