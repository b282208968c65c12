#!/usr/bin/env bash
# Signals that end the program: it ends at once, keeps what it has, and leaves no half of a file. What a killed
# program leaves, the next one removes: signals.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"
prepare_model
model=$work/run/model

# wait_for SECONDS CONDITION ...
wait_for() {
  local -i tries=$(($1 * 50))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.02
  done
}
exists() { compgen -G "$1" >/dev/null; }
larger() { [[ $(stat -c %s "$1") -gt $2 ]]; }
ended() { ! kill -0 "$1" 2>/dev/null || [[ $(ps -o stat= -p "$1") == Z* ]]; }
# ends NAME PID STATUS: the process ends within 20 seconds, with this status.
ends() {
  wait_for 20 ended "$2" || { kill -KILL "$2"; fail "$1: goes on after the signal"; }
  local status=0
  wait "$2" || status=$?
  [[ $status -eq $3 ]] || { cat "$work/output" >&2; fail "$1: exit status $status, expected $3"; }
  [[ -z $(find "$work" -name '*.tmp.*') ]] || fail "$1: left $(find "$work" -name '*.tmp.*')"
}
started_or_ended() { exists "$1/*.tmp.*" || exists "$1*.tmp.*" || ended "$2"; }
declare -A number=([HUP]=1 [TERM]=15)

# A chat, in the middle of an answer that would go on for hours, and at its prompt. Standard input stays open.
mkfifo "$work/input"
start_chat() {
  "$qwen25" chat -m "$model" --temperature 0 "$@" <"$work/input" >"$work/output" 2>&1 &
  chat=$!
  exec 5>"$work/input"
}
for signal in TERM HUP; do
  start_chat --namespace "$signal" -n 100000000 --recall-window 256 --routing top_k:2,local=1,dense_below=0
  echo "Tell me a story" >&5
  wait_for 60 larger "$work/output" 10 || { cat "$work/output" >&2; fail "the chat does not answer"; }
  kill "-$signal" "$chat" || { cat "$work/output" >&2; fail "the answer ended by itself"; }
  ends "chat, $signal in an answer" "$chat" $((128 + number[$signal]))
  exec 5>&-
  chat "$signal" '/quit\n' --namespace "$signal"
  shows "$signal" 'going on with dialogue 1 of 2 messages'

  start_chat --namespace "$signal" -n 3
  echo "/stats" >&5
  wait_for 60 grep -q 'tokens in the context' "$work/output" || fail "the chat does not start"
  kill "-$signal" "$chat"
  ends "chat, $signal at the prompt" "$chat" $((128 + number[$signal]))
  exec 5>&-
done

# At a terminal.
cat >"$work/terminal.py" <<'PYTHON'
import os, pty, signal, sys, time
name, arguments = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(arguments[0], arguments)
seen = b""
# The prompt, not a question of the dialogue that the chat goes on with.
while b"> " not in seen.partition(b"Ctrl-D leaves.")[2]:
    seen += os.read(terminal, 4096)
number = getattr(signal, name)
os.kill(pid, number)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        ended = os.waitstatus_to_exitcode(status)
        sys.exit(0 if ended == 128 + number else f"exit status {ended}")
    time.sleep(0.02)
os.kill(pid, signal.SIGKILL)
sys.exit("goes on after the signal")
PYTHON
for signal in TERM HUP; do
  quietly python3 "$work/terminal.py" "SIG$signal" "$qwen25" chat -m "$model" --namespace "$signal"
done

# Training writes its checkpoint. One that was started to survive a hang-up (nohup) goes on.
train() {
  "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512 --micro-batch-tokens 512 \
    --max-steps 100000 --set run.measure_peak=false -o "$@" >"$work/output" 2>&1
}
for signal in HUP TERM; do
  run=$work/run-$signal
  train "$run" &
  wait_for 60 larger "$run/metrics.jsonl" 0 2>/dev/null || fail "training does not start"
  program=$(pgrep -P $! || echo $!)
  kill "-$signal" "$program"
  ends "train, $signal" $! $((128 + number[$signal]))
  exists "$run/checkpoint-*" || fail "train, $signal: there is no checkpoint"
done
(trap '' HUP; train "$work/run-nohup") &
wait_for 60 larger "$work/run-nohup/metrics.jsonl" 0 2>/dev/null || fail "training does not start"
program=$(pgrep -f "$work/run-nohup" | head -n 1)
before=$(stat -c %s "$work/run-nohup/metrics.jsonl")
kill -HUP "$program"
wait_for 60 larger "$work/run-nohup/metrics.jsonl" $((before + 2000)) || fail "a hang-up ends what nohup started"
kill -TERM "$program"
ends "train, nohup" $! 143

# What killed runs have left goes when a run starts, although it fails soon after.
run=$work/run-TERM
mkdir "$run/checkpoint-3.tmp"
touch "$run/checkpoint-3.tmp/model.safetensors" "$run/latest.tmp.2147483647.0"
touch "$run/mine.tmp.$$.0"  # of a process that lives: this one
train "$run" --resume --set run.max_steps=1 || true
! exists "$run/checkpoint-3.tmp" && ! exists "$run/latest.tmp.*" || fail "leftovers of killed runs stay"
exists "$run/mine.tmp.*" || fail "the file of a process that lives was removed"
rm "$run"/mine.tmp.*

# Verbs that write one result: nothing of it is there. Those that add one thing after another: all that was added.
for i in {1..3000}; do printf '{"text": "Note %d says something of its own: %d"}\n' "$i" $((i * i)); done >"$work/notes.jsonl"
"$qwen25" memory import "$work/notes.jsonl" --embedder hashed --memory "$work/imported" >"$work/output" 2>&1 &
wait_for 60 larger "$work/imported/notes.sqlite" 0 2>/dev/null || true
wait_for 60 exists "$work/imported/*" || fail "the import does not start"
kill -TERM $! && ends "memory import" $! 143
stopped=$(sed -n 's/.*stopped after \([0-9]*\) of.*/\1/p' "$work/output")
kept=$("$qwen25" memory export --memory "$work/imported" | wc -l)
[[ ${stopped:-0} -eq $kept ]] || fail "the import says that it stopped after ${stopped:-0} notes, and $kept are there"

for command in "curate --source $source_folder --min-bytes 0 -o $work/curated" \
  "tokenizer apply $work/data/documents.train.jsonl --tokenizer $work/tokenizer -o $work/shard" \
  "embed --make-pairs $source_folder/src $source_folder/docs $source_folder/README.md -o $work/pairs"; do
  read -ra words <<<"$command"
  for signal in TERM HUP KILL; do
    "$qwen25" "${words[@]}" >"$work/output" 2>&1 &
    wait_for 20 started_or_ended "${words[-1]}" $!
    kill "-$signal" $! 2>/dev/null || true
    if [[ $signal == KILL ]]; then
      wait $! || true
    else
      status=0
      wait $! || status=$?
      [[ $status -eq 0 || $status -eq $((128 + number[$signal])) ]] || fail "$command, $signal: status $status"
      [[ -z $(find "$work" -name '*.tmp.*') ]] || fail "$command, $signal: left $(find "$work" -name '*.tmp.*')"
    fi
  done
  quietly "$qwen25" "${words[@]}"
  [[ -z $(find "$work" -name '*.tmp.*') ]] || fail "$command: what was killed left $(find "$work" -name '*.tmp.*')"
done

# Of two runs into one folder, the second fails. The first one is stopped, so that it cannot be faster.
"$qwen25" curate --source "$source_folder" --min-bytes 0 -o "$work/once" >"$work/first" 2>&1 &
first=$!
wait_for 20 exists "$work/once/*.tmp.*" || fail "curate does not start"
kill -STOP "$first"
status=0
"$qwen25" curate --source "$source_folder/docs" --min-bytes 0 -o "$work/once" >"$work/output" 2>&1 || status=$?
kill -CONT "$first"
[[ $status -eq 1 ]] && grep -q 'another process is working in this folder' "$work/output" ||
  { cat "$work/output" >&2; fail "two curates on one folder: exit status $status"; }
wait "$first" || { cat "$work/first" >&2; fail "the first curate failed"; }

# A dialogue that a killed chat was writing, in plain text.
dialogue=$(find "$QWEN25_MEMORY" -name '*1.json' | head -n 1)
[[ -n $dialogue ]] || fail "there is no dialogue on disk"
touch "$dialogue.tmp.2147483647.0"
chat leftover '/quit\n' --namespace "$(basename "$(dirname "$dialogue")")"
[[ ! -e $dialogue.tmp.2147483647.0 ]] || fail "the dialogue of a killed chat stays"
printf 'signals: chat, training, import, curation and others end by signals and keep what they have\n'
