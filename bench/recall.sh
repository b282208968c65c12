#!/usr/bin/env bash
# Trains a model on the recall task in stages and asks it for facts in histories of up to a million tokens; writes the
# tables and pictures for docs/benchmarks.md, "Recall of long histories": bench/recall.sh [FOLDER=runs/recall]
# Stages 1 and 2 are as they were run; the lengths of stages 3 to 6 are a plan that no run has confirmed to its end.
# Needs 3 GB there for the longest history. QWEN25 names the program, THREADS the threads (any number gives the same
# model).
#
# Why so many stages: recall needs two heads that work together, one that looks at the token before and one that
# looks for what followed the same token. Neither gets much of a gradient while the other is missing: documents of 256
# tokens, half of the task and half repetitions of 4 to 89 tokens, brought nothing in 6 million tokens. Repetitions of
# 16, 24 and 64 tokens come first; then recall_start.py makes the first of the two heads by hand.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=$PWD/bench
folder=${1:-runs/recall}
qwen25=$(realpath "${QWEN25:-build/release/src/cli/qwen25}")
threads=${THREADS:-$(nproc)}
mkdir -p "$folder/data"
cd "$folder"

data() { [[ -e data/$1.idx ]] || "$qwen25" bench recall --write-data "data/$1" "${@:2}"; }
data rep16 --repetitions --documents 60000 --document-tokens 16 --seed 12
data rep24 --repetitions --documents 60000 --document-tokens 24 --seed 13
data rep64 --repetitions --documents 40000 --document-tokens 64 --seed 11
data short --documents 8000 --document-tokens 256 --fact-every 8 --question-every 6 --seed 2
data mid --documents 4000 --document-tokens 1024 --fact-every 24 --question-every 12 --seed 3
data long --documents 2000 --document-tokens 4096 --fact-every 100 --question-every 16 --seed 4
data validation --documents 20 --document-tokens 4096 --fact-every 100 --question-every 16 --seed 99

# 0.66 M parameters. A rotary base of 1e4 gives each head enough fast pairs to tell a token from its neighbour.
cat >shape.json <<'JSON'
{
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "vocab_size": 1024,
  "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
  "num_key_value_heads": 4, "head_dim": 32, "max_position_embeddings": 8192, "rms_norm_eps": 1e-6,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": 0, "bos_token_id": 0
}
JSON

# stage NAME ARGUMENTS: a run, once.
stage() {
  [[ -d $1/model ]] ||
    "$qwen25" train --optimizer muon --set optimizer.weight_decay=0 --set run.measure_peak=false --threads "$threads" \
      -o "$1" "${@:2}"
}
constant=(--set schedule.kind=constant --set schedule.warmup_steps=20 --sequence-length 64 --tokens-per-step 2048
  --micro-batch-tokens 2048 --learning-rate 1e-2)
falling=(--set schedule.kind=cosine --set schedule.min_ratio=0.1 --set schedule.warmup_steps=5)
batch() { printf '%s\n' --sequence-length "$1" --tokens-per-step "$2" --micro-batch-tokens "$2"; }

stage 1 --set model.config=shape.json --data data/rep64 "${constant[@]}" --max-steps 706
stage 2 --initial 1/model --data data/rep16,data/rep24 --data-weights 0.5,0.5 "${constant[@]}" --max-steps 1000
# A head of the first layer starts as one that looks at the token before.
[[ -d 2b ]] || { cp -r 2/model 2b.new && python3 "$bench/recall_start.py" 2b.new/model.safetensors && mv 2b.new 2b; }
stage 3 --initial 2b --data data/rep24,data/rep64,data/short --data-weights 0.2,0.4,0.4 $(batch 256 2048) \
  --set schedule.kind=constant --set schedule.warmup_steps=5 --max-steps 1000 --learning-rate 5e-3
stage 4 --initial 3/model --data data/rep64,data/short --data-weights 0.3,0.7 "${falling[@]}" $(batch 256 4096) \
  --max-steps 400 --learning-rate 5e-3
stage 5 --initial 4/model --data data/short,data/mid --data-weights 0.3,0.7 "${falling[@]}" $(batch 1024 8192) \
  --max-steps 200 --learning-rate 4e-3 --validation-data data/validation
stage 6 --initial 5/model --data data/mid,data/long --data-weights 0.4,0.6 "${falling[@]}" $(batch 4096 8192) \
  --max-steps 150 --learning-rate 2e-3 --validation-data data/validation

# Dense beside routed at lengths that it was trained on, then far beyond, with 64 MiB of the history in RAM.
recall() { "$qwen25" bench recall -m 6/model --threads "$threads" "$@" 2>/dev/null; }
for policy in dense top_k:8,local=2,dense_below=256 top_p:0.95,local=2,dense_below=256; do
  recall --routing "$policy" --length 1024,2048,4096 --depths 20 --histories 5
done
recall --routing top_k:16,dense_below=1024 --recall-window 1024 --working-mib 64 --spill-directory . \
  --length 10000,30000,100000,300000,1000000 --depths 20 --histories 5 -o recall.svg --growth growth.svg
# The budget follows the text: fillers alone beside as many facts as fit.
for depths in 1 500; do
  recall --routing top_p:0.95,local=1,dense_below=0,max_blocks=64 --length 4096 --depths "$depths" --histories 3
done
