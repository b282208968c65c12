#!/usr/bin/env python3
"""Turns dialogues of many sessions, with questions whose answering turns are known, into a retrieval set.

    python bench/convert_dialogues.py locomo DIALOGUE.json... -o sets/locomo [--plain]

Reads LoCoMo (Maharana et al. 2024, github.com/snap-research/locomo): either one file per dialogue, or one
list of all (locomo10.json; --dialogues names some). Each turn becomes a note with its speaker, session and
time (the session's, and a minute more for each turn), each dialogue a namespace, and each question one of the
set, with the turns that its evidence names; questions without evidence are left out. With --plain, a note is
what a user could store without knowing of these fields: "Speaker: text", with its time alone. Captions of
pictures are not part of a turn, unless --captions adds them.
"""
import argparse
import datetime
import json
import pathlib
import re

KINDS = {1: "multi", 2: "temporal", 3: "open", 4: "single", 5: "adversarial"}
MINUTE_MS = 60_000


def read_dialogues(paths, wanted):
    """Yields (name, conversation, questions)."""
    for path in paths:
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            content = [{"sample_id": path.stem, "conversation": content, "qa": content["qa"]}]
        for dialogue in content:
            if not wanted or dialogue["sample_id"] in wanted:
                yield dialogue["sample_id"], dialogue["conversation"], dialogue["qa"]


def session_start(text):
    """Milliseconds of "1:56 pm on 8 May, 2023", taken as UTC."""
    time = datetime.datetime.strptime(text.strip(), "%I:%M %p on %d %B, %Y")
    return int(time.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)


def notes_of(name, conversation, args):
    sessions = sorted(int(match.group(1)) for key in conversation
                      if (match := re.fullmatch(r"session_(\d+)", key)))
    for session in sessions:
        start = session_start(conversation[f"session_{session}_date_time"])
        for number, turn in enumerate(conversation[f"session_{session}"]):
            text = turn["text"]
            if args.captions and turn.get("blip_caption"):
                text += f" [shows {turn['blip_caption']}]"
            note = {"id": f"{name}:{turn['dia_id']}", "namespace": name, "text": text,
                    "created_ms": start + number * MINUTE_MS}
            if args.plain:
                note["text"] = f"{turn['speaker']}: {text}"
            else:
                note |= {"speaker": turn["speaker"], "session": str(session)}
            yield note


def questions_of(name, questions, ids):
    for question in questions:
        relevant = []
        for evidence in question["evidence"]:
            for session, turn in re.findall(r"D(\d+):(\d+)", evidence):  # some name several turns, or "D01:2"
                note = f"{name}:D{int(session)}:{int(turn)}"
                if note in ids and note not in relevant:
                    relevant.append(note)
        if relevant:
            yield {"query": question["question"], "kind": KINDS[question["category"]],
                   "namespace": name, "relevant": [{"note": note} for note in relevant]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=["locomo"])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--dialogues", nargs="+", default=[], help="only these, by sample_id")
    parser.add_argument("--plain", action="store_true", help="without the fields speaker and session")
    parser.add_argument("--captions", action="store_true", help="with captions of pictures")
    args = parser.parse_args()
    notes, questions = [], []
    for name, conversation, asked in read_dialogues(args.files, set(args.dialogues)):
        own = list(notes_of(name, conversation, args))
        notes += own
        questions += questions_of(name, asked, {note["id"] for note in own})
    args.output.mkdir(parents=True, exist_ok=True)
    for file, rows in (("notes.jsonl", notes), ("questions.jsonl", questions)):
        (args.output / file).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{args.output}: {len(notes)} notes, {len(questions)} questions")


if __name__ == "__main__":
    main()
