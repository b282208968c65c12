#!/usr/bin/env python3
"""Scores of lm-evaluation-harness through the server against those that it gives with transformers.

    python3 check_lm_eval.py PROGRAM MODEL_FOLDER --text FILE [--items 40]

The tasks are made from a text: the right continuation of a passage among four (log-likelihoods of continuations), the
perplexity of passages (rolling log-likelihoods), and the next words (generation). Through the server the harness uses the
server's tokenizer, so that it needs no file of the model. Wants lm_eval[api], torch and transformers.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import lm_eval
from lm_eval.tasks import TaskManager

CHOICE = """
task: passage_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/items.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{begin}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{right}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
"""
ROLLING = """
task: passage_perplexity
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/items.jsonl
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{passage}}}}"
metric_list:
  - metric: byte_perplexity
"""
GENERATION = """
task: passage_words
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/items.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{begin}}}}"
doc_to_target: "{{{{next}}}}"
generation_kwargs:
  until: ["\\n\\n"]
  max_gen_toks: 16
  do_sample: false
metric_list:
  - metric: exact_match
"""
TASKS = {"passage_choice": ["acc", "acc_norm"], "passage_perplexity": ["byte_perplexity"], "passage_words": ["exact_match"]}


def write_tasks(folder, text, num_items):
    draw = random.Random(1)
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", text.replace("\n", " ")) if 60 < len(sentence) < 300]
    with open(folder / "items.jsonl", "w") as items:
        for _ in range(num_items):
            place = draw.randrange(len(sentences) - 1)
            choices = [" " + sentence for sentence in draw.sample(sentences, 3)]
            right = draw.randrange(4)
            choices.insert(right, " " + sentences[place + 1])
            item = {"begin": sentences[place], "choices": choices, "right": right, "next": sentences[place + 1][:20],
                    "passage": " ".join(sentences[place : place + 3])}
            items.write(json.dumps(item) + "\n")
    for name, content in [("choice", CHOICE), ("rolling", ROLLING), ("generation", GENERATION)]:
        (folder / f"{name}.yaml").write_text(content.format(folder=folder))


def evaluate(model, arguments, tasks, folder):
    results = lm_eval.simple_evaluate(model=model, model_args=arguments, tasks=tasks, batch_size=8, log_samples=True,
                                      task_manager=TaskManager(include_path=str(folder), include_defaults=False))
    scores = {(task, metric): results["results"][task][f"{metric},none"] for task in tasks for metric in TASKS[task]}
    texts = [sample["filtered_resps"] for sample in results["samples"].get("passage_words", [])]
    return scores, texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--items", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_tasks(folder, pathlib.Path(arguments.text).read_text(), arguments.items)
        command = [arguments.program, "serve", "-m", f"model={arguments.model}", "--port", "0", "--no-memory"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            served, served_texts = evaluate(
                "local-completions",
                f"model=model,base_url={address}/completions,tokenizer_backend=remote,num_concurrent=4,max_length=2048",
                list(TASKS), folder)
        finally:
            server.terminate()
            server.wait()
        own, own_texts = evaluate("hf", f"pretrained={arguments.model},dtype=float32,device=cpu,max_length=2048", list(TASKS),
                                  folder)
    failures = 0
    for key, value in own.items():
        is_same = abs(served[key] - value) <= 1e-4 * abs(value)
        failures += not is_same
        print(f"{'same' if is_same else 'DIFFERENT'}  {key[0]:20} {key[1]:16} transformers {value:.6f}  server {served[key]:.6f}")
    same_texts = sum(a == b for a, b in zip(own_texts, served_texts))
    print(f"{same_texts} of {len(own_texts)} generated texts are the same")
    failures += same_texts < len(own_texts)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
