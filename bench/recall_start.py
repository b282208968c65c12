#!/usr/bin/env python3
"""Gives a fresh model of two layers or more what recall needs to begin with: recall_start.py model.safetensors

- Head 0 of the first layer looks at the token before. Its queries and keys become constant, that is their biases, turned
  against each other so that rotary embedding makes their product greatest at a distance of 1: with pairs i of frequency w_i,
  a query (a, 0) and a key (a cos w_i, a sin w_i) have the product a^2 sum_i cos(w_i (distance - 1)). With six pairs and the
  LENGTH below, the next distance is about 8 nats lower.
- In the second layer the keys' projection begins as that of the queries, so that a token attends to tokens like itself. This
  is the idea of "mimetic initialization" (arXiv:2305.09828): trained heads look like that.

Training goes on from there. Without the first, a model of bench/recall.sh stays at the level of guessing among the values
of its text for more than a million tokens. Weights in float32; head_dim and rope_theta come from config.json beside them.
"""
import array
import json
import math
import pathlib
import struct
import sys

PAIRS, LENGTH = 6, 9.6

path = pathlib.Path(sys.argv[1])
config = json.loads((path.parent / "config.json").read_text())
head_dim, base = config["head_dim"], config["rope_theta"]
content = bytearray(path.read_bytes())
header_bytes = struct.unpack("<Q", content[:8])[0]
header = json.loads(content[8 : 8 + header_bytes])


def place(layer, name):
    tensor = header[f"model.layers.{layer}.self_attn.{name}"]
    if tensor["dtype"] != "F32":
        sys.exit(f"{path}: {name} is {tensor['dtype']}, expected F32")
    return slice(*(8 + header_bytes + offset for offset in tensor["data_offsets"]))


def edit(layer, name, change):
    part = place(layer, name)
    values = array.array("f", bytes(content[part]))
    change(values)
    content[part] = values.tobytes()


def constant(turn):
    def change(values):
        values[:head_dim] = array.array("f", bytes(4 * head_dim))
        for i in range(PAIRS):
            angle = turn * base ** (-2 * i / head_dim)
            values[i], values[i + head_dim // 2] = LENGTH * math.cos(angle), LENGTH * math.sin(angle)

    return change


def no_weights(values):
    rows = head_dim * config["hidden_size"]
    values[:rows] = array.array("f", bytes(4 * rows))


for turn, name in enumerate(("q_proj", "k_proj")):
    edit(0, name + ".weight", no_weights)
    edit(0, name + ".bias", constant(turn))
content[place(1, "k_proj.weight")] = content[place(1, "q_proj.weight")]
path.write_bytes(content)
