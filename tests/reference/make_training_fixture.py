#!/usr/bin/env python3
"""Writes fixtures/training_adamw/ and training_muon/: 100 steps of training in PyTorch, from given weights on given tokens.

    python make_training_fixture.py [--output FOLDER] [--only adamw|muon]

Each folder is a Hugging Face checkpoint with the weights before the first step (config.json, model.safetensors), the
recipe (training.json) and expected.safetensors:

    batches              int32 [100, T]  the tokens of each step: S sequences laid end to end
    sequence_starts      int32 [S + 1]   first token of each sequence, then T; the same in every step
    learning_rate_factors float32 [100]  what the peak learning rates are multiplied by
    losses               float32 [100]   mean over all next tokens, before the step's update, in nats
    gradient_norms       float32 [100]   norm of all gradients together, before clipping
    final.<name>         float32         the weights after the last step
    losses_float32, gradient_norms_float32  the same run by PyTorch in float32, for comparison

The run that counts is in float64 (transformers keeps norms, softmax and rotary angles in float32); training.json says
how far PyTorch's own float32 run moves away from it, in losses and in each final weight.

One step, for step = 0, 1, ..., total - 1:

    factor = (step + 1) / warmup                                                     where step < warmup
             min_ratio + (1 - min_ratio) / 2 * (1 + cos(pi * (step - warmup) / (total - warmup)))  otherwise
    g = g * min(1, clip_norm / (norm of all gradients + 1e-6))

    AdamW (arXiv:1711.05101), learning rate lr = learning_rate * factor, with t = step + 1:
        w = w * (1 - lr * decay)                  decay = weight_decay for matrices and embeddings, 0 for norms and biases
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        w = w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)

    Muon (Jordan et al. 2024; scale of arXiv:2502.16982), lr = muon_learning_rate * factor, for each weight matrix
    [rows, cols] of the hidden layers by itself (q, k, v, o, gate, up, down; never fused):
        M = momentum * M + g                      from zero
        U = g + momentum * M                      Nesterov
        X = U / (Frobenius norm of U + 1e-7)
        five times:  A = X X^T,  X = a X + (b A + c A A) X,  (a, b, c) = (3.4445, -4.7750, 2.0315)
                     (for rows > cols on the transpose, which is the same in exact arithmetic)
        w = w * (1 - lr * weight_decay) - lr * 0.2 * sqrt(max(rows, cols)) * X
    Embedding, output projection, norms and biases stay with AdamW.

The text is a random walk: every token has four successors with unequal chances, so there is something to learn.
Needs: torch, transformers, safetensors.
"""

import argparse
import json
import math
import pathlib

import torch
import transformers
from safetensors.torch import save_file

STEPS = 100
LENGTHS = (100, 64, 1, 27)  # sequences of each step's batch
VOCABULARY = 128
COEFFICIENTS = (3.4445, -4.7750, 2.0315)

COMMON = dict(steps=STEPS, schedule="cosine", warmup_steps=10, min_ratio=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8,
              weight_decay=0.1, clip_norm=1.0)
RECIPES = {
    "adamw": dict(optimizer="adamw", learning_rate=1e-2, **COMMON),
    "muon": dict(optimizer="muon", learning_rate=1e-2, muon_learning_rate=2e-2, muon_momentum=0.95,
                 newton_schulz_steps=5, **COMMON),
}


def build(name):
    config = transformers.Qwen2Config(
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, hidden_size=32, intermediate_size=64,
        vocab_size=VOCABULARY, tie_word_embeddings=name == "adamw", max_position_embeddings=128, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, bos_token_id=None, eos_token_id=0)
    config._attn_implementation = "eager"
    model = transformers.Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in parameter_name:
                parameter.fill_(1)
            elif parameter_name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif "embed_tokens" in parameter_name or "lm_head" in parameter_name:
                parameter.copy_(0.1 * noise)
            else:
                scale = parameter.shape[1] ** -0.5
                if "o_proj" in parameter_name or "down_proj" in parameter_name:
                    scale /= (2 * config.num_hidden_layers) ** 0.5
                parameter.copy_(scale * noise)
    return model


def random_walks():
    """int32 [STEPS, sum(LENGTHS)]"""
    generator = torch.Generator().manual_seed(12)
    successors = torch.randint(VOCABULARY, (VOCABULARY, 4), generator=generator)
    chances = torch.tensor([0.55, 0.25, 0.15, 0.05])
    batches = torch.empty(STEPS, sum(LENGTHS), dtype=torch.int32)
    for row in batches:
        picks = torch.multinomial(chances, len(row), replacement=True, generator=generator)
        position = 0
        for length in LENGTHS:
            token = torch.randint(VOCABULARY, (), generator=generator)
            for i in range(position, position + length):
                row[i] = token
                token = successors[token, picks[i]]
            position += length
    return batches


def factor(recipe, step):
    warmup, total, low = recipe["warmup_steps"], recipe["steps"], recipe["min_ratio"]
    if step < warmup:
        return (step + 1) / warmup
    return low + (1 - low) / 2 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def newton_schulz(x, steps):
    a, b, c = COEFFICIENTS
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr, recipe):
        super().__init__(parameters, dict(lr=lr))
        self.recipe = recipe

    @torch.no_grad()
    def step(self):
        recipe = self.recipe
        for group in self.param_groups:
            for w in group["params"]:
                state = self.state[w]
                m = state.setdefault("momentum", torch.zeros_like(w))
                m.mul_(recipe["muon_momentum"]).add_(w.grad)
                update = newton_schulz(w.grad + recipe["muon_momentum"] * m, recipe["newton_schulz_steps"])
                w.mul_(1 - group["lr"] * recipe["weight_decay"])
                w.sub_(group["lr"] * 0.2 * math.sqrt(max(w.shape)) * update)


def optimizers(model, recipe):
    hidden, decayed, plain = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            plain.append(parameter)
        elif recipe["optimizer"] == "muon" and "_proj" in name:
            hidden.append(parameter)
        else:
            decayed.append(parameter)
    groups = [dict(params=decayed, weight_decay=recipe["weight_decay"]), dict(params=plain, weight_decay=0.0)]
    found = [torch.optim.AdamW(groups, lr=recipe["learning_rate"], betas=(recipe["beta1"], recipe["beta2"]),
                               eps=recipe["epsilon"], foreach=False)]
    if hidden:
        found.append(Muon(hidden, recipe["muon_learning_rate"], recipe))
    return found


def train(model, recipe, batches):
    """Losses and gradient norms of every step; the model ends with the final weights."""
    steppers = optimizers(model, recipe)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in steppers]
    losses, norms = [], []
    for step, row in enumerate(batches.long()):
        model.zero_grad()
        total = 0
        for tokens in row.split(LENGTHS):
            logits = model(input_ids=tokens[None], use_cache=False).logits[0]
            total = total + torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="sum")
        loss = total / sum(length - 1 for length in LENGTHS)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_norm"]).item())
        losses.append(loss.item())
        for optimizer, rates in zip(steppers, peaks):
            for group, peak in zip(optimizer.param_groups, rates):
                group["lr"] = peak * factor(recipe, step)
            optimizer.step()
    return torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def write_config(config, path):
    wanted = ("architectures", "attention_dropout", "eos_token_id", "hidden_act", "hidden_size", "initializer_range",
              "intermediate_size", "max_position_embeddings", "model_type", "num_attention_heads", "num_hidden_layers",
              "num_key_value_heads", "rms_norm_eps", "tie_word_embeddings", "use_sliding_window", "vocab_size")
    values = {key: config.to_dict().get(key) for key in wanted}
    values |= {"architectures": ["Qwen2ForCausalLM"], "rope_theta": config.rope_parameters["rope_theta"]}
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def write_fixture(name, output):
    folder = output / f"training_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    recipe, batches = RECIPES[name], random_walks()
    model = build(name)
    weights = {key: value.clone() for key, value in model.state_dict().items()
               if not (model.config.tie_word_embeddings and key == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_config(model.config, folder / "config.json")

    losses32, norms32 = train(model, recipe, batches)
    final32 = {key: model.state_dict()[key].double() for key in weights}
    model.load_state_dict(weights, strict=False)
    model.double()
    losses, norms = train(model, recipe, batches)
    final = {key: model.state_dict()[key] for key in weights}

    starts = [0]
    for length in LENGTHS:
        starts.append(starts[-1] + length)
    tensors = {
        "batches": batches,
        "sequence_starts": torch.tensor(starts, dtype=torch.int32),
        "learning_rate_factors": torch.tensor([factor(recipe, step) for step in range(STEPS)]),
        "losses": losses.float(),
        "gradient_norms": norms.float(),
        "losses_float32": losses32.float(),
        "gradient_norms_float32": norms32.float(),
    }
    tensors |= {"final." + key: value.float().contiguous() for key, value in final.items()}
    moved = {key: ((final32[key] - final[key]).norm() / (final[key] - weights[key]).norm()).item() for key in final}
    recipe = recipe | {
        "sequence_lengths": LENGTHS,
        "muon_parameters": [key for key in weights if "_proj.weight" in key] if name == "muon" else [],
        "undecayed_parameters": [key for key in weights if weights[key].dim() < 2],
        "formulas": __doc__[__doc__.index("One step, for"):__doc__.index("The text is a")].strip().splitlines(),
        "float32_difference": {
            "losses": float(f"{(losses32 - losses).abs().max():.2g}"),
            "gradient_norms": float(f"{((norms32 - norms) / norms).abs().max():.2g}"),
            "final_weights, as a share of how far training moved them":
                {key: float(f"{value:.2g}") for key, value in moved.items()},
        },
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    (folder / "training.json").write_text(json.dumps(recipe, indent=1) + "\n")
    save_file(tensors, folder / "expected.safetensors", metadata={"fixture": json.dumps(recipe, sort_keys=True)})
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    worst = max(moved, key=moved.get)
    print(f"{folder.name}: {sum(w.numel() for w in weights.values())} parameters, {size / 1e6:.2f} MB\n"
          f"  loss {losses[0]:.4f} -> {losses[-1]:.4f}; gradient norm {norms.min():.2f} to {norms.max():.2f}, clipped in "
          f"{(norms > 1).sum()} steps\n  float32 differs: losses {(losses32 - losses).abs().max():.1e}, final weights up "
          f"to {moved[worst]:.1e} ({worst}), median {sorted(moved.values())[len(moved) // 2]:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "fixtures")
    parser.add_argument("--only", choices=RECIPES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order everywhere
    for name in RECIPES:
        if arguments.only in (None, name):
            write_fixture(name, arguments.output)


if __name__ == "__main__":
    main()
