#!/usr/bin/env python3
"""Writes fixtures/contrastive.safetensors: symmetric InfoNCE over mean-pooled rows, and its gradient, from PyTorch.

    python make_contrastive_fixture.py [--output FILE]

    hidden           float32 [T, D]  rows of 2 P sequences laid end to end
    sequence_starts  int32 [2 P + 1]
    temperature      float32 [1]
    loss             float32 [1]     the mean over the P pairs; sequences 2 i and 2 i + 1 are a pair
    hidden.grad      float32 [T, D]  its gradient

Computed in float64 by torch.nn.functional: mean over each sequence, normalize, products over the temperature, then the
mean of cross_entropy over rows and over columns. Needs: torch, safetensors.
"""

import argparse
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

LENGTHS = (3, 17, 1, 9, 24, 5, 2, 11, 6, 6)
WIDTH = 24
TEMPERATURE = 0.07


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "fixtures" / "contrastive.safetensors")
    output = parser.parse_args().output
    generator = torch.Generator().manual_seed(5)
    starts = [0]
    for length in LENGTHS:
        starts.append(starts[-1] + length)
    hidden = torch.randn(starts[-1], WIDTH, generator=generator)
    for i in range(0, len(LENGTHS), 2):  # pairs have something in common
        hidden[starts[i]:starts[i + 2]] += 0.7 * torch.randn(WIDTH, generator=generator)
    x = hidden.double().requires_grad_()
    pooled = torch.stack([x[a:b].mean(0) for a, b in zip(starts, starts[1:])])
    unit = F.normalize(pooled, dim=1)
    scores = unit[0::2] @ unit[1::2].T / TEMPERATURE
    labels = torch.arange(len(LENGTHS) // 2)
    loss = (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2
    loss.backward()
    save_file({"hidden": hidden, "sequence_starts": torch.tensor(starts, dtype=torch.int32),
               "temperature": torch.tensor([TEMPERATURE]), "loss": loss.detach().float()[None],
               "hidden.grad": x.grad.float()}, output, metadata={"torch": torch.__version__})
    print(f"{output}: loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
