#!/usr/bin/env bash
# A training that a signal stops leaves a checkpoint and goes on to the same weights; it goes on with the data and the
# tokenizer that it began with, and with no others: resume.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_data
write_small_config "$work/config.json"

# set_arguments OUTPUT ...: the command line of the run, so that the program can be started without a shell around it.
set_arguments() {
  local output=$1
  shift
  arguments=(train --data "$work/data/train" --validation-data "$work/data/validation" --tokenizer "$work/tokenizer"
    --set model.preset= --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512
    --micro-batch-tokens 256 --max-steps 120 --set run.measure_peak=false -o "$output" "$@")
}

set_arguments "$work/whole"
quietly "$qwen25" "${arguments[@]}"

# Each signal: a checkpoint, an exit status that is not 0, and the weights of the uninterrupted run after --resume.
for signal in INT TERM HUP; do
  run=$work/run.$signal
  set_arguments "$run"
  # Python starts it with the signals as a terminal has them: a shell's background jobs ignore SIGINT.
  python3 - "$run/metrics.jsonl" "SIG$signal" "$qwen25" "${arguments[@]}" <<'PYTHON' 2>"$work/log" || { cat "$work/log" >&2; fail "SIG$signal"; }
import os, signal, subprocess, sys, time
metrics, name, command = sys.argv[1], sys.argv[2], sys.argv[3:]
process = subprocess.Popen(command, stdin=subprocess.DEVNULL, restore_signals=True, stderr=subprocess.STDOUT, stdout=2,
                           preexec_fn=lambda: [signal.signal(getattr(signal, n), signal.SIG_DFL)
                                               for n in ("SIGINT", "SIGTERM", "SIGHUP")])
while process.poll() is None and not (os.path.exists(metrics) and open(metrics).read().count("\n") >= 20):
    time.sleep(0.02)
process.send_signal(getattr(signal, name))
code = process.wait()
assert code > 0, f"exit status {code}, expected one that says it was stopped"
PYTHON
  grep -q 'its checkpoint is' "$work/log" || { cat "$work/log" >&2; fail "SIG$signal: no word of a checkpoint"; }
  [[ -f $run/latest && ! -e $run/model ]] || fail "SIG$signal left no checkpoint, or a finished model"
  set_arguments "$run" --resume
  quietly "$qwen25" "${arguments[@]}"
  cmp "$work/whole/model/model.safetensors" "$run/model/model.safetensors" || fail "SIG$signal: the weights differ"
done

# refused TEXT ...: the resumed run is refused, with TEXT in the message.
refused() {
  local text=$1
  shift
  if "$qwen25" "$@" >"$work/log" 2>&1; then fail "resumed, although: $text"; fi
  grep -qF -- "$text" "$work/log" || { cat "$work/log" >&2; fail "the message does not say: $text"; }
}
# change FILE: every token of a shard becomes another one; no count changes. Its .sum goes, as if another program had
# written the shard.
change() {
  python3 - "$1.bin" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
for i in range(0, len(data), 2):
    data[i] ^= 1
open(sys.argv[1], "wb").write(data)
PYTHON
  rm -f "$1.sum"
}
set_arguments "$work/whole" --resume
cp -r "$work/data" "$work/data.good"
for part in train validation; do
  change "$work/data/$part"
  refused "data/$part is not the shard that the run has read in this place" "${arguments[@]}"
  rm -rf "$work/data" && cp -r "$work/data.good" "$work/data"
done
# A flipped bit is damage, and says so.
python3 - "$work/data/train.bin" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)
PYTHON
refused "data/train.sum says" "${arguments[@]}"
rm -rf "$work/data" && cp -r "$work/data.good" "$work/data"
# Another tokenizer with as many entries.
cp -r "$work/tokenizer" "$work/tokenizer.good"
quietly "$qwen25" tokenizer train "$work/data/documents.validation.jsonl" --vocab-size 512 -o "$work/tokenizer"
refused "is not the tokenizer that the run began with" "${arguments[@]}"
rm -rf "$work/tokenizer" && cp -r "$work/tokenizer.good" "$work/tokenizer"
quietly "$qwen25" "${arguments[@]}"
printf 'resume: three signals, and data and tokenizers that are refused\n'
