#!/usr/bin/env python3
"""What a restart costs: a prompt that an earlier process has read, here and with llama.cpp's prompt cache.

    prompt_cache.py --llama PATH/llama-completion [--qwen25 PATH] [--preset 0.5b] [--tokens 8192] [--rounds 3] [--threads 2]

Whole processes, from their start to the end of the first token, in turn: the first reads the prompt and keeps what it computed,
the second finds it. Both read the same GGUF file (random Q8_0 codes, inference_speed.py) and keep keys and values in float16.
The file cache is warm. Needs the Python packages gguf and numpy.
"""

import argparse
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

from inference_speed import write_gguf

HERE = pathlib.Path(__file__).resolve().parent


def seconds(command):
    start = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ends with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return time.monotonic() - start


def size(path):
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--llama", required=True)
parser.add_argument("--qwen25", default=str(HERE.parent / "build/release/src/cli/qwen25"))
parser.add_argument("--preset", default="0.5b")
parser.add_argument("--tokens", type=int, default=8192)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    model, prompt = folder / "model.gguf", folder / "prompt.txt"
    write_gguf(str(model), arguments.preset, "q8_0")
    # One token per digit: the tokenizer splits them.
    prompt.write_text("".join(random.Random(1).choices("0123456789", k=arguments.tokens)))
    threads, shape = str(arguments.threads), ["-n", "1"]
    kept = {"qwen25": folder / "memory", "llama.cpp": folder / "prompt.cache"}
    commands = {
        "qwen25": [arguments.qwen25, "generate", "-m", str(model), "--prompt-file", str(prompt), "--memory",
                   str(kept["qwen25"]), "--threads", threads, "--temperature", "0", *shape],
        "llama.cpp": [arguments.llama, "-m", str(model), "-f", str(prompt), "--prompt-cache", str(kept["llama.cpp"]),
                      "-t", threads, "-tb", threads, "-c", str(arguments.tokens + 64), "--temp", "0", "-no-cnv", *shape],
    }
    times = {name: ([], []) for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            shutil.rmtree(kept[name]) if kept[name].is_dir() else kept[name].unlink(missing_ok=True)
            times[name][0].append(seconds(command))
            times[name][1].append(seconds(command))
    print(f"{arguments.tokens} tokens, {arguments.preset}, Q8_0, {threads} threads, medians of {arguments.rounds}")
    print(f"{'':12}{'computed, s':>14}{'found, s':>12}{'ratio':>8}{'kept, MiB':>12}")
    for name, (first, second) in times.items():
        a, b = statistics.median(first), statistics.median(second)
        print(f"{name:12}{a:14.2f}{b:12.3f}{a / b:8.1f}{size(kept[name]) / 2**20:12.1f}")
