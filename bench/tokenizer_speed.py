#!/usr/bin/env python3
"""Encoding speed beside tiktoken and Hugging Face tokenizers: one vocabulary (Qwen2.5), one text, one thread,
rounds of all programs interleaved in one run, the best round of each.

    tokenizer_speed.py --tool build/release/src/text/tokenize_tool --data ../shared/data

Needs the Python packages tiktoken, tokenizers and transformers. tiktoken gets the same merges, pattern and added
tokens; it has no normalisation, which is left on for the other two. It is timed through encode_to_numpy, which
makes no Python integers. Times are processor time of the one thread, which other programs on the machine disturb
less than the clock. Ids are compared as well: they must be equal where the text is in NFC.
"""

import argparse
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata
import zipfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tiktoken  # noqa: E402
import transformers  # noqa: E402

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
           r"\s*[\r\n]+|\s+(?!\S)|\s+")


def load_tiktoken(folder):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(b): b for b in printable}
    alphabet.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
    with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as file:
        ranks = {bytes(alphabet[c] for c in text): i for text, i in json.load(file).items()}
    with open(os.path.join(folder, "added_tokens.json"), encoding="utf-8") as file:
        added = json.load(file)
    return tiktoken.Encoding("qwen2.5", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=added)


def texts(data):
    """Name -> documents (str)."""
    def files(pattern, limit):
        documents, used = [], 0
        for path in sorted(glob.glob(pattern, recursive=True)):
            if used >= limit or "site-packages" in path or not os.path.isfile(path):
                continue
            documents.append(open(path, encoding="utf-8", errors="replace").read()[:200000])
            used += len(documents[-1])
        return documents
    with zipfile.ZipFile(os.path.join(data, "multilingual_text/udhr2.zip")) as archive:
        multilingual = [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
    chinese = [t for t in multilingual if sum("\u3040" <= c <= "\u9fff" for c in t) > len(t) / 4]
    return {
        "English prose": files(os.path.join(data, "text/*"), 3e6) + files(os.path.join(data, "books/*.txt"), 1e6),
        "Python and C": files(os.path.join(os.path.dirname(os.__file__), "*.py"), 2e6) +
                        files("/usr/include/*.h", 1e6),
        "400 languages": multilingual,
        "Chinese, Japanese": chinese,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "../../shared/data"))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    folder = os.path.join(args.data, "qwen25_tokenizer")
    reference = load_tiktoken(folder)
    hugging_face = transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer
    print(f"tiktoken {tiktoken.__version__}, transformers {transformers.__version__}; MB per second of processor time, one thread, "
          f"best of {args.rounds} interleaved rounds")
    print(f"{'text':18} {'MB':>6} {'ids':>9} {'qwen25':>8} {'tiktoken':>9} {'HF':>6} {'/tiktoken':>9} {'/HF':>6}")
    worst, total = float("inf"), [0.0] * 4
    for name, documents in texts(args.data).items():
        documents = [unicodedata.normalize("NFC", d) for d in documents]
        size = sum(len(d.encode()) for d in documents)
        with tempfile.NamedTemporaryFile() as file:
            for document in documents:
                data = document.encode()
                file.write(struct.pack("<I", len(data)) + data)
            file.flush()
            ours = subprocess.Popen([args.tool, "bench", folder, file.name], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            best = [float("inf")] * 3
            for _ in range(args.rounds):
                ours.stdin.write("run\n")
                ours.stdin.flush()
                seconds, count = ours.stdout.readline().split()
                best[0] = min(best[0], float(seconds))
                start, expected = time.thread_time(), 0
                for document in documents:
                    expected += len(reference.encode_to_numpy(document, allowed_special="all"))
                best[1] = min(best[1], time.thread_time() - start)
                if best[2] == float("inf"):  # slow: one round is enough
                    start = time.thread_time()
                    for document in documents:
                        hugging_face.encode(document, add_special_tokens=False)
                    best[2] = time.thread_time() - start
                if int(count) != expected:
                    sys.exit(f"{name}: {count} ids, tiktoken has {expected}")
            ours.stdin.close()
            ours.wait()
        speed = [size / s / 1e6 for s in best]
        total = [a + b for a, b in zip(total, [size, *best])]
        worst = min(worst, speed[0] / speed[1])
        print(f"{name:18} {size / 1e6:6.2f} {count:>9} {speed[0]:8.1f} {speed[1]:9.1f} {speed[2]:6.1f} "
              f"{speed[0] / speed[1]:8.1f}x {speed[0] / speed[2]:5.1f}x")
    speed = [total[0] / s / 1e6 for s in total[1:]]
    print(f"{'all together':18} {total[0] / 1e6:6.2f} {'':9} {speed[0]:8.1f} {speed[1]:9.1f} {speed[2]:6.1f} "
          f"{speed[0] / speed[1]:8.1f}x {speed[0] / speed[2]:5.1f}x")
    print(f"lowest ratio to tiktoken: {worst:.1f}")


if __name__ == "__main__":
    main()
