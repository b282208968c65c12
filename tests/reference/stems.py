#!/usr/bin/env python3
"""Compares StemEnglish with snowballstemmer (pip install snowballstemmer) on all words of texts.

    python tests/reference/stems.py STEM_PROGRAM TEXT...

STEM_PROGRAM reads words, one a line, and writes each with its stem, as src/knowledge/english_stem.h gives it:

    int main() { for (std::string w; std::cin >> w;) { std::string s = w; qwen25::StemEnglish(s); ... } }

Words of the table of irregular forms in english_stem.cc are left out. Prints the others that differ; the ones
that are known (the kept words, -ologist, -ceed) are fewer than one in a thousand.
"""
import pathlib
import re
import subprocess
import sys

import snowballstemmer


def main():
    program, *texts = sys.argv[1:]
    words = set()
    for text in texts:
        words |= set(re.findall(r"[a-z]{3,}", pathlib.Path(text).read_text(errors="ignore").lower()))
    source = (pathlib.Path(__file__).parents[2] / "src/knowledge/english_stem.cc").read_text()
    irregular = dict(re.findall(r'\{"(\w+)", "(\w+)"\}', source.split("kIrregular")[1].split("});")[0]))
    output = subprocess.run([program], input="\n".join(sorted(words)), capture_output=True, text=True,
                            check=True)
    ours = dict(line.split() for line in output.stdout.splitlines())
    stemmer = snowballstemmer.stemmer("english")
    different = [(word, ours[word], stemmer.stemWord(word)) for word in sorted(words - irregular.keys())
                 if ours[word] != stemmer.stemWord(word)]
    for word, stem, expected in different:
        print(f"{word}: {stem}, expected {expected}")
    print(f"{len(words)} words, {len(different)} different")


if __name__ == "__main__":
    main()
