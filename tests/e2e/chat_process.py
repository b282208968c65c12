"""A `qwen25 chat` at a pipe, as whole_day.py drives it: lines to it, what it prints, and its end."""

import os
import re
import select
import signal
import subprocess
import tempfile
import time

HANG_SECONDS = 300  # a process that says nothing for so long hangs, on any machine

# Every line is followed by these two. They are taken, and print something, when the line is done with and its
# answer is saved; at a terminal, the next prompt is there then.
AFTERWARDS = "\n/dialogues\n/stats\n"
STATS = re.compile(
    rb"^(?P<tokens>\d+) of (?P<room>\d+) tokens in the context"
    rb"(?:; last answer: [^\n]*; (?P<known>\d+) of (?P<prompt>\d+) prompt tokens were known[^\n]*)?\n",
    re.MULTILINE,
)
LISTED = re.compile(rb"([* ]) +(\d+) +(\d+) messages  [^\n]*\n")
# Before an answer.
EVENT = re.compile(
    rb"\[(?:remembered as note (?P<made>\d+)|(?:forgot|erased) note (?P<gone>\d+): [^\n]*"
    rb"|recalled: (?P<recalled>note [^\n]*))\]\n"
    rb"|(?P<half>[^\n]*the notes are gone, but [^\n]*\n)"  # erased but for what another process has open
    rb"|(?P<unclear>\[nothing was forgotten: [^\n]*\n(?:  note \d+: [^\n]*\n)*)"
)
RECALLED = re.compile(rb"note (\d+) \(\d\.\d\d(, above)?(?:, newer than [^)]*)?\)")
# After it.
MOVED = (
    rb"(?:\[another chat has gone on with dialogue (?P<old>\d+); this one is kept as dialogue (?P<new>\d+)"
    rb"\]\n)?\Z"
)
ANSWER_END = re.compile(rb"(?: \[stopped\])?\n(?:\[\d+ of \d+ prompt tokens were known, [^\n]*\]\n)?" + MOVED)
CANCELLED = re.compile(rb"stopped after \d+ of \d+ tokens of the prompt\n\Z")  # no answer had begun: no turn
UNDO_END = re.compile(MOVED)
RESUMED = re.compile(rb"\A\[going on with dialogue (\d+) of (\d+) messages; ")
TROUBLE = re.compile(
    rb"^(?:\[not remembered|\[nothing recalled|\[the memory is off|\[memory:|\[the last dialogue cannot"
    rb"|\[the answer ends here|\[the context of|\[notes as blocks|[^\n]*(?:Sanitizer|runtime error):)",
    re.MULTILINE,
)
NO_BLOCKS = re.compile(
    rb"note: going on without memory of keys and values: [^\n]*another process is working[^\n]*\n"
)
# Of a note that was forgotten, while another chat has its blocks open.
BLOCKS_LATER = re.compile(
    rb"note: what a chat may have computed of forgotten notes goes when it starts again: [^\n]*\n"
)


class Failure(Exception):
    """Something that must be there is not, or the other way round."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def text_of(raw):
    return raw.decode("utf-8", "replace")


class ChatProcess:
    """`has_blocks`: no other chat has the folder open, so that this one keeps keys and values."""

    def __init__(self, command, work, has_blocks, say):
        self.has_blocks, self.say = has_blocks, say
        self.errors = tempfile.TemporaryFile(dir=work)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors
        )
        self.output = b""  # not looked at yet

    def send(self, text):
        self.say(f"chat {self.process.pid} < {text[:100]!r}")
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait(HANG_SECONDS)
            self.errors.seek(0)
            expect(False, f"a chat ended by itself: {self.process.returncode}, {text_of(self.errors.read())}")

    def read(self, seconds=None, num_bytes=None):
        """What was printed before the next /stats, and the match of that, or None if `seconds` are over, or
        `num_bytes` there, before it."""
        deadline = time.monotonic() + (HANG_SECONDS if seconds is None else seconds)
        while True:
            if found := self.take():
                return found
            if num_bytes is not None and len(self.output) >= num_bytes:
                return self.output, None
            if not self.wait(max(0, deadline - time.monotonic())):
                expect(seconds is not None, f"a chat hangs; it has printed {text_of(self.output[-500:])}")
                return self.output, None
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            self.errors.seek(0)
            expect(
                piece, f"a chat ended by itself: {text_of(self.output[-500:])} {text_of(self.errors.read())}"
            )
            self.output += piece

    def take(self):
        """Takes what was printed up to the next /stats off the output; None if that is not there yet."""
        match = STATS.search(self.output)
        if not match:
            return None
        seen, self.output = self.output[: match.start()], self.output[match.end() :]
        return seen, match

    def wait(self, seconds):
        """Whether it prints something within that time, or ends."""
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def end(self, way):
        """Ends it, and checks how it ends. Returns its exit status and all that was printed and not read."""
        self.say(f"chat {self.process.pid} ends: {way}")
        if way == "/quit":
            self.process.stdin.write(b"/quit\n")
        if way in ("/quit", "end of input"):
            self.process.stdin.close()
        elif way != "SIGINT":
            self.process.send_signal(getattr(signal, way))
        deadline = time.monotonic() + HANG_SECONDS
        piece = b"?"
        while piece:
            expect(time.monotonic() < deadline, f"a chat goes on after {way}")
            if way == "SIGINT":  # the first one stops an answer; a second one ends the chat
                self.process.send_signal(signal.SIGINT)
            if self.wait(0.01 if way == "SIGINT" else HANG_SECONDS):
                piece = os.read(self.process.stdout.fileno(), 1 << 16)
                self.output += piece
        status = self.process.wait(HANG_SECONDS)
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it has not read all lines
        self.check_end(way, status)
        return status, self.output

    def check_end(self, way, status):
        self.errors.seek(0)
        errors = self.errors.read()
        self.errors.close()
        # -2, -15: a second Ctrl-C, and a signal while it starts, end it on the spot.
        allowed = {"SIGKILL": [-9], "SIGTERM": [143, -15], "SIGINT": [0, 130, -2]}.get(way, [0])
        expect(status in allowed, f"a chat ends with {status} by {way}: {text_of(errors)}")
        if not self.has_blocks:
            errors, found = NO_BLOCKS.subn(b"", BLOCKS_LATER.sub(b"", errors))
            expect(found or status < 0, "a second chat does not say that it keeps no keys and values")
        if status == 143:
            errors = errors.replace(b"error: the chat was ended by a signal\n", b"")
        expect(not errors, f"a chat prints: {text_of(errors)}")
        expect(not TROUBLE.search(self.output), f"a chat prints: {text_of(self.output[-2000:])}")
