#!/usr/bin/env python3
"""Makes pairs for `qwen25 embed --train` whose queries are worded otherwise than their passages.

    python make_embedding_pairs.py TEXT... --not-in FOLDER -o pairs.jsonl [--program QWEN25 --model MODEL]

A TEXT is a file: plain (.gz, too), or JSON lines with a "text" each. Paragraphs are put together to passages
of 300 to 900 characters; a sentence of each becomes the query, and stays in its passage:
    dropped     the sentence without a part of its words, most of its names among them
    question    a question that the sentence answers, written by the chat model MODEL
    reworded    the sentence in other words, by the same
Answers of the model are kept if they share two words of four letters with the sentence (a small model often
writes of something else) and do not copy most of it. Passages that share eight words in a row with a text of
--not-in, such as a book to be measured on, are left out. Standard library only; the same seed gives the same
pairs.
"""

import argparse
import concurrent.futures
import gzip
import json
import pathlib
import random
import re
import subprocess
import sys

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
ASK = {
    "question": ("Write a question that is answered by this sentence:\n{}", "Question:"),
    "reworded": ("Rewrite this sentence in other words:\n{}", ""),
}
# Of answers that are about the request and not about the sentence.
EMPTY = re.compile(
    r"\b(sentences?|questions?|passage|text|author|rewrit\w*|words?|answer\w*|paraphras\w*|meaning)\b",
    re.IGNORECASE)
RUN = 8  # words in a row that two texts of the same origin share


def texts_of(path):
    if path.suffix == ".gz":
        content = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    else:
        content = path.read_text(encoding="utf-8", errors="replace")
    if ".jsonl" in path.name:
        return [json.loads(line)["text"] for line in content.splitlines() if line.strip()]
    return [content.replace("\r\n", "\n")]


def without_marks(text):
    """WikiText's tokens put together, and its headings and gaps taken out."""
    text = re.sub(r" @(.)@ ", r"\1", text)
    text = re.sub(r"^ ?=.*= *$", "", text, flags=re.MULTILINE).replace("<unk>", "")
    text = re.sub(r" ([,.;:!?)%]|'s\b|n't\b)", r"\1", text)
    return re.sub(r"\( ", "(", text)


def is_prose(text):
    letters = sum(c.isalpha() or c == " " for c in text)
    return letters > 0.9 * len(text) and len(WORD.findall(text)) >= 25


def passages_of(text):
    kept = ""
    for paragraph in re.split(r"\n\s*\n", without_marks(text)):
        paragraph = " ".join(paragraph.split())
        if not is_prose(paragraph):
            kept = ""
            continue
        while len(paragraph) > 900:
            end = paragraph.rfind(". ", 0, 900) + 1
            if end < 300:
                break
            yield paragraph[:end]
            paragraph = paragraph[end:].strip()
        kept = f"{kept} {paragraph}".strip() if len(kept) + len(paragraph) < 900 else paragraph
        if 300 <= len(kept) <= 900:
            yield kept
            kept = ""


def sentences_of(passage):
    for sentence in re.split(r"(?<=[.!?])[\"”’']*\s+", passage):
        if 7 <= len(WORD.findall(sentence)) <= 35:
            yield sentence.strip(" \"“”")


def runs(text):
    words = [word.lower() for word in WORD.findall(text)]
    return {" ".join(words[i:i + RUN]) for i in range(len(words) - RUN + 1)}


def dropped(sentence, rng):
    words = WORD.findall(sentence)
    kept = [word for i, word in enumerate(words)
            if rng.random() >= (0.7 if i > 0 and word[0].isupper() else 0.35)]
    return " ".join(kept) if len(kept) >= 3 else None


def stems(text):
    return {word.lower()[:5] for word in WORD.findall(text) if len(word) >= 4}


def is_good(kind, query, sentence):
    words = WORD.findall(query)
    if not 4 <= len(words) <= 30 or EMPTY.search(query) or (kind == "question") != query.endswith("?"):
        return False
    if len(stems(query) & stems(sentence)) < 2:
        return False
    copied = set(w.lower() for w in words) & set(w.lower() for w in WORD.findall(sentence))
    return len(copied) <= 0.8 * len(set(w.lower() for w in words))


def asked(arguments, kind, sentence, seed):
    request, begin = ASK[kind]
    prompt = f"<|im_start|>user\n{request.format(sentence)}<|im_end|>\n<|im_start|>assistant\n{begin}"
    command = [arguments.program, "generate", "-m", arguments.model, "-p", prompt, "-n", "36",
               "--temperature", "0.5", "--seed", str(seed), "--stop", "\n", "--stop", "<|im_end|>",
               "--threads", "1", "--no-memory", "--json"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return answer["text"].strip().strip('"')


def chosen_passages(arguments, rng):
    foreign = set()
    for path in sorted(arguments.not_in.glob("*.txt")):
        for text in texts_of(path):
            foreign |= runs(text)
    passages, left_out = [], 0
    for path in arguments.texts:
        found = list(dict.fromkeys(p for text in texts_of(path) for p in passages_of(text)))
        clean = [p for p in found if not runs(p) & foreign]
        left_out += len(found) - len(clean)
        rng.shuffle(clean)
        print(f"{path.name}: {len(clean)} passages", file=sys.stderr)
        passages += clean[:arguments.most]
    print(f"{left_out} passages left out that share words with {arguments.not_in}", file=sys.stderr)
    rng.shuffle(passages)
    return passages


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=pathlib.Path)
    parser.add_argument("--not-in", type=pathlib.Path, required=True,
                        help="folder of .txt that must not be in the pairs")
    parser.add_argument("--program")
    parser.add_argument("--model")
    parser.add_argument("--asked", type=int, default=3000, help="passages that the model writes a query for")
    parser.add_argument("--most", type=int, default=2500, help="most passages of one text")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    pairs, requests = [], []
    for number, passage in enumerate(chosen_passages(arguments, rng)):
        sentences = list(sentences_of(passage))
        if not sentences:
            continue
        query = dropped(rng.choice(sentences), rng)
        if query:
            pairs.append(("dropped", query, passage))
        if arguments.model and number < arguments.asked:
            kind = "question" if rng.random() < 2 / 3 else "reworded"
            requests.append((kind, rng.choice(sentences), passage, number))
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        answers = pool.map(lambda request: asked(arguments, request[0], request[1], request[3]), requests)
        for (kind, sentence, passage, _), query in zip(requests, answers):
            if is_good(kind, query, sentence):
                pairs.append((kind, query, passage))
    rng.shuffle(pairs)
    with open(arguments.output, "w", encoding="utf-8") as file:
        for kind, query, passage in pairs:
            pair = {"query": query, "passage": passage, "kind": kind}
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")
    for kind in ("dropped", *ASK):
        print(f"{kind}: {sum(pair[0] == kind for pair in pairs)} pairs")


if __name__ == "__main__":
    main()
