#!/usr/bin/env python3
"""Compares the tokenizer with Hugging Face `tokenizers`, id by id, on at least 20 MB of mixed text.

    compare_tokenizers.py --tool build/release/src/text/tokenize_tool --data ../shared/data [--megabytes 24]

Needs the Python packages tokenizers and transformers. Texts: the multilingual, code and prose files of the data
folder, Python's own library and the C headers of this machine, and generated ones (emoji, control characters,
every code point in contexts where the pre-tokenizer could err, random code points, combining sequences, text
dense in added tokens, invalid UTF-8, which Python repairs with errors="replace"). Compared are

  qwen2    the Qwen2.5 vocabulary: ids, ids with added tokens as text, decoded text, pre-tokenizer pieces
  gpt2     pre-tokenizer pieces
  saved    ids by the folder that `tokenize_tool save` wrote, read by Hugging Face
  llama2c  tok512.bin and tokenizer32k.bin: ids by the saved tokenizer.json, and by llama2.c's own procedure

Exits with 1 if anything differs.
"""

import argparse
import glob
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zipfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                 r"\s*[\r\n]+|\s+(?!\S)|\s+")
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Tool:
    """The program under test; documents and ids go through files of length-prefixed records."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def __call__(self, command, tokenizer, documents, in_item=1, out_item=4):
        source, target = os.path.join(self.folder, "in"), os.path.join(self.folder, "out")
        with open(source, "wb") as file:
            for document in documents:
                file.write(struct.pack("<I", len(document) // in_item) + document)
        subprocess.run([self.path, command, tokenizer, source, target], check=True, stderr=subprocess.DEVNULL)
        data, records, at = open(target, "rb").read(), [], 0
        while at < len(data):
            (count,) = struct.unpack_from("<I", data, at)
            record = data[at + 4:at + 4 + count * out_item]
            records.append(list(struct.unpack(f"<{count}i", record)) if out_item == 4 else record)
            at += 4 + count * out_item
        assert len(records) == len(documents)
        return records


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        return file.read()


def chunks(data, size):
    """Cuts bytes into documents; cuts may fall inside a character, which makes both sides repair it."""
    return [data[i:i + size] for i in range(0, len(data), size)]


def file_documents(data_folder, budget):
    """Real text, round robin over its kinds, until `budget` bytes. Yields (kind, document)."""
    def multilingual():
        with zipfile.ZipFile(os.path.join(data_folder, "multilingual_text/udhr2.zip")) as archive:
            for name in archive.namelist():
                yield from chunks(archive.read(name), 4000)
        for path in sorted(glob.glob(os.path.join(data_folder, "bench/multilingual/**/*"), recursive=True)):
            if os.path.isfile(path):  # JSON escapes become the characters they stand for
                text = read(path).decode("utf-8", "replace")
                lines = [json.dumps(json.loads(line), ensure_ascii=False) if line.startswith("{") else line
                         for line in text.splitlines() if line.strip()]
                yield from chunks("\n".join(lines).encode(), 4000)
        yield from chunks(read(os.path.join(data_folder, "images/emoji_names_multilingual.tsv.gz")), 4000)

    def prose():
        for path in sorted(glob.glob(os.path.join(data_folder, "text/*")) +
                           glob.glob(os.path.join(data_folder, "books/*.txt"))):
            yield from chunks(read(path), 9001)

    def code():
        for pattern in (os.path.join(os.path.dirname(os.__file__), "**/*.py"), "/usr/include/**/*.h",
                        os.path.join(data_folder, "web/**/*.html")):
            for path in sorted(glob.glob(pattern, recursive=True)):
                if "site-packages" not in path and os.path.isfile(path):
                    yield from chunks(read(path), 20000)

    sources = {"multilingual": multilingual(), "prose": prose(), "code": code()}
    used = 0
    while used < budget and sources:
        for kind in list(sources):
            document = next(sources[kind], None)
            if document is None:
                del sources[kind]
            else:
                used += len(document)
                yield kind, document


def every_code_point():
    """Each code point alone and where it meets what the patterns look for, 64 to a document. Of the planes that
    are empty or for private use, a sample."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x33480 or c % 61 == 0)]
    for start in range(0, len(points), 64):
        parts = []
        for c in map(chr, points[start:start + 64]):
            parts.append(f"{c} a{c}b 1{c}2 '{c} '{c}e 'l{c} {c}{c}\n {c}\r\n!{c}?  {c}  q\u0345{c}\u0316e{c}\u0301")
        yield "".join(parts).encode()


def generated(rng, special):
    """(kind, document) pairs of text that nobody writes."""
    dense = ["a", "B", "ing", " the", "'s", "'LL", "'", "'\u017f", "\u2019", "0", "42", " ", "  ", "\t", "\n", "\r\n",
             "\v", "\u00a0", "\u3000", "\u2028", "!", "?!", "...", "=" * 70, "\u00e9", "e\u0301", "\u0915\u093c",
             "\u1100\u1161\u11a8", "\uac00\u11a8", "\u4e2d\u6587", "\u0661", "\u2167", "\u00bd", "\U0001f600",
             "\U0001f468\u200d\U0001f469", "\u00df", "\u0130", "\x00", "\x7f", "\ufffd", "\ufeff", "\u0e33", "\u0b48",
             "\u0958", "\u212b", "\u2126", "\ufb01", "\U0002f800", "\u0323\u0307", "\u0307\u0323"]
    for _ in range(3000):
        yield "dense", "".join(rng.choice(dense) for _ in range(rng.randrange(200))).encode()
    broken = ["<|im_", "start|>", "<|", "|>", "<tool", "_call>", "<<|im_end|>>", "<|im_end|", "<", "</tool_call", ">"]
    for _ in range(3000):
        yield "added tokens", "".join(rng.choice(special + broken + dense) for _ in range(rng.randrange(60))).encode()
    for _ in range(2000):
        points = [rng.randrange(0x110000) if rng.random() < .5 else rng.randrange(0x3000) for _ in range(300)]
        yield "random code points", "".join(chr(c) for c in points if not 0xD800 <= c < 0xE000).encode()
    for _ in range(2000):
        marks = [chr(rng.choice([0x300, 0x323, 0x1100, 0x3041, 0x5b0, 0x64b, 0x93c, 0xe31, 0x1dc0, 0x1f00]) +
                     rng.randrange(48)) for _ in range(200)]
        yield "combining sequences", "".join(marks).encode()
    emoji = [chr(c) for c in range(0x1F300, 0x1FAFF)] + ["\u200d", "\ufe0f", "\u20e3", "\U0001f3fd"]
    for _ in range(1000):
        yield "emoji", "".join(rng.choice(emoji) for _ in range(200)).encode()
    for _ in range(1000):
        yield "control characters", bytes(rng.choice([*range(33), 127, 65, 97, 39]) for _ in range(400))
    for _ in range(2000):
        yield "invalid UTF-8", bytes(rng.randrange(256) for _ in range(300))
    for _ in range(2000):
        text = bytearray("".join(rng.choice(dense) for _ in range(80)).encode())
        for _ in range(10):
            if text:
                text[rng.randrange(len(text))] = rng.randrange(256)
        yield "invalid UTF-8", bytes(text)
    for size in (250, 256, 257, 258, 300, 1000, 30000):  # around the size where merging changes its method
        for letters in ("a", "ab", "\u4e2d\u6587\u5b57", "abcdefghijklmnopqrstuvwxyz", "=", " ", "\n"):
            yield "long pieces", "".join(rng.choice(letters) for _ in range(size)).encode()
    for kind in every_code_point():
        yield "every code point", kind


class Report:
    def __init__(self):
        self.failed = False

    def add(self, what, kinds, documents, expected, found):
        totals = {}
        for kind, document, want, got in zip(kinds, documents, expected, found):
            total = totals.setdefault(kind, [0, 0, 0, 0])
            total[0] += 1
            total[1] += len(document)
            total[2] += len(want)
            if want != got:
                total[3] += 1
                if total[3] <= 3:
                    print(f"  DIFFERENT {what} {kind}: {document[:300]!r}\n    want {want[:40]}\n    got  {got[:40]}")
        totals["total"] = [sum(t[i] for t in totals.values()) for i in range(4)]
        print(f"{what}: {'kind':20} {'documents':>9} {'bytes':>10} {'items':>9} {'different':>9}")
        for kind, (count, size, items, bad) in totals.items():
            print(f"{'':{len(what)}}  {kind:20} {count:9} {size:10} {items:9} {bad:9}")
        self.failed |= totals["total"][3] != 0


def encode_all(tokenizer, documents):
    return [tokenizer.encode(d.decode("utf-8", "replace"), add_special_tokens=False).ids for d in documents]


def piece_lengths(pattern, documents):
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    return [[len(piece.encode()) for piece, _ in split.pre_tokenize_str(d.decode("utf-8", "replace"))]
            for d in documents]


def llama2c_encode(vocabulary, scores, text):
    """llama2.c's procedure: the pair whose concatenation has the best score, leftmost first, until none."""
    ids = []
    for c in (" " + text if text else ""):
        piece = c.encode()
        ids += [vocabulary[piece]] if piece in vocabulary else [b + 3 for b in piece]
    pieces = {i: p for p, i in vocabulary.items()}
    while True:
        best = None
        for i in range(len(ids) - 1):
            joined = vocabulary.get(pieces.get(ids[i], b"\xff") + pieces.get(ids[i + 1], b"\xff"))
            if joined is not None and (best is None or scores[joined] > scores[best[1]]):
                best = (i, joined)
        if best is None:
            return ids
        ids[best[0]:best[0] + 2] = [best[1]]


def compare_llama2c(tool, path, documents, kinds, report):
    name = os.path.basename(path)
    folder = os.path.join(tool.folder, name + "_saved")
    subprocess.run([tool.path, "save", path, folder], check=True, stderr=subprocess.DEVNULL)
    reference = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    found = tool("encode", path, documents)
    report.add(f"{name} ids", kinds, documents, encode_all(reference, documents), found)
    report.add(f"{name} reloaded", kinds, documents, found, tool("encode", folder, documents))
    data, at, vocabulary, scores = read(path), 4, {}, []
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        if len(scores) >= 259:
            vocabulary[data[at + 8:at + 8 + length]] = len(scores)
        scores.append(score)
        at += 8 + length
    plain = [i for i, d in enumerate(documents) if b"<" not in d and "\u2581".encode() not in d][:3000]
    cut = [documents[i].decode("utf-8", "ignore")[:120].encode() for i in plain]
    report.add(f"{name} by llama2.c's procedure", [kinds[i] for i in plain], cut,
               [llama2c_encode(vocabulary, scores, d.decode()) for d in cut], tool("encode", path, cut))


def main():
    import transformers
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "../../../shared/data"))
    parser.add_argument("--megabytes", type=float, default=24, help="of real text")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    qwen = os.path.join(args.data, "qwen25_tokenizer")
    reference = transformers.AutoTokenizer.from_pretrained(qwen).backend_tokenizer
    special = [token.content for token in reference.get_added_tokens_decoder().values()]
    pairs = list(file_documents(args.data, args.megabytes * 1e6)) + list(generated(random.Random(args.seed), special))
    kinds, documents = [k for k, _ in pairs], [d for _, d in pairs]
    report = Report()
    print(f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        tool = Tool(args.tool, folder)
        expected = encode_all(reference, documents)
        report.add("qwen2 ids", kinds, documents, expected, tool("encode", qwen, documents))

        saved = os.path.join(folder, "saved")
        subprocess.run([args.tool, "save", qwen, saved], check=True, stderr=subprocess.DEVNULL)
        some = [i for i in range(len(documents)) if i % 10 == 0]
        for name, again in (("tokenizers", tokenizers.Tokenizer.from_file(os.path.join(saved, "tokenizer.json"))),
                            ("transformers", transformers.AutoTokenizer.from_pretrained(saved).backend_tokenizer)):
            report.add(f"saved folder read by {name}", [kinds[i] for i in some], [documents[i] for i in some],
                       [expected[i] for i in some], encode_all(again, [documents[i] for i in some]))

        some = [i for i in range(len(documents)) if kinds[i] not in ("code", "prose", "every code point") or i % 8 == 0]
        few, few_kinds = [documents[i] for i in some], [kinds[i] for i in some]
        plain = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(
            os.path.join(qwen, "vocab.json"), os.path.join(qwen, "merges.txt")))
        plain.normalizer, plain.pre_tokenizer = reference.normalizer, reference.pre_tokenizer
        report.add("qwen2 ids, added tokens as text", few_kinds, few, encode_all(plain, few), tool("text", qwen, few))

        rng = random.Random(args.seed)
        streams = [expected[i] for i in some] + [[rng.randrange(151665) for _ in range(50)] for _ in range(5000)]
        texts = [reference.decode(ids, skip_special_tokens=False).encode() for ids in streams]
        packed = [struct.pack(f"<{len(ids)}i", *ids) for ids in streams]
        report.add("qwen2 decoded", few_kinds + ["random ids"] * 5000, packed, texts,
                   tool("decode", qwen, packed, in_item=4, out_item=1))

        some = [i for i in range(len(documents)) if kinds[i] not in ("code", "prose") or i % 8 == 0]
        repaired = [documents[i].decode("utf-8", "replace").encode() for i in some]
        for command, pattern in (("qwen2", QWEN2_PATTERN), ("gpt2", GPT2_PATTERN)):
            report.add(f"{command} pieces", [kinds[i] for i in some], repaired, piece_lengths(pattern, repaired),
                       tool(command, "-", repaired))

        for name in ("tok512.bin", "tokenizer32k.bin"):
            short = [i for i in range(len(documents)) if kinds[i] != "every code point" and i % 4 == 0]
            compare_llama2c(tool, os.path.join(args.data, "weights", name), [documents[i] for i in short],
                            [kinds[i] for i in short], report)
    print("DIFFERENT" if report.failed else "all equal")
    sys.exit(report.failed)


if __name__ == "__main__":
    main()
