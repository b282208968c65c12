#!/usr/bin/env bash
# What weight formats cost: nothing for the reference itself, more with fewer bits; another model beside them, and
# models that cannot be compared. Windows as long as the model reads, and numbers that are not finite, for every verb
# that scores: divergence.sh PROGRAM
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

# A model that YaRN stretches to four times its 512 positions reads windows of that length.
cp -r "$model" "$work/stretched"
python3 - "$work/stretched/config.json" <<'PYTHON'
import json, sys
config = json.load(open(sys.argv[1]))
config["rope_scaling"] = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
json.dump(config, open(sys.argv[1], "w"))
PYTHON
cat "$source_folder"/docs/*.md >"$work/long.txt"
quietly "$qwen25" perplexity -m "$work/stretched" "$work/long.txt" --window 600 --max-tokens 1200
quietly "$qwen25" divergence -m "$work/stretched" "$work/long.txt" --weights int8 --window 600 --max-tokens 1200
quietly "$qwen25" logits -m "$work/stretched" $(seq 1 500) $(seq 1 500) -o "$work/logits.safetensors"
expect "expected a window of 2 to 2048" "$qwen25" perplexity -m "$work/stretched" "$work/long.txt" --window 2049
expect "--window is 2049, expected 2 to 2048" "$qwen25" divergence -m "$work/stretched" "$text" --window 2049
expect "the model 512 positions" "$qwen25" logits -m "$model" $(seq 1 500) $(seq 1 500) -o "$work/logits.safetensors"

# One weight that is finite and far too large: an error, never "nan" with status 0.
cp -r "$model" "$work/overflow"
python3 - "$work/overflow/model.safetensors" <<'PYTHON'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack("<Q", data[:8])[0]
tensor = json.loads(data[8:8 + size])["model.layers.1.mlp.down_proj.weight"]
begin = 8 + size + tensor["data_offsets"][0]
huge = {"F32": struct.pack("<f", 3e38), "BF16": struct.pack("<f", 3e38)[2:], "F16": struct.pack("<e", 65000)}[tensor["dtype"]]
for i in range(160):
    data[begin + i * len(huge):begin + (i + 1) * len(huge)] = huge
open(sys.argv[1], "wb").write(data)
PYTHON
expect "model.layers.1" "$qwen25" perplexity -m "$work/overflow" "$text" --max-tokens 500
expect "model.layers.1" "$qwen25" perplexity -m "$work/overflow" "$text" --max-tokens 500 --json
expect "model.layers.1" "$qwen25" divergence -m "$work/overflow" "$text" --weights bfloat16 --max-tokens 500
expect "model.layers.1" "$qwen25" logits -m "$work/overflow" 1 2 3 4 5 -o "$work/overflow.safetensors"
[ ! -e "$work/overflow.safetensors" ] || fail "logits that are not finite were written"
printf 'divergence: exact for the reference, %s\n' "more with fewer bits, refused where it means nothing"
