#include "knowledge/english_stem.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace qwen25 {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Irregular past forms, participles and plurals, with their base form. Forms that are also other common words
// ("left", "felt", "saw", "ground", "wound", "found" of founding) are listed where the verb is by far the
// more frequent reading. Sorted.
constexpr auto kIrregular = std::to_array<Pair>({
    {"am", "be"},          {"are", "be"},           {"ate", "eat"},
    {"became", "become"},  {"been", "be"},          {"began", "begin"},
    {"begun", "begin"},    {"bent", "bend"},        {"bit", "bite"},
    {"bitten", "bite"},    {"blew", "blow"},        {"blown", "blow"},
    {"bought", "buy"},     {"broke", "break"},      {"broken", "break"},
    {"brought", "bring"},  {"built", "build"},      {"came", "come"},
    {"caught", "catch"},   {"children", "child"},   {"chose", "choose"},
    {"chosen", "choose"},  {"did", "do"},           {"does", "do"},
    {"done", "do"},        {"drank", "drink"},      {"drawn", "draw"},
    {"drew", "draw"},      {"driven", "drive"},     {"drove", "drive"},
    {"drunk", "drink"},    {"dying", "die"},        {"earrings", "earring"},
    {"eaten", "eat"},      {"evenings", "evening"}, {"fallen", "fall"},
    {"feet", "foot"},      {"fell", "fall"},        {"felt", "feel"},
    {"flew", "fly"},       {"flown", "fly"},        {"forgave", "forgive"},
    {"forgot", "forget"},  {"forgotten", "forget"}, {"fought", "fight"},
    {"found", "find"},     {"froze", "freeze"},     {"frozen", "freeze"},
    {"gave", "give"},      {"given", "give"},       {"goes", "go"},
    {"gone", "go"},        {"got", "get"},          {"gotten", "get"},
    {"grew", "grow"},      {"grown", "grow"},       {"had", "have"},
    {"has", "have"},       {"heard", "hear"},       {"held", "hold"},
    {"hid", "hide"},       {"hidden", "hide"},      {"hung", "hang"},
    {"is", "be"},          {"kept", "keep"},        {"knew", "know"},
    {"known", "know"},     {"laid", "lay"},         {"led", "lead"},
    {"left", "leave"},     {"lent", "lend"},        {"lost", "lose"},
    {"lying", "lie"},      {"made", "make"},        {"meant", "mean"},
    {"men", "man"},        {"met", "meet"},         {"mice", "mouse"},
    {"outings", "outing"}, {"paid", "pay"},         {"ran", "run"},
    {"ridden", "ride"},    {"rode", "ride"},        {"rung", "ring"},
    {"said", "say"},       {"sang", "sing"},        {"sat", "sit"},
    {"saw", "see"},        {"seen", "see"},         {"sent", "send"},
    {"shaken", "shake"},   {"shook", "shake"},      {"shot", "shoot"},
    {"shown", "show"},     {"skies", "sky"},        {"slept", "sleep"},
    {"sold", "sell"},      {"sought", "seek"},      {"spent", "spend"},
    {"spoke", "speak"},    {"spoken", "speak"},     {"stole", "steal"},
    {"stolen", "steal"},   {"stood", "stand"},      {"stuck", "stick"},
    {"sung", "sing"},      {"swam", "swim"},        {"swum", "swim"},
    {"taken", "take"},     {"taught", "teach"},     {"teeth", "tooth"},
    {"thought", "think"},  {"threw", "throw"},      {"thrown", "throw"},
    {"told", "tell"},      {"took", "take"},        {"tore", "tear"},
    {"torn", "tear"},      {"tying", "tie"},        {"understood", "understand"},
    {"was", "be"},         {"went", "go"},          {"were", "be"},
    {"woke", "wake"},      {"woken", "wake"},       {"women", "woman"},
    {"won", "win"},        {"wore", "wear"},        {"worn", "wear"},
    {"written", "write"},  {"wrote", "write"},
});
// Words whose stem would be that of another word ("even", "ear", "new"), or of none. Sorted.
constexpr auto kKept =
    std::to_array<std::string_view>({"atlas", "bias", "early", "earring", "evening", "gently", "herring",
                                     "news", "only", "outing", "sky", "ugly"});

bool IsVowel(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

// A word while rules are applied to it. Regions as the paper defines them: R1 begins behind the first
// consonant that follows a vowel, R2 is R1 of R1.
class Stemmer {
 public:
  // A "y" at the beginning or behind a vowel is a consonant, and written "Y" meanwhile.
  explicit Stemmer(std::string& word) : word_(word) {
    for (size_t i = 0; i < word_.size(); ++i) {
      if (word_[i] == 'y' && (i == 0 || IsVowel(word_[i - 1]))) word_[i] = 'Y';
    }
    r1_ = RegionFrom(0);
    for (const std::string_view start :
         {"gener", "commun", "arsen", "univers", "later", "emerg", "organ", "inter"}) {
      if (word_.starts_with(start)) r1_ = start.size();
    }
    r2_ = RegionFrom(r1_);
  }

  void Run() {
    Plural();
    PastAndGerund();
    FinalY();
    Derivation();
    DerivationInR1();
    SuffixInR2();
    FinalEOrL();
    std::ranges::replace(word_, 'Y', 'y');
  }

 private:
  size_t RegionFrom(size_t begin) const {
    for (size_t i = begin + 1; i < word_.size(); ++i) {
      if (IsVowel(word_[i - 1]) && !IsVowel(word_[i])) return i + 1;
    }
    return word_.size();
  }
  bool Ends(std::string_view end) const { return word_.ends_with(end); }
  bool EndsInR1(std::string_view end) const { return Ends(end) && word_.size() - end.size() >= r1_; }
  bool EndsInR2(std::string_view end) const { return Ends(end) && word_.size() - end.size() >= r2_; }
  bool HasVowelBefore(size_t end) const {
    return std::any_of(word_.begin(), word_.begin() + static_cast<std::ptrdiff_t>(end), IsVowel);
  }
  void Cut(size_t count) { word_.resize(word_.size() - count); }
  void Replace(size_t count, std::string_view by) {
    Cut(count);
    word_ += by;
  }
  // Whether the first `size` letters end in a short syllable: a vowel between consonants, of which the second
  // is not w, x or Y; or a vowel and a consonant that begin the word.
  bool EndsShort(size_t size) const {
    if (size == 2) return IsVowel(word_[0]) && !IsVowel(word_[1]);
    if (size < 3) return false;
    const char last = word_[size - 1];
    return !IsVowel(last) && last != 'w' && last != 'x' && last != 'Y' && IsVowel(word_[size - 2]) &&
           !IsVowel(word_[size - 3]);
  }
  bool IsShort() const { return r1_ >= word_.size() && EndsShort(word_.size()); }

  void Plural() {  // step 1a
    if (Ends("sses")) return Cut(2);
    if (Ends("ied") || Ends("ies")) return Replace(3, word_.size() > 4 ? "i" : "ie");
    if (Ends("us") || Ends("ss") || !Ends("s")) return;
    if (word_.size() >= 2 && HasVowelBefore(word_.size() - 2)) Cut(1);
  }

  void PastAndGerund() {  // step 1b
    for (const std::string_view end : {"eedly", "eed"}) {
      if (!Ends(end)) continue;
      if (EndsInR1(end) && !Ends("ceed")) Replace(end.size(), "ee");  // not of "proceed"
      return;
    }
    for (const std::string_view end : {"ingly", "edly", "ing", "ed"}) {
      if (!Ends(end)) continue;
      if (!HasVowelBefore(word_.size() - end.size())) return;
      Cut(end.size());
      if (Ends("at") || Ends("bl") || Ends("iz")) {
        word_ += 'e';
      } else if (EndsInDouble()) {
        if (word_.size() > 3 || !IsVowel(word_[0])) Cut(1);  // not of "add", "egg", "err"
      } else if (IsShort()) {
        word_ += 'e';
      }
      return;
    }
  }

  bool EndsInDouble() const {
    constexpr std::string_view kDoubled = "bdfgmnprt";
    const size_t size = word_.size();
    return size >= 2 && word_[size - 1] == word_[size - 2] &&
           kDoubled.find(word_[size - 1]) != std::string_view::npos;
  }

  void FinalY() {  // step 1c
    const size_t size = word_.size();
    if (size > 2 && (word_.back() == 'y' || word_.back() == 'Y') && !IsVowel(word_[size - 2])) {
      word_.back() = 'i';
    }
  }

  // The rule of the longest suffix that the word has, if that lies in R1.
  template <size_t N>
  void ReplaceInR1(const std::array<Pair, N>& rules) {
    for (const auto& [end, by] : rules) {  // longer ones first
      if (!Ends(end)) continue;
      if (EndsInR1(end)) Replace(end.size(), by);
      return;
    }
  }

  void Derivation() {  // step 2
    static constexpr auto kRules = std::to_array<Pair>(
        {{"ational", "ate"}, {"fulness", "ful"}, {"iveness", "ive"}, {"ization", "ize"}, {"ousness", "ous"},
         {"biliti", "ble"},  {"lessli", "less"}, {"tional", "tion"}, {"alism", "al"},    {"aliti", "al"},
         {"ation", "ate"},   {"entli", "ent"},   {"fulli", "ful"},   {"iviti", "ive"},   {"ousli", "ous"},
         {"abli", "able"},   {"alli", "al"},     {"anci", "ance"},   {"ator", "ate"},    {"enci", "ence"},
         {"izer", "ize"},    {"bli", "ble"}});
    if (Ends("ogi")) {
      if (EndsInR1("ogi") && word_.size() > 3 && word_[word_.size() - 4] == 'l') Cut(1);
      return;
    }
    const size_t before = word_.size();
    if (std::ranges::any_of(kRules, [&](const Pair& rule) { return Ends(rule.first); })) {
      return ReplaceInR1(kRules);
    }
    constexpr std::string_view kBeforeLi = "cdeghkmnrt";
    if (EndsInR1("li") && before > 2 && kBeforeLi.find(word_[before - 3]) != std::string_view::npos) Cut(2);
  }

  void DerivationInR1() {  // step 3
    if (Ends("ative")) {
      if (EndsInR2("ative")) Cut(5);
      return;
    }
    static constexpr auto kRules = std::to_array<Pair>({{"ational", "ate"},
                                                        {"tional", "tion"},
                                                        {"alize", "al"},
                                                        {"icate", "ic"},
                                                        {"iciti", "ic"},
                                                        {"ical", "ic"},
                                                        {"ness", ""},
                                                        {"ful", ""}});
    ReplaceInR1(kRules);
  }

  void SuffixInR2() {  // step 4
    for (const std::string_view end : {"ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism",
                                       "ate", "iti", "ous", "ive", "ize", "ion", "al", "er", "ic"}) {
      if (!Ends(end)) continue;
      if (!EndsInR2(end)) return;
      const char before = word_.size() > end.size() ? word_[word_.size() - end.size() - 1] : '\0';
      if (end != "ion" || before == 's' || before == 't') Cut(end.size());
      return;
    }
  }

  void FinalEOrL() {  // step 5
    if (Ends("e")) {
      if (EndsInR2("e") || (EndsInR1("e") && !EndsShort(word_.size() - 1))) Cut(1);
    } else if (EndsInR2("l") && word_.size() > 1 && word_[word_.size() - 2] == 'l') {
      Cut(1);
    }
  }

  std::string& word_;
  size_t r1_ = 0, r2_ = 0;
};

}  // namespace

void StemEnglish(std::string& word) {
  if (!std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; })) return;
  const auto found = std::ranges::lower_bound(kIrregular, std::string_view(word), {}, &Pair::first);
  if (found != kIrregular.end() && found->first == word) word = found->second;
  if (word.size() > 2 && !std::ranges::binary_search(kKept, word)) Stemmer(word).Run();
}

}  // namespace qwen25
