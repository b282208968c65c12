#!/usr/bin/env python3
"""Reads GGUF files written here with gguf-py: metadata, names, shapes, offsets, and the numbers of every tensor.

    python check_gguf.py PROGRAM [MODEL_FOLDER ...]     folders default to the fixtures model_*

Each folder is written in float32 and every other format; gguf-py's reader must find what the folder's safetensors hold: the
same bytes in float formats, its own quantised bytes in Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1, close numbers in the K formats.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy
from gguf import GGMLQuantizationType as T
from safetensors.numpy import load_file

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
FORMATS = ["float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "int4"]
# Largest root mean square error over that of the weights, for formats whose bytes gguf-py does not make.
CLOSE = {T.Q4_K: 0.09, T.Q5_K: 0.05, T.Q6_K: 0.025, T.Q4_0: 0.11}
NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def permuted(weight, heads):
    """Rows as files of architecture llama have them: the two halves of each head interleaved."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def check(program, folder, work):
    config = json.loads((folder / "config.json").read_text())
    weights = {name: tensor.astype(numpy.float32) for name, tensor in load_file(folder / "model.safetensors").items()}
    # Mistral's layers are Llama's.
    arch = {"mistral": "llama", "ministral": "llama"}.get(config["model_type"], config["model_type"])
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    extra = {"llama3": {"rope_freqs.weight"},
             "longrope": {"rope_factors_long.weight", "rope_factors_short.weight"}}.get(rope.get("rope_type"), set())
    count = 0
    for form in FORMATS:
        path = work / f"{folder.name}-{form}.gguf"
        subprocess.run([program, "quantize", "-m", folder, "-o", path, "--format", form], check=True, capture_output=True)
        reader = gguf.GGUFReader(path)
        field = lambda key: reader.fields[key].contents()
        assert field("general.architecture") == arch
        for key, name in (("block_count", "num_hidden_layers"), ("embedding_length", "hidden_size"),
                          ("feed_forward_length", "intermediate_size"), ("attention.head_count", "num_attention_heads"),
                          ("attention.head_count_kv", "num_key_value_heads")):
            assert field(f"{arch}.{key}") == config[name], (path, key)
        assert abs(field(f"{arch}.attention.layer_norm_rms_epsilon") / config["rms_norm_eps"] - 1) < 1e-6
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        expected = {gguf_name(name) for name in weights} | extra
        assert set(tensors) == expected, (path, set(tensors) ^ expected)
        for name, weight in weights.items():
            tensor = tensors[gguf_name(name)]
            if arch == "llama" and name.rsplit(".", 1)[0].endswith(("q_proj", "k_proj")):
                weight = permuted(weight, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
            assert list(reversed(tensor.shape.tolist())) == list(weight.shape), (path, name)
            kind = tensor.tensor_type
            assert weight.ndim == 2 or kind == T.F32, (path, name, kind)
            got = gguf.dequantize(tensor.data, kind).reshape(weight.shape)
            if kind in CLOSE and (kind != T.Q4_0 or form == "int4"):
                error = numpy.sqrt(((got - weight) ** 2).mean() / (weight ** 2).mean())
                assert error < CLOSE[kind], (path, name, kind.name, error)
            else:
                wanted = numpy.ascontiguousarray(gguf.quantize(weight, kind)).view(numpy.uint8)
                assert numpy.array_equal(numpy.ascontiguousarray(tensor.data).view(numpy.uint8).ravel(), wanted.ravel()), (
                    path, name, kind.name)
            count += 1
    print(f"{folder.name}: {count} tensors in {len(FORMATS)} formats")


def main(program, folders):
    with tempfile.TemporaryDirectory() as work:
        for folder in folders or sorted(FIXTURES.glob("model_*")):
            check(program, pathlib.Path(folder), pathlib.Path(work))
    print("gguf-py reads what is written here")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
