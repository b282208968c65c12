#!/usr/bin/env python3
"""Whether key-value heads should read different numbers of blocks: a Markdown table of losses above dense attention.

    routing_budgets.py MODEL_FOLDER TEXT CALIBRATION_TEXT [--tokens 4095] [--local 2] [--dense-below 512] [--threads 2]

MODEL_FOLDER is a Hugging Face folder of the Llama or Qwen2 family (a GGUF file: `qwen25 convert` first). Blocks of 64 tokens are
chosen by their true attention, averaged over the query heads of a key-value head. `same`: every key-value head of every layer
reads as many. Otherwise the model reads CALIBRATION_TEXT, and the same number in total is shared out step by step, to the head
for which it lowers a measure most: `missed attention`, its square, or `output`: the squared length of what the layer's output
lacks, relative to that of the residual stream. Needs PyTorch and transformers.
"""

import argparse
import math

import torch
import transformers.modeling_utils as modeling
from transformers import AutoModelForCausalLM, AutoTokenizer

BLOCK, ROWS = 64, 512
STEPS = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
MEASURES = ["missed attention", "its square", "output"]


class Chooser:
    """Attention over chosen blocks, for transformers. `budgets`: blocks by (layer, kv head); None: everything is read."""

    def __init__(self, arguments):
        self.local, self.dense_below = arguments.local, arguments.dense_below
        self.budgets, self.losses, self.residuals = None, None, {}

    def blocks(self, begin, end):
        """[rows, blocks]: which are always read, and which are candidates."""
        number, own = torch.arange((end + BLOCK - 1) // BLOCK)[None], (torch.arange(begin, end) // BLOCK)[:, None]
        visible = number <= own
        always = (number < 1) | ((own - number <= self.local) & visible)
        return always, visible & ~always

    def output(self, scores, values, always, candidates, shares, count):
        best = torch.where(candidates, shares, torch.tensor(-1.0)).topk(min(count, shares.shape[-1]), -1).indices
        chosen = torch.zeros_like(always).scatter_(1, best, True)
        read = ((chosen & candidates) | always).repeat_interleave(BLOCK, 1)[None, :, : scores.shape[-1]]
        return torch.softmax(scores.masked_fill(~read, -1e30), -1) @ values

    def measure(self, module, kv, scores, values, always, candidates, shares):
        ranked = torch.where(candidates, shares, torch.tensor(0.0)).sort(-1, descending=True).values
        whole, group = torch.softmax(scores, -1) @ values, scores.shape[0]
        losses = self.losses.setdefault((module.layer_idx, kv), torch.zeros(len(MEASURES), len(STEPS)))
        for step, count in enumerate(STEPS):
            missed = ranked[:, count:].sum(-1)
            lacks = self.output(scores, values, always, candidates, shares, count) - whole  # [group, rows, dim]
            size = lacks.shape[-1]
            weight = module.o_proj.weight[:, kv * group * size : (kv + 1) * group * size]
            error = lacks.transpose(0, 1).flatten(1) @ weight.T
            losses[:, step] += torch.stack(
                [missed.sum(), missed.square().sum(), error.square().sum() / self.residuals[module.layer_idx]])

    def attend(self, module, queries, keys, values, attention_mask, scaling, **_):
        kv_heads, tokens = keys.shape[1], keys.shape[2]
        group, outputs = queries.shape[1] // kv_heads, torch.empty(1, tokens, queries.shape[1], queries.shape[3])
        for kv in range(kv_heads):
            heads = slice(kv * group, (kv + 1) * group)
            for begin in range(0, tokens, ROWS):
                end = min(tokens, begin + ROWS)
                later = torch.arange(begin, end)[:, None] < torch.arange(end)[None]
                scores = (queries[0, heads, begin:end] @ keys[0, kv, :end].T * scaling).masked_fill(later, -1e30)
                output = None
                if begin >= self.dense_below and (self.budgets is not None or self.losses is not None):
                    always, candidates = self.blocks(begin, end)
                    padding = always.shape[1] * BLOCK - end
                    masses = torch.nn.functional.pad(scores, (0, padding), value=-1e30).unflatten(-1, (-1, BLOCK)).logsumexp(-1)
                    shares = torch.softmax(masses, -1).mean(0)
                    if self.losses is not None:
                        self.measure(module, kv, scores, values[0, kv, :end], always, candidates, shares)
                    else:
                        count = self.budgets[module.layer_idx, kv]
                        output = self.output(scores, values[0, kv, :end], always, candidates, shares, count)
                if output is None:
                    output = torch.softmax(scores, -1) @ values[0, kv, :end]
                outputs[0, begin:end, heads] = output.transpose(0, 1)
        return outputs, None


def share_out(losses, total):
    """Budgets by head: always the step of the greatest gain for a block. losses: by head, for each of STEPS."""
    at, left = dict.fromkeys(losses, 0), total
    while True:
        gains = [((losses[head][at[head]] - losses[head][step]) / (STEPS[step] - STEPS[at[head]]), head, step)
                 for head in losses for step in range(at[head] + 1, len(STEPS)) if STEPS[step] - STEPS[at[head]] <= left]
        gain, head, step = max(gains, default=(0, None, None))
        if gain <= 0:
            return {head: STEPS[step] for head, step in at.items()}
        left -= STEPS[step] - STEPS[at[head]]
        at[head] = step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "text", "calibration"):
        parser.add_argument(name)
    for name, value in (("tokens", 4095), ("local", 2), ("dense-below", 512), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32, attn_implementation="eager").eval()
    chooser = Chooser(arguments)
    modeling.ALL_ATTENTION_FUNCTIONS.register("chosen_blocks", chooser.attend)
    model.config._attn_implementation = "chosen_blocks"
    for index, layer in enumerate(model.model.layers):
        def note(module, args, kwargs, index=index):
            stream = kwargs.get("hidden_states", args[0] if args else None)
            chooser.residuals[index] = stream.square().sum(-1).mean().item()
        layer.register_forward_pre_hook(note, with_kwargs=True)

    @torch.no_grad()
    def perplexity(path):
        with open(path, encoding="utf-8") as file:
            ids = tokenizer(file.read()[: arguments.tokens * 8], return_tensors="pt").input_ids[:, : arguments.tokens]
        hidden, loss = model.model(ids).last_hidden_state[0], 0.0
        for begin in range(0, ids.shape[1] - 1, ROWS):
            end = min(ids.shape[1] - 1, begin + ROWS)
            logits = model.lm_head(hidden[begin:end])
            loss += torch.nn.functional.cross_entropy(logits, ids[0, begin + 1 : end + 1], reduction="sum").item()
        return math.exp(loss / (ids.shape[1] - 1))

    dense = perplexity(arguments.text)
    chooser.losses = {}
    perplexity(arguments.calibration)
    losses, chooser.losses = chooser.losses, None
    print(f"dense {dense:.4f}\n\n| budgets | blocks a head, mean | heads that read none | loss |\n| --- | ---: | ---: | ---: |")
    for mean in (8, 4):
        choices = {"same": dict.fromkeys(losses, mean)}
        for index, name in enumerate(MEASURES):
            choices[name] = share_out({head: curves[index].tolist() for head, curves in losses.items()}, mean * len(losses))
        for name, budgets in choices.items():
            chooser.budgets = budgets
            loss = 100 * (perplexity(arguments.text) / dense - 1)
            none = sum(count == 0 for count in budgets.values())
            print(f"| {name} | {mean} | {none} of {len(budgets)} | {loss:+.2f} % |", flush=True)


if __name__ == "__main__":
    main()
