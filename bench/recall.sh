#!/usr/bin/env bash
# Trains a model on the recall task, in documents that become longer, and asks it for facts in histories of up to a million
# tokens; writes the tables and pictures for docs/benchmarks.md, "Recall of long histories":
# bench/recall.sh [FOLDER=runs/recall]
# Needs 3 GB there, 2 of them for the longest history. QWEN25 names the program, THREADS the threads (any number gives the same
# model), TEXTS files whose bytes are half of the filler in training, BOOKS those of the histories.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=$PWD/bench
shared=$PWD/../shared/data
folder=${1:-runs/recall}
qwen25=$(realpath "${QWEN25:-build/release/src/cli/qwen25}")
threads=${THREADS:-$(nproc)}
texts=${TEXTS:-$shared/text/rust_book.md,$shared/text/tinyshakespeare.txt,$shared/text/wikitext2.valid.txt}
books=${BOOKS:-$shared/books/frankenstein_84.txt,$shared/books/sherlock_holmes_1661.txt}
mkdir -p "$folder/data"
cd "$folder"

# 0.49 M parameters. Fresh weights with a deviation of hidden_size^-0.5: with the usual 0.02 attention is so even at the
# start that recall begins late: 8 keys and values had a loss of 0.80 after 2.4 million tokens, 0.14 with this. A rotary
# base of 1e6 leaves half of each head's pairs nearly still over thousands of tokens, which matching needs.
cat >shape.json <<'JSON'
{
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "vocab_size": 512,
  "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192, "rms_norm_eps": 1e-6,
  "rope_theta": 1000000.0, "tie_word_embeddings": true, "initializer_range": 0.088, "eos_token_id": 0, "bos_token_id": 0
}
JSON

# data NAME DOCUMENTS TOKENS FACT_EVERY SEED: documents with numbers that count, and with text.
data() {
  [[ -e data/$1.idx ]] && return
  local shape=(--documents "$2" --document-tokens "$3" --fact-every "$4")
  "$qwen25" bench recall --write-data "data/$1-text" "${shape[@]}" --seed "$((100 + $5))" --text "$texts"
  "$qwen25" bench recall --write-data "data/$1" "${shape[@]}" --seed "$5"
}
data 32 100000 32 3 1
data 128 20000 128 6 2
data 512 8000 512 12 3
data 2048 2500 2048 24 4
data 4096 2500 4096 100 5
data validation 10 4096 200 99

# stage NAME ARGUMENTS: a run, once.
stage() {
  [[ -d $1/model ]] ||
    "$qwen25" train --optimizer adamw --set optimizer.weight_decay=0 --set run.measure_peak=false --threads "$threads" \
      --set schedule.warmup_steps=20 --set schedule.min_ratio=0.1 -o "$1" "${@:2}"
}
# on TOKENS TOKENS_PER_STEP: documents of that length.
on() {
  printf '%s\n' --data "data/$1,data/$1-text" --data-weights 0.5,0.5 --sequence-length "$1" --tokens-per-step "$2" \
    --micro-batch-tokens "$2"
}
# One step that changes nothing writes fresh weights.
stage 0 --set model.config=shape.json $(on 32 2048) --max-steps 1 --learning-rate 1e-12
[[ -d start ]] || { cp -r 0/model start.new && python3 "$bench/recall_start.py" start.new/model.safetensors && mv start.new start; }
stage 1 --initial start $(on 32 2048) --set schedule.kind=constant --max-steps 600 --learning-rate 1e-3
stage 2 --initial 1/model $(on 128 2048) --set schedule.kind=constant --max-steps 600 --learning-rate 1e-3
stage 3 --initial 2/model $(on 512 4096) --set schedule.kind=constant --max-steps 300 --learning-rate 1e-3
stage 4 --initial 3/model $(on 2048 8192) --set schedule.kind=constant --max-steps 120 --learning-rate 7e-4
stage 5 --initial 4/model $(on 4096 8192) --set schedule.kind=cosine --max-steps 300 --learning-rate 7e-4 \
  --validation-data data/validation,data/validation-text

# Dense beside routed at lengths that it was trained on, then far beyond, with 64 MiB of the history in RAM.
recall() { "$qwen25" bench recall -m 5/model --threads "$threads" --depths 20 "$@"; }
for policy in dense top_k:16,local=2,dense_below=256 top_k:4,local=2,dense_below=256 top_p:0.95,local=2,dense_below=256; do
  recall --routing "$policy" --length 1024,2048,4096,8000 --histories 10
  recall --routing "$policy" --length 1024,2048,4096,8000 --histories 10 --text "$books"
done
far=(--kv float16 --routing top_k:16,dense_below=1024 --recall-window 2048 --working-mib 64 --spill-directory .)
recall "${far[@]}" --length 10000,30000,100000,300000,1000000 --histories 1 -o recall_map.svg
recall "${far[@]}" --length 4096,10000,30000,100000,300000,1000000 --histories 1 --text "$books" -o recall_books.svg
recall "${far[@]}" --length 10000,100000 --histories 3 --dialogues 10
# More facts in notes of their own, which attention recalls beside the history and beside dialogues that ended.
for notes in 20 100; do
  recall "${far[@]}" --length 4096,10000,100000 --histories 3 --notes "$notes"
  recall "${far[@]}" --length 10000,100000 --histories 3 --notes "$notes" --dialogues 10
done
# What a token costs; wants a machine that does nothing else.
for length in 10000 100000 1000000; do
  recall "${far[@]}" --length "$length" --histories 1 --growth recall_growth.svg
done
# Whether the budget follows the text: text alone beside as many facts as there are keys.
for depths in 1 128; do
  recall --routing top_p:0.95,local=1,dense_below=0,max_blocks=64 --length 4096 --depths "$depths" --histories 3
done
# What the estimates say of the blocks of facts.
python3 "$bench/recall_estimates.py" 5/model
