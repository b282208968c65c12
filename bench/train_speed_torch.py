#!/usr/bin/env python3
"""Training speed of PyTorch on the CPU: the peer that this project's training is measured against.

    python bench/train_speed_torch.py --preset nano --batch 8 [--mode eager|compile] [--model plain|transformers]
    python bench/train_speed_torch.py --gemm

A step is what a training loop does: forward, next-token cross-entropy, backward, clipping to norm 1 and AdamW, in
float32, on a batch of sequences of equal length. Prints one JSON object: tokens per second (of the median and of the
fastest step after the warm-up), the arithmetic that is, and the largest resident memory, of the whole process and of its
steady steps alone (without importing and compiling).

The plain model is written to be fast: q, k, v and gate, up in one product each, scaled_dot_product_attention, the fused
AdamW, no copies that are not needed, memory that the allocator keeps instead of returning it to the system after every
step (--system-allocator leaves it as it is). --model transformers runs Qwen2ForCausalLM instead.
--gemm prints the rate of square float32 products, the most that any of this can reach.
Needs: torch; transformers for that model.
"""

import argparse
import json
import os
import statistics
import sys
import time

# glibc reads these when a process starts, so the process starts itself once more with them set.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}

PRESETS = {  # as in docs/design.md; the vocabulary is the demo's, so that its share of the work is the same in both
    "nano": dict(layers=6, heads=8, kv_heads=2, head_dim=32, hidden=256, intermediate=704, vocab=4096),
    "small": dict(layers=12, heads=12, kv_heads=4, head_dim=64, hidden=768, intermediate=2048, vocab=4096),
}


def flops_per_token(shape, sequence):
    """Floating-point operations of forward and backward; attention over the (sequence + 1) / 2 tokens it sees."""
    query, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    layer = shape["hidden"] * (2 * query + 2 * kv + 3 * shape["intermediate"])
    products = shape["layers"] * layer + shape["vocab"] * shape["hidden"]
    return 3 * (2 * products + shape["layers"] * 4 * query * (sequence + 1) / 2)


def plain_model(torch, shape, sequence, gqa):
    from torch import nn
    from torch.nn import functional as F

    heads, kv_heads, head_dim = shape["heads"], shape["kv_heads"], shape["head_dim"]
    hidden, intermediate = shape["hidden"], shape["intermediate"]

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(hidden))

        def forward(self, x):
            return F.rms_norm(x, (hidden,), self.weight, 1e-6)

    def rotate(x, cos, sin):  # x [B, heads, T, head_dim]
        low, high = x.chunk(2, dim=-1)
        return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.mlp_norm = Norm(), Norm()
            self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * head_dim, bias=True)
            self.o = nn.Linear(heads * head_dim, hidden, bias=False)
            self.gate_up = nn.Linear(hidden, 2 * intermediate, bias=False)
            self.down = nn.Linear(intermediate, hidden, bias=False)

        def forward(self, x, cos, sin):
            batch, tokens, _ = x.shape
            qkv = self.qkv(self.attention_norm(x)).view(batch, tokens, heads + 2 * kv_heads, head_dim).transpose(1, 2)
            q, k, v = qkv.split((heads, kv_heads, kv_heads), dim=1)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            if gqa == "native":
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            else:
                k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.o(out.transpose(1, 2).reshape(batch, tokens, heads * head_dim))
            gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
            return x + self.down(F.silu(gate) * up)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(shape["vocab"], hidden)  # and the output projection
            self.layers = nn.ModuleList(Layer() for _ in range(shape["layers"]))
            self.norm = Norm()
            rates = 1e6 ** (-torch.arange(0, head_dim, 2).float() / head_dim)
            angles = torch.arange(sequence).float()[:, None] * rates
            self.register_buffer("cos", angles.cos())
            self.register_buffer("sin", angles.sin())
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    std = 0.02 / (2 * shape["layers"]) ** 0.5 if ".o." in name or ".down." in name else 0.02
                    nn.init.normal_(parameter, std=std)
                elif name.endswith("bias"):
                    nn.init.zeros_(parameter)

        def forward(self, tokens, targets):
            x = self.embedding(tokens)
            for layer in self.layers:
                x = layer(x, self.cos, self.sin)
            logits = F.linear(self.norm(x), self.embedding.weight)
            return F.cross_entropy(logits.view(-1, shape["vocab"]), targets.view(-1))

    return Decoder()


def transformers_model(torch, shape, sequence):
    import transformers

    config = transformers.Qwen2Config(
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"],
        hidden_size=shape["hidden"], intermediate_size=shape["intermediate"], vocab_size=shape["vocab"],
        max_position_embeddings=sequence, tie_word_embeddings=True, use_cache=False)
    decoder = transformers.Qwen2ForCausalLM(config)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = decoder

        def forward(self, tokens, targets):
            logits = self.decoder(input_ids=tokens, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.view(-1, shape["vocab"]), targets.view(-1))

    return Loss()


def status_bytes(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak():
    """Makes VmHWM start again from what is resident now."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def measure_training(arguments):
    import torch
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    imported = status_bytes("VmRSS")
    shape = dict(PRESETS[arguments.preset])
    if arguments.vocab:
        shape["vocab"] = arguments.vocab
    if arguments.model == "plain":
        model = plain_model(torch, shape, arguments.sequence, arguments.gqa)
    else:
        model = transformers_model(torch, shape, arguments.sequence)
    parameters = list(model.parameters())
    groups = [dict(params=[p for p in parameters if p.dim() > 1], weight_decay=0.1),
              dict(params=[p for p in parameters if p.dim() < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    loss_of = model
    if arguments.mode == "compile":
        loss_of = torch.compile(model, fullgraph=arguments.model == "plain", dynamic=False,
                                mode="max-autotune-no-cudagraphs" if arguments.max_autotune else None)

    batches = torch.randint(shape["vocab"], (8, arguments.batch, arguments.sequence + 1))
    batches = [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in batches]

    def step(number):
        tokens, targets = batches[number % len(batches)]
        loss = loss_of(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    start = time.perf_counter()
    losses = [step(number) for number in range(arguments.warmup)]
    warmup_seconds = time.perf_counter() - start
    early_peak = status_bytes("VmHWM")
    forget_peak()  # the system's ru_maxrss starts again too
    seconds = []
    start = time.perf_counter()
    while len(seconds) < arguments.steps and (len(seconds) < 3 or time.perf_counter() - start < arguments.max_seconds):
        begin = time.perf_counter()
        losses.append(step(len(losses)))
        seconds.append(time.perf_counter() - begin)
    tokens = arguments.batch * arguments.sequence
    flops = flops_per_token(shape, arguments.sequence) * tokens
    return {
        "program": "torch " + torch.__version__,
        "model": arguments.model,
        "mode": arguments.mode + (" max-autotune" if arguments.max_autotune else ""),
        "preset": arguments.preset,
        "vocab": shape["vocab"],
        "parameters": sum(p.numel() for p in parameters),
        "batch": arguments.batch,
        "sequence": arguments.sequence,
        "threads": torch.get_num_threads(),
        "steps": len(seconds),
        "tokens_per_second": tokens / statistics.median(seconds),
        "best_tokens_per_second": tokens / min(seconds),
        "gflops": flops / statistics.median(seconds) / 1e9,
        "best_gflops": flops / min(seconds) / 1e9,
        "warmup_seconds": warmup_seconds,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "peak_rss_bytes": max(early_peak, status_bytes("VmHWM")),
        "steady_peak_rss_bytes": status_bytes("VmHWM"),
        "imported_rss_bytes": imported,
    }


def measure_gemm(arguments):
    """Square products; the best of many, as another program on the machine can only slow one down."""
    import torch
    torch.set_num_threads(arguments.threads)
    rates = {}
    for size in (1024, 1536, 2048):
        a, b, out = (torch.randn(size, size) for _ in range(3))
        best = float("inf")
        deadline = time.perf_counter() + min(arguments.max_seconds, 3)
        while time.perf_counter() < deadline:
            begin = time.perf_counter()
            torch.mm(a, b, out=out)
            best = min(best, time.perf_counter() - begin)
        rates[str(size)] = 2 * size**3 / best / 1e9
    return {"program": "torch " + torch.__version__, "threads": torch.get_num_threads(), "gemm_gflops": rates,
            "best_gflops": max(rates.values())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="nano")
    parser.add_argument("--vocab", type=int, default=0, help="another vocabulary size")
    parser.add_argument("--batch", type=int, default=8, help="sequences per step")
    parser.add_argument("--sequence", type=int, default=512, help="tokens per sequence")
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--max-autotune", action="store_true", help="with --mode compile: let it try its own products")
    parser.add_argument("--model", choices=("plain", "transformers"), default="plain")
    parser.add_argument("--gqa", choices=("native", "repeat"), default="native",
                        help="grouped queries inside the attention op, or keys and values repeated before it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--max-seconds", type=float, default=60, help="stop earlier when this long has passed (3 steps at least)")
    parser.add_argument("--gemm", action="store_true", help="measure float32 products instead")
    parser.add_argument("--system-allocator", action="store_true", help="leave the allocator's settings as they are")
    arguments = parser.parse_args()
    if not arguments.system_allocator and any(os.environ.get(key) != value for key, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})
    print(json.dumps(measure_gemm(arguments) if arguments.gemm else measure_training(arguments)))


if __name__ == "__main__":
    main()
