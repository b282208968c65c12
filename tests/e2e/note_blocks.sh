#!/usr/bin/env bash
# Notes that attention recalls as keys and values: computed once, read after a restart, beside dialogues, gone when they are
# forgotten, here or by another process: note_blocks.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_model 256
window=(--recall-window 512 --notes-as blocks)

# Blocks of notes in the memory.
blocks() { "$qwen25" memory stats "$@" | sed -n 's/.*, \([0-9]*\) of them of notes.*/\1/p'; }

! printf 'hello\n' | "$qwen25" chat -m "$work/run/model" --notes-as blocks >"$work/error" 2>&1 || fail "no window, no error"
shows error "need --recall-window"

# What a chat is told becomes text at once, and blocks with the next start.
chat first '/remember The garage code is 4711.\n/remember My cat is called Mimi.\nWhat is the garage code?\n' --new "${window[@]}"
shows first "[attention recalls 0 notes: 0 blocks]"
shows first "[recalled: note 1 ("
hides first "[attention read"
[[ -z $(blocks) ]] || fail "blocks of notes before they were computed"

chat second 'What is the garage code?\n/remember The office code is 5822.\nWhat is the office code?\n' --new "${window[@]}"
shows second "[attention recalls 2 notes: 2 blocks]"
shows second "[attention read note "
shows second "[recalled: note 3 ("
hides second "[recalled: note 1"
[[ $(blocks) == 2 ]] || fail "$(blocks) blocks of two notes"

# With dialogues by the same score; without either, as text.
chat both 'What is the garage code?\n' "${window[@]}" --recall-dialogues
shows both "[attention recalls 3 notes and earlier dialogues: "
hides both "[recalled"
grep -q '^\[attention read .*dialogues (' "$work/both" || { cat "$work/both" >&2; fail "no dialogues were read"; }
grep -q '^\[attention read .*note [123] (' "$work/both" || { cat "$work/both" >&2; fail "no notes were read"; }
chat text 'What is the garage code?\n' --new
shows text "[recalled: note 1 ("
hides text "[attention"

# A dialogue goes on while the notes are the same ones: what it computed is used again.
long='Tell me about the pool that hands out blocks and what it does when all of them are in use, please, in a few words'
chat before "$long\n" --new "${window[@]}"
chat after 'And then\n' "${window[@]}"
shows after "[going on with dialogue"
shows after "of them from memory]"

# Forgotten in the chat: no longer read, nor stored.
chat forgets '/forget 1\n/forget --erase 2\nWhat is the garage code of the cat?\n' --new "${window[@]}"
shows forgets "[forgot note 1: "
shows forgets "[erased note 2: "
hides forgets "note 1 ("
hides forgets "note 2 ("
shows forgets "[attention read note 3 (100 %)]"
[[ $(blocks) == 1 ]] || fail "$(blocks) blocks of one note"

# By another process, while a chat is open.
mkfifo "$work/pipe"
"$qwen25" chat -m "$work/run/model" -n 2 "${window[@]}" --new <"$work/pipe" >"$work/open" 2>&1 &
holder=$!
exec 9>"$work/pipe"
printf 'What is the office code?\n/save %s\n' "$work/answered1" >&9
until [[ -e $work/answered1 ]]; do kill -0 "$holder" 2>/dev/null || fail "the chat ended"; done
"$qwen25" memory forget 3 >"$work/elsewhere" 2>&1
shows elsewhere "goes when it starts again"
printf 'Which office\n/save %s\n' "$work/answered2" >&9
until [[ -e $work/answered2 ]]; do kill -0 "$holder" 2>/dev/null || fail "the chat ended"; done
status=0
"$qwen25" memory forget --erase >"$work/erase" 2>&1 || status=$?
[[ $status != 0 ]] || fail "traces that another process holds are not an error"
shows erase "run \`qwen25 memory forget --erase\` again"
exec 9>&-
wait "$holder" || fail "the chat failed"
[[ $(grep -c '^\[attention read note 3' "$work/open") == 1 ]] || { cat "$work/open" >&2; fail "a note forgotten elsewhere was read"; }
[[ -z $(blocks) ]] || fail "blocks of a note that was forgotten elsewhere"
quietly "$qwen25" memory forget --erase

# What is no longer true goes without the chat; a command without a model removes it, too.
quietly "$qwen25" memory add "The shed code is 1."
chat shed 'hello\n' --new "${window[@]}"
[[ $(blocks) == 1 ]] || fail "no block of the shed"
quietly "$qwen25" memory add "The shed code is 2." --supersedes 4
chat newer 'What is the shed code?\n' --new "${window[@]}"
shows newer "[attention recalls 1 note: 1 block]"
shows newer "[attention read note 5 (100 %)]"
quietly "$qwen25" memory forget 5 --erase
chat older 'What is the shed code?\n' --new "${window[@]}"
shows older "[attention read note 4 (100 %)]"
quietly "$qwen25" memory forget 4
[[ -z $(blocks) ]] || fail "blocks of a forgotten note"
quietly "$qwen25" memory verify

head -c 32 /dev/urandom >"$work/key"
! printf 'hello\n' | "$qwen25" chat -m "$work/run/model" "${window[@]}" --memory "$work/vault" --memory-key "$work/key" \
  >"$work/encrypted" 2>&1 || fail "an encrypted memory, and no error"
shows encrypted "cannot be recalled by attention"
printf 'note_blocks: passed\n'
