#!/usr/bin/env python3
"""Trains BPE vocabularies with this project's trainer and with a plain Python one, and compares every token.

    python tests/reference/compare_bpe_trainer.py build/release/src/cli/qwen25

The Python trainer shares no code with ours, not even the pre-tokenizer: it splits with the published regular
expressions, recounts the pairs of every piece that a merge touches, and scans all pairs for the best one.
The text is Python's standard library, which every machine has. Needs: regex (comes with tiktoken).
"""

import collections
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import unicodedata

import regex

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
             r"\s+(?!\S)|\s+",
}
END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 1500
NUM_BYTES = 1_500_000


def corpus():
    """Some of the standard library as one text, with the separator between files and some non-ASCII lines."""
    text = "Grüße aus 東京, naïve cafe\u0301 🦀🦀 ١٢٣ \u2028 наука и жизнь\n" * 50
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text += END_OF_TEXT + path.read_bytes().decode("utf-8", "replace")
        if len(text) > NUM_BYTES:
            break
    return text


def train(text, pattern):
    """The learned tokens in rank order."""
    if pattern == "qwen2":
        text = unicodedata.normalize("NFC", text)
    counted = collections.Counter()
    for document in text.split(END_OF_TEXT):
        counted.update(match.group().encode() for match in regex.finditer(PATTERNS[pattern], document))
    pieces = [[bytes([byte]) for byte in piece] for piece in counted]
    weights = list(counted.values())
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for number, piece in enumerate(pieces):
        for pair in zip(piece, piece[1:]):
            pairs[pair] += weights[number]
            where[pair].add(number)
    tokens = []
    while len(tokens) < VOCAB_SIZE - 257:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        merged = best[0] + best[1]
        if merged not in tokens:
            tokens.append(merged)
        for number in list(where[best]):
            piece, new = pieces[number], []
            for pair in zip(piece, piece[1:]):
                pairs[pair] -= weights[number]
                where[pair].discard(number)
                if pairs[pair] == 0:
                    del pairs[pair]
            at = 0
            while at < len(piece):
                take = 2 if tuple(piece[at:at + 2]) == best else 1
                new.append(b"".join(piece[at:at + take]))
                at += take
            pieces[number] = new
            for pair in zip(new, new[1:]):
                pairs[pair] += weights[number]
                where[pair].add(number)
    return tokens


def main():
    tool = pathlib.Path(sys.argv[1]).parents[1] / "text" / "train_bpe_tool"
    text = corpus()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        text_file, tokens_file = pathlib.Path(folder, "text"), pathlib.Path(folder, "tokens")
        text_file.write_bytes(text.encode())
        for pattern in PATTERNS:
            subprocess.run([tool, str(VOCAB_SIZE), pattern, "2", tokens_file, text_file], check=True,
                           stdout=subprocess.DEVNULL)
            ours = [bytes.fromhex(line) for line in tokens_file.read_text().split()]
            theirs = train(text, pattern)
            same = sum(a == b for a, b in zip(ours, theirs))
            print(f"{pattern}: {same} of {len(theirs)} learned tokens equal in rank order ({len(text) / 1e6:.1f} MB)")
            failed |= ours != theirs
    sys.exit(failed)


if __name__ == "__main__":
    main()
