#!/usr/bin/env python3
"""Whether a trained model can use notes whose keys and values were computed apart from the conversation: a Markdown table.

    make_fact_sets.py -o facts.json
    notes_apart.py MODEL_FOLDER facts.json [--questions 30] [--counts 1 3 8] [--ways WAY ...] [--threads 1] [--system TEXT]

MODEL_FOLDER is a Hugging Face folder with ChatML tokens (a GGUF file: `qwen25 convert` first). For each question, the note that
answers it and others of the file are in sight, in shuffled order; the answer is the most likely one, of at most 16 tokens, and
right if it has the fact's words. Ways:

    question     the notes stand in the question's turn, as text
    turns        each note is a user's turn of the conversation
    alone        each turn is computed as a sequence of its own
    beginning    each turn is computed after the conversation's system turn, and knows no other note
    one by one   the same, at the places that the turns would have in the conversation
    sharper T    the same, with attention to the notes at temperature T (as arXiv:2502.05431, without its scale)
    louder S     the same, with S times the attention to the notes, before all of it adds up to 1
    mended R     the same, but the share R of each note's tokens that differ most from those of the conversation in the second
                 layer have the keys and values of the conversation (the best that arXiv:2405.16444 could reach by computing
                 these again)

GAP is how many positions lie between the notes and the question. Needs PyTorch and transformers.
"""

import argparse
import json
import math
import random

import torch
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer, DynamicCache

MAX_TOKENS = 16


class NoteAttention:
    """Attention in which scores of some keys, those of notes, are divided by a temperature and raised."""

    begin = end = 0
    temperature, rise = 1.0, 0.0

    @classmethod
    def attend(cls, module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = query @ key.transpose(2, 3) * scaling
        notes = scores[..., cls.begin : cls.end]
        notes.copy_(notes / cls.temperature + cls.rise)
        length, seen = scores.shape[-2:]
        hidden = torch.ones(length, seen, dtype=torch.bool).triu(seen - length + 1)
        return (scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register("notes", NoteAttention.attend)


class Reader:
    def __init__(self, arguments):
        torch.set_num_threads(arguments.threads)
        self.tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        self.model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32, attn_implementation="notes").eval()
        self.end = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.system = self.encode(f"<|im_start|>system\n{arguments.system}<|im_end|>\n")
        self.system_cache = self.computed(self.system, 0)
        self.known = {}

    def encode(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    @torch.no_grad()
    def read(self, tokens, first_position, cache):
        positions = torch.arange(first_position, first_position + len(tokens))[None]
        return self.model(torch.tensor([tokens]), position_ids=positions, past_key_values=cache, use_cache=True).logits[0, -1]

    def cache_of(self, parts):
        cache = DynamicCache()
        for layer in range(len(parts[0]) if parts else 0):
            cache.update(torch.cat([part[layer][0] for part in parts], 2), torch.cat([part[layer][1] for part in parts], 2), layer)
        return cache

    def computed(self, tokens, first_position, after=None):
        """Keys and values of `tokens` alone, per layer."""
        cache = self.cache_of([after] if after else [])
        NoteAttention.begin = NoteAttention.end = 0
        self.read(tokens, first_position, cache)
        drop = after[0][0].shape[2] if after else 0
        return [(layer.keys[:, :, drop:], layer.values[:, :, drop:]) for layer in cache.layers]

    def turn(self, statement):
        return self.encode(f"<|im_start|>user\n(note 1, 2026-11-30) {statement}<|im_end|>\n")

    def mended(self, parts, statements, share):
        """`parts`, of the system turn and then of notes one by one, with some tokens as the whole conversation has them."""
        tokens = sum((self.turn(statement) for statement in statements), [])
        whole, begin, result = self.computed(tokens, len(self.system), self.system_cache), 0, parts[:1]
        for part in parts[1:]:
            end = begin + part[0][0].shape[2]
            true = [tuple(x[:, :, begin:end] for x in layer) for layer in whole]
            distance = sum((a - b).square().sum((0, 1, 3)) for a, b in zip(part[1], true[1]))
            chosen = torch.zeros_like(distance, dtype=torch.bool)
            chosen[distance.topk(max(1, round(share * len(distance)))).indices] = True
            result.append([tuple(torch.where(chosen[:, None], b, a) for a, b in zip(*pair)) for pair in zip(part, true)])
            begin = end
        return result

    def note(self, way, statement, position):
        tokens = self.turn(statement)
        key = (way == "alone", statement, position)
        if key not in self.known:
            self.known[key] = self.computed(tokens, position, None if way == "alone" else self.system_cache)
        return self.known[key], len(tokens)

    def answer(self, way, statements, question, words, gap):
        way, _, amount = way.partition(" ") if way.split()[0] in ("sharper", "louder", "mended") else (way, "", "1")
        in_turn, amount = way in ("one by one", "sharper", "louder", "mended"), float(amount)
        parts, position, longest = [self.system_cache], len(self.system), 0
        head = "<|im_start|>user\n"
        if way == "question":
            head += "".join(f"(note 1, 2026-11-30) {statement}\n" for statement in statements)
        elif way == "turns":
            head = "".join(f"<|im_start|>user\n(note 1, 2026-11-30) {statement}<|im_end|>\n" for statement in statements) + head
        else:
            for statement in statements:
                part, length = self.note(way, statement, position)
                parts.append(part)
                longest = max(longest, length)
                position += length if in_turn else 0
            position += gap + (0 if in_turn else longest)
        if way == "mended":
            parts = self.mended(parts, statements, amount)
        cache, text = self.cache_of(parts), []
        NoteAttention.begin, NoteAttention.end = len(self.system), cache.get_seq_length()
        NoteAttention.temperature = amount if way == "sharper" else 1.0
        NoteAttention.rise = math.log(amount) if way == "louder" else 0.0
        tokens = self.encode(f"{head}{question}<|im_end|>\n<|im_start|>assistant\n")
        while len(text) < MAX_TOKENS:
            best = int(self.read(tokens, position, cache).argmax())
            position += len(tokens)
            if best == self.end:
                break
            text.append(best)
            tokens = [best]
            if words in self.tokenizer.decode(text).lower():
                return True
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("facts")
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 3, 8])
    parser.add_argument("--ways", nargs="+", help="only these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--system", default="You are a helpful AI assistant named SmolLM, trained by Hugging Face")
    arguments = parser.parse_args()
    with open(arguments.facts, encoding="utf-8") as file:
        facts = json.load(file)["questions"]
    reader, questions = Reader(arguments), facts[: arguments.questions]
    print("| notes | notes in sight | gap | right |\n| --- | ---: | ---: | ---: |")
    ways = [("question", 0), ("turns", 0), ("alone", 0), ("alone", 512), ("alone", 2000), ("beginning", 0), ("beginning", 512),
            ("beginning", 2000), ("one by one", 0)]
    several = [(f"{way} {amount}", 0) for way, amounts in (("sharper", (0.7, 0.5, 0.35, 0.25)), ("louder", (3, 0.3)), ("mended", (0.15, 0.5, 1)))
               for amount in amounts]
    for count in arguments.counts:
        for way, gap in ways if count == 1 else [(way, gap) for way, gap in ways if gap == 0] + several:
            if arguments.ways and way not in arguments.ways:
                continue
            right = 0
            for fact in questions:
                shuffled = random.Random(fact["question"])
                others = shuffled.sample([other["statement"] for other in facts if other is not fact], count - 1)
                statements = [fact["statement"], *others]
                shuffled.shuffle(statements)
                right += reader.answer(way, statements, fact["question"], fact["answer"].lower(), gap)
            print(f"| {way} | {count} | {gap} | {right} of {len(questions)} |", flush=True)


if __name__ == "__main__":
    main()
