#!/usr/bin/env python3
"""Processor time of a sentence encoder beside transformers, in turn, on the sentences of a text.

    sentence_encoder_speed.py QWEN25 MODEL TEXT [--count 1000] [--rounds 3] [--threads 1]

MODEL is a folder with mean pooling (all-MiniLM, E5). transformers gets batches of 32, sorted by length and padded, as
sentence-transformers makes them, and its time does not count starting Python or loading the model; this program's time is
that of the whole process. CPU seconds of user and system are given, since other work may run on the machine, and the floor:
the floating-point operations of the model, without padding, at the rate that --gflops states for one thread ("Matrix
products" in docs/benchmarks.md). Needs: torch, transformers.
"""

import argparse
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

REFERENCE = """
import resource, sys
import torch
from transformers import AutoModel, AutoTokenizer
model_path, texts, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
tokenizer = AutoTokenizer.from_pretrained(model_path)
model = AutoModel.from_pretrained(model_path).eval()
lines = sorted(open(texts).read().splitlines(), key=len, reverse=True)
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
start = used()
with torch.inference_mode():
    for i in range(0, len(lines), 32):
        batch = tokenizer(lines[i:i + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))
print(used() - start)
lengths = [len(tokenizer(line)["input_ids"]) for line in lines]
c = model.config
flops = sum(c.num_hidden_layers * n * (2 * (4 * c.hidden_size ** 2 + 2 * c.hidden_size * c.intermediate_size)
                                       + 4 * n * c.hidden_size) for n in lengths)
print(sum(lengths), flops)
"""


def cpu_seconds(command, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--gflops", type=float, default=220, help="of one thread's float32 matrix product")
    args = parser.parse_args()
    parts = [part.strip() for line in args.text.read_text().splitlines() for part in re.split(r"(?<=[.!?]) ", line)]
    with tempfile.TemporaryDirectory() as folder:
        texts = os.path.join(folder, "texts")
        pathlib.Path(texts).write_text("".join(part + "\n" for part in [p for p in parts if p][:args.count]))
        ours = [args.program, "embed", "-m", args.model, "-f", texts, "--lines", "-o", os.path.join(folder, "v.npy")]
        environment = {"QWEN25_NUM_THREADS": args.threads}
        for _ in range(args.rounds):
            float32, _ = cpu_seconds(ours, environment)
            int8, _ = cpu_seconds([*ours, "--embed-weights", "int8"], environment)
            _, out = cpu_seconds([sys.executable, "-c", REFERENCE, args.model, texts, args.threads], {})
            theirs, tokens, flops = (float(word) for word in out.split())
            print(f"CPU seconds: stored {float32:.2f}, int8 {int8:.2f}, transformers {theirs:.2f}; {tokens:.0f} tokens, "
                  f"{flops / 1e9:.0f} GFLOP, floor {flops / 1e9 / args.gflops:.2f}", flush=True)


if __name__ == "__main__":
    main()
