#!/usr/bin/env python3
"""How many facts of earlier sessions a chat still answers, by the way in which it remembers: a Markdown table.

    make_fact_sets.py -o facts.json
    fact_recall.py --program PATH/qwen25 --model MODEL --facts facts.json [--ways WAY ...] [-- FLAGS OF chat]

Each session of the file is a chat of its own, after which the program is started again; then every question is asked in a new
dialogue. An answer is right if it has the words of the fact that holds, and outdated if it has those of the fact before its
correction and not the right ones. Ways:

    nothing    --no-memory
    window     every fact stands in the system text, in the order in which it was told
    text       facts are notes ("Remember that ..."), and relevant ones stand before the question
    blocks     the same notes as keys and values that attention reads (--notes-as blocks)
    dialogues  facts are told as they are, and attention reads the blocks of those dialogues (--recall-dialogues)
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

WINDOW = ["--recall-window", "4096"]
FLAGS = {
    "nothing": ["--no-memory"],
    "window": ["--no-memory"],
    "text": [],
    "blocks": [*WINDOW, "--notes-as", "blocks"],
    "dialogues": [*WINDOW, "--recall-dialogues", "--recall", "0"],
}
STATS = re.compile(r"^\d+ of \d+ tokens in the context.*\n", re.MULTILINE)


class Chat:
    def __init__(self, arguments, way, memory):
        self.command = [arguments.program, "chat", "-m", arguments.model, "--temperature", "0", "--new", *FLAGS[way],
                        *arguments.flags]
        if way not in ("nothing", "window"):
            self.command += ["--memory", memory]

    def answers(self, lines, new_tokens, flags=(), apart=False):
        """What it says to each line; `apart`: each in a dialogue of its own."""
        text = "".join(f"{line}\n/stats\n" + ("/reset\n" if apart else "") for line in lines)
        run = subprocess.run([*self.command, "-n", str(new_tokens), *flags], input=text, capture_output=True, text=True)
        answers = STATS.split(run.stdout)[:-1]
        if run.returncode != 0 or len(answers) != len(lines):
            sys.exit(f"{' '.join(self.command)}: exit status {run.returncode}, {len(answers)} answers to {len(lines)} lines\n"
                     f"{run.stderr}")
        return answers


def without_remarks(answer):
    """Remarks stand in brackets on lines of their own, and name what was recalled."""
    return "\n".join(line for line in answer.split("\n") if not line.startswith("["))


def measure(arguments, facts, way):
    statements = [statement for session in facts["sessions"] for statement in session]
    with tempfile.TemporaryDirectory() as memory:
        chat = Chat(arguments, way, memory)
        if way in ("text", "blocks"):
            for session in facts["sessions"]:
                chat.answers([f"Remember that {statement[0].lower()}{statement[1:]}" for statement in session], 1)
        elif way == "dialogues":
            for session in facts["sessions"]:
                chat.answers(session, 24)
        system = ["--system", "What the user has told you:\n" + "\n".join(statements)] if way == "window" else []
        start = time.monotonic()
        answers = chat.answers([question["question"] for question in facts["questions"]], 40, system, apart=True)
        seconds = time.monotonic() - start
    right = outdated = corrected_right = corrected = 0
    for question, answer in zip(facts["questions"], map(without_remarks, answers)):
        is_right = question["answer"].lower() in answer.lower()
        right += is_right
        if question["outdated"]:
            corrected += 1
            corrected_right += is_right
            outdated += not is_right and question["outdated"].lower() in answer.lower()
        if arguments.show:
            print(f"{'right' if is_right else 'wrong'}: {question['question']} {answer!r} ({question['answer']})", file=sys.stderr)
    count = len(facts["questions"])
    print(f"| {way} | {right} of {count} | {corrected_right} of {corrected} | {outdated} | {seconds / count:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--facts", required=True, type=pathlib.Path)
    parser.add_argument("--ways", nargs="+", choices=list(FLAGS), default=list(FLAGS))
    parser.add_argument("--show", action="store_true", help="every answer, on standard error")
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    facts = json.loads(arguments.facts.read_text(encoding="utf-8"))
    print("| way | right | of the corrected | outdated | seconds a question |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way in arguments.ways:
        measure(arguments, facts, way)


if __name__ == "__main__":
    main()
