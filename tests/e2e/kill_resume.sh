#!/usr/bin/env bash
# A training that is killed (kill -9) again and again at random steps, and resumed each time, must report the losses of
# the uninterrupted run bit by bit, and end with the same weights: kill_resume.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

steps=150
kills=6
prepare_data
write_small_config "$work/config.json"

# set_arguments OUTPUT ...: the command line of the run, so that the program can be started without a shell around it:
# a kill must hit the program itself.
set_arguments() {
  local output=$1
  shift
  arguments=(train --data "$work/data/train" --validation-data "$work/data/validation" --tokenizer "$work/tokenizer"
    --set model.preset= --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512
    --micro-batch-tokens 256 --optimizer muon --max-steps "$steps" --set run.checkpoint_every=7
    --set run.validate_every=25 --set run.measure_peak=false -o "$output" "$@")
}

# The numbers of each step and validation, without times and speeds.
losses() {
  python3 - "$1/metrics.jsonl" <<'PYTHON'
import json, sys
for line in open(sys.argv[1]):
    record = json.loads(line)
    print({key: value for key, value in record.items() if not key.endswith(("seconds", "per_second", "utilization"))})
PYTHON
}

set_arguments "$work/whole"
quietly "$qwen25" "${arguments[@]}"
losses "$work/whole" >"$work/whole.losses"
num_records=$(wc -l <"$work/whole.losses")
[[ $num_records -ge $steps ]] || fail "the uninterrupted run wrote $num_records records for $steps steps"

# kill_after LINES: starts or resumes the run and kills it as soon as its metrics have that many lines.
kill_after() {
  local lines=$1 pid
  set_arguments "$work/killed" --resume
  "$qwen25" "${arguments[@]}" >"$work/log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.02  # between looks at the file, which leaves the cores to the run
    if [[ -f $work/killed/metrics.jsonl && $(wc -l <"$work/killed/metrics.jsonl") -ge $lines ]]; then
      kill -9 "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
      return 0
    fi
  done
  wait "$pid" || { cat "$work/log" >&2; fail "the run ended by itself, with an error, before line $lines"; }
  fail "the run ended before it could be killed after line $lines"
}

for ((i = 1; i <= kills; ++i)); do
  kill_after "$((RANDOM % 15 + 15 * i))"
done
set_arguments "$work/killed" --resume
quietly "$qwen25" "${arguments[@]}"
losses "$work/killed" >"$work/killed.losses"
diff "$work/whole.losses" "$work/killed.losses" >&2 || fail "losses differ from the uninterrupted run"
cmp "$work/whole/model/model.safetensors" "$work/killed/model/model.safetensors" || fail "the final weights differ"
printf 'kill_resume: %d kills, %d records and the final weights are identical\n' "$kills" "$num_records"
