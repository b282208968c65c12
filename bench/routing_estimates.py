#!/usr/bin/env python3
"""How well summaries of blocks tell which blocks a trained model attends to: a Markdown table.

    routing_estimates.py MODEL_FOLDER TEXT [--tokens 6144] [--chosen 16] [--local 4]
    routing_estimates.py MODEL_FOLDER TEXT --needle DEPTH [...]

MODEL_FOLDER is a Hugging Face folder of the Llama or Qwen2 family (a GGUF file: `qwen25 convert` first). The model reads the
text once, with dense attention. For every layer, key-value head and 1 of 61 positions of the second half, each kind of
summary estimates the attention of the blocks of 64 tokens between the first and the local ones; the best CHOSEN are taken.
With --needle, a sentence with a number is planted at this share of the text, and its words stand at the end once more.

captured: their attention, of that of the CHOSEN blocks that have most of it; mean over the heads weighted by that attention.
worst tenth: the mean of the tenth of these choices that capture least.
needle: of the choices of the last position where a block of the needle is among the four with most attention and has a
tenth of it or more, those that take it.
bytes: of a summary, in units of the head dimension, for one block and key-value head.

Kinds: `mean`; `outlier` (the formula of kernels/block_summary.h); `slow outlier`: the same with the key that is farthest from
the mean in those pairs that the rotary embedding turns by less than a radian within a block; `pieces N`: means of N consecutive keys in int8; `clusters N`:
the block's keys in N clusters by k-means, means in int8 and counts; `sketch B`: every key in B bits; `X then sketch`: the best
3 CHOSEN by X are estimated again by all keys in 4 bits; `X · v`: keys count by the length of their values; `equal votes`: each
head's shares are those of the candidates alone. Output error: what the output of all heads lacks, relative to its length, root
mean square. Needs PyTorch and transformers.
"""

import argparse
import math

import torch
import transformers.modeling_utils as modeling
from transformers import AutoModelForCausalLM, AutoTokenizer

BLOCK = 64


def int8(points):
    scale = points.abs().amax(-1, keepdim=True) / 127 + 1e-20
    return torch.round(points / scale) * scale


def mean(q, blocks, weights):
    return q @ blocks.mean(1).T + weights.mean(1).log()


SLOW = []  # the dimensions of slow pairs


def outlier(q, blocks, weights, dimensions=slice(None)):
    center = blocks.mean(1)
    spread = blocks - center[:, None]
    far = spread[..., dimensions].norm(dim=-1).argmax(1)
    rows = torch.arange(len(blocks))
    square = spread.square()
    square[rows, far] = 0
    half = q.shape[-1] // 2
    variance = square.sum(1) / (BLOCK - 1)
    variance = (variance[:, :half] + variance[:, half:]) / 2
    energy = (q[..., :half].square() + q[..., half:].square()) / 2
    lone = weights[rows, far]
    others = (weights.sum(1) - lone) / (BLOCK - 1)
    return torch.logaddexp(q @ center.T + energy @ variance.T + others.log(), q @ blocks[rows, far].T + (lone / BLOCK).log())


def slow_outlier(q, blocks, weights):
    return outlier(q, blocks, weights, SLOW)


def pieces(size):
    def estimate(q, blocks, weights):
        means = int8(blocks.view(len(blocks), BLOCK // size, size, -1).mean(2))
        weight = weights.view(len(blocks), BLOCK // size, size).sum(2) / BLOCK
        return torch.logsumexp(torch.einsum("gtd,bpd->gtbp", q, means) + weight.log(), -1)
    return estimate


def clusters(count, rounds=4):
    def estimate(q, blocks, weights):
        means = blocks.view(len(blocks), count, BLOCK // count, -1).mean(2)  # consecutive keys, to begin with
        for _ in range(rounds):
            nearest = torch.cdist(blocks, means).argmin(-1)
            member = torch.nn.functional.one_hot(nearest, count).float()
            counts = member.sum(1)
            means = torch.where(counts[..., None] > 0, (member.transpose(1, 2) @ blocks) / counts[..., None].clamp(min=1), means)
            # An empty cluster takes the key that is farthest from its mean.
            distance = (blocks - torch.gather(means, 1, nearest[..., None].expand_as(blocks))).norm(dim=-1)
            for b, c in (counts == 0).nonzero().tolist():
                means[b, c] = blocks[b, distance[b].argmax()]
                distance[b, distance[b].argmax()] = 0
        nearest = torch.cdist(blocks, means).argmin(-1)
        member = torch.nn.functional.one_hot(nearest, count).float()
        weight = (member * weights[..., None]).sum(1) / BLOCK
        return torch.logsumexp(torch.einsum("gtd,bpd->gtbp", q, int8(means)) + weight.log(), -1)
    return estimate


def sketch(bits):
    def estimate(q, blocks, weights):
        if bits == 1:  # the sign of what a key adds to the mean, with one length a key
            center = blocks.mean(1, keepdim=True)
            rest = blocks - center
            keys = center + rest.sign() * rest.abs().mean(-1, keepdim=True)
        else:
            most = 2 ** (bits - 1) - 0.5
            center = blocks.mean(1, keepdim=True)
            rest = blocks - center
            scale = rest.abs().amax(-1, keepdim=True) / most + 1e-20
            keys = center + (torch.floor(rest / scale).clamp(-2 ** (bits - 1), 2 ** (bits - 1) - 1) + 0.5) * scale
        return torch.logsumexp(torch.einsum("gtd,bpd->gtbp", q, keys) + (weights / BLOCK).log(), -1)
    return estimate


def everything(q, blocks, weights):
    return torch.logsumexp(torch.einsum("gtd,bpd->gtbp", q, blocks) + (weights / BLOCK).log(), -1)


KINDS = {"mean": (mean, 2), "outlier": (outlier, 5), "slow outlier": (slow_outlier, 5),
         "pieces 16": (pieces(16), 4), "pieces 8": (pieces(8), 8),
         "pieces 4": (pieces(4), 16), "clusters 4": (clusters(4), 4), "clusters 8": (clusters(8), 8),
         "clusters 16": (clusters(16), 16), "sketch 1": (sketch(1), 10), "sketch 2": (sketch(2), 18),
         "sketch 4": (sketch(4), 34), "all keys": (everything, 128)}
TWO_STEPS = ["mean", "outlier", "pieces 8", "clusters 8"]


class Measurement:
    def __init__(self, arguments, positions, needle_blocks):
        self.arguments, self.positions, self.needle_blocks = arguments, positions, needle_blocks
        self.results = {}

    def share(self, log_mass, read):
        """Of the attention, mean over the heads of a group; read: log-mass of what is always read."""
        total = torch.logaddexp(torch.logsumexp(log_mass, -1, keepdim=True), read[..., None])
        return torch.exp(log_mass - total).mean(0)

    def add(self, name, truth, estimate, output_error):
        """[blocks] of one position."""
        best = truth.topk(min(self.arguments.chosen, len(truth))).indices
        chosen = estimate.topk(len(best)).indices
        possible = truth[best].sum().item()
        captured = truth[chosen].sum().item() / max(possible, 1e-9)
        self.results.setdefault(name, []).append((possible, captured, output_error(chosen)))

    def add_needle(self, name, truth, estimate):
        leaders = truth.topk(4).indices.tolist()
        wanted = [b for b in self.needle_blocks if b in leaders and truth[b] >= 0.1]
        if wanted:
            chosen = estimate.topk(self.arguments.chosen).indices.tolist()
            self.results.setdefault(name + " needle", []).append(all(b in chosen for b in wanted))

    def layer(self, queries, keys, values, scaling):
        group = queries.shape[1] // keys.shape[1]
        for kv in range(keys.shape[1]):
            whole = keys.shape[2] // BLOCK
            blocks = keys[0, kv, : whole * BLOCK].view(whole, BLOCK, -1)
            q = queries[0, kv * group : (kv + 1) * group][:, self.positions] * scaling
            scores = torch.einsum("gtd,kd->gtk", q, keys[0, kv])
            scores = scores.masked_fill(torch.arange(keys.shape[2])[None, None] > torch.tensor(self.positions)[None, :, None], -1e30)
            per_block = scores[..., : whole * BLOCK].view(group, len(self.positions), whole, BLOCK)
            true_mass = torch.logsumexp(per_block, -1)
            v = values[0, kv, : whole * BLOCK].view(whole, BLOCK, -1)
            outputs = torch.einsum("gtbk,bkd->gtbd", torch.softmax(per_block, -1), v)
            one, lengths = torch.ones(whole, BLOCK), v.norm(dim=-1) / v.norm(dim=-1).mean()
            estimates = {name + suffix: estimate(q, blocks, weights) + math.log(BLOCK)
                         for name, (estimate, _) in KINDS.items() for suffix, weights in (("", one), (" · v", lengths))}
            for i, position in enumerate(self.positions):
                end = position // BLOCK - self.arguments.local
                always = torch.cat([scores[:, i, :BLOCK], scores[:, i, end * BLOCK : position + 1]], -1).logsumexp(-1)
                truth = self.share(true_mass[:, i, 1:end], always)
                shares = {name: self.share(mass[:, i, 1:end], always) for name, mass in estimates.items()}
                for name in [name + suffix for name in TWO_STEPS for suffix in ("", " · v")]:
                    first = shares[name].topk(min(3 * self.arguments.chosen, end - 1)).indices
                    again = torch.full_like(shares[name], -1.0)
                    again[first] = shares["sketch 4" + (" · v" if "v" in name.split()[-1:] else "")][first]
                    shares[name + " then sketch"] = again
                # The same votes of all heads: shares of the candidates alone.
                nothing = torch.full_like(always, -1e30)
                shares["pieces 8, equal votes"] = self.share(estimates["pieces 8"][:, i, 1:end], nothing)
                # What of the output is missing, for each head.
                begin = end * BLOCK
                near = torch.cat([torch.arange(BLOCK), torch.arange(begin, position + 1)])
                weights = torch.softmax(scores[:, i, near], -1)
                read = weights @ values[0, kv, near]
                mass = torch.cat([always[:, None], true_mass[:, i, 1:end]], -1)
                parts = torch.cat([read[:, None], outputs[:, i, 1:end]], 1)
                whole_output = torch.einsum("gb,gbd->gd", torch.softmax(mass, -1), parts)

                def output_error(chosen):
                    kept = torch.cat([torch.zeros(1, dtype=torch.long), chosen + 1])
                    output = torch.einsum("gb,gbd->gd", torch.softmax(mass[:, kept], -1), parts[:, kept])
                    return ((output - whole_output).norm() / whole_output.norm()).item()

                for name, share in shares.items():
                    self.add(name, truth, share, output_error)
                    if position == self.positions[-1] and self.needle_blocks:
                        self.add_needle(name, truth, share)

    def report(self):
        print("| summary | bytes | captured | worst tenth | output error |" + (" needle |" if self.needle_blocks else ""))
        print("| --- | ---: | ---: | ---: | ---: |" + (" ---: |" if self.needle_blocks else ""))
        for name in [key for key in self.results if not key.endswith(" needle")]:
            rows = torch.tensor(self.results[name])
            captured = (rows[:, 0] * rows[:, 1]).sum() / rows[:, 0].sum()
            needed = rows[rows[:, 0] >= 0.1][:, 1]
            worst = needed.sort().values[: max(1, len(needed) // 10)].mean()
            size = KINDS.get(name.split(" then")[0].split(",")[0].split(" ·")[0], (None, 0))[1] + (34 if "then" in name else 0)
            line = f"| {name} | {size} | {captured:.3f} | {worst:.3f} | {rows[:, 2].square().mean().sqrt():.4f} |"
            if self.needle_blocks:
                found = self.results.get(name + " needle", [])
                line += f" {sum(found)} of {len(found)} |"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--tokens", type=int, default=6144)
    parser.add_argument("--chosen", type=int, default=16)
    parser.add_argument("--local", type=int, default=4)
    parser.add_argument("--needle", type=float)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32, attn_implementation="sdpa").eval()
    slow = model.model.rotary_emb.inv_freq * BLOCK < 1
    SLOW.extend(torch.cat([slow, slow]).nonzero().flatten().tolist())
    text = open(arguments.text, encoding="utf-8").read()[5000:]
    needle_blocks = []
    if arguments.needle is None:
        ids = tokenizer(text[: arguments.tokens * 8], add_special_tokens=False).input_ids[: arguments.tokens]
    else:
        text = text[: arguments.tokens * 4]
        place = text.rfind(". ", 0, max(10, int(len(text) * arguments.needle))) + 2
        words = "The secret code of the old castle in Ystad is"
        before = tokenizer(text[:place], add_special_tokens=False).input_ids
        sentence = tokenizer(words + " 48172. ", add_special_tokens=False).input_ids
        after = tokenizer(text[place:] + " " + words + " 48", add_special_tokens=False).input_ids
        ids = before + sentence + after
        needle_blocks = sorted({position // BLOCK - 1 for position in range(len(before), len(before) + len(sentence))})
    positions = list(range(len(ids) // 2, len(ids), 61)) + [len(ids) - 1]
    measurement = Measurement(arguments, positions, needle_blocks)
    original = modeling.ALL_ATTENTION_FUNCTIONS["sdpa"]

    def attend(module, query, key, value, attention_mask, scaling, **options):
        measurement.layer(query, key, value, scaling)
        return original(module, query, key, value, attention_mask, scaling=scaling, **options)

    modeling.ALL_ATTENTION_FUNCTIONS.register("measured", attend)
    model.config._attn_implementation = "measured"
    with torch.no_grad():
        model.model(torch.tensor([ids]))
    print(f"{len(ids)} tokens, {len(positions)} positions, the best {arguments.chosen} blocks, local {arguments.local}\n")
    measurement.report()


if __name__ == "__main__":
    main()
