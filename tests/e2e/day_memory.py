"""The memory folder of whole_day.py: what was acknowledged and must be there, and whether it is."""

import collections
import itertools
import json
import pathlib
import random
import re
import shlex
import signal
import subprocess
import time

from chat_process import BLOCKS_LATER, HANG_SECONDS, LISTED, TROUBLE, expect, text_of

HEADER = "Notes from memory that may help:\n"
THINGS = [
    "garage code",
    "blood group",
    "favourite tea",
    "library card",
    "shoe size",
    "train seat",
    "violin teacher",
    "street number",
]
# Of a fact; no other text has such words.
VALUE = re.compile(rb"\b(?:[bdfgklmnprstvz][aeiou]){8}\b")


class Fact:
    def __init__(self, name_space, thing, name, value, by_chat):
        self.name_space, self.thing, self.name, self.value = name_space, thing, name, value
        self.by_chat = by_chat
        self.text = f"the {thing} of {name} is {value}."
        self.question = f"What is the {thing} of {name}?"
        self.superseded_by = None


class Turn:
    """A question and its answer as they were printed, and the notes (number, text) before the question."""

    def __init__(self, question, notes, answer):
        self.question, self.notes, self.answer = question, notes, answer
        self.kept = None  # the user's message as it was found on disk
        self.num_stored = 0  # tokens up to this question whose full blocks are on disk

    def is_kept_as(self, user, assistant, whole):
        """Whether two messages are this turn. If not `whole`, only a part of the answer was seen, or nothing;
        notes that are None are not known."""
        if self.kept is not None and user["content"] != self.kept:
            return False
        notes, rest = [], user["content"]
        if rest.startswith(HEADER):
            rest = rest[len(HEADER) :]
            while match := re.match(r"- \(note (\d+), [^)\n]+\) ([^\n]*)\n", rest):
                notes.append((int(match[1]), match[2]))
                rest = rest[match.end() :]
            rest = rest.removeprefix("\n")
        if rest != self.question or (self.notes is not None and notes != self.notes):
            return False
        answer = assistant["content"]
        if whole:
            return answer == self.answer
        return answer.startswith(self.answer) or self.answer.startswith(answer)


class Dialogue:
    def __init__(self):
        self.turns, self.num_tokens = [], 0
        self.version = 0  # how often it was saved


# A turn that was on its way when its chat was ended. `must`: the chat had time to save it.
Attempt = collections.namedtuple("Attempt", "name_space number turns must")


def are_kept(turns, pairs, whole=True):
    """Whether pairs of messages are these turns, the last one perhaps not as a whole."""
    return len(turns) == len(pairs) and all(
        turn.is_kept_as(user, assistant, whole or i + 1 < len(turns))
        for i, (turn, (user, assistant)) in enumerate(zip(turns, pairs))
    )


class DayMemory:
    """A folder, commands that change it, and what it must hold. `random` chooses."""

    def __init__(self, arguments, work, names, say):
        self.arguments, self.work, self.names, self.say = arguments, pathlib.Path(work), names, say
        self.random = random.Random(arguments.seed)
        self.folder = self.work / "memory"
        self.flags = ["--memory", str(self.folder)]
        if arguments.encrypted:
            key = self.work / "key"
            key.write_bytes(self.random.randbytes(32))
            self.flags += ["--memory-key", str(key)]
        self.facts = {}  # by the number of the note; all that must be there
        self.forgotten = {}
        self.dialogues = {name: {} for name in names}  # by number
        self.open_notes = []  # on their way at a kill: ("add" or "forget", fact or number, replaced number)
        self.open_turns = []  # attempts
        self.words = set()
        self.count = collections.Counter()
        self.seconds = collections.defaultdict(lambda: [0.02])  # that each kind of step has taken

    def word(self):
        """One that occurs in no other fact, so that it finds that fact alone."""
        while True:
            letters = [self.random.choice("bdfgklmnprstvz" if i % 2 == 0 else "aeiou") for i in range(8)]
            word = "".join(letters)
            if word not in self.words:
                self.words.add(word)
                return word

    def new_fact(self, name_space, by_chat, old=None):
        """With another value than `old`, if there is one."""
        thing = old.thing if old else self.random.choice(THINGS)
        name = old.name if old else self.word().capitalize()
        return Fact(name_space, thing, name, self.word() + self.word(), by_chat)

    def true_facts(self, name_space):
        leaving = {what for kind, what, _ in self.open_notes if kind == "forget"}
        return [
            number
            for number, fact in self.facts.items()
            if fact.name_space == name_space and fact.superseded_by is None and number not in leaving
        ]

    def moment(self, kind):
        """Seconds from the begin of a step of this kind to a random moment in it, or soon after it."""
        lately = sorted(self.seconds[kind][-50:])
        return self.random.uniform(0, 1.2) * lately[len(lately) // 4]  # most steps take longer than that one

    # What was acknowledged.

    def remembered(self, number, fact, replaced=None):
        expect(
            number not in self.facts.keys() | self.forgotten.keys(),
            f"note {number} is an earlier one's number",
        )
        self.facts[number] = fact
        self.count["facts"] += 1
        if replaced is not None:
            self.facts[replaced].superseded_by = number
            self.count["corrected"] += 1

    def forgot(self, number):
        for fact in self.facts.values():  # what it has replaced is true again
            fact.superseded_by = None if fact.superseded_by == number else fact.superseded_by
        self.forgotten[number] = self.facts.pop(number)
        self.count["forgotten"] += 1

    def owners(self):
        facts = [*self.facts.values(), *self.forgotten.values()]
        return {fact.value: fact.name_space for fact in facts}

    # Commands.

    def run(self, *words, kill=False, allowed_error=b""):
        """Runs `qwen25 memory`, and returns what it prints. With `kill`, it may be killed before it ends."""
        self.say(f"memory {' '.join(words)[:120]}{', killed' if kill else ''}")
        began = time.monotonic()
        command = [self.arguments.program, "memory", *words, *self.flags]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if kill:
            try:
                process.wait(self.moment(words[0]))
            except subprocess.TimeoutExpired:
                process.kill()
        output, errors = process.communicate(timeout=HANG_SECONDS)
        if kill and process.returncode == -signal.SIGKILL:
            self.count["kills of commands"] += 1
            return output
        self.seconds[words[0]].append(time.monotonic() - began)
        errors = re.sub(rb"(?m)^ ?(?:verify|compact) [^\n]*\n", b"", errors.replace(b"\r", b"\n"))  # progress
        errors = re.sub(allowed_error, b"", errors) if allowed_error else errors
        expect(
            process.returncode == 0 and not errors.strip(),
            f"memory {' '.join(words)} ends with {process.returncode}: {text_of(output)} {text_of(errors)}",
        )
        return output

    def some_command(self, name_space, kill=False, chats_run=False):
        choice = self.random.random()
        if choice < 0.1 and not chats_run:
            self.run("compact", kill=kill)
        elif choice < 0.35 and len(self.true_facts(name_space)) > 3:
            self.forget(name_space, kill, chats_run)
        else:
            self.add(name_space, kill)

    def add(self, name_space, kill):
        """Adds a fact, or corrects one."""
        true = self.true_facts(name_space)
        replaced = self.random.choice(true) if true and self.random.random() < 0.6 else None
        flags = ["--supersedes", str(replaced)] if replaced is not None else []
        fact = self.new_fact(name_space, by_chat=False, old=self.facts.get(replaced))
        output = self.run("add", fact.text, "--namespace", name_space, *flags, kill=kill)
        if match := re.match(rb"(\d+)\t[^\n]*\n", output):
            self.remembered(int(match[1]), fact, replaced)
        else:
            self.open_notes.append(("add", fact, replaced))

    def forget(self, name_space, kill, chats_run):
        number = self.random.choice(self.true_facts(name_space))
        value, erase = self.facts[number].value, not chats_run and self.random.random() < 0.5
        flags, allowed = ["--erase"] * erase, BLOCKS_LATER.pattern if chats_run else b""
        output = self.run("forget", str(number), *flags, kill=kill, allowed_error=allowed)
        if not re.search(rb"(?m)^(?:forgot|erased) 1 notes\n", output):
            self.open_notes.append(("forget", number, None))
            return
        self.forgot(number)
        if erase:
            self.expect_no_trace(value)

    # Whether it is there.

    def check(self, name_spaces, all_facts=False):
        """After the end of processes, while none runs; the dialogues of these namespaces, and all notes."""
        if not self.folder.exists():
            return
        self.run("verify")
        self.check_notes(name_spaces)
        for name_space in name_spaces:
            true = self.true_facts(name_space)
            self.check_search(name_space, true if all_facts else self.random.sample(true, min(2, len(true))))
            self.check_dialogues(name_space)
        self.check_folder(bool(name_spaces), all_facts)

    def check_notes(self, name_spaces):
        lines = self.run("list", "--all", "--json").splitlines()
        found = {note["id"]: note for note in map(json.loads, lines)}
        for kind, what, replaced in self.open_notes:
            if kind == "forget":
                if what not in found:
                    self.forgot(what)
                continue
            wanted = (what.text, what.name_space)
            new = [number for number in found.keys() - self.facts.keys()]
            made = [number for number in new if (found[number]["text"], found[number]["namespace"]) == wanted]
            if made:
                self.count["unacknowledged notes kept"] += 1
                self.remembered(made[0], what, replaced)
        self.open_notes = []
        lost = [f"{number}: {self.facts[number].text}" for number in sorted(self.facts.keys() - found.keys())]
        expect(not lost, f"acknowledged facts are lost: {lost}")
        surplus = [f"{number}: {found[number]}" for number in sorted(found.keys() - self.facts.keys())]
        expect(not surplus, f"there are notes that were forgotten, or that nobody made: {surplus}")
        for number, fact in self.facts.items():
            note = found[number]
            is_right = (note["text"], note["namespace"]) == (fact.text, fact.name_space)
            is_right = is_right and note.get("superseded_by") == fact.superseded_by
            expect(is_right, f"{note} should be {vars(fact)}")
        for name_space in name_spaces:
            lines = self.run("export", "--namespace", name_space).splitlines()
            texts = {note["id"]: note["text"] for note in map(json.loads, lines)}
            own = {n: fact.text for n, fact in self.facts.items() if fact.name_space == name_space}
            expect(texts == own, f"the export of {name_space} is {texts}, expected {own}")

    def check_search(self, name_space, numbers):
        def found(fact, where):
            words = f"{fact.question} {fact.value}"
            lines = self.run("search", words, "--namespace", where, "--json").splitlines()
            return [json.loads(line)["text"] for line in lines]

        for number in numbers:
            text, texts = self.facts[number].text, found(self.facts[number], name_space)
            expect(texts[:1] == [text], f"{name_space}: note {number}, {text!r}, is not the first of {texts}")
        other = self.random.choice([name for name in self.names if name != name_space])
        for number in numbers[:1]:
            fact = self.facts[number]
            expect(fact.text not in found(fact, other), f"{other} finds a fact of {name_space}: {fact.text}")
        gone = [fact for fact in self.forgotten.values() if fact.name_space == name_space]
        for fact in self.random.sample(gone, min(1, len(gone))):
            expect(fact.text not in found(fact, name_space), f"a forgotten fact is found: {fact.text}")

    def chat_command(self, name_space, flags):
        program, model = self.arguments.program, self.arguments.model
        own = shlex.split(self.arguments.chat_flags)
        return [program, "chat", "-m", model, "--namespace", name_space, *self.flags, *own, *flags]

    def read_dialogues(self, name_space):
        """The messages of all dialogues, by number."""

        def run(lines):
            command = self.chat_command(name_space, [])
            done = subprocess.run(command, input=lines.encode(), capture_output=True, timeout=HANG_SECONDS)
            shown = f"{name_space}: {text_of(done.stdout[-500:])} {text_of(done.stderr)} {done.returncode}"
            expect(done.returncode == 0 and not done.stderr and not TROUBLE.search(done.stdout), shown)
            return done.stdout

        numbers = [int(match[2]) for match in LISTED.finditer(run("/dialogues\n"))]
        paths = {number: self.work / f"dialogue-{number}.json" for number in numbers}
        if numbers:
            run("".join(f"/resume {number}\n/save {path}\n" for number, path in paths.items()))
        found = {number: json.loads(path.read_text())["messages"] for number, path in paths.items()}
        for path in paths.values():
            path.unlink()
        return found

    def check_dialogues(self, name_space):
        found, known = self.read_dialogues(name_space), self.dialogues[name_space]
        attempts = [attempt for attempt in self.open_turns if attempt.name_space == name_space]
        self.open_turns = [attempt for attempt in self.open_turns if attempt.name_space != name_space]
        lost = sorted(known.keys() - found.keys())
        expect(not lost, f"dialogues of {name_space} are lost: {lost}")
        owners, all_pairs = self.owners(), []
        for number, messages in found.items():
            roles = [message["role"] for message in messages]
            expect(roles == ["user", "assistant"] * (len(roles) // 2), f"{name_space}, {number}: {messages}")
            pairs = list(itertools.pairwise(messages))[::2]
            all_pairs.append(pairs)
            dialogue = known.get(number)
            if dialogue is None or not are_kept(dialogue.turns, pairs):
                dialogue = self.adopt(name_space, number, pairs, attempts)
            for turn, (user, assistant) in zip(dialogue.turns, pairs):
                turn.kept, turn.answer = user["content"], assistant["content"]
                for value in VALUE.findall(turn.kept.encode()):
                    owner = owners.get(value.decode(), name_space)
                    expect(
                        owner == name_space, f"a dialogue of {name_space} holds a fact of {owner}: {value}"
                    )
        for attempt in attempts:
            # It may also be what there was before: an answer that was repeated with the same seed.
            is_there = any(are_kept(attempt.turns, pairs, whole=False) for pairs in all_pairs)
            seen = [(turn.question, turn.answer) for turn in attempt.turns[-1:]]
            expect(is_there or not attempt.must, f"{name_space}: lost when a chat was asked to end: {seen}")

    def adopt(self, name_space, number, pairs, attempts):
        """A dialogue that is not what was acknowledged must be that with the turn that was on its way."""
        known = self.dialogues[name_space].get(number)
        fits = [
            attempt
            for attempt in attempts
            if (known is None or attempt.number == number) and are_kept(attempt.turns, pairs, whole=False)
        ]
        acknowledged = [(turn.question, turn.notes, turn.answer) for turn in known.turns] if known else None
        expect(fits, f"dialogue {number} of {name_space} is {pairs}, acknowledged was {acknowledged}")
        attempts.remove(fits[0])
        self.count["unacknowledged turns kept"] += not fits[0].must
        dialogue = self.dialogues[name_space].setdefault(number, Dialogue())
        dialogue.turns, dialogue.version = fits[0].turns, dialogue.version + 1
        return dialogue

    def expect_no_trace(self, value):
        for path in self.folder.glob("notes*"):
            expect(value.encode() not in path.read_bytes(), f"{path.name} holds an erased note: {value}")

    def num_leftovers(self):
        return len(list(self.folder.rglob("*.tmp.*")))

    def num_bytes(self):
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return sum(path.stat().st_blocks * 512 for path in files)

    def check_folder(self, chats_ran, is_end):
        """`chats_ran`: a chat was started since the last kill, and has removed what that left."""
        leftovers = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.tmp.*")]
        expect(not chats_ran or not leftovers, f"temporary files are left: {leftovers}")
        if not self.arguments.encrypted:
            return
        owners = self.owners()
        for path in self.folder.rglob("*"):
            # Keys and values take most of the bytes, and have no text: once is enough.
            if path.is_file() and (is_end or path.suffix != ".kv"):
                shown = [value for value in VALUE.findall(path.read_bytes()) if value.decode() in owners]
                expect(not shown, f"{path.name} shows {shown}, which is encrypted")
