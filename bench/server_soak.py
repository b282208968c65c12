#!/usr/bin/env python3
"""A server under clients of every kind for a while: nothing but answers and 429, memory and descriptors flat.

    python3 bench/server_soak.py PROGRAM --model MODEL [--minutes 30] [--connections 1000] [--active 256]

So many connections are open all the time. The active ones ask again and again, for whole answers and for streams,
with short and long prompts; one in ten goes away in the middle of an answer, and one in twenty sends nonsense. The
others wait. Every ten seconds a line tells what the server's process holds. At the end all clients leave, and the
server must hold what it held after its first minute, and no connection.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import time


class Soak:
    def __init__(self, arguments):
        self.arguments = arguments
        self.count = collections.Counter()
        self.bad = []
        self.end = 0.0

    def request(self, draw):
        """A request, and the statuses that may answer it."""
        if draw.random() < 0.05:
            body = draw.choice([b"{", b"[]", b'{"messages": 3}', b"\xff", b'{"prompt": "a", "temprature": 1}'])
            return "/v1/completions", body, (400,)
        words = " ".join(draw.choices(["one", "two", "three", "red", "green"], k=draw.choice([5, 50, 600])))
        body = {"prompt": words, "max_tokens": draw.randrange(1, 64), "ignore_eos": True, "stream": draw.random() < 0.5}
        return "/v1/completions", json.dumps(body).encode(), (200, 429)

    async def ask(self, reader, writer, draw):
        """One request. False if the connection cannot be used again."""
        path, body, allowed = self.request(draw)
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body)
        await writer.drain()
        leaves = draw.random() < 0.1
        if leaves:
            await asyncio.sleep(draw.random() * 0.3)
            self.count["left"] += 1
            return False
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split()[1])
        self.count[status] += 1
        if status not in allowed:
            self.bad.append(answer)
        length = re.search(r"content-length: (\d+)", answer, re.I)
        if length:
            await reader.readexactly(int(length[1]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        if status == 429:
            await asyncio.sleep(0.2)
        return "connection: close" not in answer.lower()

    async def client(self, port, number, active):
        draw = random.Random(number)
        while time.monotonic() < self.end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.count["not connected"] += 1
                await asyncio.sleep(0.5)
                continue
            try:
                while time.monotonic() < self.end:
                    if not active:
                        # Until the server closes an idle connection, or the end.
                        await asyncio.wait_for(reader.read(1), max(self.end - time.monotonic(), 0.01))
                        break
                    if not await self.ask(reader, writer, draw):
                        break
            except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
                if active:
                    self.bad.append(repr(error))
            writer.close()

    async def watch(self, process, samples):
        while time.monotonic() < self.end:
            await asyncio.sleep(10)
            samples.append(held_by(process))
            resident, descriptors = samples[-1]
            print(f"{resident >> 20} MiB, {descriptors} descriptors, {dict(self.count)}", flush=True)

    async def run(self, process, port):
        self.end = time.monotonic() + 60 * self.arguments.minutes
        samples = []
        clients = [self.client(port, number, number < self.arguments.active)
                   for number in range(self.arguments.connections)]
        await asyncio.gather(self.watch(process, samples), *clients)
        return samples


def held_by(process):
    """Resident bytes and open descriptors."""
    folder = pathlib.Path(f"/proc/{process.pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return pages * resource.getpagesize(), len(list((folder / "fd").iterdir()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--active", type=int, default=256)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    command = [arguments.program, "serve", "-m", arguments.model, "--port", "0", "--no-memory", "--max-context", "2048",
               "--max-connections", str(2 * arguments.connections)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    port = int(re.search(r":(\d+)/", process.stdout.readline())[1])
    soak = Soak(arguments)
    before = held_by(process)
    samples = asyncio.run(soak.run(process, port))
    # What clients have left is closed at once.
    end = time.monotonic() + 30
    while held_by(process)[1] > before[1] and time.monotonic() < end:
        time.sleep(0.1)
    after = held_by(process)
    process.send_signal(signal.SIGTERM)
    status = process.wait(120)
    early, late = samples[min(5, len(samples) - 1)][0], samples[-1][0]
    print(f"{dict(soak.count)}\nresident: {early >> 20} MiB after a minute, {late >> 20} MiB at the end; "
          f"descriptors: {before[1]} before, {after[1]} after")
    failures = [f"unexpected: {text!r}" for text in soak.bad[:10]]
    if after[1] > before[1]:
        failures.append("descriptors are left")
    if late > 1.1 * early + 2**25:
        failures.append("memory grows")
    if status != 0:
        failures.append(f"the server ended with {status}")
    print("\n".join(failures) or "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
