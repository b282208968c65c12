#!/usr/bin/env bash
# Notes in a chat over a pipe: remembered, kept over a restart, shown when recalled, part of the turn that is kept,
# forgotten, and a chat that goes on where the memory fails: chat_memory.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_model

# chat LINES [FLAGS ...]: a chat that gets these lines; its output is in $work/out.
chat() {
  local lines=$1
  shift
  printf '%b' "$lines" | "$qwen25" chat -m "$work/run/model" -n 4 --temperature 0 --new "$@" >"$work/out" 2>&1 ||
    { cat "$work/out" >&2; fail "the chat failed"; }
}
shows() { grep -qF -- "$1" "$work/out" || { cat "$work/out" >&2; fail "the chat does not show: $1"; }; }
hides() { ! grep -qF -- "$1" "$work/out" || { cat "$work/out" >&2; fail "the chat shows: $1"; }; }

chat 'hello\nWhat is the garage code?\n/recall garage\n/memory\n/forget garage\n'
hides "[recalled"
shows "nothing found"
shows "with 0 notes"
shows "there is nothing to forget"
[[ ! -e $QWEN25_MEMORY/notes.sqlite ]] || fail "a chat that was told nothing made notes"

chat '/remember The garage code is 4711.\nPlease remember that my cat is called Mimi. What is new?\nmerk dir: Tee um vier\n/memory\n'
shows "[remembered as note 1]"
shows "[remembered as note 2]"
shows "[remembered as note 3]"
hides "[recalled"
shows "memory on, folder $QWEN25_MEMORY, namespace \"default\" with 3 notes"
"$qwen25" memory show 2 | grep -qx "my cat is called Mimi." || fail "the note is not the statement alone"

# After a restart; what was recalled is part of the saved turn, and is not put there twice.
chat "What is the garage code?\nReally, the garage code?\n/save $work/chat.json\nWhy is the sky blue?\n"
shows "[recalled: note 1 ("
shows ", above)]"
[[ $(grep -c recalled "$work/out") == 2 ]] || fail "something was recalled for the sky"
python3 -c 'import json, sys
messages = json.load(open(sys.argv[1]))["messages"]
first, second = messages[0]["content"], messages[2]["content"]
assert "4711" in first and first.endswith("\n\nWhat is the garage code?"), first
assert second == "Really, the garage code?", second' "$work/chat.json" || fail "the saved chat"
chat "/load $work/chat.json\nwhat is the code of the garage\n/stats\n"
shows ", above)]"

# The keys and values of earlier turns stay valid when something is recalled: every token of them is known.
chat "hello\nWhat is the garage code?\n/stats\n"
known=$(grep -o '[0-9]* of [0-9]* prompt tokens were known' "$work/out" | cut -d' ' -f1)
((known >= 10)) || fail "only $known tokens were known from the turn before"

chat 'What is the garage code?\n/remember x\n/memory\n' --no-memory
hides "[recalled"
shows "the memory is off"
chat 'What is the garage code?\n' --recall 0
hides "[recalled"
chat 'What is the garage code?\n/forget 1\n/recall garage\n/memory off\nremember that x is y\n' --namespace other
hides "[recalled"
shows "there is no note 1 in namespace \"other\""
shows "nothing found"
hides "[remembered"

chat '/remember The office code is 5822.\n/forget the code\nForget that my cat is called Mimi.\n/forget --erase 1\n/forget 77\n'
shows "it may be one of these"
shows "[forgot note 2: my cat is called Mimi.]"
shows "[erased note 1: The garage code is 4711.]"
shows "there is no note 77"
grep -rq 4711 "$QWEN25_MEMORY" --include "notes*" && fail "an erased note left a trace"
chat 'What is the garage code?\n'
hides "4711"

# A note cannot end the turn that it is put into.
chat '/remember The <|im_end|> token of zebras\nWhat about zebras and the token?\n/save '"$work/zebra.json"'\n'
shows "[recalled: note 5 ("
python3 -c 'import json, sys
assert "< |im_end|>" in json.load(open(sys.argv[1]))["messages"][0]["content"]' "$work/zebra.json" || fail "a control token"

# A writer that holds the store: told, and the chat goes on. A file that is no store: the same.
python3 - "$QWEN25_MEMORY/notes.sqlite" "$work/locked" "$work/done" <<'PYTHON' & locker=$!
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
os.mkfifo(sys.argv[3])
open(sys.argv[2], "w").close()
open(sys.argv[3]).close()
PYTHON
while [[ ! -e $work/locked ]] && kill -0 "$locker"; do :; done
chat 'remember that tea is green\nWhat about zebras and the token?\n/stats\n'
: >"$work/done"
wait "$locker"
shows "[not remembered: "
shows "another process is writing"
shows "[recalled: note 5 ("
shows "last answer"
mkdir "$work/broken"
printf 'no database %.0s' {1..500} >"$work/broken/notes.sqlite"
chat 'hello\n/remember x\n/stats\n' --memory "$work/broken"
shows "[the memory is off: "
shows "last answer"
printf 'chat_memory: remembered, recalled after a restart, forgotten, and %s\n' "a chat that goes on without"
