"""Adapters of a small qwen2 model, with nothing but Python's standard library: adapter_files.py MODEL FOLDER

FOLDER/lora and lora.gguf are the same adapter as PEFT and llama.cpp keep it, FOLDER/narrow is one of a model of half the
width, FOLDER/dora one with DoRA.
"""

import json
import pathlib
import random
import struct
import sys

RANK, ALPHA = 4, 12
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def factors(config, width):
    """(module, layer, a [RANK, inputs], b [outputs, RANK]) of every module, with their shapes."""
    heads = config["hidden_size"] // config["num_attention_heads"]
    shapes = {"self_attn.q_proj": (width, width), "self_attn.v_proj": (config["num_key_value_heads"] * heads, width),
              "self_attn.o_proj": (width, width), "mlp.up_proj": (config["intermediate_size"], width),
              "mlp.down_proj": (width, config["intermediate_size"])}
    chance = random.Random(1)
    for layer in range(config["num_hidden_layers"]):
        for module, (outputs, inputs) in shapes.items():
            draw = lambda count: [chance.gauss(0, 0.15) for _ in range(count)]
            yield module, layer, ((RANK, inputs), draw(RANK * inputs)), ((outputs, RANK), draw(outputs * RANK))


def write_peft(folder, config, width, **settings):
    header, data = {}, b""
    for module, layer, a, b in factors(config, width):
        for name, (shape, numbers) in (("lora_A", a), ("lora_B", b)):
            bytes_ = struct.pack(f"<{len(numbers)}f", *numbers)
            header[f"base_model.model.model.layers.{layer}.{module}.{name}.weight"] = {
                "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
            data += bytes_
    folder.mkdir()
    text = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "bias": "none", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def write_gguf(path, config, width):
    text = lambda value: struct.pack("<Q", len(value)) + value.encode()
    keys = [text(key) + struct.pack("<I", 8) + text(value) for key, value in (
        ("general.architecture", "qwen2"), ("general.type", "adapter"), ("adapter.type", "lora"))]
    keys.append(text("adapter.lora.alpha") + struct.pack("<If", 6, ALPHA))
    infos, data = [], b""
    for module, layer, a, b in factors(config, width):
        for name, (shape, numbers) in (("lora_a", a), ("lora_b", b)):
            infos.append(text(f"blk.{layer}.{GGUF_NAMES[module]}.weight.{name}") +
                         struct.pack("<IQQIQ", 2, shape[1], shape[0], 0, len(data)))
            data += struct.pack(f"<{len(numbers)}f", *numbers)
            data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys + infos)
    path.write_bytes(head + bytes(-len(head) % 32) + data)


def main(model, folder):
    folder = pathlib.Path(folder)
    config = json.loads((pathlib.Path(model) / "config.json").read_text())
    width = config["hidden_size"]
    write_peft(folder / "lora", config, width)
    write_gguf(folder / "lora.gguf", config, width)
    write_peft(folder / "narrow", config, width // 2)
    write_peft(folder / "dora", config, width, use_dora=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
