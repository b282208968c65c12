#!/usr/bin/env bash
# Embeddings trained from the command line: pairs out of text, a run that is stopped and resumed, and a model that
# tells held-out pairs apart better than before: embed_training.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

refused() {  # refused WORDS COMMAND ...
  local words=$1
  shift
  "$@" >"$work/log" 2>&1 && fail "no error: $words"
  grep -q -- "$words" "$work/log" || { cat "$work/log" >&2; fail "the message lacks: $words"; }
}

prepare_data
write_small_config "$work/config.json"
quietly "$qwen25" train --set model.config="$work/config.json" --set model.preset= --data "$work/data/train" \
  --tokenizer "$work/tokenizer" --sequence-length 128 --tokens-per-step 1024 --set batch.micro_batch_tokens=1024 \
  --max-steps 5 --set run.measure_peak=false -o "$work/run"

quietly "$qwen25" embed --make-pairs "$work/data/documents.train.jsonl" "$source_folder/docs" -o "$work/pairs.jsonl"
[[ $(wc -l <"$work/pairs.jsonl") -gt 200 ]] || fail "few pairs"
head -3 "$work/pairs.jsonl" | python3 -c 'import json,sys
for line in sys.stdin: pair = json.loads(line); assert pair["query"] and pair["passage"]' || fail "the pairs are no pairs"

train=("$qwen25" embed --train "$work/pairs.jsonl" -m "$work/run/model" --set batch.sequence_length=128
  --set batch.tokens_per_step=2048 --set optimizer.learning_rate=1e-3 --set run.measure_peak=false
  --set schedule.kind=constant)
"${train[@]}" --max-steps 40 -o "$work/whole" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; fail "training"; }
before=$(grep -o 'loss [0-9.]* before' "$work/err" | cut -d' ' -f2)
after=$(grep -o 'held-out loss [0-9.]*' "$work/out" | cut -d' ' -f3)
awk -v before="$before" -v after="$after" 'BEGIN { exit !(after < before - 0.1) }' ||
  fail "the held-out loss went from $before to $after"

quietly "${train[@]}" --max-steps 15 -o "$work/parts"
refused "--resume" "${train[@]}" --max-steps 40 -o "$work/parts"
quietly "${train[@]}" --max-steps 40 -o "$work/parts" --resume
cmp "$work/whole/model/model.safetensors" "$work/parts/model/model.safetensors" || fail "the resumed run differs"

"$qwen25" embed --embedder "model:$work/whole/model" "a text" "another text" --similarity | grep -q '1.0000' ||
  fail "the trained model does not embed"
# The folder states how it was trained, so that no flag need repeat it.
"$qwen25" embed --embedder "model:$work/whole/model" "a text" >"$work/stated"
"$qwen25" embed --embedder "model:$work/whole/model" --pooling bidirectional-mean "a text" | cmp - "$work/stated" ||
  fail "the trained model embeds otherwise than it was trained"
refused "cannot be trained" "$qwen25" embed --train "$work/pairs.jsonl" -m "$work/run/model" -o "$work/x" --max-steps 1 \
  --pooling causal-last
echo '{"query": "only"}' >"$work/bad.jsonl"
refused "line 1" "$qwen25" embed --train "$work/bad.jsonl" -m "$work/run/model" -o "$work/x" --max-steps 1
echo "embed_training: held-out loss $before before, $after after 40 steps; resumed to the same bytes"
