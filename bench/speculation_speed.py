#!/usr/bin/env python3
"""Generation with and without prompt lookup on edits of real files: a Markdown table.

    speculation_speed.py --program PATH/qwen25 (--tokenizer FOLDER [--preset 0.5b] | --model MODEL)
                         [--weights int8,int4] [--tokens 512] [--rounds 3] [--only edit]

The prompt holds a file of this repository as it was before a commit and the commit's message; the answer is the file
after it, which is what a user who asks a model for an edit gets back. The summary's prompt is the design page and its
answer the README; the control's is the first half of the design page, and it goes on with the second, which repeats
little. With --preset the weights are random and the answer is given: the computation is that of a model that writes
this text. With --model it writes its own, most likely tokens. Both ways must give the same tokens, or the program
aborts.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
EDITS = [
    ("86e94ab", "src/infer/session.cc"),
    ("86e94ab", "src/infer/sampler.cc"),
    ("d387394", "src/cli/machine_probe.cc"),
    ("a88f392", "src/text/llama2c_tokenizer.cc"),
    ("79230cd", "src/train/training_fixture_test.cc"),
]
PAGES = "c054a1a"


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout


def cases():
    """Name, prompt, answer."""
    for commit, path in EDITS:
        before, after = git("show", f"{commit}^:{path}"), git("show", f"{commit}:{path}")
        message = git("log", "-1", "--format=%s", commit).strip()
        prompt = (f"<|im_start|>user\nThis is {path}:\n```\n{before}```\nChange it: {message}. Write the whole file."
                  f"<|im_end|>\n<|im_start|>assistant\n```\n")
        yield f"edit of {pathlib.Path(path).name}", prompt, after
    design, readme = (git("show", f"{PAGES}:{path}") for path in ("docs/design.md", "README.md"))
    yield ("summary of a page", f"<|im_start|>user\n{design}\nSummarise this for the README.<|im_end|>\n"
           "<|im_start|>assistant\n", readme)
    middle = design.index("\n\n", len(design) // 2)
    yield "control: prose that goes on", design[:middle], design[middle:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--tokenizer")
    model.add_argument("--model")
    parser.add_argument("--preset", default="0.5b")
    parser.add_argument("--weights", default="int8,int4")
    parser.add_argument("--tokens", default="512")
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--only", default="", help="texts whose names hold this")
    arguments = parser.parse_args()
    common = [arguments.program, "bench", "speculation", "--json", "--generate", arguments.tokens, "--rounds",
              arguments.rounds]
    common += (["--model", arguments.model] if arguments.model else
               ["--preset", arguments.preset, "--tokenizer", arguments.tokenizer])
    print("| text | weights | prompt | tokens/s without | with | ratio | accepted | tokens per pass |\n"
          "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, prompt, answer in cases():
            if arguments.only not in name:
                continue
            prompt_file, answer_file = pathlib.Path(folder, "prompt"), pathlib.Path(folder, "answer")
            prompt_file.write_text(prompt)
            answer_file.write_text(answer)
            for weights in arguments.weights.split(","):
                command = [*common, "--weights", weights, "--prompt-file", prompt_file]
                if not arguments.model:
                    command += ["--answer-file", answer_file]
                report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
                result = report["result"]
                print(f"| {name} | {weights} | {report['prompt_tokens']:,} | {result['plain_tokens_per_second']:.1f} | "
                      f"{result['tokens_per_second']:.1f} | {result['speedup']:.2f} | "
                      f"{result['accepted_tokens']} of {result['proposed_tokens']} | "
                      f"{result['tokens_per_pass']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
