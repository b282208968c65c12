#!/usr/bin/env bash
# Greedy text is the same with and without speculation, for every source of proposals and weight format, and a draft
# model with other tokens is refused: speculation.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_data
write_small_config "$work/config.json"
sed 's/"num_hidden_layers": 3/"num_hidden_layers": 1/' "$work/config.json" >"$work/draft.json"
train() {  # train CONFIG OUTPUT STEPS
  quietly "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$1" --sequence-length 64 --tokens-per-step 512 --micro-batch-tokens 512 --max-steps "$3" \
    --set run.measure_peak=false -o "$2"
}
train "$work/config.json" "$work/target" 40
train "$work/draft.json" "$work/draft" 40
model=$work/target/model
head -c 600 "$source_folder/src/base/status.h" >"$work/prompt"

for weights in stored bfloat16 int8 int4; do
  for penalty in 1 1.2; do
    generate=("$qwen25" generate -m "$model" --prompt-file "$work/prompt" -n 120 --temperature 0 --ignore-eos
      --repetition-penalty "$penalty" --weights "$weights" --json)
    "${generate[@]}" >"$work/plain"
    for source in lookup "$work/draft/model" "$model"; do
      "${generate[@]}" --speculate "$source" --draft-tokens 6 >"$work/speculated"
      python3 - "$work/plain" "$work/speculated" "$([[ $source == "$model" ]] && echo all)" <<'PYTHON' ||
import json, sys
plain, speculated = (json.load(open(path)) for path in sys.argv[1:3])
assert plain["tokens"] == speculated["tokens"], (plain["tokens"], speculated["tokens"])
assert plain["text"] == speculated["text"]
counts = speculated["speculation"]
assert counts["forward_passes"] + counts["accepted_tokens"] == 119, counts
assert counts["accepted_tokens"] <= counts["proposed_tokens"], counts
if sys.argv[3]:  # the model itself is always right, and too slow to be asked often
    assert counts["accepted_tokens"] == counts["proposed_tokens"] > 0, counts
else:
    assert plain["speculation"]["proposed_tokens"] == 0
PYTHON
        fail "$source, $weights weights, penalty $penalty"
    done
  done
done

# The same seed gives the same text again, and --speculate alone looks up.
sampled=("$qwen25" generate -m "$model" --prompt-file "$work/prompt" -n 60 --temperature 0.5 --seed 7 -v)
"${sampled[@]}" --speculate >"$work/first" 2>"$work/log"
grep -q "^speculation: .* proposed tokens accepted" "$work/log" || fail "no statistics with -v"
"${sampled[@]}" --speculate lookup >"$work/second" 2>/dev/null
cmp -s "$work/first" "$work/second" || fail "one seed, two texts"

# A chat keeps its source of proposals over turns.
for source in "" "lookup" "$work/draft/model"; do
  printf 'one two three one two three\none two three one two three\n/undo\nagain, one two\n/stats\n' |
    "$qwen25" chat --no-memory -m "$model" -n 12 --temperature 0 ${source:+--speculate "$source"} >"$work/chat.${source:+with}"
  [[ -z $source ]] && continue
  grep -q "tokens per forward pass" "$work/chat.with" || fail "no statistics from /stats with $source"
  diff <(sed '$d' "$work/chat.") <(sed '$d' "$work/chat.with") >&2 || fail "another chat with $source"
done

quietly "$qwen25" tokenizer train "$work/data/documents.validation.jsonl" --vocab-size 500 -o "$work/other"
cp -r "$work/draft/model" "$work/mixed"
cp "$work/other/tokenizer.json" "$work/mixed/"
if "$qwen25" generate -m "$model" -p x --speculate "$work/mixed" >"$work/out" 2>&1; then fail "another vocabulary was taken"; fi
grep -q "a draft model must have the model's own tokens, and token" "$work/out" || { cat "$work/out" >&2; fail "the message"; }
# The benchmark writes the model's own text and a given one. (The prompt itself as the answer: all of it repeats.)
"$qwen25" bench speculation -m "$model" --weights float32 --prompt-file "$work/prompt" -n 40 --rounds 1 --json >"$work/own"
"$qwen25" bench speculation -m "$model" --weights int8 --prompt-file "$work/prompt" --answer-file "$work/prompt" -n 40 \
  --rounds 1 --json >"$work/given"
python3 - "$work/own" "$work/given" <<'PYTHON' || fail "bench speculation: $(cat "$work/own" "$work/given")"
import json, sys
own, given = (json.load(open(path)) for path in sys.argv[1:])
assert own["result"]["new_tokens"] == given["result"]["new_tokens"] == 40
assert given["given"] and not own["given"]
assert given["result"]["accepted_tokens"] > 20 and given["result"]["forward_passes"] < 20
assert [cost["proposed"] for cost in own["verification"]] == [1, 2, 3, 4, 6, 8, 12, 16]
PYTHON
printf 'speculation: the same text from %s\n' "lookup, a draft model and the model itself, in four formats of weights"
