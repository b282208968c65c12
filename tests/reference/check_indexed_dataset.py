#!/usr/bin/env python3
"""Reads token shards with NumPy alone and says what is in them; an independent look at `prefix.bin/.idx`.

usage: check_indexed_dataset.py PREFIX [PREFIX ...] [--vocab-size N] [--eos ID] [--megatron]

Checks the header, that sequences lie end to end and fill the .bin, that documents cover the sequences, that
every id is below N, and that every document ends with ID. --megatron also reads every document with
IndexedDataset of the Python package megatron-core and compares.
"""
import argparse
import pathlib
import sys

import numpy as np

TYPES = {4: np.dtype("<i4"), 8: np.dtype("<u2")}


def read(prefix):
    """Returns (tokens [num_tokens], begin of each document and of the end [documents + 1])."""
    idx = pathlib.Path(prefix + ".idx").read_bytes()
    assert idx[:9] == b"MMIDIDX\x00\x00", "magic"
    version, = np.frombuffer(idx, "<u8", 1, 9)
    assert version == 1, f"version {version}"
    dtype = TYPES[idx[17]]
    num_sequences, num_indices = (int(n) for n in np.frombuffer(idx, "<u8", 2, 18))
    assert len(idx) == 34 + 12 * num_sequences + 8 * num_indices, "size of the .idx"
    lengths = np.frombuffer(idx, "<i4", num_sequences, 34).astype(np.int64)
    pointers = np.frombuffer(idx, "<i8", num_sequences, 34 + 4 * num_sequences)
    documents = np.frombuffer(idx, "<i8", num_indices, 34 + 12 * num_sequences)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    assert (pointers == ends[:-1] * dtype.itemsize).all(), "pointers"
    assert documents[0] == 0 and documents[-1] == num_sequences and (np.diff(documents) >= 0).all(), "documents"
    tokens = np.fromfile(prefix + ".bin", dtype)
    assert pathlib.Path(prefix + ".bin").stat().st_size == ends[-1] * dtype.itemsize, "size of the .bin"
    return tokens, ends[documents]


def check(prefix, arguments):
    tokens, begins = read(prefix)
    num_documents = len(begins) - 1
    print(f"{prefix}: {num_documents} documents, {len(tokens)} tokens of type {tokens.dtype}")
    if len(tokens):
        print(f"  ids {tokens.min()} to {tokens.max()}, documents of {np.diff(begins).min()} to "
              f"{np.diff(begins).max()} tokens, sum of ids {int(tokens.astype(np.int64).sum())}")
        assert tokens.min() >= 0, "a negative id"
    if arguments.vocab_size is not None and len(tokens):
        assert tokens.max() < arguments.vocab_size, f"id {tokens.max()} is outside the vocabulary"
    if arguments.eos is not None:
        lengths = np.diff(begins)
        last = tokens[begins[1:][lengths > 0] - 1]
        assert (last == arguments.eos).all(), f"{(last != arguments.eos).sum()} documents do not end with the eos"
    if arguments.megatron:
        from megatron.core.datasets.indexed_dataset import IndexedDataset
        theirs = IndexedDataset(prefix)
        assert len(theirs.document_indices) == num_documents + 1
        for i in range(num_documents):
            first, last = theirs.document_indices[i:i + 2]
            pieces = [theirs[int(s)] for s in range(first, last)]
            assert (np.concatenate(pieces) == tokens[begins[i]:begins[i + 1]]).all(), f"document {i}"
        print("  megatron-core reads the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefixes", nargs="+", metavar="PREFIX")
    parser.add_argument("--vocab-size", type=int)
    parser.add_argument("--eos", type=int)
    parser.add_argument("--megatron", action="store_true")
    arguments = parser.parse_args()
    for prefix in arguments.prefixes:
        try:
            check(prefix, arguments)
        except (AssertionError, KeyError, OSError) as error:
            sys.exit(f"FAIL {prefix}: {error}")


if __name__ == "__main__":
    main()
