#!/usr/bin/env python3
"""Compares tokenizers of many kinds with Hugging Face `tokenizers`: ids of texts and decoded ids.

    compare_tokenizer_kinds.py --tool build/release/src/text/tokenize_tool [--only NAME] [--megabytes 20]
                               [--vocabularies FOLDER] [TOKENIZER_JSON ...]

Needs: tokenizers; gguf with --vocabularies. Without further arguments, the tokenizers are built here: one per
construct of the pipeline (KINDS), trained on a part of the texts. TOKENIZER_JSON are published files. FOLDER has
vocabularies as llama.cpp keeps them in models/: NAME.gguf, and with NAME.gguf.inp and .out beside it, also the ids
that llama.cpp expects. For those the reference is a Tokenizer of the same vocabulary and merges with the pre-tokenizer
of the model (GGUF_PRE).

Each is also saved by the tool and read again by Hugging Face. Exits with 1 if anything differs.
"""

import argparse
import glob
import os
import random
import struct
import subprocess
import sys
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "true"
from compare_tokenizers import Report, Tool, file_documents, generated  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer  # noqa: E402
from tokenizers import decoders as D, models as M, normalizers as N  # noqa: E402
from tokenizers import pre_tokenizers as P, processors as R, trainers as T  # noqa: E402

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|"
         rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?|" + TAIL)
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
             r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
HAN_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
QWEN35 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        + CONTRACTIONS + r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*" + CONTRACTIONS + r"?|" + TAIL.replace("/", ""))
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|"
           r"\s*[\r\n]|\s+(?!\S)|\s+")
EXAONE = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|"
          r"\s*[\r\n]|\s+(?!\S)|\s+")
JAIS2 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{16}(?!\S)|"
         r"\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}")
MARK = "\u2581"


def regexes(*patterns):
    """Each pattern isolated, then bytes: how most published tokenizers are written."""
    return P.Sequence([P.Split(Regex(p), "isolated") for p in patterns] +
                      [P.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(pre, normalizer=None, alphabet=True, **model):
    tokenizer = Tokenizer(M.BPE(**model))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, D.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    return tokenizer, T.BpeTrainer(vocab_size=3000, show_progress=False, special_tokens=["<|end|>", "<unk>"],
                                   initial_alphabet=P.ByteLevel.alphabet() if alphabet else [])


def characters(pre=None, normalizer=None, decoder=None, fallback=True, **model):
    tokenizer = Tokenizer(M.BPE(byte_fallback=fallback, **model))
    if pre:
        tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    if decoder:
        tokenizer.decoder = decoder
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    return tokenizer, T.BpeTrainer(vocab_size=3000, show_progress=False, special_tokens=special, limit_alphabet=500,
                                   max_token_length=16)


LLAMA2_NORMALIZER = N.Sequence([N.Prepend(MARK), N.Replace(" ", MARK)])
LLAMA2_DECODER = D.Sequence([D.Replace(MARK, " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
GEMMA_DECODER = D.Sequence([D.Replace(MARK, " "), D.ByteFallback(), D.Fuse()])


def split(pattern, behavior, invert=False):
    return P.Sequence([P.Split(pattern, behavior, invert), P.ByteLevel(add_prefix_space=False, use_regex=False)])


KINDS = {
    "llama3": lambda: byte_level(regexes(LLAMA3), ignore_merges=True),
    "smollm": lambda: byte_level(P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)]), alphabet=False),
    "starcoder_unk": lambda: byte_level(P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)]),
                                        alphabet=False, unk_token="<unk>"),
    "fused_unk": lambda: byte_level(P.ByteLevel(add_prefix_space=False), alphabet=False, unk_token="<unk>",
                                    fuse_unk=True),
    "roberta": lambda: byte_level(P.ByteLevel(add_prefix_space=True)),
    "gpt4o": lambda: byte_level(regexes(GPT4O)),
    "deepseek3": lambda: byte_level(regexes(r"\p{N}{1,3}", HAN_KANA, DEEPSEEK3)),
    "bloom": lambda: byte_level(regexes(BLOOM)),
    "viking": lambda: byte_level(regexes(BLOOM, r"\p{N}")),
    "falcon": lambda: byte_level(P.Sequence([
        P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(False),
        P.Split(Regex("[0-9][0-9][0-9]"), "isolated")])),
    "qwen35": lambda: byte_level(regexes(QWEN35), N.NFC()),
    "kimi": lambda: byte_level(regexes(KIMI)),
    "bailing": lambda: byte_level(regexes(BAILING)),
    "exaone": lambda: byte_level(regexes(EXAONE)),
    "jais2": lambda: byte_level(regexes(JAIS2)),
    "tiny_aya": lambda: byte_level(regexes(r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O)),
    "superbpe": lambda: byte_level(regexes(r"\p{N}+", r"(?=(\d{3})+(?!\d))", r"\s?\S+")),
    "merged_with_next": lambda: byte_level(split(Regex(r"\s|\p{P}"), "merged_with_next")),
    "merged_with_previous": lambda: byte_level(split(Regex(r"\s|\p{P}"), "merged_with_previous")),
    "contiguous": lambda: byte_level(split(Regex(r"\p{L}|\d"), "contiguous")),
    "removed": lambda: byte_level(split(" ", "removed")),
    "inverted": lambda: byte_level(split(Regex(r"\w+|[^\w\s]+"), "removed", True)),
    "inverted_merged": lambda: byte_level(split(Regex(r"[[:alpha:]]+"), "merged_with_next", True)),
    "prefix_each": lambda: byte_level(P.Sequence([P.Split("\n", "isolated"), P.ByteLevel(add_prefix_space=True)])),
    "nfkc_lower": lambda: byte_level(P.ByteLevel(add_prefix_space=False), N.Sequence(
        [N.NFKC(), N.Lowercase(), N.Strip(), N.Replace(Regex(r"\s{2,}"), " ")])),
    "nfd_accents": lambda: byte_level(regexes(LLAMA3), N.Sequence([N.NFD(), N.StripAccents(), N.NFKD()])),
    "digits_run": lambda: byte_level(P.Sequence([P.Digits(False), P.Punctuation(), P.ByteLevel(
        add_prefix_space=False, use_regex=False)])),
    "llama2": lambda: characters(None, LLAMA2_NORMALIZER, LLAMA2_DECODER, unk_token="<unk>", fuse_unk=True),
    "mistral": lambda: characters(P.Metaspace(MARK, "first", False), None, LLAMA2_DECODER, unk_token="<unk>",
                                  fuse_unk=True),
    "gemma": lambda: characters(P.Split(" ", "merged_with_previous"), N.Replace(" ", MARK), GEMMA_DECODER,
                                unk_token="<unk>", fuse_unk=True),
    "metaspace": lambda: characters(P.Metaspace(MARK, "always", True), None, D.Metaspace(MARK, "always", True),
                                    fallback=False, unk_token="<unk>"),
    "metaspace_never": lambda: characters(P.Metaspace("_", "never", True), None, D.Metaspace("_", "never", True),
                                          fallback=False, unk_token="<unk>", fuse_unk=True),
    "whitespace_words": lambda: characters(P.Whitespace(), N.Lowercase(), None, fallback=False, unk_token="<unk>"),
    "bert_words": lambda: characters(P.BertPreTokenizer(), N.NFC(), None, fallback=False),
    "delimiter": lambda: characters(P.Sequence([P.CharDelimiterSplit(","), P.WhitespaceSplit()]), None, None,
                                    fallback=False, unk_token="<unk>", ignore_merges=True),
}
ADDED = [AddedToken("<|end|>", special=True, normalized=False), AddedToken("<left>", special=True, lstrip=True, normalized=False),
         AddedToken("<right>", special=False, normalized=False, rstrip=True),
         AddedToken("word", special=False, normalized=False, single_word=True),
         AddedToken("Ca\u0301fe", special=False, normalized=True), AddedToken("  ", special=False, normalized=True)]


def build(name, texts):
    tokenizer, trainer = KINDS[name]()
    tokenizer.train_from_iterator(texts, trainer)
    # The library panics ("AddedVocabulary bad split") on normalised tokens after steps that shorten text.
    tokenizer.add_tokens(ADDED[:4] if name in ("nfkc_lower", "nfd_accents") else
                         ADDED[:5] if name in ("llama2", "gemma") else ADDED)
    if name in ("llama3", "llama2", "mistral"):
        token = "<|end|>" if name == "llama3" else "<s>"
        tokenizer.post_processor = R.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B",
                                                        special_tokens=[(token, tokenizer.token_to_id(token))])
    if name == "roberta":
        tokenizer.post_processor = R.RobertaProcessing(("<unk>", 1), ("<|end|>", 0))
    return tokenizer


GGUF_PRE = {
    "gpt-2": lambda: (P.ByteLevel(add_prefix_space=False), None),
    "mpt": lambda: (P.ByteLevel(add_prefix_space=False), N.NFC()),
    "starcoder": lambda: (P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)]), None),
    "refact": lambda: (P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False)]), None),
    "deepseek-coder": lambda: (P.Sequence([
        P.Split(Regex("[\r\n]"), "isolated"), P.Split(Regex(r"\s?\p{L}+"), "isolated"),
        P.Split(Regex(r"\s?\p{P}+"), "isolated"),
        P.Split(Regex("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), "isolated"), P.Split(Regex(r"\p{N}"), "isolated"),
        P.ByteLevel(add_prefix_space=False, use_regex=False)]), None),
    "falcon": lambda: (regexes(r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"), None),
    "default": lambda: (regexes(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"), None),
}


def from_gguf(path):
    """The same vocabulary as a Tokenizer, or None where there is no reference."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents() if "tokenizer.ggml." + key in fields else None
    tokens, types, merges = get("tokens"), get("token_type"), get("merges")
    pre = get("pre") or "default"
    if get("model") != "gpt2" or pre not in GGUF_PRE:
        return None
    known = {t: i for i, t in enumerate(tokens)}
    tokenizer = Tokenizer(M.BPE(vocab=known, merges=[tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer, normalizer = GGUF_PRE[pre]()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = D.ByteLevel()
    tokenizer.add_tokens([AddedToken(t, special=types[i] == 3, normalized=False)
                          for i, t in enumerate(tokens) if types[i] in (3, 4)])
    return tokenizer


def compare(name, reference, source, tool, kinds, documents, report):
    texts = [d.decode("utf-8", "replace") for d in documents]
    expected = [e.ids for e in reference.encode_batch(texts, add_special_tokens=False)]
    found = tool("encode", source, documents)
    report.add(f"{name} ids", kinds, documents, expected, found)
    # The library decodes added tokens in their normalised form, and breaks those that are not ASCII.
    odd = {i for i, token in reference.get_added_tokens_decoder().items()
           if token.normalized or not token.content.isascii()}
    some = [i for i in range(len(documents))
            if (kinds[i] not in ("code", "prose") or i % 4 == 0) and odd.isdisjoint(expected[i])]
    decoded = reference.decode_batch([expected[i] for i in some], skip_special_tokens=False)
    packed = [struct.pack(f"<{len(expected[i])}i", *expected[i]) for i in some]
    report.add(f"{name} decoded", [kinds[i] for i in some], packed, [t.encode() for t in decoded],
               tool("decode", source, packed, in_item=4, out_item=1))
    saved = os.path.join(tool.folder, name + "_saved")
    subprocess.run([tool.path, "save", source, saved], check=True, stderr=subprocess.DEVNULL)
    again = Tokenizer.from_file(os.path.join(saved, "tokenizer.json"))
    few = [i for i in range(len(documents)) if i % 10 == 0]
    report.add(f"{name} saved", [kinds[i] for i in few], [documents[i] for i in few], [found[i] for i in few],
               [e.ids for e in again.encode_batch([texts[i] for i in few], add_special_tokens=False)])
    if reference.post_processor:
        with_special = [e.ids for e in again.encode_batch(texts[:50])]
        assert with_special == [e.ids for e in reference.encode_batch(texts[:50])], f"{name}: post-processor"


def vectors(path, tool, report):
    """llama.cpp's expected ids."""
    separator = b"\n__ggml_vocab_test__\n"
    texts = open(path + ".inp", "rb").read().split(separator)
    expected = [[int(x) for x in line.split()] for line in open(path + ".out").read().splitlines()]
    texts = texts[:len(expected)]
    report.add(os.path.basename(path) + " llama.cpp's vectors", ["vector"] * len(texts), texts, expected,
               tool("encode", path, texts))


def compare_sentencepiece(tool, kinds, documents, training, report):
    """Vocabularies with scores, trained by the sentencepiece package and written as GGUF, with and without a space in
    front, extra white space and user-defined symbols. Documents hold none of its own marks, and no control tokens, which
    it never finds in text."""
    import gguf
    import sentencepiece
    plain = [(k, d.decode("utf-8", "ignore").replace("\0", "")) for k, d in zip(kinds, documents)]
    plain = [(k, t) for k, t in plain if MARK not in t and "<" not in t]
    for name, options in {"spm": {}, "spm_no_prefix": {"add_dummy_prefix": False},
                          "spm_squeezed": {"remove_extra_whitespaces": True},
                          "spm_symbols": {"user_defined_symbols": ["the", "==", "\u4e2d\u6587"], "add_dummy_prefix": False}}.items():
        prefix = os.path.join(tool.folder, name)
        settings = {"remove_extra_whitespaces": False, "add_dummy_prefix": True, **options}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line for t in training for line in t.split("\n") if line]), model_prefix=prefix,
            vocab_size=3000, model_type="bpe", byte_fallback=True, character_coverage=0.99,
            normalization_rule_name="identity", minloglevel=2, **settings)
        model = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
        ids = range(model.get_piece_size())
        writer = gguf.GGUFWriter(prefix + ".gguf", "llama")
        writer.add_tokenizer_model("llama")
        writer.add_token_list([model.id_to_piece(i) for i in ids])
        writer.add_token_scores([model.get_score(i) for i in ids])
        writer.add_token_types([2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i)
                                else 4 if model.id_to_piece(i) in settings.get("user_defined_symbols", []) else 1
                                for i in ids])
        writer.add_add_space_prefix(settings["add_dummy_prefix"])
        writer.add_remove_extra_whitespaces(settings["remove_extra_whitespaces"])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        texts = [t for _, t in plain]
        report.add(f"{name} ids", [k for k, _ in plain], [t.encode() for t in texts], model.encode(texts),
                   tool("encode", prefix + ".gguf", [t.encode() for t in texts]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "../../../shared/data"))
    parser.add_argument("--only", action="append")
    parser.add_argument("--vocabularies")
    parser.add_argument("--sentencepiece", action="store_true", help="compare with the sentencepiece package instead")
    parser.add_argument("--megabytes", type=float, default=20, help="of real text; the torture comes on top")
    parser.add_argument("--torture", type=float, default=1, help="the share of generated documents to take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    special = [t.content for t in ADDED] + ["<s>", "</s>", "<unk>", MARK]
    rng = random.Random(args.seed)
    torture = [pair for pair in generated(random.Random(args.seed), special) if rng.random() < args.torture]
    pairs = list(file_documents(args.data, args.megabytes * 1e6)) + torture
    kinds, documents = [k for k, _ in pairs], [d for _, d in pairs]
    training = [d.decode("utf-8", "replace") for d in documents[:300]]
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        tool = Tool(args.tool, folder)
        jobs = []
        if args.sentencepiece:
            compare_sentencepiece(tool, kinds, documents, training, report)
        elif args.vocabularies:
            for path in sorted(glob.glob(os.path.join(args.vocabularies, "*.gguf"))):
                name = os.path.basename(path)
                if args.only and name not in args.only:
                    continue
                if os.path.exists(path + ".out"):
                    vectors(path, tool, report)
                reference = from_gguf(path)
                if reference:
                    jobs.append((name, reference, path))
        elif args.files:
            jobs = [(os.path.basename(os.path.dirname(p)), Tokenizer.from_file(p), p) for p in args.files]
            for _, reference, _ in jobs:  # some files ask for the shape of a batch
                reference.no_truncation()
                reference.no_padding()
        else:
            for name in args.only or KINDS:
                path = os.path.join(folder, name, "tokenizer.json")
                os.makedirs(os.path.dirname(path))
                build(name, training).save(path)
                jobs.append((name, Tokenizer.from_file(path), path))
        for name, reference, path in jobs:
            compare(name, reference, path, tool, kinds, documents, report)
    print("DIFFERENT" if report.failed else "all equal")
    sys.exit(report.failed)


if __name__ == "__main__":
    main()
