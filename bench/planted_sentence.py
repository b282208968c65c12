#!/usr/bin/env python3
"""Whether a model goes on with a number that stands in a sentence far back in a book.

    planted_sentence.py --program PATH/qwen25 --model MODEL --book TEXT_FILE [--characters 32000] [--depths 20]
                        [-- FLAGS OF generate, such as --routing top_k:16,rerank=3]

The sentence is planted at so many places, one after the other, each behind the last full stop before it; the book's first 5,000
characters (licence, table of contents) are left out. The prompt ends with the sentence's words, and the model writes its six
most likely tokens. Prints how many of the places are found, and a line with x for each of them, from the beginning to the end.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

WORDS, NUMBER = "The secret code of the old castle in Ystad is", "48172"
SKIPPED = 5000


def prompt_with_sentence(text, depth):
    place = text.rfind(". ", 0, max(10, int(len(text) * depth))) + 2
    return f"{text[:place]}{WORDS} {NUMBER}. {text[place:]} {WORDS}"


def continuation(arguments, prompt):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(prompt)
        file.flush()
        command = [arguments.program, "generate", "-m", arguments.model, "--prompt-file", file.name, "-n", "6",
                   "--temperature", "0", "--no-memory", "--json", *arguments.flags]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return json.loads(run.stdout)["text"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--book", required=True, type=pathlib.Path)
    parser.add_argument("--characters", type=int, default=32000)
    parser.add_argument("--depths", type=int, default=20)
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    text = arguments.book.read_text(encoding="utf-8")[SKIPPED:][: arguments.characters]
    if len(text) < arguments.characters:
        sys.exit(f"{arguments.book} has {len(text)} characters after the first {SKIPPED}; {arguments.characters} are needed")
    depths = [(step + 0.5) / arguments.depths for step in range(arguments.depths)]
    found = [NUMBER in continuation(arguments, prompt_with_sentence(text, depth)).replace(" ", "") for depth in depths]
    print(f"{sum(found)} of {len(found)} {''.join('x' if hit else '.' for hit in found)}")


if __name__ == "__main__":
    main()
