#!/usr/bin/env python3
"""Encoding speed of tokenizers whose patterns have no scanner of their own, beside Hugging Face tokenizers.

    tokenizer_kinds_speed.py --tool build/release/src/text/tokenize_tool --data ../shared/data [KIND ...]

Each kind (compare_tokenizer_kinds.py in tests/reference has them: gpt4o, deepseek3, qwen35, kimi, ...) is the vocabulary
of Qwen2.5 with the pre-tokenizer of that kind; qwen2 is its own, which has a scanner. The same texts as in
tokenizer_speed.py, in NFC. Processor time of one thread: ours the best of three rounds, Hugging Face one round. Then the
same text as a single document, and 40,000 digits in a row. Ids are compared as well.

With --one-piece: vocabularies that merge a document as one piece (llama2, gemma; trained here), on documents of 2.5 to 20 MB
and on 20 MB of one letter; only ours.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../tests/reference"))
from compare_tokenizer_kinds import KINDS, build  # noqa: E402
from compare_tokenizers import file_documents  # noqa: E402
from tokenizer_speed import texts  # noqa: E402
import transformers  # noqa: E402

LONG_DIGITS = "7" * 40_000


def ours(tool, folder, documents, rounds=3):
    """Seconds of the best round, and ids in all."""
    with tempfile.NamedTemporaryFile() as file:
        for document in documents:
            data = document.encode()
            file.write(struct.pack("<I", len(data)) + data)
        file.flush()
        run = subprocess.run([tool, "bench", folder, file.name], input="run\n" * rounds, capture_output=True, text=True,
                             check=True)
    lines = [line.split() for line in run.stdout.splitlines()]
    return min(float(seconds) for seconds, _ in lines), int(lines[0][1])


def one_piece(args):
    documents = [d.decode("utf-8", "replace") for _, d in file_documents(args.data, 20e6)]
    whole = " ".join(documents)
    print("| kind | document | seconds | MB/s |\n| --- | --- | ---: | ---: |")
    for kind in ("llama2", "gemma"):
        with tempfile.TemporaryDirectory() as folder:
            build(kind, documents[:300]).save(os.path.join(folder, "tokenizer.json"))
            texts_by_name = {f"{size} MB": whole.encode()[: int(size * 1e6)].decode("utf-8", "ignore")
                             for size in (2.5, 5, 10, 20)}
            for name, text in {**texts_by_name, "20 MB of one letter": "a" * 20_000_000}.items():
                seconds, _ = ours(args.tool, folder, [text], 1)
                print(f"| {kind} | {name} | {seconds:.2f} | {len(text.encode()) / seconds / 1e6:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "../../shared/data"))
    parser.add_argument("--one-piece", action="store_true")
    parser.add_argument("kinds", nargs="*", default=["qwen2", "gpt4o", "deepseek3", "qwen35", "kimi", "superbpe"])
    args = parser.parse_args()
    if args.one_piece:
        return one_piece(args)
    documents = [unicodedata.normalize("NFC", d) for group in texts(args.data).values() for d in group]
    size = sum(len(d.encode()) for d in documents) / 1e6
    print(f"{size:.1f} MB; MB per second of processor time, one thread\n\n"
          "| kind | qwen25 | Hugging Face | ratio | in one piece | 40,000 digits: qwen25 | Hugging Face |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in args.kinds:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            os.path.join(args.data, "qwen25_tokenizer")).backend_tokenizer
        if kind != "qwen2":
            tokenizer.pre_tokenizer = KINDS[kind]()[0].pre_tokenizer
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(os.path.join(folder, "tokenizer.json"))
            seconds, count = ours(args.tool, folder, documents)
            whole, _ = ours(args.tool, folder, ["\n".join(documents)])
            digits, digit_count = ours(args.tool, folder, [LONG_DIGITS], 1)
        start = time.thread_time()
        expected = sum(len(tokenizer.encode(document, add_special_tokens=False)) for document in documents)
        theirs = time.thread_time() - start
        start = time.thread_time()
        expected_digits = len(tokenizer.encode(LONG_DIGITS, add_special_tokens=False))
        their_digits = time.thread_time() - start
        if (count, digit_count) != (expected, expected_digits):
            sys.exit(f"{kind}: {count} and {digit_count} ids, Hugging Face has {expected} and {expected_digits}")
        print(f"| {kind} | {size / seconds:.1f} | {size / theirs:.1f} | {theirs / seconds:.0f} | {size / whole:.1f} | "
              f"{digits:.3f} s | {their_digits:.3f} s |", flush=True)


if __name__ == "__main__":
    main()
