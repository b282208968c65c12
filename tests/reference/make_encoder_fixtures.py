#!/usr/bin/env python3
"""Writes fixtures/encoder_*/: small random sentence encoders with what transformers and sentence-transformers' formulas give.

    python make_encoder_fixtures.py [--output FOLDER]

Every folder is what sentence-transformers publishes (config.json, model.safetensors, tokenizer files, modules.json,
1_Pooling, ...), with expected.safetensors:

    tokens           int32 [T]      the texts of expected.json laid end to end, special tokens included
    sequence_starts  int32 [S + 1]  first row of each text, then T
    hidden           float32 [T, D] final hidden states
    pooled.<name>    float32 [S, D] each pooling of them, not normalised
    queries, passages  float32 [S, dimension]  the vectors of the model, of length one, with its prompts

and expected.json: the texts and the prompts. Texts run one by one, unpadded, on weights widened to float64.
Needs: torch, transformers, tokenizers, safetensors.
"""

import argparse
import json
import pathlib

import tokenizers
import torch
import transformers
from safetensors.torch import save_file

TEXTS = [
    "The cat sat on the mat.",
    "Wörter mit Akzenten: café, naïve, ÀÉÎ!",
    "A question?  Two   spaces,\ttabs and\nlines.",
    "東京タワー is 333 m high",
    "unknownwordthatisverylong " + "x" * 120,
    "no",
    " ".join(f"sentence {i} goes on and on;" for i in range(14)),
]
# What the vocabularies are trained on.
CORPUS = TEXTS + ["the quick brown fox jumps over the lazy dog", "questions and answers", "going, went, gone",
                  "Cats and dogs; mats and hats", "0123456789"]
POOLINGS = {  # in the order in which sentence-transformers concatenates them
    "cls": lambda h: h[0],
    "max": lambda h: h.max(0).values,
    "mean": lambda h: h.mean(0),
    "mean_sqrt_len_tokens": lambda h: h.sum(0) / len(h) ** 0.5,
    "weightedmean": lambda h: (h * torch.arange(1, len(h) + 1)[:, None]).sum(0) / (len(h) * (len(h) + 1) / 2),
    "lasttoken": lambda h: h[-1],
}
FLAGS = {"cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens", "mean": "pooling_mode_mean_tokens",
         "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
         "weightedmean": "pooling_mode_weightedmean_tokens", "lasttoken": "pooling_mode_lasttoken"}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def random_model(seed, vocab_size, **shape):
    torch.manual_seed(seed)
    config = transformers.BertConfig(vocab_size=vocab_size, attn_implementation="eager", **shape)
    model = transformers.BertModel(config).eval()
    with torch.no_grad():  # larger than a fresh model's, so that no bias or norm weight is neutral
        for name, parameter in model.named_parameters():
            parameter.normal_(1 if name.endswith("LayerNorm.weight") else 0, 0.3)
    return model


def write_modules(folder, poolings, hidden, dense, normalize):
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if dense:
        modules.append(("2_Dense", "Dense"))
    if normalize:
        modules.append(("3_Normalize", "Normalize"))
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)])
    write_json(folder / "1_Pooling/config.json",
               {"word_embedding_dimension": hidden} | {flag: name in poolings for name, flag in FLAGS.items()})


def write_dense(folder, seed, num_in, num_out):
    torch.manual_seed(seed)
    linear = torch.nn.Linear(num_in, num_out)
    write_json(folder / "2_Dense/config.json", {"in_features": num_in, "out_features": num_out, "bias": True,
                                               "activation_function": "torch.nn.modules.activation.Tanh"})
    save_file({f"linear.{k}": v.contiguous() for k, v in linear.state_dict().items()},
              folder / "2_Dense/model.safetensors")
    return torch.nn.Sequential(linear.double(), torch.nn.Tanh())


def expected(folder, model, tokenizer, poolings, dense, prompts):
    # The weights as stored, in float64.
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()

    def hidden_of(text):
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            return ids, model(torch.tensor([ids])).last_hidden_state[0]

    def vector_of(text):
        _, hidden = hidden_of(text)
        vector = torch.cat([POOLINGS[name](hidden) for name in POOLINGS if name in poolings])
        if dense:
            vector = dense(vector).detach()
        return vector / vector.norm()

    runs = [hidden_of(text) for text in TEXTS]
    starts = [0]
    for ids, _ in runs:
        starts.append(starts[-1] + len(ids))
    tensors = {"tokens": torch.tensor([i for ids, _ in runs for i in ids], dtype=torch.int32),
               "sequence_starts": torch.tensor(starts, dtype=torch.int32),
               "hidden": torch.cat([h for _, h in runs]).float(),
               "queries": torch.stack([vector_of(prompts["query"] + t) for t in TEXTS]).float(),
               "passages": torch.stack([vector_of(prompts["document"] + t) for t in TEXTS]).float()}
    for name, pool in POOLINGS.items():
        tensors[f"pooled.{name}"] = torch.stack([pool(h) for _, h in runs]).float()
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "expected.safetensors",
              metadata={"torch": torch.__version__, "transformers": transformers.__version__})
    write_json(folder / "expected.json", {"texts": TEXTS, "prompts": prompts})


def train_tokenizer(lowercase, vocab_size):
    tokenizer = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
    tokenizer.train_from_iterator(CORPUS, vocab_size=vocab_size, min_frequency=1, show_progress=False)
    vocabulary = tokenizer.get_vocab()
    tokenizer._tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")])
    return tokenizer


def mean_case(output):
    """As all-MiniLM: tokenizer.json, mean pooling, names with "bert.", a pooler and a buffer beside the weights."""
    folder = output / "encoder_mean"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(True, 220)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    size = tokenizer.get_vocab_size()
    model = random_model(1, size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56,
                         max_position_embeddings=150, layer_norm_eps=1e-12)
    model.config.save_pretrained(folder)
    state = {f"bert.{k}": v.contiguous() for k, v in model.state_dict().items()}
    state["bert.embeddings.position_ids"] = torch.arange(150)[None]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    write_modules(folder, ["mean"], 32, None, True)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    expected(folder, model, tokenizer, ["mean"], None, {"query": "", "document": ""})


def dense_case(output):
    """vocab.txt with capitals, two poolings, a Dense module, the other GELU, prompts, float16, names without prefix."""
    folder = output / "encoder_dense"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(False, 240)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(token + "\n" for token, _ in vocabulary))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    model = random_model(2, tokenizer.get_vocab_size(), hidden_size=24, num_hidden_layers=3, num_attention_heads=2,
                         intermediate_size=40, max_position_embeddings=150, layer_norm_eps=1e-5,
                         hidden_act="gelu_new", type_vocab_size=1).half()
    model.config.save_pretrained(folder)
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith("pooler.")},
              folder / "model.safetensors", metadata={"format": "pt"})
    write_modules(folder, ["cls", "mean"], 24, True, False)
    prompts = {"query": "a question: ", "document": "text: "}
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})
    dense = write_dense(folder, 3, 48, 20)
    expected(folder, model, tokenizer, ["cls", "mean"], dense, prompts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "fixtures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mean_case(args.output)
    dense_case(args.output)


if __name__ == "__main__":
    main()
