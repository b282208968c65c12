#!/usr/bin/env python3
"""Inference speed beside llama.cpp and ik_llama.cpp: the same shape, threads and tests, random weights.

    inference_speed.py --peer llama.cpp=PATH/llama-bench --peer ik_llama.cpp=PATH/llama-bench
                       [--batched llama.cpp=PATH/llama-batched-bench] [--preset 0.5b] [--types q8_0,q4_0]
                       [--depth 8192] [--batch 16] [--rounds 3] [--threads 2]

The programs take turns, round after round, so that a slow minute of the machine meets all of them; the table gives
medians and the ratio of ours to the best peer's. Peers get a GGUF file of random codes that this script writes (Q8_0,
Q4_0 with the output in Q6_K, or Q8_0 where rows are no whole number of its blocks, as their own tools write it;
embeddings and output tied or not as the shape has them), ours int8 and int4 (with the output in int8).
Needs the Python packages gguf and numpy.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import gguf
import numpy

HERE = pathlib.Path(__file__).resolve().parent
# layers, hidden, heads, kv heads, head dim, feed-forward, vocabulary, tied
SHAPES = {
    "0.5b": (24, 896, 14, 2, 64, 4864, 151936, True),
    "1.5b": (28, 1536, 12, 2, 128, 8960, 151936, True),
    "3b": (36, 2048, 16, 2, 128, 11008, 151936, True),
    "7b": (28, 3584, 28, 4, 128, 18944, 152064, False),
}
OURS = {"q8_0": "int8", "q4_0": "int4"}
BLOCKS = {"q8_0": (32, 34), "q4_0": (32, 18), "q6_k": (256, 210)}  # weights, bytes; the float16 scale comes first or last


def write_gguf(path, preset, kind):
    layers, hidden, heads, kv_heads, head_dim, ffn, vocabulary, tied = SHAPES[preset]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(131072)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    alphabet = [chr(c) for c in range(33, 127)]
    # GPT-2's letters for the other bytes, so that every text has tokens.
    others = [chr(c) for c in [*range(161, 173), *range(174, 256), *range(256, 256 + 68)]]
    tokens = (alphabet + others + [f"{a}{b}" for a in alphabet for b in alphabet] +
              [f"{a}{b}{c}" for a in alphabet[:20] for b in alphabet for c in alphabet])
    writer.add_token_list(tokens[:vocabulary])
    writer.add_token_types([gguf.TokenType.NORMAL] * vocabulary)
    writer.add_token_merges([f"{a} {b}" for a in alphabet[:10] for b in alphabet[:10]])
    writer.add_eos_token_id(0)
    random = numpy.random.default_rng(0)
    scale = numpy.array([0.0002], dtype=numpy.float16).view(numpy.uint8)

    def matrix(name, rows, cols, kind=kind):
        weights, block_bytes = BLOCKS[kind]
        blocks = random.integers(0, 256, size=(min(rows, 4096), cols // weights, block_bytes), dtype=numpy.uint8)
        blocks[:, :, -2:] = scale
        blocks[:, :, :2] = scale
        data = numpy.resize(blocks.reshape(blocks.shape[0], -1), (rows, cols // weights * block_bytes))
        writer.add_tensor(name, data, raw_dtype=getattr(gguf.GGMLQuantizationType, kind.upper()))

    def vector(name, size, value):
        writer.add_tensor(name, numpy.full(size, value, dtype=numpy.float32))

    output_kind = kind if kind == "q8_0" else "q8_0" if hidden % BLOCKS["q6_k"][0] else "q6_k"
    matrix("token_embd.weight", vocabulary, hidden, output_kind if tied else kind)
    for i in range(layers):
        vector(f"blk.{i}.attn_norm.weight", hidden, 1)
        for part, size in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            matrix(f"blk.{i}.attn_{part}.weight", size * head_dim, hidden)
            vector(f"blk.{i}.attn_{part}.bias", size * head_dim, 0)
        matrix(f"blk.{i}.attn_output.weight", hidden, heads * head_dim)
        vector(f"blk.{i}.ffn_norm.weight", hidden, 1)
        matrix(f"blk.{i}.ffn_gate.weight", ffn, hidden)
        matrix(f"blk.{i}.ffn_up.weight", ffn, hidden)
        matrix(f"blk.{i}.ffn_down.weight", hidden, ffn)
    vector("output_norm.weight", hidden, 1)
    if not tied:
        matrix("output.weight", vocabulary, hidden, output_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ends with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def run_ours(arguments, kind):
    """{test: tokens per second}"""
    command = [arguments.program, "bench", "inference", "--preset", arguments.preset, "--weights", OURS[kind],
               "--prompt", str(arguments.prompt), "--generate", str(arguments.generate), "--rounds", "1",
               "--threads", str(arguments.threads), "--json",
               "--depth", ",".join(["0"] + ([str(arguments.depth)] if arguments.depth else []))]
    figures = {}
    for result in json.loads(output_of(command).splitlines()[-1])["results"]:
        figures[result["test"]] = result["tokens_per_second"]
        figures[result["test"] + " (share)"] = result["share_of_floor"]
    if arguments.batch:
        command = [arguments.program, "bench", "inference", "--preset", arguments.preset, "--weights", OURS[kind],
                   "--prompt", "0", "--generate", "64", "--depth", "64", "--batch", str(arguments.batch), "--rounds",
                   "1", "--threads", str(arguments.threads), "--json"]
        result = json.loads(output_of(command).splitlines()[-1])["results"][0]
        figures[f"{arguments.batch} together"] = result["tokens_per_second"]
    return figures


def run_peer(arguments, program, model):
    figures = {}
    common = [program, "-m", model, "-t", str(arguments.threads), "-r", "1", "-o", "json"]
    tests = [(["-p", str(arguments.prompt), "-n", "0"], f"prompt {arguments.prompt}"),
             (["-p", "0", "-n", str(arguments.generate)], f"generate {arguments.generate}")]
    if arguments.depth:
        has_depth = "--n-depth" in subprocess.run([program, "--help"], capture_output=True, text=True).stdout
        deep = (["-p", "0", "-n", str(arguments.generate), "-d", str(arguments.depth)] if has_depth else
                ["-p", "0", "-n", "0", "-gp", f"{arguments.depth},{arguments.generate}"])
        tests.append((deep, f"generate {arguments.generate} after {arguments.depth}"))
    for flags, test in tests:
        figures[test] = json.loads(output_of(common + flags))[-1]["avg_ts"]
    return figures


def run_batched(arguments, program, model):
    command = [program, "-m", model, "-c", str(arguments.batch * 256), "-b", "2048", "-ub", "512", "-npp", "64", "-ntg",
               "64", "-npl", str(arguments.batch), "-t", str(arguments.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    rows = [line[line.index("|"):].split("|") for line in (done.stdout + done.stderr).splitlines() if line.count("|") > 8]
    if done.returncode != 0 or len(rows) < 3:
        raise SystemExit(f"{' '.join(command)}: no table: {done.stderr[-1000:]}")
    header = [cell.strip() for cell in rows[0]]
    return {f"{arguments.batch} together": float(rows[-1][header.index("S_TG t/s")])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parent / "build/release/src/cli/qwen25"))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=LLAMA_BENCH")
    parser.add_argument("--batched", action="append", default=[], metavar="NAME=LLAMA_BATCHED_BENCH")
    parser.add_argument("--preset", default="0.5b", choices=sorted(SHAPES))
    parser.add_argument("--types", default="q8_0,q4_0")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    peers = [entry.split("=", 1) for entry in arguments.peer]
    batched = dict(entry.split("=", 1) for entry in arguments.batched)
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.types.split(","):
            model = f"{folder}/{kind}.gguf"
            write_gguf(model, arguments.preset, kind)
            results = {}
            for round_number in range(arguments.rounds):
                turn = {"qwen25": run_ours(arguments, kind)}
                for name, program in peers:
                    turn[name] = run_peer(arguments, program, model)
                    if arguments.batch and name in batched:
                        turn[name] |= run_batched(arguments, batched[name], model)
                for name, figures in turn.items():
                    for test, value in figures.items():
                        results.setdefault(test, {}).setdefault(name, []).append(value)
                print(f"{kind} round {round_number + 1}/{arguments.rounds}: {json.dumps(turn)}", flush=True)
            os.remove(model)
            names = ["qwen25"] + [name for name, _ in peers]
            print(f"\n{arguments.preset}, {kind} / {OURS[kind]}, {arguments.threads} threads, tokens/s, medians of "
                  f"{arguments.rounds} rounds\n\n| test | {' | '.join(names)} | ours to the best peer | share of floor |"
                  f"\n| --- |{' ---: |' * (len(names) + 2)}")
            for test, by_name in results.items():
                if test.endswith("(share)"):
                    continue
                medians = {name: statistics.median(values) for name, values in by_name.items()}
                others = [value for name, value in medians.items() if name != "qwen25"]
                share = results.get(test + " (share)", {}).get("qwen25")
                cells = [f"{medians[name]:,.1f}" if name in medians else "" for name in names]
                cells.append(f"{medians['qwen25'] / max(others):.2f}" if others else "")
                cells.append(f"{100 * statistics.median(share):.0f} %" if share else "")
                print(f"| {test} | {' | '.join(cells)} |")
            print(flush=True)


if __name__ == "__main__":
    main()
