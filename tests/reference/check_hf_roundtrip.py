#!/usr/bin/env python3
"""Checkpoints travel between this program and Hugging Face transformers, in both directions, with the same logits.

    python check_hf_roundtrip.py ours CHECKPOINT DUMP
        loads a folder written by this program with AutoModelForCausalLM and AutoTokenizer and compares transformers'
        logits with those of DUMP
    python check_hf_roundtrip.py write FOLDER
        lets transformers write checkpoints into FOLDER/<variant>: one file, shards, float16, bfloat16, untied, Llama;
        each with tokens.safetensors (what to run) and expected.safetensors (what must come out)
    python check_hf_roundtrip.py theirs EXPECTED DUMP
        compares DUMP with such an expected.safetensors
    python check_hf_roundtrip.py all PROGRAM [--logits-command ...] [--convert-command ...] [--keep FOLDER]
        all of it: this program reads and runs every variant, writes it again in float32, float16 and bfloat16, and
        transformers reads and runs what was written

DUMP is a safetensors file with `logits` [R, vocabulary] and, where known, `tokens` [T], `sequence_starts` [S + 1] (absent:
one sequence) and `logit_rows` [R] (absent: R = T, every row). Logits agree when they differ nowhere by more than 1e-4 of
the largest; weights in half precision are widened to float32 on both sides before anything is computed.
Exit status 0: everything agrees. Needs: torch, transformers, tokenizers, safetensors.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

LENGTHS = (130, 1, 64, 45)
SAMPLE = "def plan(name: str) -> int:\n    return 42  # naïve, 漢字, 🙂\n<|im_start|>user\nHello there<|im_end|>\n"
VOCABULARY = 384
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Report:
    def __init__(self):
        self.failures = 0

    def check(self, passed, what):
        print(f"  {'ok  ' if passed else 'FAIL'} {what}", flush=True)
        self.failures += not passed

    def same_logits(self, found, expected, tolerance, what):
        if found.shape != expected.shape:
            return self.check(False, f"{what}: shape {list(found.shape)}, expected {list(expected.shape)}")
        if not torch.isfinite(found).all():
            return self.check(False, f"{what}: {(~torch.isfinite(found)).sum()} logits are not finite")
        largest = expected.abs().max().item()
        difference = (found.double() - expected.double()).abs()
        worst = difference.max().item()
        place = divmod(difference.argmax().item(), difference.shape[1])
        self.check(worst <= tolerance * largest,
                   f"{what}: largest difference {worst:.2e} of {largest:.3g}, that is {worst / largest:.1e} "
                   f"(row {place[0]}, token {place[1]}; at most {tolerance:g})")


@torch.no_grad()
def logits_of(model, tokens, starts):
    rows = [model(input_ids=tokens[a:b].long()[None], use_cache=False).logits[0] for a, b in zip(starts, starts[1:])]
    return torch.cat(rows).float()


def load_model(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def starts_of(dump, tokens):
    return dump["sequence_starts"].tolist() if "sequence_starts" in dump else [0, len(tokens)]


def check_ours(report, checkpoint, dump_path, tolerance, tokens_path=None):
    """transformers reads `checkpoint`, which this program wrote, and agrees with its dump."""
    dump = load_file(dump_path)
    source = dump if "tokens" in dump else load_file(tokens_path) if tokens_path else {}
    if "tokens" not in source or "logits" not in dump:
        return report.check(False, f"{dump_path} holds {sorted(dump)}, expected tokens and logits")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    loose = {key: sorted(value) for key, value in info.items() if value}
    report.check(not loose, "every weight found its place" + (f", but not {loose}" if loose else ""))
    expected = logits_of(model.eval(), source["tokens"], starts_of(source, source["tokens"]))
    rows = dump["logit_rows"].long() if "logit_rows" in dump else torch.arange(len(expected))
    report.same_logits(dump["logits"].float(), expected[rows], tolerance, f"{type(model).__name__} runs it")
    if (pathlib.Path(checkpoint) / "tokenizer.json").exists():
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        ids = tokenizer(SAMPLE)["input_ids"]
        report.check(tokenizer.decode(ids) == SAMPLE and max(ids) < model.config.vocab_size,
                     f"{type(tokenizer).__name__} with {len(tokenizer)} entries: {len(ids)} tokens and back")
    else:
        report.check(True, "no tokenizer.json in the folder: tokenizer not checked")


def check_theirs(report, expected_path, dump_path, tolerance):
    expected, dump = load_file(expected_path), load_file(dump_path)
    if "logits" not in dump:
        return report.check(False, f"{dump_path} holds {sorted(dump)}, expected logits")
    if "tokens" in dump and not torch.equal(dump["tokens"].long(), expected["tokens"].long()):
        return report.check(False, f"{dump_path} was made from other tokens than {expected_path}")
    rows = dump["logit_rows"].long() if "logit_rows" in dump else torch.arange(len(expected["logits"]))
    report.same_logits(dump["logits"].float(), expected["logits"][rows], tolerance, "this program runs it")


def small_tokenizer():
    """A byte-level BPE with a few merges, learned from the sample."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, decoders, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
               r"|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator([SAMPLE, pathlib.Path(__file__).read_text()], trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], pad_token=special[0], clean_up_tokenization_spaces=False)


def write_theirs(folder):
    """Checkpoints as transformers writes them. Returns their folders."""
    common = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=512, bos_token_id=None, eos_token_id=0)
    qwen2 = lambda tied: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(
        tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, **common))
    llama = lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(
        tie_word_embeddings=False, rms_norm_eps=1e-5, **common))
    variants = {
        "plain": (lambda: qwen2(True), "f32", None),
        "untied": (lambda: qwen2(False), "f32", None),
        "sharded": (lambda: qwen2(False), "f32", "150KB"),
        "f16": (lambda: qwen2(True), "f16", None),
        "bf16": (lambda: qwen2(True), "bf16", None),
        "bf16-sharded": (lambda: qwen2(False), "bf16", "100KB"),
        "llama": (llama, "f32", None),
    }
    tokenizer = small_tokenizer()
    generator = torch.Generator().manual_seed(5)
    folders = []
    for number, (name, (build, dtype, shard)) in enumerate(variants.items()):
        torch.manual_seed(number)
        model = build().eval()
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                base = 1.0 if "norm" in parameter_name else 0.0
                parameter.copy_(base + (0.3 if parameter.dim() == 1 or "embed" in parameter_name else 0.12) * noise)
        path = folder / name
        model.to(DTYPES[dtype]).save_pretrained(path, **({"max_shard_size": shard} if shard else {}))
        tokenizer.save_pretrained(path)
        tokens = torch.randint(VOCABULARY, (sum(LENGTHS),), generator=generator, dtype=torch.int32)
        starts = [0]
        for length in LENGTHS:
            starts.append(starts[-1] + length)
        run = {"tokens": tokens, "sequence_starts": torch.tensor(starts, dtype=torch.int32)}
        save_file(run, path / "tokens.safetensors")
        save_file(run | {"logits": logits_of(load_model(path), tokens, starts)}, path / "expected.safetensors")
        files = sorted(path.glob("model*.safetensors"))
        print(f"{path}: {len(files)} x safetensors, {sum(f.stat().st_size for f in files)} bytes of {dtype}")
        folders.append(path)
    return folders


def run_command(report, template, **values):
    command = [part.format(**values) for part in shlex.split(template)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        report.check(False, f"{shlex.join(command)} ends with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.returncode == 0


def same_weights(report, written, original, dtype):
    """Every weight is the original's, rounded to dtype."""
    ours, theirs = load_model(written).state_dict(), load_model(original).state_dict()
    # float16 and bfloat16 differ in range: the rounding of the one into the other is what PyTorch makes of it.
    wrong = [name for name, value in theirs.items()
             if name not in ours or not torch.equal(ours[name], value.to(DTYPES[dtype]).float())]
    report.check(not wrong, f"{len(theirs)} weights are the original's in {dtype}" + (f", but not {wrong[:3]}" if wrong else ""))


def check_all(report, arguments, folder):
    run = lambda model, tokens, output: run_command(
        report, arguments.logits_command, program=arguments.program, model=model, tokens=tokens, output=output)
    for original in write_theirs(folder):
        print(f"\n{original.name}: written by transformers")
        tokens, dump = original / "tokens.safetensors", original / "dump.safetensors"
        if run(original, tokens, dump):
            check_theirs(report, original / "expected.safetensors", dump, arguments.tolerance)
        for dtype in DTYPES:
            written = folder / f"{original.name}-ours-{dtype}"
            print(f"{original.name}: read and written as {dtype} by this program")
            dump = folder / f"{written.name}.safetensors"
            if (run_command(report, arguments.convert_command, program=arguments.program, model=original, output=written,
                            dtype=dtype) and run(written, tokens, dump)):
                same_weights(report, written, original, dtype)
                check_ours(report, written, dump, arguments.tolerance, tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="as a share of the largest logit")
    verbs = parser.add_subparsers(dest="verb", required=True)
    ours = verbs.add_parser("ours", help="a checkpoint of this program in transformers")
    ours.add_argument("checkpoint")
    ours.add_argument("dump")
    write = verbs.add_parser("write", help="checkpoints by transformers, for this program")
    write.add_argument("folder", type=pathlib.Path)
    theirs = verbs.add_parser("theirs", help="this program's dump against what transformers computed")
    theirs.add_argument("expected")
    theirs.add_argument("dump")
    everything = verbs.add_parser("all", help="both directions, every variant")
    everything.add_argument("program")
    everything.add_argument("--logits-command", default="{program} logits --model {model} --tokens {tokens} --output {output}")
    everything.add_argument("--convert-command", default="{program} convert {model} {output} --dtype {dtype}")
    everything.add_argument("--keep", type=pathlib.Path, help="work in this folder and leave it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    report = Report()
    if arguments.verb == "ours":
        check_ours(report, arguments.checkpoint, arguments.dump, arguments.tolerance)
    elif arguments.verb == "write":
        write_theirs(arguments.folder)
    elif arguments.verb == "theirs":
        check_theirs(report, arguments.expected, arguments.dump, arguments.tolerance)
    elif arguments.keep:
        check_all(report, arguments, arguments.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            check_all(report, arguments, pathlib.Path(folder))
    if arguments.verb != "write":
        print(f"\n{report.failures} failed" if report.failures else "\nall agree")
    sys.exit(report.failures > 0)


if __name__ == "__main__":
    main()
