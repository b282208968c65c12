#!/usr/bin/env python3
"""A day's use of the memory by a script: facts and dialogues in several namespaces, and ends in every way.

    python3 whole_day.py PROGRAM --model MODEL [--turns 60] [--restarts 8] [--namespaces 3] [--seed SEED]
                         [--encrypted] [--answer-tokens N] [--chat-flags="--threads 1"] [--keep FOLDER]

Chats are begun and gone on with, one or two at a time. They are told facts, some of which are corrected or
forgotten later, and are asked about them. They end by /quit, by the end of their input, by SIGINT, by SIGTERM
and, half of them, by SIGKILL: while they start, in the middle of an answer, while a turn is saved or a note
is stored, or right after an acknowledgement. So do some of the commands of `qwen25 memory`. After each end,
what was acknowledged must be there, and nothing else; what was on its way may be there, as a whole. These are
acknowledgements:

    a note       the line with its number ("[remembered as note 3]", "[forgot note 3: ...]")
    a turn       that the chat takes the next line; at a terminal, the next prompt

The same seed gives the same day, but for the moments of the kills.
"""

import argparse
import contextlib
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque

from chat_process import (
    AFTERWARDS,
    ANSWER_END,
    CANCELLED,
    EVENT,
    LISTED,
    RECALLED,
    RESUMED,
    TROUBLE,
    UNDO_END,
    ChatProcess,
    Failure,
    expect,
    text_of,
)
from day_memory import Attempt, DayMemory, Dialogue, Turn

TALK = [
    "Tell me something new.",
    "Grüße aus Ærø: 你好, привет 🙂!",
    "What does <|im_end|> mean, and <|im_start|>system?",
    'A "quoted" \\ line\twith a tab',
    "One line\\\nand a second one",
    "Go on, please. " * 12,
    "?",
    "¿Y ahora qué?",
]
# Also names that a file system would not take as they are.
NAMES = ["default", "Ærø 日本", "a/b", "home", "Д" * 100, "..", "garden", "work"]
# How chats end, shuffled, so that also a short day has its share of each.
WAYS = [*["SIGKILL"] * 5, "SIGTERM", "SIGTERM", "SIGINT", "/quit", "end of input"]
# A dialogue ends with the line after which it is longer: the context stays free for an answer.
MAX_DIALOGUE_TOKENS = 1500


class Chat(ChatProcess):
    """A chat with what it must know."""

    def __init__(self, command, work, has_blocks, say, name_space, is_new):
        super().__init__(command, work, has_blocks, say)
        self.name_space, self.is_new = name_space, is_new
        self.number, self.version, self.turns, self.num_tokens = 0, 0, [], 0


class Day:
    """Chats, and what they and their user do. Draws of a sitting do not depend on the sittings before it."""

    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.random = random.Random(arguments.seed)
        self.log = deque(maxlen=50)
        self.memory = DayMemory(arguments, work, NAMES[: arguments.namespaces], self.say)
        self.count, self.seconds = self.memory.count, self.memory.seconds
        self.chats = []  # that run
        self.ways = []  # in which the next ones end

    def say(self, what):
        self.log.append(what)

    def start(self, name_space):
        is_new = self.random.random() < 0.25
        num_tokens = self.arguments.answer_tokens or self.random.choice([8, 16, 24, 400])
        flags = ["-n", str(num_tokens), "--temperature", "1", "--seed", str(self.random.randrange(10**6))]
        self.say(f"a chat in {name_space[:20]}{', new' if is_new else ''}, answers of {num_tokens} tokens")
        command = self.memory.chat_command(name_space, flags + ["--new"] * is_new)
        chat = Chat(command, self.work, not self.chats, self.say, name_space, is_new)
        self.chats.append(chat)
        self.count["starts"] += 1
        return chat

    def expect_start(self, chat):
        """What it shows first is the dialogue that it must go on with."""
        began = time.monotonic()
        chat.send("/stats\n")
        output, _ = chat.read()
        self.seconds["start"].append(time.monotonic() - began)
        expect(not TROUBLE.search(output), f"a chat prints: {text_of(output)}")
        known, shown = self.memory.dialogues[chat.name_space], RESUMED.match(output)
        if chat.is_new or not known:
            expect(not shown, f"a new dialogue goes on: {text_of(output)}")
            return
        chat.number = max(known)
        dialogue = known[chat.number]
        chat.version, chat.num_tokens = dialogue.version, dialogue.num_tokens
        chat.turns = list(dialogue.turns)
        expect(
            shown and (int(shown[1]), int(shown[2])) == (chat.number, 2 * len(chat.turns)),
            f"dialogue {chat.number} of {2 * len(chat.turns)} messages should go on: {text_of(output)}",
        )

    def choose_line(self, chat):
        """(kind, line, the fact or the number of the note that it is about)."""
        if chat.num_tokens > MAX_DIALOGUE_TOKENS:
            return "reset", "/reset", None
        true = self.memory.true_facts(chat.name_space)
        told = [number for number in true if self.memory.facts[number].by_chat]
        weights = {
            "tell": 35,
            "ask": 25 * bool(true),
            "talk": 20,
            "forget": 7 * (len(true) > 3),
            "again": 3 * bool(told),
            "undo": 4 * bool(chat.turns),
            "retry": 4 * bool(chat.turns),
            "reset": 2,
        }
        kind = self.random.choices(list(weights), list(weights.values()))[0]
        if kind == "tell":
            fact = self.memory.new_fact(chat.name_space, by_chat=True)
            begin = ["Remember that ", "Please remember that ", "remember: ", "/remember "]
            return kind, self.random.choice(begin) + fact.text, fact
        if kind == "again":
            number = self.random.choice(told)
            return kind, f"Remember that {self.memory.facts[number].text}", number
        if kind == "ask":
            number = self.random.choice(true)
            return kind, self.memory.facts[number].question, number
        if kind == "forget":
            number = self.random.choice(true)
            words = f"Forget that {self.memory.facts[number].text}"
            line = self.random.choice([f"/forget {number}", f"/forget --erase {number}", words])
            return kind, line, number
        return kind, self.random.choice(TALK) if kind == "talk" else f"/{kind}", None

    def read_events(self, chat, step, output):
        """Reads what stands before an answer. Returns where the answer begins, and the notes that were put
        before the question, None if they are not known."""
        kind, line, about = step
        at, notes = 0, []
        while match := EVENT.match(output, at):
            at = match.end()
            if match["made"]:
                number, is_again = int(match["made"]), kind == "again"
                expect(number == about if is_again else kind == "tell", f"{line!r} made note {number}")
                if not is_again and self.memory.facts.get(number) != about:
                    self.memory.remembered(number, about)
            elif match["gone"] or match["half"] or match["unclear"]:
                is_right = kind == "forget" and match["gone"] in (None, b"%d" % about)
                expect(is_right, f"{line!r}: {text_of(match[0])}")
                if match["unclear"]:
                    self.count["forgetting unclear"] += 1
                else:
                    self.memory.forgot(about)
            else:
                notes = self.recalled(chat, step, match["recalled"])
        return at, notes

    def recalled(self, chat, step, shown):
        """Notes that were recalled are true ones of the namespace, the one that was asked for among them."""
        found = [(int(number), bool(above)) for number, above in RECALLED.findall(shown)]
        facts, own = self.memory.facts, chat.name_space
        # A note whose chat was killed before it could show the number is none of these, either.
        may_be = any(kind == "add" and what.name_space == own for kind, what, _ in self.memory.open_notes)
        strangers = [number for number, _ in found if number not in facts]
        expect(may_be or not strangers, f"{own} recalls notes that are forgotten or never were: {strangers}")
        for number, _ in found:
            fact = facts.get(number)
            is_right = fact is None or (fact.name_space == own and fact.superseded_by is None)
            expect(is_right, f"{own} recalls note {number}: {fact and vars(fact)}")
        if step[0] == "ask":
            expect(step[2] in dict(found), f"{step[1]!r} does not recall {step[2]}: {text_of(shown)}")
            self.count["recalled"] += 1
        return None if strangers else [(number, facts[number].text) for number, above in found if not above]

    def turns_after(self, chat, step, notes, answer):
        """The dialogue after a line, None if the line leaves it as it is."""
        kind, line, _ = step
        if kind == "undo":
            return chat.turns[:-1]
        if kind == "retry":
            old = chat.turns[-1]
            turn = Turn(old.question, old.notes, answer)
            turn.kept, turn.num_stored = old.kept, old.num_stored
            return [*chat.turns[:-1], turn]
        if line.startswith("/"):
            return None
        return [*chat.turns, Turn(line.replace("\\\n", "\n"), notes, answer)]

    def finish_step(self, chat, step, output, stats, at_once=False):
        """The line was done with: what it did is acknowledged. `at_once`: other chats were at work, too."""
        kind, line, about = step
        expect(not TROUBLE.search(output), f"a chat prints: {text_of(output)}")
        listed = list(LISTED.finditer(output))
        body = output[: listed[0].start()] if listed else output
        at, notes = self.read_events(chat, step, body)
        is_told = kind != "tell" or about in self.memory.facts.values()
        expect(is_told, f"{line!r} was not remembered: {text_of(body)}")
        expect(kind != "ask" or b"[recalled: " in body, f"nothing was recalled for {line!r}: {text_of(body)}")
        if body.startswith(b"[erased"):
            self.memory.expect_no_trace(self.memory.forgotten[about].value)
        if kind == "reset":
            chat.number, chat.version, chat.turns = 0, 0, []
        end = (UNDO_END if kind == "undo" else ANSWER_END).search(body, at)
        turns = self.turns_after(chat, step, notes, text_of(body[at : end.start()]) if end else "")
        if turns is not None and not CANCELLED.match(body, at):
            expect(end, f"the answer to {line!r} has no end: {text_of(body[at:])}")
            own = [int(match[2]) for match in listed if match[1] == b"*"]
            expect(len(own) == 1, f"{chat.name_space}: none of the dialogues is this one: {text_of(output)}")
            if kind != "undo":
                self.count["turns"] += 1
                self.check_known(chat, turns, int(stats["known"]), int(stats["prompt"]))
            self.saved(chat, turns, end, own[0], at_once)
        chat.num_tokens = int(stats["tokens"]) if kind != "reset" else 0
        known = self.memory.dialogues[chat.name_space]
        if chat.number:
            known[chat.number].num_tokens = chat.num_tokens
        if at_once or any(attempt.name_space == chat.name_space for attempt in self.memory.open_turns):
            return  # there may be more of them
        shown = {int(match[2]): int(match[3]) for match in listed}
        wanted = {number: 2 * len(dialogue.turns) for number, dialogue in known.items()}
        expect(shown == wanted, f"{chat.name_space} has the dialogues {wanted}: {text_of(output)}")

    def check_known(self, chat, turns, known, prompt):
        """Keys and values that a chat has kept are not computed again."""
        if not chat.has_blocks:
            return
        # A prompt ends with a line feed, which is a token together with those that an answer begins with.
        stored = (max([1, *(turn.num_stored for turn in turns[:-1])]) - 1) // 64 * 64
        expect(known >= stored, f"{known} of {prompt} prompt tokens were known, {stored} are kept")
        turns[-1].num_stored = prompt

    def saved(self, chat, turns, end, number, at_once):
        """The chat has kept its dialogue under this number."""
        known = self.memory.dialogues[chat.name_space]
        is_stale = chat.number != 0 and known[chat.number].version != chat.version
        if end["new"]:
            moved = (int(end["old"]), int(end["new"]))
            expect(moved == (chat.number, number), f"{text_of(end[0])}: it is {number}")
            # If others were at work at the same time, they may or may not have been faster.
            may_be = at_once or any(attempt.number == chat.number for attempt in self.memory.open_turns)
            expect(is_stale or may_be, f"{text_of(end[0])}: nobody has")
            self.count["dialogues moved"] += 1
        else:
            expect(chat.number in (0, number), f"dialogue {chat.number} is {number} now, which nothing says")
            expect(not is_stale, f"{chat.name_space}: dialogue {number} of another chat was overwritten")
        if chat.number != number:
            expect(number not in known, f"a new dialogue has the number {number} of another one")
            known[number] = Dialogue()
        known[number].turns, known[number].version = list(turns), known[number].version + 1
        chat.number, chat.version, chat.turns = number, known[number].version, turns

    def cut_step(self, chat, step, output, status):
        """The chat was ended before it was done with the line. Notes may have been acknowledged."""
        kind, line, about = step
        at, notes = self.read_events(chat, step, output)
        if kind == "tell" and about not in self.memory.facts.values():
            self.memory.open_notes.append(("add", about, None))
        if kind == "forget" and about in self.memory.facts:
            self.memory.open_notes.append(("forget", about, None))
        seen = text_of(ANSWER_END.sub(b"", LISTED.sub(b"", output[at:]))).rstrip("\ufffd")
        turns = self.turns_after(chat, step, notes if seen else None, seen)
        if turns is not None and not CANCELLED.match(output, at):
            # SIGTERM ends an answer that has begun, and keeps what there is of it.
            must = bool(seen) and status == 128 + signal.SIGTERM
            self.memory.open_turns.append(Attempt(chat.name_space, chat.number, turns, must))

    def step(self, chat):
        step = self.choose_line(chat)
        began = time.monotonic()
        chat.send(step[1] + AFTERWARDS)
        output, stats = b"", None
        is_answered = step[0] == "retry" or not step[1].startswith("/")
        if is_answered and self.random.random() < 0.1:
            output, stats = chat.read(num_bytes=self.random.randrange(1, 200))
            if stats is None:
                chat.process.send_signal(signal.SIGINT)  # stops the answer
                self.count["answers stopped"] += 1
        if stats is None:
            output, stats = chat.read()
        self.seconds["step"].append(time.monotonic() - began)
        self.finish_step(chat, step, output, stats)

    def steps_at_once(self):
        """All chats get a line before any of them is read."""
        steps = [self.choose_line(chat) for chat in self.chats]
        # What one forgets, another one may or may not recall.
        steps = [("talk", TALK[0], None) if step[0] == "forget" else step for step in steps]
        for chat, step in zip(self.chats, steps):
            chat.send(step[1] + AFTERWARDS)
        read = [(chat, step, *chat.read()) for chat, step in zip(self.chats, steps)]
        for _, (kind, _, about), output, _ in read:  # one chat may have recalled what another one was told
            match = EVENT.match(output)
            if kind == "tell" and match and match["made"]:
                self.memory.remembered(int(match["made"]), about)
        for chat, step, output, stats in read:
            self.finish_step(chat, step, output, stats, at_once=True)
        self.count["steps at once"] += 1

    def end(self, chat, may_start=False):
        """Ends a chat in some way at some moment. `may_start`: it has only just been started."""
        self.ways = self.ways or self.random.sample(WAYS, len(WAYS))
        way = self.ways.pop()
        moment = self.random.choice(["idle", "bytes", "seconds", "seconds", "seconds"])
        step = output = stats = None
        if may_start:
            moment = "start"
            try:
                chat.process.wait(self.memory.moment("start"))
            except subprocess.TimeoutExpired:
                pass
        elif moment != "idle":
            step = self.choose_line(chat)
            chat.send(step[1] + AFTERWARDS)
            if moment == "bytes":
                output, stats = chat.read(num_bytes=self.random.randrange(1, 100))
            else:
                output, stats = chat.read(seconds=self.memory.moment("step"))
            if stats is not None:
                self.finish_step(chat, step, output, stats)
                moment, step = "idle", None
        status, rest = chat.end(way)
        self.count[f"{way}, {moment}"] += 1
        self.count["ends by SIGKILL"] += way == "SIGKILL"
        self.chats.remove(chat)
        if step is None:
            return
        if found := chat.take():
            self.finish_step(chat, step, *found)
        else:
            self.cut_step(chat, step, rest, status)

    def sit(self, name_space, num_turns):
        """One or two chats, until there were so many turns. Returns the namespaces of the chats."""
        chat = self.start(name_space)
        if self.random.random() < 0.1:
            self.end(chat, may_start=True)
            return {name_space}
        self.expect_start(chat)
        names = self.memory.names
        other = name_space if self.random.random() < 0.6 else self.random.choice(names)
        if self.random.random() < 0.25:
            self.expect_start(self.start(other))
            self.count["two chats"] += 1
        wanted = self.count["turns"] + num_turns
        while self.count["turns"] < wanted:
            if len(self.chats) > 1 and self.random.random() < 0.5:
                self.steps_at_once()
            else:
                self.step(self.random.choice(self.chats))
            if self.random.random() < 0.05:
                self.memory.some_command(self.random.choice(names), chats_run=True)
        while self.chats:
            self.end(self.random.choice(self.chats))
            for chat in self.chats:  # the other one goes on
                self.step(chat)
        return {name_space, other}

    def run(self):
        wanted, names, sitting = self.arguments, self.memory.names, 0
        while self.count["turns"] < wanted.turns or self.count["starts"] <= wanted.restarts:
            # Of its own, so that what a kill has changed does not change the rest of the day.
            self.random = self.memory.random = random.Random(f"{wanted.seed} {sitting}")
            name_space = names[sitting] if sitting < len(names) else self.random.choice(names)
            due = wanted.turns * (self.count["starts"] + 1) // (wanted.restarts + 1)
            used = self.sit(name_space, max(1, due - self.count["turns"]))
            self.count["temporary files left by kills"] += self.memory.num_leftovers()
            self.memory.check(sorted(used))
            for _ in range(self.random.randrange(3)):
                self.memory.some_command(name_space, kill=self.random.random() < 0.5)
                self.memory.check([])
            sitting += 1
        self.memory.check(names, all_facts=True)
        before = self.memory.num_bytes()
        self.memory.run("compact")
        self.memory.check([])
        after = self.memory.num_bytes()
        expect(before < 1.25 * after + 2**23, f"the folder has {before} bytes, {after} of which are needed")


def summary(day):
    count, memory = day.count, day.memory
    kills, ends = count.pop("ends by SIGKILL", 0), sorted(key for key in count if ", " in key)
    yield f"{count.pop('turns')} turns, {count.pop('starts') - 1} restarts, {len(memory.names)} namespaces"
    yield f"{kills} chats and {count.pop('kills of commands', 0)} commands were killed"
    yield f"chats ended by {'; '.join(f'{key}: {count.pop(key)}' for key in ends)}"
    yield ", ".join(f"{key}: {value}" for key, value in sorted(count.items()))
    dialogues = sum(len(dialogues) for dialogues in memory.dialogues.values())
    size = memory.num_bytes() / 2**20
    yield f"at the end {len(memory.facts)} notes and {dialogues} dialogues, {size:.1f} MiB"
    yield "all that was acknowledged is there, and nothing else"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--restarts", type=int, default=8)
    parser.add_argument("--namespaces", type=int, default=3, choices=range(2, len(NAMES) + 1))
    parser.add_argument("--seed", default=str(random.randrange(10**6)))
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--answer-tokens", type=int, help="Most tokens of an answer; default: 8 to 400")
    parser.add_argument("--chat-flags", default="", help="Further flags of every chat, in one word")
    parser.add_argument("--keep", help="A new folder to work in, which stays")
    arguments = parser.parse_args()
    encrypted = ", encrypted" if arguments.encrypted else ""
    print(f"whole_day: seed {arguments.seed}{encrypted}", flush=True)
    if arguments.keep:
        pathlib.Path(arguments.keep).mkdir(parents=True)
    with contextlib.nullcontext(arguments.keep) if arguments.keep else tempfile.TemporaryDirectory() as work:
        day = Day(arguments, work)
        try:
            day.run()
        except Failure as failure:
            print(*day.log, f"FAILED with --seed {arguments.seed}: {failure}", sep="\n", file=sys.stderr)
            sys.exit(1)
        finally:
            for chat in day.chats:
                chat.process.kill()
        print("\n".join(f"  {line}" for line in summary(day)))


if __name__ == "__main__":
    main()
