#!/usr/bin/env bash
# Where a verb's output goes: files, links, devices, pipes, and standard output that fails: outputs.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"
prepare_model
model=$work/run/model
for text in "The door code is 4711" "The cat sleeps on the red chair" "Tuesdays are for swimming"; do
  quietly "$qwen25" memory add "$text" --embedder hashed
done
quietly "$qwen25" generate -m "$model" -p "$(head -c 300 "$source_folder/README.md")" -n 4 --memory "$QWEN25_MEMORY"

# Every verb that writes one file, with the file in the place of FILE.
writers=(
  "memory export FILE"
  "memory export-blocks FILE"
  "logits -m $model 1 2 3 -o FILE"
  "embed --embedder hashed one two -o FILE"
  "embed --make-pairs $source_folder/docs/design.md -o FILE"
  "routing -m $model -t $(printf 'text%.0s' {1..60}) --routing top_k:2,dense_below=0 -o FILE"
  "convert $model FILE"
  "quantize -m $model --format q8_0 -o FILE"
  "chat -m $model --no-memory"
)
write() {  # write COMMAND FILE; the chat gets the name in a line
  local words
  read -ra words <<<"${1//FILE/$2}"
  if [[ ${words[0]} == chat ]]; then
    printf '/load %s\n/save %s\n' "$work/dialogue.json" "$2" | "$qwen25" "${words[@]}" >"$work/log" 2>&1
    ! grep -q 'cannot' "$work/log" || return 1
  else
    "$qwen25" "${words[@]}" >"$work/log" 2>&1
  fi
}
printf '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]' >"$work/dialogue.json"

# Some formats are told by their ending.
name_for() {
  case $1 in
    convert* | quantize*) echo "$2.gguf" ;;
    routing*) echo "$2.svg" ;;
    *) echo "$2" ;;
  esac
}

mkdir "$work/plain" "$work/far" "$work/near"
number=0
for writer in "${writers[@]}"; do
  number=$((number + 1))
  plain=$(name_for "$writer" "$work/plain/$number")
  write "$writer" "$plain" || { cat "$work/log" >&2; fail "$writer: to a file"; }
  [[ -s $plain ]] || fail "$writer: wrote nothing"

  # A link stays, also one that leads nowhere yet, and the file that it leads to is replaced.
  link=$(name_for "$writer" "$work/near/$number") target=$(name_for "$writer" "$work/far/$number")
  ln -s "../far/$(basename "$target")" "$link"
  for round in new again; do
    write "$writer" "$link" || { cat "$work/log" >&2; fail "$writer: through a link"; }
    [[ -L $link && -f $target && ! -L $target ]] || fail "$writer: the link did not stay ($round)"
    cmp -s "$plain" "$target" || fail "$writer: other content through a link ($round)"
  done

  # A named pipe is written to.
  pipe=$(name_for "$writer" "$work/near/pipe$number")
  mkfifo "$pipe"
  timeout 60 cat "$pipe" >"$work/received" &
  reader=$!
  write "$writer" "$pipe" || { cat "$work/log" >&2; fail "$writer: to a named pipe"; }
  wait "$reader" || fail "$writer: the pipe's reader got nothing"
  [[ -p $pipe ]] || fail "$writer: the pipe is a pipe no longer"
  cmp -s "$plain" "$work/received" || fail "$writer: other content through a pipe"

  # So is a device. A node of our own: a program that replaced /dev/null would hurt the whole machine.
  device=$(name_for "$writer" "$work/near/null$number")
  if mknod "$device" c 1 3 2>/dev/null; then
    write "$writer" "$device" || { cat "$work/log" >&2; fail "$writer: to a device"; }
    [[ -c $device ]] || fail "$writer: the device was replaced"
  fi
  [[ -z $(find "$work" -name '*.tmp.*') ]] || fail "$writer: left $(find "$work" -name '*.tmp.*')"
done

# Standard output as a file by name is where the verb prints, too: neither may overwrite the other.
"$qwen25" memory export /dev/stdout >"$work/both" || fail "export to /dev/stdout"
head -n 3 "$work/both" | cmp -s - "$work/plain/1" || { cat "$work/both" >&2; fail "export to /dev/stdout"; }

# Verbs that print. When their output fails, they say so, and so does their exit status.
printf 'text %s\n' {1..20000} >"$work/long"
printers=(
  "memory export" "memory list" "memory search door" "memory show 1" "memory stats" "memory verify"
  "generate -m $model -p if -n 3" "generate -m $model -p if -n 3 --json"
  "tokenizer encode $model --text-file $work/long" "tokenizer encode $model --text hello"
  "tokenizer encode $model --text-file $work/long --pieces" "tokenizer decode $model 1 2 3"
  "embed --embedder hashed one two" "embed --embedder hashed one two --similarity" "plan 7b" "--help"
  "memory add --help" "--version" "perplexity -m $model $source_folder/README.md --max-tokens 50"
)
for printer in "${printers[@]}"; do
  read -ra words <<<"$printer"
  quietly "$qwen25" "${words[@]}"
  status=0
  "$qwen25" "${words[@]}" >/dev/full 2>"$work/errors" || status=$?
  [[ $status -eq 1 ]] || fail "$printer >/dev/full: exit status $status"
  grep -q 'standard output: cannot write: No space left' "$work/errors" ||
    { cat "$work/errors" >&2; fail "$printer >/dev/full: no message"; }
  # Closed: an error, and no file that is opened takes its place.
  status=0
  "$qwen25" "${words[@]}" >&- 2>"$work/errors" || status=$?
  [[ $status -eq 1 ]] || fail "$printer >&-: exit status $status"
  # A reader that has gone: as other programs of a pipeline, without a word.
  status=$("$qwen25" "${words[@]}" 2>"$work/errors" | true; echo "${PIPESTATUS[0]}")
  [[ $status -eq 141 || $status -eq 0 ]] || fail "$printer | true: exit status $status"
  ! grep -q 'error\|cannot' "$work/errors" || { cat "$work/errors" >&2; fail "$printer | true: a message"; }
  # Messages that nobody can see stop nothing.
  "$qwen25" "${words[@]}" >/dev/null 2>/dev/full || fail "$printer 2>/dev/full: exit status $?"
done
status=0
printf 'Hello\nAgain\n' | "$qwen25" chat -m "$model" -n 4 >/dev/full 2>"$work/errors" || status=$?
[[ $status -eq 1 ]] || fail "chat >/dev/full: exit status $status"

# A limit of the shell on the size of files is an error of the write, and no half of a file stays.
mkdir "$work/limited"
for writer in "convert $model $work/limited/x.gguf" "convert $model $work/limited/folder" \
  "logits -m $model 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 -o $work/limited/logits"; do
  read -ra words <<<"$writer"
  status=0
  (ulimit -f 8; exec "$qwen25" "${words[@]}" >/dev/null 2>"$work/limited.log") || status=$?
  [[ $status -eq 1 ]] || fail "ulimit -f, $writer: exit status $status"
  [[ -z $(find "$work/limited" -name '*.tmp.*') ]] || fail "ulimit -f, $writer: left a temporary file"
done
printf 'outputs: %d verbs to files, links, pipes and devices; %d to outputs that fail\n' "$number" "${#printers[@]}"
