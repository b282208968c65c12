#!/usr/bin/env bash
# The command line as people see it: help texts, numbers that are refused, and limits of the machine that become
# messages: command_line.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

# Every verb and every command of a verb, as the help texts list them.
commands_of() { "$qwen25" $1 --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z-]\+\).*/\1/p'; }
verbs=("")
for verb in $(commands_of ""); do
  verbs+=("$verb")
  for command in $(commands_of "$verb"); do verbs+=("$verb $command"); done
done
[[ ${#verbs[@]} -gt 30 ]] || fail "the help texts list ${#verbs[@]} verbs"

options=0 namespaces=0
long_name=$(printf 'n%.0s' {1..201})
for verb in "${verbs[@]}"; do
  # shellcheck disable=SC2086
  "$qwen25" $verb --help >"$work/help" || fail "$verb --help"
  # Columns, not bytes: every byte that does not begin a character is left out.
  long=$(LC_ALL=C sed 's/[\x80-\xBF]//g' "$work/help" | LC_ALL=C awk 'length > 110') || true
  [[ -z $long ]] || fail "qwen25 $verb --help: longer than 110 columns: $long"
  grep -Eq '^Examples?:|has examples' "$work/help" || fail "qwen25 $verb --help: no example"
  for word in ' UINT' 'BOOLEAN' '->' '{' ' in \[' ' OR ' 'POSITIVE' 'FLOAT'; do
    ! grep -n -- "$word" "$work/help" | grep -v '^[0-9]*:  qwen25\|"query"' >"$work/found" ||
      fail "qwen25 $verb --help: the parser talks: $(cat "$work/found")"
  done
  if grep -q -- '^  --namespace' "$work/help"; then
    # shellcheck disable=SC2086
    ! "$qwen25" $verb --namespace "" >"$work/output" 2>&1 || fail "qwen25 $verb --namespace '': accepted"
    grep -q "namespace is empty" "$work/output" || { cat "$work/output" >&2; fail "qwen25 $verb --namespace ''"; }
    ! "$qwen25" $verb --namespace "$long_name" >"$work/output" 2>&1 || fail "qwen25 $verb: a long --namespace is accepted"
    grep -q "has 201 bytes, expected at most 200" "$work/output" || { cat "$work/output" >&2; fail "qwen25 $verb: a long --namespace"; }
    namespaces=$((namespaces + 1))
  fi
  # Whole numbers from 0 up: negative ones wrapped, and "010" was eight.
  while read -r option; do
    options=$((options + 1))
    status=0
    # shellcheck disable=SC2086
    "$qwen25" $verb "$option" -1 >"$work/output" 2>&1 || status=$?
    [[ $status -ne 0 && $status -lt 128 ]] || fail "qwen25 $verb $option -1: exit status $status"
    grep -q -- "-1" "$work/output" || { cat "$work/output" >&2; fail "qwen25 $verb $option -1: no message"; }
  done < <(sed -n 's/^  \(-[a-z-]*\)\(,-[a-z-]*\)* N\( .*\|$\)/\1/p' "$work/help")
done
[[ $namespaces -gt 5 ]] || fail "only $namespaces verbs take a namespace"
[[ $options -gt 50 ]] || fail "only $options options take whole numbers"

refused() {  # refused TEXT COMMAND ...: fails without a signal, and says so
  local text=$1 status=0
  shift
  "$@" >"$work/output" 2>&1 || status=$?
  [[ $status -ne 0 && $status -lt 128 ]] || { cat "$work/output" >&2; fail "$*: exit status $status"; }
  grep -qF -- "$text" "$work/output" || { cat "$work/output" >&2; fail "$*: does not say: $text"; }
}

prepare_model
model=$work/run/model
train() { "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" -o "$work/bad" "$@"; }
for option in --seed --max-steps --sequence-length --tokens-per-step --max-minutes; do
  refused "-1" train "$option" -1
done
for value in nan inf -inf; do
  refused "$value" "$qwen25" generate -m "$model" -p if --temperature "$value"
  refused "$value" train --max-minutes "$value"
done
refused "temperature" "$qwen25" generate -m "$model" -p if --temperature -1
refused "top" "$qwen25" generate -m "$model" -p if --top-p 1.5
refused "validation" "$qwen25" curate --source "$source_folder/docs" --validation-fraction -0.5 -o "$work/bad"
refused "devices" "$qwen25" plan 7b --devices 0
refused "1024" "$qwen25" generate -m "$model" -p if --threads 100000
refused "text" "$qwen25" chat -m "$model" --notes-as nothing
! grep -q -- '->' "$work/output" || fail "a wrong choice: the parser talks: $(cat "$work/output")"
[[ $("$qwen25" generate -m "$model" -p if -n 010 --json | grep -o '"completion_tokens":[0-9]*') == *:10 ]] ||
  fail "-n 010 is not ten"

# A folder for temporary files that is not there: another one is taken, if one is needed at all.
for window in "" "--recall-window 256 --routing top_k:2,local=1,dense_below=0"; do
  # shellcheck disable=SC2086
  env TMPDIR=/nonexistent "$qwen25" generate -m "$model" -p if -n 2 $window >"$work/output" 2>&1 ||
    { cat "$work/output" >&2; fail "TMPDIR is not there: $window"; }
done

# Without a home there is no folder for a memory, and none is made where the program happens to run.
mkdir "$work/here"
for command in "memory add text" "memory list" "memory stats" "chat -m $model"; do
  for home in "" relative; do
    # shellcheck disable=SC2086
    (cd "$work/here" && refused "no folder for a memory" env -u QWEN25_MEMORY -u XDG_DATA_HOME HOME="$home" "$qwen25" \
      $command </dev/null)
  done
done
(cd "$work/here" && env -u QWEN25_MEMORY -u XDG_DATA_HOME -u HOME "$qwen25" generate -m "$model" -p if -n 2) \
  >/dev/null 2>&1 || fail "generate needs a memory"
(cd "$work/here" && echo /quit | env -u QWEN25_MEMORY -u XDG_DATA_HOME -u HOME "$qwen25" chat -m "$model" --no-memory) \
  >/dev/null 2>&1 || fail "chat --no-memory needs a memory"
[[ -z $(ls -A "$work/here") ]] || fail "a memory in the working folder: $(ls -A "$work/here")"

# Little address space: the program works, or it says that there is not enough memory. It never dies of it.
if [[ -z ${QWEN25_NO_ADDRESS_LIMITS:-} ]]; then  # sanitizers need terabytes
  enough=0
  for ((mebibytes = 16; mebibytes <= 1024; mebibytes += mebibytes / 4)); do
    for command in "generate -m $model -p if -n 3 --threads 4" "memory search door --embedder hashed" \
      "perplexity -m $model $source_folder/LICENSE --max-tokens 100" \
      "logits -m $model 1 2 3 -o $work/logits" "tokenizer encode $model --text-file $source_folder/LICENSE"; do
      status=0
      # shellcheck disable=SC2086
      (ulimit -v $((mebibytes << 10)); exec "$qwen25" $command >"$work/output" 2>&1) || status=$?
      # 127: the dynamic linker had no room for the libraries; that is before the program.
      [[ $status -le 1 || $status -eq 127 ]] ||
        { cat "$work/output" >&2; fail "ulimit -v $((mebibytes << 10)), $command: exit status $status"; }
      [[ $status -ne 0 ]] || enough=$((enough + 1))
      [[ $status -ne 1 ]] || grep -qi 'memory\|threads\|address space' "$work/output" ||
        { cat "$work/output" >&2; fail "ulimit -v $((mebibytes << 10)), $command: no reason"; }
    done
  done
  [[ $enough -gt 0 ]] || fail "no limit was enough for any command"
fi
printf 'command_line: %d help texts, %d options for whole numbers\n' "${#verbs[@]}" "$options"
