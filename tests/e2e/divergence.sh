#!/usr/bin/env bash
# What weight formats cost: nothing for the reference itself, more with fewer bits; another model beside them, and
# models that cannot be compared: divergence.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_data
write_small_config "$work/config.json"
quietly "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
  --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512 --micro-batch-tokens 512 \
  --max-steps 400 --set run.measure_peak=false -o "$work/run"
model=$work/run/model
text=$work/data/documents.validation.jsonl
quietly "$qwen25" quantize -m "$model" -o "$work/model-q8_0.gguf" --format q8_0

"$qwen25" divergence -m "$model" "$text" --weights float32,bfloat16,int8,int4 --against "$work/model-q8_0.gguf" \
  --against "$model" --window 256 --max-tokens 1500 --json >"$work/json" 2>"$work/log" || { cat "$work/log" >&2; fail "divergence"; }
"$qwen25" perplexity -m "$model" "$text" --window 256 --stride 255 --max-tokens 1500 --json >"$work/perplexity" 2>"$work/log"
python3 - "$work/json" "$work/perplexity" <<'PYTHON' || fail "the figures: $(cat "$work/json")"
import json, sys
report, perplexity = (json.load(open(path)) for path in sys.argv[1:])
assert report["tokens"] == 1500, report["tokens"]
reference, float32, bfloat16, int8, int4, gguf, stored = report["models"]
for exact in (reference, float32, stored):
    assert exact["mean_divergence"] == 0 == exact["divergence_99"] and exact["same_top"] == 1, exact
    assert exact["perplexity"] == reference["perplexity"]
assert 0 < bfloat16["mean_divergence"] < int8["mean_divergence"] < int4["mean_divergence"] < 1
assert 0 < gguf["mean_divergence"] < int4["mean_divergence"] and gguf["model"].endswith(".gguf")
assert int4["same_top"] < 1 and int4["divergence_99"] > int4["mean_divergence"]
bits = [row["bits_per_weight"] for row in (float32, bfloat16, int8, int4)]
assert bits[0] > 1.9 * bits[1] > 3 * bits[2] > 4.5 * bits[3], bits
# Other windows, the same text: near, not equal.
assert abs(reference["perplexity"] / perplexity["perplexity"] - 1) < 0.1, (reference, perplexity)
PYTHON

# expect TEXT COMMAND ...: the command fails and says so.
expect() {
  local wanted=$1
  shift
  if "$@" >"$work/out" 2>&1; then fail "no failure: $*"; fi
  grep -qF -- "$wanted" "$work/out" || { cat "$work/out" >&2; fail "no \"$wanted\" from: $*"; }
}
expect "--window is 513, expected 2 to 512" "$qwen25" divergence -m "$model" "$text" --window 513
expect "weight format \"int3\" is unknown" "$qwen25" divergence -m "$model" "$text" --weights int3
: >"$work/empty.txt"
expect "hold no text to predict" "$qwen25" divergence -m "$model" "$work/empty.txt"
quietly "$qwen25" tokenizer train "$text" --vocab-size 500 -o "$work/other"
cp -r "$model" "$work/mixed"
cp "$work/other/tokenizer.json" "$work/mixed/"
expect "their predictions cannot be compared" "$qwen25" divergence -m "$model" "$text" --against "$work/mixed"
printf 'divergence: exact for the reference, %s\n' "more with fewer bits, refused where it means nothing"
