// English words without their inflection, so that a question finds its answer in another tense or number.
#pragma once

#include <string>

namespace qwen25 {

// Replaces `word` (lower case) by its stem: "cycling", "cycled" and "cycles" become "cycl". Stems need not be
// words; only their equality counts. The rules are those of the Porter 2 stemmer (M. F. Porter, "The English
// (Porter2) stemming algorithm", snowballstem.org, 2001), with few of its exceptions for single words; before
// them, irregular forms become their base form ("went" becomes "go", "children" "child"). Words of fewer than
// three letters, and words with anything but the letters a to z, stay as they are.
void StemEnglish(std::string& word);

}  // namespace qwen25
