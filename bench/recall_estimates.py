#!/usr/bin/env python3
"""What the estimates of block routing say of the block that holds a fact, beside attention itself.

    recall_estimates.py MODEL_FOLDER [SEED]

Runs the model of bench/recall.sh in numpy over a history of 4,096 tokens with 20 facts, asks for each, and prints for each
head of the last layer the share of the attention that the fact's block has and what the estimates make of it, mean of the
facts, and at which place among the 64 blocks they rank it (1: first), mean and worst. An independent implementation of the
formulas in src/kernels/block_summary.h. Needs numpy.
"""

import json
import pathlib
import struct
import sys

import numpy

BLOCK, LENGTH, FACTS = 64, 4096, 20
FACT, ASK, FIRST_FILLER, FILLERS, FIRST_KEY, KEYS, VALUES = 1, 2, 3, 256, 259, 128, 64


def read_safetensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    body = data[8 + size :]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = numpy.frombuffer(body[begin:end], "<f4").reshape(entry["shape"])
    return tensors


class Model:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_safetensors(folder / "model.safetensors")
        self.head_dim = self.config["head_dim"]
        self.heads = self.config["num_attention_heads"]
        half = self.head_dim // 2
        self.frequencies = self.config["rope_theta"] ** (-numpy.arange(half) / half)

    def norm(self, x, name):
        return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"]) * self.weights[name]

    def linear(self, x, name):
        y = x @ self.weights[name + ".weight"].T
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def rotate(self, x):
        angles = numpy.arange(len(x))[:, None] * self.frequencies
        cos, sin = numpy.cos(angles)[:, None, :], numpy.sin(angles)[:, None, :]
        a, b = numpy.split(x, 2, axis=-1)
        return numpy.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def attend(self, q, k, v):
        out = numpy.empty_like(q)
        for head in range(self.heads):
            for begin in range(0, len(q), 512):
                rows = numpy.arange(begin, min(begin + 512, len(q)))
                scores = q[rows, head] @ k[: rows[-1] + 1, head].T / numpy.sqrt(self.head_dim)
                scores[rows[:, None] < numpy.arange(rows[-1] + 1)] = -numpy.inf
                weights = numpy.exp(scores - scores.max(-1, keepdims=True))
                out[rows, head] = weights / weights.sum(-1, keepdims=True) @ v[: rows[-1] + 1, head]
        return out.reshape(len(q), -1)

    def run(self, tokens):
        """Logits of the last token; rotated queries and keys of the last layer [tokens, heads, head_dim]."""
        x = self.weights["model.embed_tokens.weight"][tokens]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            n = self.norm(x, prefix + "input_layernorm.weight")
            q, k, v = (
                self.linear(n, prefix + f"self_attn.{name}_proj").reshape(len(tokens), -1, self.head_dim) for name in "qkv"
            )
            q, k = self.rotate(q), self.rotate(k)
            x = x + self.linear(self.attend(q, k, v), prefix + "self_attn.o_proj")
            m = self.norm(x, prefix + "post_attention_layernorm.weight")
            gate = self.linear(m, prefix + "mlp.gate_proj")
            x = x + self.linear(gate / (1 + numpy.exp(-gate)) * self.linear(m, prefix + "mlp.up_proj"), prefix + "mlp.down_proj")
        return self.norm(x[-1], "model.norm.weight") @ self.weights["model.embed_tokens.weight"].T, q, k


def history(random):
    """Numbers that count, and facts from beginning to end. Returns tokens, positions of the facts' keys, keys, values."""
    tokens, filler = numpy.empty(LENGTH, int), 0
    for t in range(LENGTH):
        filler = random.integers(FILLERS) if random.random() < 0.1 else (filler + 1) % FILLERS
        tokens[t] = FIRST_FILLER + filler
    positions = numpy.linspace(0, LENGTH - 8, FACTS).astype(int)
    keys = FIRST_KEY + random.permutation(KEYS)[:FACTS]
    values = FIRST_KEY + KEYS + random.integers(VALUES, size=FACTS)
    for position, key, value in zip(positions, keys, values):
        tokens[position : position + 3] = FACT, value, key
    return tokens, positions + 2, keys, values


def estimates(query, keys):
    """Logarithms of the mean exponential of each block's scores: exact, and estimated."""
    blocks, half = keys.reshape(-1, BLOCK, keys.shape[-1]), keys.shape[-1] // 2
    means = blocks.mean(1)
    squares = (blocks - means[:, None]) ** 2
    squares = squares[..., :half] + squares[..., half:]  # [blocks, tokens, pairs]
    energies = query[:half] ** 2 + query[half:] ** 2
    outliers = squares.sum(-1).argmax(1)
    every = numpy.arange(len(blocks))
    others = (squares.sum(1) - squares[every, outliers]) / (2 * (BLOCK - 1))
    scores = blocks @ query
    return {
        "attention": numpy.log(numpy.exp(scores - scores.max()).mean(1)) + scores.max(),
        "variance of all keys": means @ query + squares.mean(1) / 2 @ energies / 2,
        "bound": means @ query + numpy.sqrt(squares.max(1)) @ numpy.sqrt(energies),
        "outlier": numpy.logaddexp(means @ query + others @ energies / 2, scores[every, outliers] - numpy.log(BLOCK)),
    }


def main():
    model = Model(pathlib.Path(sys.argv[1]))
    tokens, positions, keys, values = history(numpy.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 1))
    right, results = 0, {}
    for position, key, value in zip(positions, keys, values):
        logits, q, k = model.run(numpy.concatenate([tokens, [ASK, key]]))
        right += logits.argmax() == value
        for head in range(model.heads):
            for name, scores in estimates(q[-1, head] / numpy.sqrt(model.head_dim), k[:LENGTH, head]).items():
                shares = numpy.exp(scores - scores.max())
                block = position // BLOCK
                rank = 1 + (shares > shares[block]).sum()
                results.setdefault((head, name), []).append((shares[block] / shares.sum(), rank))
    print(f"{right} of {FACTS} facts answered")
    print(f"{'head':>4} {'estimate':<22}{'share':>8}{'mean rank':>11}{'worst':>7}")
    for (head, name), pairs in results.items():
        shares, ranks = numpy.array(pairs).T
        print(f"{head:>4} {name:<22}{100 * shares.mean():>6.1f} %{ranks.mean():>11.1f}{int(ranks.max()):>7}")


if __name__ == "__main__":
    main()
