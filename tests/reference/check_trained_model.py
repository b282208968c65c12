#!/usr/bin/env python3
"""A really trained GGUF model, as published, here and in llama.cpp: greedy answers, perplexities, and logits against
transformers on the same weights.

    python check_trained_model.py PROGRAM MODEL.gguf LLAMA_BIN [--texts FILE ...] [--windows N] [--only answers,perplexity,logits]

PROGRAM is the built qwen25, LLAMA_BIN a folder with llama-server and llama-perplexity. Twenty prompts (ten plain, ten of one or
more turns in the model's own chat template) are answered greedily by both, twice: with the weights as they are published
(both programs quantise activations, each in its own way) and with the same weights in float32. Where two answers part, the
gap between the two best log-probabilities there is shown, from float32; a gap above the limit for that arithmetic is a
failure. Perplexities are llama-perplexity's (second halves of windows that do not overlap), which must agree within 0.1 %.
Logits are compared with transformers, which reads the GGUF file itself.
"""

import argparse
import json
import math
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

PLAIN = [
    "The capital of France is", "Once upon a time, in a small village by the sea,", "def fibonacci(n):\n    ",
    "The three states of matter are", "Water boils at a temperature of", "1, 2, 3, 5, 8, 13,",
    "In 1969, Neil Armstrong", "Dear Sir or Madam,\n\nI am writing to", "#include <stdio.h>\n\nint main(",
    "Die Hauptstadt von Deutschland ist"]
CHATS = [
    ["What is the largest planet?"], ["Write a haiku about autumn."], ["Translate to French: Good morning, my friend."],
    ["Explain in one sentence why the sky is blue."], ["Write a Python function that reverses a string."],
    ["My name is Ada.", "Nice to meet you, Ada!", "What is my name?"], ["List five fruits."],
    ["Summarize: The cat sat on the mat. It was warm. The cat slept all day and missed its dinner."],
    ["What is 17 + 25?"], ["Give me advice on learning to play the piano."]]
NEW_TOKENS = 64
# Largest gap of log-probabilities at which two programs may part. Activations in int8 change the logits of a model of 135 million
# parameters by about 0.1 (its mean divergence from float32 is 0.003 nats).
TIE = {"as published": 0.35, "float32": 0.002}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done


class Server:
    """llama-server with one model; every request is greedy and starts from an empty cache."""

    def __init__(self, llama, model):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [str(llama / "llama-server"), "-m", str(model), "--port", str(port), "-c", "2048", "-np", "1", "-t", "2", "--jinja",
             "-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-webui"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                if self.get("/health").get("status") == "ok":
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit("llama-server does not start")

    def get(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def tokens(self, text):
        return self.get("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]

    def render(self, turns):
        messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(turns)]
        return self.get("/apply-template", {"messages": messages})["prompt"]

    def answer(self, tokens):
        return self.get("/completion", {"prompt": tokens, "n_predict": NEW_TOKENS, "temperature": 0, "top_k": 1,
                                        "return_tokens": True, "cache_prompt": False, "samplers": ["top_k"]})["tokens"]

    def close(self):
        self.process.kill()
        self.process.wait()


def our_answer(program, model, prompt, weights, folder):
    (folder / "prompt.txt").write_text(prompt, newline="")
    command = [program, "generate", "-m", model, "--prompt-file", folder / "prompt.txt", "-n", NEW_TOKENS, "--temperature", 0,
               "--repetition-penalty", 1, "--no-memory", "--json"]
    if weights == "float32":
        command += ["--weights", "float32"]
    return json.loads(run(*command).stdout)


def log_probabilities(program, model, tokens, folder):
    """The log-probabilities of the next token, from the weights in float32."""
    import numpy
    from safetensors.numpy import load_file
    run(program, "logits", "-m", model, "-o", folder / "logits.safetensors", *tokens)
    row = load_file(folder / "logits.safetensors")["logits"][-1].astype(numpy.float64)
    return row - row.max() - numpy.log(numpy.exp(row - row.max()).sum())


def without_end(tokens, end):
    return [t for t in tokens if t not in end]


def compare_answers(program, model, server, weights, folder, end):
    equal = ties = failures = 0
    print(f"\nGreedy answers of up to {NEW_TOKENS} tokens, weights {weights}:")
    for kind, prompts in (("plain", PLAIN), ("chat", [server.render(turns) for turns in CHATS])):
        for prompt in prompts:
            tokens = server.tokens(prompt)
            ours = our_answer(program, model, prompt, weights, folder)
            theirs = without_end(server.answer(tokens), end)
            mine = without_end(ours["tokens"], end)
            name = prompt.strip().splitlines()[-2 if kind == "chat" else 0][:46]
            if ours["usage"]["prompt_tokens"] != len(tokens):
                print(f"  {kind} {name!r}: {ours['usage']['prompt_tokens']} tokens here, {len(tokens)} there")
                failures += 1
                continue
            shared = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
            if mine == theirs:
                equal += 1
                continue
            scores = log_probabilities(program, model, tokens + mine[:shared], folder)
            best = sorted(scores, reverse=True)[:2]
            gap = float(best[0] - best[1])
            tie = gap <= TIE[weights]
            ties, failures = ties + tie, failures + (not tie)
            print(f"  {kind} {name!r}: part after {shared} tokens, gap of the two best {gap:.4f} nats "
                  f"({'near-tie' if tie else 'TOO FAR APART'})")
    print(f"  {equal} of {len(PLAIN) + len(CHATS)} equal, {ties} part at a near-tie, {failures} differ")
    return failures


def compare_perplexities(program, model, llama, texts, window, windows, weights_file):
    failures = 0
    print(f"\nPerplexity, windows of {window}, second halves:")
    for original in texts:
        # This program leaves a byte order mark out, llama.cpp reads it as text.
        text = weights_file.parent / original.name
        text.write_bytes(original.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        done = run(llama / "llama-perplexity", "-m", weights_file, "-f", text, "-c", window, "-t", 2, "-fa", "off", "-ctk", "f32",
                   "-ctv", "f32", "--seed", 1, "--chunks", windows or -1)
        found = re.search(r"Final estimate: PPL = ([0-9.]+)", (done.stdout + done.stderr).decode(errors="replace"))
        theirs = float(found.group(1))
        ours = json.loads(run(program, "perplexity", "-m", model, "--second-halves", "--window", window, "--max-tokens",
                              windows * (window - window // 2 - 1), "--json", text).stdout)
        change = ours["perplexity"] / theirs - 1
        failures += abs(change) > 0.001
        print(f"  {text.name:28} {ours['tokens']:7} tokens  qwen25 {ours['perplexity']:.4f}  llama.cpp {theirs:.4f}  "
              f"{100 * change:+.3f} %{'  MORE THAN 0.1 %' if abs(change) > 0.001 else ''}", flush=True)
    return failures


def compare_logits(program, model, texts, folder, server):
    import numpy
    import torch
    from safetensors.numpy import load_file
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(2)
    reference = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32)
    worst = 0.0
    for text in texts:
        tokens = server.tokens(text.read_text()[:6000])[:1024]
        run(program, "logits", "-m", model, "-o", folder / "logits.safetensors", *tokens)
        ours = load_file(folder / "logits.safetensors")["logits"]
        with torch.no_grad():
            theirs = reference(torch.tensor([tokens])).logits[0].numpy()
        worst = max(worst, float(numpy.abs(ours - theirs).max() / numpy.abs(theirs).max()))
    print(f"\nLogits against transformers, float32, {len(texts)} texts of up to 1,024 tokens: largest difference "
          f"{worst:.2e} of the largest logit")
    return int(not worst <= 1e-4 or math.isnan(worst))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("llama", type=pathlib.Path)
    parser.add_argument("--texts", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--windows", type=int, default=0, help="windows of each text; 0: all")
    parser.add_argument("--only", default="answers,perplexity,logits")
    options = parser.parse_args()
    options.program, options.model, options.llama = (p.resolve() for p in (options.program, options.model, options.llama))
    parts = options.only.split(",")
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        exact = folder / "float32.gguf"
        run(options.program, "convert", options.model, exact, "--dtype", "f32")
        server = Server(options.llama, options.model)
        end = {server.tokens(text)[0] for text in ("<|im_end|>", "<|endoftext|>")
               if len(server.tokens(text)) == 1}
        try:
            if "logits" in parts:
                failures += compare_logits(options.program, options.model, options.texts, folder, server)
            if "answers" in parts:
                failures += compare_answers(options.program, options.model, server, "as published", folder, end)
        finally:
            server.close()
        if "answers" in parts:
            server = Server(options.llama, exact)
            try:
                failures += compare_answers(options.program, options.model, server, "float32", folder, end)
            finally:
                server.close()
        if "perplexity" in parts:
            failures += compare_perplexities(options.program, options.model, options.llama, options.texts, options.window,
                                             options.windows, exact)
    print("\nall agree" if failures == 0 else f"\n{failures} do not agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
