#!/usr/bin/env python3
"""Runs GGUF files written here in llama.cpp, and files written there here: greedy tokens and perplexities must agree.

    python check_gguf_llamacpp.py PROGRAM [LLAMA_BIN] [--stories FOLDER] [--tokenizer FOLDER]

PROGRAM is the built qwen25, LLAMA_BIN a folder with llama-simple, llama-quantize and llama-perplexity; without one, or where
it is not there, everything is skipped. Models: a random qwen2 of two layers with the tokenizer of --tokenizer (default: the
fixture tokenizer_qwen2), and the pretrained story model that `qwen25 convert` made in --stories, if given.

A step passes when both programs draw the same greedy tokens, or part at a token where the two best logits (from the weights
in float32) are closer than the programs' arithmetic is: both quantise activations, each in its own way. Perplexities are
llama-perplexity's (second halves of chunks), computed here from `qwen25 logits`; they must agree within 1%.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy
from safetensors.numpy import load_file, save_file

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
OUR_FORMATS = ["float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "int4"]
THEIR_FORMATS = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0"]
# Largest gap between the two best logits at which the programs may part, relative to the logits' standard deviation.
TIE = 0.1
CONTEXT = 128


def run(*command, check=True):
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=600, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done


def make_random_model(folder, tokenizer):
    """A qwen2 with sharp next-token distributions, so that rounding seldom changes the most likely token."""
    rng = numpy.random.default_rng(3)
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        if (tokenizer / name).exists():
            (folder / name).write_bytes((tokenizer / name).read_bytes())
    entries = json.loads((tokenizer / "tokenizer.json").read_text()) if (tokenizer / "tokenizer.json").exists() else None
    if entries is None:
        sys.exit(f"{tokenizer}: holds no tokenizer.json")
    for token in entries["added_tokens"]:  # what GGUF cannot say
        token.update(lstrip=False, rstrip=False, normalized=False)
    (folder / "tokenizer.json").write_text(json.dumps(entries))
    used = max([*entries["model"]["vocab"].values(), *(t["id"] for t in entries["added_tokens"])]) + 1
    vocab, hidden, heads, kv_heads, ffn, layers = (used + 63) // 64 * 64, 256, 4, 2, 512, 2
    head_dim = hidden // heads
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": vocab, "hidden_size": hidden,
              "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
              "rope_theta": 1000000.0, "tie_word_embeddings": False, "hidden_act": "silu", "bos_token_id": used - 1,
              "eos_token_id": used - 1}
    (folder / "config.json").write_text(json.dumps(config))

    def matrix(rows, cols, gain=1.0):
        return (gain / cols**0.5 * rng.standard_normal((rows, cols))).astype(numpy.float32)

    tensors = {"model.embed_tokens.weight": matrix(vocab, hidden, 16), "lm_head.weight": matrix(vocab, hidden, 3),
               "model.norm.weight": numpy.ones(hidden, numpy.float32)}
    # Rows behind the tokenizer's end are never drawn.
    tensors["lm_head.weight"][used - 1:] = 0
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[layer + name + ".weight"] = (1 + 0.1 * rng.standard_normal(hidden)).astype(numpy.float32)
        for name, rows in (("q", hidden), ("k", kv_heads * head_dim), ("v", kv_heads * head_dim)):
            tensors[f"{layer}self_attn.{name}_proj.weight"] = matrix(rows, hidden)
            tensors[f"{layer}self_attn.{name}_proj.bias"] = (0.2 * rng.standard_normal(rows)).astype(numpy.float32)
        tensors[layer + "self_attn.o_proj.weight"] = matrix(hidden, hidden)
        tensors[layer + "mlp.gate_proj.weight"] = matrix(ffn, hidden)
        tensors[layer + "mlp.up_proj.weight"] = matrix(ffn, hidden)
        tensors[layer + "mlp.down_proj.weight"] = matrix(hidden, ffn)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


class Vocabulary:
    """The bytes of tokens, as a GGUF file's metadata has them."""

    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields
        self.kind = fields["tokenizer.ggml.model"].contents()
        self.tokens = fields["tokenizer.ggml.tokens"].contents()
        self.types = fields["tokenizer.ggml.token_type"].contents()
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = iter(range(256, 512))
        self.bytes_of = {chr(b) if b in plain else chr(next(others)): b for b in range(256)}

    def piece(self, token):
        text = self.tokens[token]
        if self.types[token] == 6:
            return bytes([int(text[3:5], 16)])
        if self.types[token] != 1:
            return text.encode()
        if self.kind == "llama":
            return text.replace("\u2581", " ").encode()
        return bytes(self.bytes_of[c] for c in text)


class Checker:
    def __init__(self, program, llama, work):
        self.program, self.llama, self.work = program, llama, work
        self.failures = 0

    def ours(self, model, prompt, count):
        done = run(self.program, "generate", "-m", model, "--prompt", prompt, "-n", count, "--temperature", 0, "--json")
        return json.loads(done.stdout)

    def greedy(self, model, prompt, count=48):
        """Tokens that are the same, of how many, and the gap of the two best logits where they part, in deviations."""
        theirs = run(self.llama / "llama-simple", "-m", model, "-n", count, prompt).stdout
        vocabulary = Vocabulary(model)
        answer = self.ours(model, prompt, count)
        drawn = answer["tokens"]
        if answer["finish_reason"] == "stop":  # the end token, which llama-simple does not print
            drawn.pop()
        ids = self.encode(model, prompt)
        at = theirs.find(prompt.encode())
        if at < 0:
            sys.exit(f"{model}: llama-simple did not repeat the prompt: {theirs[:200]!r}")
        text = theirs[at + len(prompt.encode()):]
        same = b""
        for number, token in enumerate(drawn):
            piece = vocabulary.piece(token).replace(b"\0", b"")  # llama-simple prints C strings
            if not text.startswith(same + piece):
                return number, len(drawn), self.gap(model, ids, drawn[:number])
            same += piece
        if text != same + b"\n":  # it went on where this program stopped
            return len(drawn), count, self.gap(model, ids, drawn)
        return len(drawn), len(drawn), None

    def encode(self, model, prompt):
        ids = [int(i) for i in run(self.program, "tokenizer", "encode", model, "--text", prompt).stdout.split()]
        fields = gguf.GGUFReader(model).fields
        add_bos = fields.get("tokenizer.ggml.add_bos_token")
        if add_bos is not None and add_bos.contents():
            ids.insert(0, fields["tokenizer.ggml.bos_token_id"].contents())
        return ids

    def logits(self, model, sequences):
        tokens = numpy.concatenate([numpy.array(s, numpy.int32) for s in sequences])
        starts = numpy.cumsum([0] + [len(s) for s in sequences]).astype(numpy.int32)
        save_file({"tokens": tokens, "sequence_starts": starts}, self.work / "tokens.safetensors")
        run(self.program, "logits", "-m", model, "--tokens", self.work / "tokens.safetensors", "-o",
            self.work / "logits.safetensors")
        return numpy.split(load_file(self.work / "logits.safetensors")["logits"], starts[1:-1])

    def gap(self, model, prompt, drawn):
        """Behind `drawn`, or one or two tokens before: a token of theirs may begin with the text of several of ours."""
        first = len(prompt) + max(len(drawn) - 2, 0) - 1
        rows = self.logits(model, [prompt + drawn])[0][first:].astype(numpy.float64)
        best = numpy.sort(rows, axis=1)[:, -2:]
        return ((best[:, 1] - best[:, 0]) / rows.std(axis=1)).min()

    def perplexities(self, model, text_file):
        """(here, there)"""
        for _ in range(30):  # its log sometimes loses the last lines
            done = run(self.llama / "llama-perplexity", "-m", model, "-f", text_file, "-c", CONTEXT, "-b", CONTEXT, check=False)
            output = (done.stdout + done.stderr).decode(errors="replace")
            found = re.search(r"Final estimate: PPL = ([0-9.]+)", output)
            if found:
                break
        else:
            sys.exit(f"{model}: llama-perplexity gave no estimate:\n{output[-1500:]}")
        ids = self.encode(model, pathlib.Path(text_file).read_text())
        chunks = [ids[i:i + CONTEXT] for i in range(0, len(ids) - CONTEXT + 1, CONTEXT)]
        fields = gguf.GGUFReader(model).fields
        add_bos = fields.get("tokenizer.ggml.add_bos_token")
        if add_bos is not None and add_bos.contents():
            chunks = [[fields["tokenizer.ggml.bos_token_id"].contents()] + c[1:] for c in chunks]
        losses = []
        for chunk, logits in zip(chunks, self.logits(model, chunks)):
            wide = logits.astype(numpy.float64)
            log_sum = numpy.log(numpy.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1)) + wide.max(axis=1)
            for position in range(CONTEXT // 2, CONTEXT - 1):
                losses.append(log_sum[position] - wide[position, chunk[position + 1]])
        return float(numpy.exp(numpy.mean(losses))), float(found[1])

    def step(self, label, model, prompts, text_file=None):
        same = total = 0
        worst = 0.0
        for prompt in prompts:
            agreed, of, gap = self.greedy(model, prompt)
            same += agreed
            total += of
            worst = max(worst, gap or 0.0)
        line = f"{label:34} {model.stat().st_size:>9} bytes  {same:>4}/{total:<4} tokens"
        good = worst <= TIE
        if worst:
            line += f"  part at gap {worst:.3f}"
        if text_file is not None:
            here, there = self.perplexities(model, text_file)
            line += f"  perplexity {here:.4f} here, {there:.4f} there"
            good &= abs(here / there - 1) < 0.01
        print(line + ("" if good else "  FAILED"), flush=True)
        self.failures += not good

    def check(self, name, folder, prompts, with_perplexity):
        text_file = None
        if with_perplexity:
            text_file = self.work / f"{name}.txt"
            stories = [run(self.program, "generate", "-m", folder, "--prompt", p, "-n", 400, "--temperature", 0.8, "--seed",
                           s).stdout.decode(errors="replace") for s in range(3) for p in prompts]
            text_file.write_text("\n".join(stories))
        full = self.work / f"{name}-f32.gguf"
        for form in OUR_FORMATS:
            out = full if form == "float32" else self.work / f"{name}-{form}.gguf"
            run(self.program, "quantize", "-m", folder, "-o", out, "--format", form)
            self.step(f"{name}, written here: {form}", out, prompts, text_file)
        for form in THEIR_FORMATS:
            out = self.work / f"{name}-their-{form}.gguf"
            done = run(self.llama / "llama-quantize", full, out, form, check=False)
            if done.returncode != 0:
                reason = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()[-2:]
                print(f"{name}, written there: {form}: refused there: {' '.join(reason)[:120]}")
                continue
            self.step(f"{name}, written there: {form}", out, prompts, text_file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("llama", nargs="?", type=pathlib.Path)
    parser.add_argument("--stories", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, default=FIXTURES / "tokenizer_qwen2")
    arguments = parser.parse_args()
    if arguments.llama is None or not (arguments.llama / "llama-simple").exists():
        print("SKIPPED: give the folder of llama.cpp's programs")
        return
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        checker = Checker(arguments.program, arguments.llama, work)
        if arguments.stories:
            checker.check("stories", arguments.stories, ["Once upon a time", "Lily and Tom went to the park."], True)
        make_random_model(work / "random", arguments.tokenizer)
        checker.check("random", work / "random", ["The quick brown fox", "def main():\n    return 42", "Grüße, 世界!"], False)
    if checker.failures:
        sys.exit(f"{checker.failures} steps failed")
    print("llama.cpp and this program agree")


if __name__ == "__main__":
    main()
