#!/usr/bin/env python3
"""Compares the WordPiece tokenizer of BERT with Hugging Face `tokenizers`, id by id, on at least 20 MB of mixed text.

    compare_wordpiece.py --tool build/release/src/text/tokenize_tool --data ../shared/data [--megabytes 24] [--model FOLDER]

The texts are those of compare_tokenizers.py. Without --model, vocabularies are trained on a part of them: one in lower
case without accents, one that keeps both. Compared are

  ids         of the vocabulary, and with added tokens as text
  vocab.txt   ids by the same vocabulary as vocab.txt and tokenizer_config.json
  normalised  texts of every code point and of all generated documents, for each switch of the normalizer alone and all

Exits with 1 if anything differs. Needs the Python package tokenizers.
"""

import argparse
import json
import os
import random
import sys
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402
from compare_tokenizers import Report, Tool, encode_all, file_documents, generated  # noqa: E402

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def train(documents, lowercase):
    tokenizer = tokenizers.BertWordPieceTokenizer(lowercase=lowercase, strip_accents=lowercase)
    texts = (document.decode("utf-8", "replace") for document in documents)
    tokenizer.train_from_iterator(texts, vocab_size=12000, min_frequency=2, special_tokens=SPECIAL, show_progress=False)
    tokenizer.add_tokens([tokenizers.AddedToken("Alpha Beta", normalized=True),
                          tokenizers.AddedToken("<name>", single_word=True, lstrip=True)])
    return tokenizer


def write_vocabulary(folder, reference, lowercase):
    """The folder of an older checkpoint: vocab.txt, and no tokenizer.json."""
    os.makedirs(folder)
    vocabulary = sorted(reference.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    with open(os.path.join(folder, "vocab.txt"), "w") as file:
        file.write("".join(token + "\n" for token, _ in vocabulary))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer"}, file)


def compare_model(name, reference, folder, tool, documents, kinds, report):
    reference.no_truncation()
    reference.no_padding()
    expected = encode_all(reference, documents)
    report.add(f"{name} ids", kinds, documents, expected, tool("wordpiece", folder, documents))
    plain = tokenizers.Tokenizer.from_str(reference.to_str())
    state = json.loads(plain.to_str())
    state["added_tokens"] = []
    plain = tokenizers.Tokenizer.from_str(json.dumps(state))
    report.add(f"{name} ids, added tokens as text", kinds, documents, encode_all(plain, documents),
               tool("wordpiece-text", folder, documents))
    return plain


def compare_normalizer(tool, documents, kinds, report):
    for flags in ("c", "h", "a", "l", "chal"):
        options = dict(zip(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), (f in flags for f in "chal")))
        normalizer = tokenizers.normalizers.BertNormalizer(**options)
        expected = [normalizer.normalize_str(d.decode("utf-8", "replace")).encode() for d in documents]
        report.add(f"normalised ({flags})", kinds, documents, expected, tool("bert", flags, documents, out_item=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "../../../shared/data"))
    parser.add_argument("--model", help="the folder of a published model with a tokenizer.json")
    parser.add_argument("--megabytes", type=float, default=24, help="of real text")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    special = SPECIAL + ["Alpha Beta", "alpha beta", "<name>", " <name> "]
    real = list(file_documents(args.data, args.megabytes * 1e6))
    made = list(generated(random.Random(args.seed), special))
    kinds, documents = [k for k, _ in real + made], [d for _, d in real + made]
    report = Report()
    print(f"tokenizers {tokenizers.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        tool = Tool(args.tool, scratch)
        compare_normalizer(tool, [d for _, d in made], [k for k, _ in made], report)
        if args.model:
            reference = tokenizers.Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
            compare_model("model", reference, args.model, tool, documents, kinds, report)
        for lowercase in (True, False) if not args.model else ():
            name = "uncased" if lowercase else "cased"
            reference = train(documents[::7], lowercase)
            folder = os.path.join(scratch, name)
            os.makedirs(folder)
            reference.save(os.path.join(folder, "tokenizer.json"))
            reference = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
            plain = compare_model(name, reference, folder, tool, documents, kinds, report)
            write_vocabulary(os.path.join(scratch, name + ".vocab"), reference, lowercase)
            report.add(f"{name} vocab.txt", kinds, documents, encode_all(plain, documents),
                       tool("wordpiece-text", os.path.join(scratch, name + ".vocab"), documents))
    print("DIFFERENT" if report.failed else "all equal")
    sys.exit(report.failed)


if __name__ == "__main__":
    main()
