#!/usr/bin/env bash
# A memory with a key: notes, dialogues, keys and values that no file shows, keys that are checked, an export of plain
# notes imported into an encrypted folder, and a writer that is killed: encrypted_memory.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

head -c 32 /dev/urandom >"$work/key"
head -c 32 /dev/urandom >"$work/other"
key=(--memory-key "$work/key")

# nothing_of WORD ...: no file of the memory, and no name of one, holds the word, in whatever case.
nothing_of() {
  local word
  for word in "$@"; do
    ! grep -rqia -- "$word" "$QWEN25_MEMORY" || fail "a file holds $word: $(grep -rlia -- "$word" "$QWEN25_MEMORY")"
    [[ -z $(find "$QWEN25_MEMORY" -iname "*$word*") ]] || fail "a file's name holds $word"
  done
}

# refuses TEXT COMMAND ...: it fails, and its message holds the text.
refuses() {
  local text=$1
  shift
  ! "$@" >"$work/out" 2>&1 || fail "was not refused: $*"
  grep -qF -- "$text" "$work/out" || { cat "$work/out" >&2; fail "$* does not say: $text"; }
}

# Plain notes move into an encrypted folder.
quietly "$qwen25" memory add "The lighthouse keeper is called Zanzibar." --tag wolframite --title xylophonist \
  --namespace lovelace --memory "$work/plain"
refuses "not encrypted; open them without a key" "$qwen25" memory list --memory "$work/plain" "${key[@]}"
quietly "$qwen25" memory export "$work/notes.jsonl" --memory "$work/plain"
quietly "$qwen25" memory import "$work/notes.jsonl" "${key[@]}"
"$qwen25" memory search "who keeps the lighthouse?" --namespace lovelace "${key[@]}" | grep -q Zanzibar ||
  fail "an encrypted note is not found"
nothing_of zanzibar lighthouse wolframite xylophonist lovelace "create table"
quietly "$qwen25" memory verify "${key[@]}"
refuses "these notes are encrypted; give the key" "$qwen25" memory list
refuses "the key is not the one" "$qwen25" memory list --memory-key "$work/other"
refuses "expected a key of 32 bytes" "$qwen25" memory list --memory-key "$work/notes.jsonl"
"$qwen25" memory stats "${key[@]}" | grep -q "notes: 1 .*, encrypted" || fail "stats do not say that it is encrypted"
quietly "$qwen25" memory reindex --embedder hashed "${key[@]}"
quietly "$qwen25" memory forget 1 --erase "${key[@]}"

# Killed in the middle: what was printed is there.
mkdir "$work/docs"
for i in $(seq 1 60); do printf 'File %d is about subject %d.\n' "$i" $((i * 11)) >"$work/docs/$i.txt"; done
for round in 1 2 3 4 5 6; do
  "$qwen25" memory add "$work/docs" "${key[@]}" >"$work/printed" 2>/dev/null & writer=$!
  while [[ $(wc -l <"$work/printed") -lt $((round * 5)) ]] && kill -0 "$writer" 2>/dev/null; do :; done
  kill -9 "$writer" 2>/dev/null || true
  wait "$writer" 2>/dev/null || true
  nothing_of subject
  head -n -1 "$work/printed" | cut -f1 | xargs -r "$qwen25" memory show "${key[@]}" --json >/dev/null ||
    fail "an acknowledged note is gone"
done
quietly "$qwen25" memory verify "${key[@]}"

# A chat: its dialogue goes on, and shows nothing.
prepare_model
chat() {
  local lines=$1
  shift
  printf '%b' "$lines" | "$qwen25" chat -m "$work/run/model" -n 4 --temperature 0 --namespace lovelace "$@" \
    >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "the chat failed"; }
}
shows() { grep -qF -- "$1" "$work/out" || { cat "$work/out" >&2; fail "the chat does not show: $1"; }; }
chat 'what is a quasar\n/remember The quasar is far away.\n' "${key[@]}"
shows "[remembered as note "
chat 'and a pulsar\n/dialogues\n/recall quasar\n' "${key[@]}"
shows "[going on with dialogue 1 of 2 messages"
shows "what is a quasar"
nothing_of quasar pulsar lovelace messages
chat 'hello\n/recall quasar\n'
shows "going on without memory"
shows "these notes are encrypted"
quietly "$qwen25" memory verify "${key[@]}"
refuses "these dialogues are encrypted" "$qwen25" memory erase --namespace lovelace
"$qwen25" memory stats "${key[@]}" | grep -q "dialogues in namespace lovelace .*encrypted" || fail "stats lack the dialogue"
dialogue=$(find "$QWEN25_MEMORY/dialogues" -name 000001.sealed)
truncate -s -1 "$dialogue"
refuses "cannot be decrypted" "$qwen25" memory verify "${key[@]}"
quietly "$qwen25" memory erase --namespace lovelace "${key[@]}"
[[ -z $(find "$QWEN25_MEMORY/dialogues" -type f) ]] || fail "an erased dialogue is there"
echo "encrypted_memory: nothing shows, keys are checked, six kills lost nothing"
