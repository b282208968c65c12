#!/usr/bin/env python3
"""Writes fixtures/adapter_*/: LoRA adapters of fixtures/model_*, with the logits that PEFT gives the two together.

    python make_adapter_fixtures.py [--output FOLDER] [--only NAME]

Every folder is what PEFT saves (adapter_config.json, adapter_model.safetensors), and holds besides:

    adapter.gguf          the same adapter, written with gguf-py by the rules of llama.cpp's convert_lora_to_gguf.py: its
                          names, its order of rows, and one alpha for the file. What else PEFT's settings do to the scale
                          (rsLoRA, alpha_pattern) is in the numbers of lora_b
    expected.safetensors  tokens int32 [T] of one sequence, and logits float32 [T, vocabulary]

The adapters' numbers are random in both factors, so that every module changes what comes out. The logits are computed in
float64 and rounded to float32; the metadata entry "fixture" has the base model, and as shares of the largest logit how far
the adapter moves the logits and how far PEFT itself is off in float32.
Needs: torch, transformers, peft, safetensors, gguf.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import shutil
import tempfile

import gguf
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent / "fixtures"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]


@dataclasses.dataclass
class Case:
    name: str
    base: str
    seed: int
    dtype: torch.dtype
    settings: dict
    length: int = 70  # a block of 64 tokens, and a part of one


CASES = [
    # Every module that can be changed, of several ranks and scales, which go by the root of the rank.
    Case("everything", "untied", 1, torch.float32, dict(
        r=4, lora_alpha=6, use_rslora=True, target_modules=ALL + ["embed_tokens", "lm_head"],
        rank_pattern={"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 7},
        alpha_pattern={r".*mlp\.(gate|up)_proj": 3, "model.layers.0.self_attn.v_proj": 9})),
    # A tied output, which the change of the embedding leaves alone.
    Case("tied", "tied", 2, torch.bfloat16, dict(r=3, lora_alpha=5, target_modules=ALL + ["embed_tokens"])),
    # PEFT's default modules, and rows of q and k that GGUF has in another order.
    Case("llama", "llama", 3, torch.float16, dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "k_proj"])),
]


def build(case):
    base = transformers.AutoModelForCausalLM.from_pretrained(HERE / f"model_{case.base}", dtype=torch.float64,
                                                             attn_implementation="eager")
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **case.settings)).eval()
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                # Rounded to what the file will hold.
                numbers = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(numbers.to(case.dtype))
    return model


def save_adapter(model, case, folder):
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work, save_embedding_layers=False)
        tensors = load_file(pathlib.Path(work) / "adapter_model.safetensors")
        tensors = {name: numbers.to(case.dtype).contiguous() for name, numbers in sorted(tensors.items())}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = json.loads((pathlib.Path(work) / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"model_{case.base}"
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=False) + "\n")


def interleaved(rows, num_heads):
    """The rows of q or k as files of architecture "llama" have them: the two halves of a head by turns."""
    return rows.reshape(num_heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(model, case, path):
    config = model.get_base_model().config
    architecture = {"qwen2": "qwen2", "llama": "llama"}[config.model_type]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    alpha = float(case.settings["lora_alpha"])
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, module in model.get_base_model().named_modules():
        if not isinstance(module, peft.tuners.lora.LoraLayer):
            continue
        is_embedding = "default" in module.lora_embedding_A
        a = (module.lora_embedding_A["default"].T if is_embedding else module.lora_A["default"].weight).detach()
        b = (module.lora_embedding_B["default"] if is_embedding else module.lora_B["default"].weight).detach()
        rank = module.r["default"]
        b = b * (module.scaling["default"] / (alpha / rank))
        if architecture == "llama" and name.endswith(("q_proj", "k_proj")):
            b = interleaved(b, config.num_attention_heads if name.endswith("q_proj") else config.num_key_value_heads)
        tensor = names.get_name(name, try_suffixes=(".weight",)) + ".weight"
        writer.add_tensor(f"{tensor}.lora_a", a.contiguous().to(torch.float32).numpy())
        writer.add_tensor(f"{tensor}.lora_b", b.contiguous().to(torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_case(case, output):
    folder = output / f"adapter_{case.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = build(case)
    save_adapter(model, case, folder)
    write_gguf(model, case, folder / "adapter.gguf")
    generator = torch.Generator().manual_seed(case.seed)
    tokens = torch.randint(model.get_base_model().config.vocab_size, (case.length,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0]
        with model.disable_adapter():
            without = model(tokens[None]).logits[0]
    moved = ((logits - without).abs().max() / logits.abs().max()).item()
    assert math.isfinite(moved) and moved > 0.1
    with torch.no_grad():
        narrow = (model.float()(tokens[None]).logits[0].double() - logits).abs().max() / logits.abs().max()
    facts = {"base": f"model_{case.base}", "moved": moved, "float32_error": narrow.item(), "torch": torch.__version__, "peft": peft.__version__,
             "transformers": transformers.__version__}
    save_file({"tokens": tokens.to(torch.int32), "logits": logits.to(torch.float32).contiguous()},
              folder / "expected.safetensors", metadata={"fixture": json.dumps(facts)})
    print(f"{folder.name}: moves the logits by {moved:.2f} of the largest; float32 is off by {narrow.item():.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    parser.add_argument("--only", help="the name of one case")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        if arguments.only in (None, case.name):
            write_case(case, arguments.output)


if __name__ == "__main__":
    main()
