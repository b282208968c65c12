// Unicode normalisation forms (Unicode Standard Annex 15), as of Unicode 9.0 (see unicode_class.h).
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

// Whether NFC can change `text`: false for most text, and nearly free on ASCII.
bool NeedsNfc(std::string_view text);

// Sets `out` to the NFC of `text`, which is well-formed UTF-8.
void NormalizeNfc(std::string_view text, std::string& out);

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };
// The same for any form.
void Normalize(NormalizationForm form, std::string_view text, std::string& out);

}  // namespace qwen25
