# Sourced by the tests of this folder. $1 is the program; $work is a folder that goes away with the test.
set -euo pipefail
qwen25=$1
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
export QWEN25_MEMORY=$work/memory  # never the memory of whoever runs the tests
trap 'rm -rf "$work"' EXIT

fail() {
  printf '%s: FAILED: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

skip() {  # CTest reads 77 as skipped
  printf '%s: SKIPPED: %s\n' "$(basename "$0")" "$1"
  exit 77
}

# quietly COMMAND ...: shows what it wrote only when it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$*"; }
}

# Token shards $work/data/{train,validation} and $work/tokenizer, from the sources of this project.
prepare_data() {
  quietly "$qwen25" curate --source "$source_folder/src" --source "$source_folder/docs" --min-bytes 100000 \
    --max-bytes 1000000 --validation-fraction 0.1 -o "$work/data"
  quietly "$qwen25" tokenizer train "$work/data/documents.train.jsonl" --vocab-size 512 -o "$work/tokenizer"
  local part
  for part in train validation; do
    quietly "$qwen25" tokenizer apply "$work/data/documents.$part.jsonl" --tokenizer "$work/tokenizer" \
      -o "$work/data/$part"
  done
}

# The shape of a small model: enough layers to have every kind of tensor, small enough for many steps a second.
write_small_config() {
  cat >"$1" <<'JSON'
{
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
  "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
  "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
  "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true
}
JSON
}

# prepare_model [SEQUENCE_LENGTH]: a model of that shape that took a few steps on that data, in $work/run/model.
prepare_model() {
  prepare_data
  write_small_config "$work/config.json"
  quietly "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$work/config.json" --sequence-length "${1:-64}" --tokens-per-step 512 \
    --micro-batch-tokens 512 --max-steps 5 --set run.measure_peak=false -o "$work/run"
}

# chat OUTPUT LINES [FLAGS ...]: a chat with $work/run/model that gets these lines; what it shows is in $work/OUTPUT.
chat() {
  local output=$1 lines=$2
  shift 2
  printf '%b' "$lines" | "$qwen25" chat -m "$work/run/model" -n 6 --temperature 0 "$@" >"$work/$output" 2>&1 ||
    { cat "$work/$output" >&2; fail "the chat failed"; }
}
# shows OUTPUT TEXT, hides OUTPUT TEXT
shows() { grep -qF -- "$2" "$work/$1" || { cat "$work/$1" >&2; fail "$1 does not show: $2"; }; }
hides() { ! grep -qF -- "$2" "$work/$1" || { cat "$work/$1" >&2; fail "$1 shows: $2"; }; }
