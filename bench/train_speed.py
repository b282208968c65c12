#!/usr/bin/env python3
"""Training speed: this project beside PyTorch eager and torch.compile, on the same model, batch and machine.

    python bench/train_speed.py --preset nano --batch 8 [--rounds 3] [--steps 12] [--ours COMMAND] [--json FILE]

The contenders take turns, round after round (A B C A B C ...), each time as a process of its own, so that a slow minute
of the machine meets all of them. Prints a Markdown table: tokens per second of the median step of the median round and of
the fastest step of all, how we compare, the share of the machine's float32 matrix-product rate (the better of PyTorch's
and, where it reports one, ours), and the largest resident memory.

COMMAND is a template with {preset} {batch} {sequence} {tokens} {vocab} {threads} {warmup} {steps}; tokens = batch *
sequence. The last line of its output that is a JSON object must have "tokens_per_second" (of the median step) and may have
"best_tokens_per_second", "peak_rss_bytes", "gemm_gflops" (a number). Without peak_rss_bytes the system's figure for the
process is taken.
Needs: torch, in the interpreter that runs this; transformers for --peers transformers-*.
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import sys

import train_speed_torch

HERE = pathlib.Path(__file__).resolve().parent
OURS = ("build/release/src/cli/qwen25 bench train --preset {preset} --batch {batch} --sequence {sequence} "
        "--vocab {vocab} --threads {threads} --warmup {warmup} --steps {steps} --json")
PEERS = {
    "eager": ["--mode", "eager"],
    "compile": ["--mode", "compile"],
    "max-autotune": ["--mode", "compile", "--max-autotune"],
    "transformers-eager": ["--mode", "eager", "--model", "transformers"],
    "transformers-compile": ["--mode", "compile", "--model", "transformers"],
}


def run(command):
    """The last JSON object that the command prints, with the largest resident memory of its process."""
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read), (os.POSIX_SPAWN_CLOSE, write)]
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    os.close(write)
    with os.fdopen(read) as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise SystemExit(f"{shlex.join(command)} ends with {os.waitstatus_to_exitcode(status)}: {output[-2000:]}")
    for line in reversed(output.splitlines()):
        try:
            figures = json.loads(line)
        except ValueError:
            continue
        if isinstance(figures, dict):
            figures.setdefault("peak_rss_bytes", usage.ru_maxrss * 1024)
            return figures
    raise SystemExit(f"{shlex.join(command)} printed no JSON object: {output[-2000:]}")


def summary(name, rounds, flops, peak_gflops):
    medians = [figures["tokens_per_second"] for figures in rounds]
    best = max(figures.get("best_tokens_per_second", figures["tokens_per_second"]) for figures in rounds)
    return {
        "name": name,
        "tokens_per_second": statistics.median(medians),
        "best_tokens_per_second": best,
        "gflops": statistics.median(medians) * flops / 1e9,
        "share_of_gemm": best * flops / 1e9 / peak_gflops,
        "peak_rss_bytes": max(figures["peak_rss_bytes"] for figures in rounds),
        # PyTorch's process imports and compiles; the steps alone are the fairer comparison of memory.
        "steady_peak_rss_bytes": max(figures.get("steady_peak_rss_bytes", figures["peak_rss_bytes"]) for figures in rounds),
        "rounds": medians,
    }


def table(rows):
    reference = next((row for row in rows if row["name"] == "qwen25"), None)
    lines = ["| program | tokens/s (median) | tokens/s (best) | GFLOP/s (median) | share of GEMM rate (best) | peak memory, MB "
             "| steps alone, MB | qwen25 is faster by, median / best |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        ratio = "" if reference is None or row is reference else (
            f"{reference['tokens_per_second'] / row['tokens_per_second']:.2f} / "
            f"{reference['best_tokens_per_second'] / row['best_tokens_per_second']:.2f}")
        lines.append(f"| {row['name']} | {row['tokens_per_second']:,.0f} | {row['best_tokens_per_second']:,.0f} "
                     f"| {row['gflops']:.0f} | {row['share_of_gemm']:.0%} | {row['peak_rss_bytes'] / 1e6:,.0f} "
                     f"| {row['steady_peak_rss_bytes'] / 1e6:,.0f} | {ratio} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=train_speed_torch.PRESETS, default="nano")
    parser.add_argument("--batch", type=int, default=8, help="sequences per step")
    parser.add_argument("--sequence", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=0, help="another vocabulary size than the preset's here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="measured steps per round")
    parser.add_argument("--max-seconds", type=float, default=60, help="of measured steps per round, for PyTorch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="eager,compile", help="of " + ", ".join(PEERS))
    parser.add_argument("--ours", default=OURS, help="the command template; empty: only the peers")
    parser.add_argument("--json", help="also write all figures here")
    arguments = parser.parse_args()
    shape = dict(train_speed_torch.PRESETS[arguments.preset])
    shape["vocab"] = arguments.vocab or shape["vocab"]
    unknown = [peer for peer in arguments.peers.split(",") if peer and peer not in PEERS]
    if unknown:
        parser.error(f"unknown peers {unknown}; there are {list(PEERS)}")

    torch_command = [sys.executable, str(HERE / "train_speed_torch.py")]
    values = dict(preset=arguments.preset, batch=arguments.batch, sequence=arguments.sequence, vocab=shape["vocab"],
                  threads=arguments.threads, warmup=arguments.warmup, steps=arguments.steps)
    commands = {}
    if arguments.ours:
        template = shlex.split(arguments.ours)
        commands["qwen25"] = [part.format(tokens=arguments.batch * arguments.sequence, **values) for part in template]
    flags = [part for key, value in values.items() for part in (f"--{key}", str(value))]
    for peer in filter(None, arguments.peers.split(",")):
        commands[f"PyTorch {peer}"] = [*torch_command, *flags, "--max-seconds", str(arguments.max_seconds), *PEERS[peer]]

    rounds = {name: [] for name in commands}
    gemm = []
    for number in range(arguments.rounds):
        gemm.append(run([*torch_command, "--gemm", "--threads", str(arguments.threads)])["best_gflops"])
        for name, command in commands.items():
            figures = run(command)
            rounds[name].append(figures)
            if isinstance(figures.get("gemm_gflops"), (int, float)):
                gemm.append(figures["gemm_gflops"])
            print(f"round {number + 1}/{arguments.rounds}  {name:28} {figures['tokens_per_second']:10,.0f} tokens/s   load "
                  f"{os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)

    flops = train_speed_torch.flops_per_token(shape, arguments.sequence)
    rows = [summary(name, figures, flops, max(gemm)) for name, figures in rounds.items()]
    torch_version = next((figures[0]["program"] for name, figures in rounds.items() if name != "qwen25"), "no PyTorch")
    print(f"`{arguments.preset}`, vocabulary {shape['vocab']}, batch {arguments.batch} x {arguments.sequence}, float32, AdamW "
          f"with clipping, {arguments.threads} threads, {torch_version}; in turn, rounds: {arguments.rounds}; "
          f"{flops / 1e6:.1f} MFLOP per token; matrix products reach {max(gemm):.0f} GFLOP/s\n\n{table(rows)}")
    if arguments.json:
        result = dict(values, flops_per_token=flops, gemm_gflops=max(gemm), rows=rows, rounds=rounds)
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
