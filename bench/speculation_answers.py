#!/usr/bin/env python3
"""Answers that a chat model writes itself, with and without speculation: a Markdown table.

    speculation_answers.py --program PATH/qwen25 --model MODEL --book TEXT_FILE
                           [--draft MODEL ...] [--weights int8] [--passages 20] [--rounds 3]

Two kinds of requests, in the format of conversations with <|im_start|> and <|im_end|>: passages of the book with
planted spelling mistakes, which the model is to correct and write out, and the same passages with the request to say
what they are about. The model writes its most likely tokens until it ends the answer. Each answer is written plainly,
with prompt lookup and with each draft in turn; the tokens must be the same. Tokens per second are those of all answers
together, medians of the rounds; copied is the share of the answers' words that stand in the passage in the same order.
Answers that reach 300 tokens are told apart: a small model mostly repeats one sentence in them, which lookup likes.
"""

import argparse
import difflib
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile

REQUESTS = {
    "correct a passage": "Proofread the following text. Write out the whole corrected text.",
    "say what it is about": "What is the following text about? Answer in your own words.",
}
MOST_TOKENS = 300


def with_mistakes(passage, chance):
    """Two neighbouring letters change places in about one of 15 words."""
    def swap(match):
        word = match.group()
        if chance.random() > 1 / 15:
            return word
        at = chance.randrange(1, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2:]
    return re.sub(r"[a-z]{5,}", swap, passage)


def passages_of(book, count):
    text = book.read_text(encoding="utf-8-sig").replace("\r", "")
    found = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    found = [passage for passage in found if 400 < len(passage) < 900]
    if len(found) < count:
        sys.exit(f"{book} has {len(found)} paragraphs of 400 to 900 characters; {count} are needed")
    return found[:: len(found) // count][:count]


def answer(arguments, prompt, way):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(prompt)
        file.flush()
        command = [arguments.program, "generate", "-m", arguments.model, "--weights", arguments.weights,
                   "--prompt-file", file.name, "-n", str(MOST_TOKENS), "--temperature", "0", "--stop", "<|im_end|>",
                   "--no-memory", "--json"]
        if way != "plain":
            command += ["--speculate", way]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def copied(passage, text):
    words, source = text.split(), passage.split()
    blocks = difflib.SequenceMatcher(None, source, words, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks), len(words)


def rows(ways, chosen, sources, reports, seconds, label):
    """Prints a line for each way of the answers `chosen`."""
    def total(way, group, key):
        return sum(reports[way, number].get(group, {}).get(key, 0) for number in chosen)

    rounds = {way: [sum(times) for times in zip(*(seconds[way, number] for number in chosen))] for way in ways}
    shares = [copied(sources[number], reports["plain", number]["text"]) for number in chosen]
    share = sum(same for same, _ in shares) / max(1, sum(words for _, words in shares))
    for way in ways:
        tokens = total(way, "usage", "completion_tokens")
        passes = total(way, "speculation", "forward_passes")
        ratio = statistics.median(plain / own for plain, own in zip(rounds["plain"], rounds[way]))
        name = way if way in ("plain", "lookup") else f"draft: {pathlib.Path(way).name}"
        details = f"{total(way, 'speculation', 'accepted_tokens'):,} of {total(way, 'speculation', 'proposed_tokens'):,}"
        print(f"| {label} | {name} | {tokens:,} | {share:.0%} | {tokens / statistics.median(rounds[way]):.1f} | "
              f"{ratio:.2f} | {details} | {tokens / passes if passes else 1:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--book", required=True, type=pathlib.Path)
    parser.add_argument("--draft", action="append", default=[])
    parser.add_argument("--weights", default="int8")
    parser.add_argument("--passages", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ways = ["plain", "lookup", *arguments.draft]
    passages = passages_of(arguments.book, arguments.passages)
    print("| request | way | tokens | copied | tokens/s | to plain | accepted | tokens per pass |\n"
          "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, request in REQUESTS.items():
        chance = random.Random(1)
        sources = [with_mistakes(passage, chance) for passage in passages]
        prompts = [f"<|im_start|>user\n{request}\n\n{source}<|im_end|>\n<|im_start|>assistant\n" for source in sources]
        seconds, reports = {}, {}
        for _ in range(arguments.rounds):
            for number, prompt in enumerate(prompts):
                for way in ways:
                    reports[way, number] = report = answer(arguments, prompt, way)
                    seconds.setdefault((way, number), []).append(report["timings"]["decode_seconds"])
                    if report["text"] != reports["plain", number]["text"]:
                        sys.exit(f"{kind}, passage {number + 1}: {way} gives another answer")
        for ended, label in (("stop", "ended"), ("length", "cut off")):
            chosen = [number for number in range(len(prompts))
                      if reports["plain", number]["finish_reason"] == ended]
            if chosen:
                rows(ways, chosen, sources, reports, seconds, f"{kind}, {len(chosen)} {label}")


if __name__ == "__main__":
    main()
