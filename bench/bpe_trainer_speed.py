#!/usr/bin/env python3
"""Training a byte-level BPE: this project's trainer beside Hugging Face tokenizers', on the same text in one run.

    python bench/bpe_trainer_speed.py --tool build/release/src/text/train_bpe_tool
                                      [--megabytes 20] [--vocab-size 4096] [--rounds 3] [--threads N]

The text is what the machine has: Python's standard library and installed packages, C headers, documentation.
The two trainers take turns, so that a slow moment of the machine meets both. Ours is timed as a whole process that
reads the file from disk; Hugging Face's within this process, on documents that are already Python strings.
Needs: tokenizers.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sysconfig
import tempfile
import time

END_OF_TEXT = "<|endoftext|>"
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def collect(num_bytes):
    """Distinct UTF-8 documents of the machine, up to num_bytes; repeated only where it has fewer."""
    paths = sysconfig.get_paths()
    folders = [paths["stdlib"], "/usr/share/doc", "/usr/include", "/usr/share/perl", paths["purelib"]]
    documents, total = [], 0
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if total >= num_bytes:
                return documents, 1
            if path.suffix not in {".py", ".h", ".txt", ".md", ".rst", ".html", ".pm", ".pod", ""} or not path.is_file():
                continue
            try:
                text = path.read_bytes().decode("utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            if not text or "\0" in text or END_OF_TEXT in text:
                continue
            documents.append(text)
            total += len(text.encode())
    times = -(-num_bytes // max(total, 1))
    return documents * times, times


def train_huggingface(documents, pattern, vocab_size):
    """Returns (seconds, the learned tokens as bytes)."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if pattern == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    start = time.perf_counter()
    tokenizer.train_from_iterator(documents, trainer=trainer, length=len(documents))
    seconds = time.perf_counter() - start
    printing = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    byte_of = {chr(b): b for b in printing}
    byte_of.update({chr(0x100 + n): b for n, b in enumerate(b for b in range(256) if b not in printing)})
    tokens = {bytes(byte_of[c] for c in token) for token in tokenizer.get_vocab() if token != END_OF_TEXT}
    return seconds, {token for token in tokens if len(token) > 1}


def train_ours(tool, corpus, pattern, vocab_size, threads, tokens_file):
    """Returns (seconds of the whole process, what it reports, the learned tokens as bytes)."""
    start = time.perf_counter()
    output = subprocess.run([tool, str(vocab_size), pattern, str(threads), tokens_file, corpus], check=True,
                            capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    return seconds, json.loads(output), set(map(bytes.fromhex, pathlib.Path(tokens_file).read_text().split()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True, help="the train_bpe_tool of a Release build")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", help="also write the figures here")
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"

    documents, times = collect(int(arguments.megabytes * 1e6))
    text = END_OF_TEXT.join(documents).encode()
    print(f"{len(text) / 1e6:.1f} MB, {len(documents)} documents"
          + (f", each {times} times" if times > 1 else ", all different")
          + f"; {arguments.vocab_size} entries; {arguments.threads} threads; {arguments.rounds} rounds")
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        corpus, tokens_file = os.path.join(folder, "corpus"), os.path.join(folder, "tokens")
        pathlib.Path(corpus).write_bytes(text)
        for pattern in ("qwen2", "gpt2"):
            ours, theirs, single = [], [], []
            for _ in range(arguments.rounds):
                seconds, report, tokens = train_ours(
                    arguments.tool, corpus, pattern, arguments.vocab_size, arguments.threads, tokens_file)
                ours.append(seconds)
                seconds, their_tokens = train_huggingface(documents, pattern, arguments.vocab_size)
                theirs.append(seconds)
                single.append(train_ours(arguments.tool, corpus, pattern, arguments.vocab_size, 1, tokens_file)[1])
            count_rate = report["bytes"] / 1e6 / min(one["count_seconds"] for one in single)
            figure = {
                "pattern": pattern,
                "ours_seconds": round(statistics.median(ours), 3),
                "huggingface_seconds": round(statistics.median(theirs), 3),
                "ratio": round(statistics.median(theirs) / statistics.median(ours), 2),
                "count_megabytes_per_second_per_thread": round(count_rate, 1),
                "merge_seconds": round(min(one["merge_seconds"] for one in single), 3),
                "shared_tokens_percent": round(100 * len(tokens & their_tokens) / len(their_tokens), 2),
                **{key: report[key] for key in ("bytes", "pieces", "different_pieces", "vocab_size", "last_count")},
            }
            figures.append(figure)
            print(f"{pattern}: ours {figure['ours_seconds']} s, tokenizers {figure['huggingface_seconds']} s, "
                  f"{figure['ratio']} times faster; counting alone {count_rate:.0f} MB/s on one thread, "
                  f"merging {figure['merge_seconds']} s; "
                  f"{figure['shared_tokens_percent']} % of the tokens are the same (ties are broken differently)")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
