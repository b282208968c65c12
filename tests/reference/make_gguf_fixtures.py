#!/usr/bin/env python3
"""Writes fixtures/gguf_blocks.safetensors: rows of numbers in GGUF's block formats, encoded and decoded by gguf-py.

    python make_gguf_fixtures.py [--output FILE]

    values            float32 [R, 512]  numbers: Gaussian, uniform, tiny, huge, one-sided, constant, zero, single outliers
    <type>.blocks     uint8 [R, B]      the rows of `values` as gguf-py quantizes them: F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1
    <type>.decoded    float32 [R, 512]  what gguf-py reads from these bytes
    <type>.random_blocks, .random_decoded   random bytes with finite scales, in Q2_K to Q6_K and MXFP4, too

<type>.ggml_blocks, .ggml_squared_error (float64 [R]) are made by ggml itself where --ggml names libggml-base.so: `values` in the
K formats, and what they lose per row. The committed file has them; without --ggml those of an existing file are kept.
"""

import argparse
import ctypes
import pathlib

import gguf
import numpy
from gguf import GGMLQuantizationType as T
from safetensors.numpy import load_file, save_file

COLS = 512
ENCODED = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
K_TYPES = ["Q4_K", "Q5_K", "Q6_K"]
DECODED_ONLY = ["Q2_K", "Q3_K", "MXFP4"]
# Where the float16 numbers of a block lie.
HALFS = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
         "Q2_K": [80, 82], "Q3_K": [108], "MXFP4": []}


def values(rng):
    rows = [0.02 * rng.standard_normal(COLS), rng.uniform(-1, 1, COLS), 1e-6 * rng.standard_normal(COLS),
            1000 * rng.standard_normal(COLS), rng.uniform(0.5, 1.5, COLS), -rng.uniform(0.5, 1.5, COLS),
            numpy.full(COLS, 0.25), numpy.zeros(COLS), rng.integers(-8, 8, COLS) / 4]
    outliers = 0.01 * rng.standard_normal(COLS)
    outliers[::37] = 0.7
    rows.append(outliers)
    rows.append(0.02 * rng.standard_normal(COLS) * numpy.repeat(numpy.exp(rng.standard_normal(COLS // 32)), 32))
    return numpy.stack(rows).astype(numpy.float32)


def random_blocks(rng, name, rows):
    elements, size = gguf.GGML_QUANT_SIZES[T[name]]
    blocks = rng.integers(0, 256, (rows, COLS // elements, size), dtype=numpy.uint8)
    for at in HALFS[name]:
        halfs = (0.05 * rng.standard_normal((rows, COLS // elements))).astype(numpy.float16)
        blocks[:, :, at:at + 2] = halfs[:, :, None].view(numpy.uint8)
    if name == "MXFP4":  # exponents whose halves float16 holds
        blocks[:, :, 0] = rng.integers(105, 143, blocks.shape[:2])
    return blocks.reshape(rows, -1)


def ggml_quantize(library, name, data):
    elements, size = gguf.GGML_QUANT_SIZES[T[name]]
    out = numpy.zeros((data.shape[0], COLS // elements * size), dtype=numpy.uint8)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    written = library.ggml_quantize_chunk(
        ctypes.c_int(int(T[name])), data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(data.shape[0]), ctypes.c_int64(COLS), None)
    assert written == out.size, (name, written, out.size)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).parent
    parser.add_argument("--output", type=pathlib.Path, default=here / "fixtures" / "gguf_blocks.safetensors")
    parser.add_argument("--ggml", help="libggml-base.so, for the squared errors of its K formats")
    arguments = parser.parse_args()
    rng = numpy.random.default_rng(25)
    data = values(rng)
    tensors = {"values": data}
    for name in ENCODED:
        blocks = numpy.ascontiguousarray(gguf.quantize(data, T[name])).view(numpy.uint8).reshape(data.shape[0], -1)
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.decoded"] = gguf.dequantize(blocks, T[name]).astype(numpy.float32)
    for name in [n for n in ENCODED if n in HALFS] + K_TYPES + DECODED_ONLY:
        blocks = random_blocks(rng, name, 6)
        tensors[f"{name}.random_blocks"] = blocks
        tensors[f"{name}.random_decoded"] = gguf.dequantize(blocks, T[name])
    if not arguments.ggml and arguments.output.exists():
        tensors |= {key: value for key, value in load_file(arguments.output).items() if ".ggml_" in key}
    if arguments.ggml:
        library = ctypes.CDLL(arguments.ggml)
        for name in K_TYPES:
            blocks = ggml_quantize(library, name, data)
            difference = gguf.dequantize(blocks, T[name]).astype(numpy.float64) - data
            tensors[f"{name}.ggml_squared_error"] = (difference**2).sum(axis=1)
            tensors[f"{name}.ggml_blocks"] = blocks
    save_file({key: numpy.ascontiguousarray(value) for key, value in tensors.items()}, arguments.output,
              {"gguf": str(getattr(gguf, "__version__", "")) or "gguf-py", "numpy": numpy.__version__})
    print(f"{arguments.output}: {len(tensors)} tensors, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
