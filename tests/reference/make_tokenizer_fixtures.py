#!/usr/bin/env python3
"""Writes fixtures/tokenizer_{qwen2,gpt2,sentencepiece}/: a small tokenizer.json each, as Hugging Face
`tokenizers` saves it, and cases.json with texts, their ids and the decoded text by the same library; and
fixtures/tokenizer_kinds.json: pipelines of many kinds around these vocabularies, with ids.

    make_tokenizer_fixtures.py [--output FOLDER]

Needs: tokenizers. The vocabularies are trained on words that this script makes up, so that they are small and
nobody's. The first has added tokens with every flag that is handled, the third a template with <s> and </s>.
"""

import argparse
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                 r"\s*[\r\n]+|\s+(?!\S)|\s+")
PARTS = ["a", "in", " the", " house", "ing", "'s", "'LL", "'", "'\u017f", "0", "42", " ", "  ", "\t", "\n", "\r\n",
         "\u00a0", "!", "?!", "...", "\u00e9", "e\u0301", "\u0915\u093c", "\u1100\u1161\u11a8", "\u4e2d\u6587",
         "\u00bd", "\U0001f600", "\u00df", "\x00", "\ufffd", "\u212b", "\u0323\u0307", "\u2581", "\U00010d50"]
ADDED = [AddedToken("<|end|>", special=True, normalized=False),
         AddedToken("<|end|>>", special=True, normalized=False),
         AddedToken("<left>", special=True, normalized=False, lstrip=True),
         AddedToken("<right>", special=False, normalized=False, rstrip=True),
         AddedToken("caf\u00e9", special=False, normalized=True),
         AddedToken("<both>", special=False, normalized=True, lstrip=True, rstrip=True)]


def corpus(rng):
    syllables = ["ka", "ro", "the", "in", "g", "st", "er", "\u00e9", "\u0434\u043e", "\u043c", "\u4e2d", "\u6587", "s"]
    words = ["".join(rng.choice(syllables) for _ in range(rng.randrange(1, 5))) for _ in range(200)]
    return [" ".join(rng.choice(words) for _ in range(40)) + ".\n" for _ in range(100)]


def texts(rng, special):
    yield from ["", " ", "\n", "a", "<|end|>", " <left> x <right>  y", "cafe\u0301 caf\u00e9", "  <both>  ", "<|end|>>"]
    for _ in range(120):
        yield "".join(rng.choice(PARTS + special) for _ in range(rng.randrange(30)))
    for size in (255, 256, 257, 400):
        yield "".join(rng.choice(["the", "in", "ka", "\u4e2d"]) for _ in range(size))


def byte_level(pattern, rng):
    tokenizer = Tokenizer(models.BPE())
    if pattern:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(rng), trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if pattern:
        tokenizer.add_tokens(ADDED)
    else:
        tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def sentencepiece(rng):
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator([line.replace(" ", " \u2581").split(" ") for line in corpus(rng)],
                                trainers.BpeTrainer(vocab_size=150, show_progress=False), length=100)
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    names += [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges, unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> <s>:1 $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names[:3]])
    return tokenizer


def write(folder, tokenizer, rng):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    cases = []
    for text in texts(rng, special):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
        # The library's byte-level decoder takes the text of added tokens for its byte alphabet and so breaks those
        # that are not ASCII: nothing to compare with.
        if "qwen2" in folder.name and tokenizer.token_to_id("caf\u00e9") in ids:
            decoded = [None, None]
        cases.append({"text": text, "ids": ids, "decoded": decoded[0], "without_special": decoded[1]})
    with open(folder / "cases.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


KIND_TEXTS = ["", " ", "a", "It's 12345, DON'T 7!", "  two  spaces \n\n and\ttabs\r\n", "caf\u00e9 cafe\u0301 \u4e2d\u6587\u5b57",
              "x==y; z+=1 // code_name(camelCase)", "\u00bd \u0967\u0968 \u2167 3.14 1,000,000", "\U0001f600\u200d \u0e33\u0b48",
              "a.b,c.  (d)|e", "katheros ing the in", "\u2581the \u2581 in", "\u212b \ufb01 \u0130STANBUL",
              "\x00\x04\x7f", "Q QQthQ", "the" * 20 + " " * 40 + "1" * 20]


def kinds():
    """For each construct of the pipeline (compare_tokenizer_kinds.KINDS), the pipeline as JSON and ids of texts by the
    vocabulary of one of the other fixtures. Bytes are taken out of it where the kind is about those."""
    from compare_tokenizer_kinds import KINDS
    for name, make in KINDS.items():
        pipeline = json.loads(make()[0].to_str())
        parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
        flags = {key: pipeline["model"][key] for key in ("unk_token", "fuse_unk", "byte_fallback", "ignore_merges")}
        byte_level = "ByteLevel" in json.dumps(pipeline["pre_tokenizer"])
        base = "qwen2" if byte_level else "sentencepiece"
        with open(pathlib.Path(__file__).parent / f"fixtures/tokenizer_{base}/tokenizer.json", encoding="utf-8") as file:
            document = json.load(file)
        missing = ["Q", "\u0104"] if flags["unk_token"] or name == "smollm" else []
        if byte_level and flags["unk_token"]:
            document["model"]["vocab"]["<unk>"] = 500
        for token in missing:
            document["model"]["vocab"].pop(token, None)
        for part in parts:
            document[part] = pipeline[part]
        document["model"].update(flags)
        document["added_tokens"] = []
        tokenizer = Tokenizer.from_str(json.dumps(document))
        cases = []
        for text in KIND_TEXTS:
            ids = tokenizer.encode(text).ids
            cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False)])
        yield {"name": name, "base": base, "missing": missing, "unk_id": 500 if byte_level and flags["unk_token"] else None,
               "pipeline": {part: pipeline[part] for part in parts}, "model": flags, "cases": cases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "fixtures")
    output = parser.parse_args().output
    for seed, (name, tokenizer) in enumerate([("qwen2", byte_level(QWEN2_PATTERN, random.Random(10))),
                                              ("gpt2", byte_level(None, random.Random(11))),
                                              ("sentencepiece", sentencepiece(random.Random(12)))]):
        write(output / f"tokenizer_{name}", tokenizer, random.Random(seed))
    with open(output / "tokenizer_kinds.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(kind) for kind in kinds()) + "\n]\n")


if __name__ == "__main__":
    main()
