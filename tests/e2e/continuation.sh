#!/usr/bin/env bash
# Dialogues that go on after a restart with the same answers, blocks that are damaged, locked, encrypted, erased:
# continuation.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_model 256

# The answer to the last question: the last lines but for what stands in brackets.
answer() { grep -v '^\[' "$work/$1" | tail -n 1; }

first='Tell me about the pool that hands out blocks and what it does when all of them are in use, please, in a few words'
second='And what happens with a block that nobody holds any more, while there is still some room left in the memory of it'
third='Which of them goes first then'

chat whole "$first\n$second\n$third\n" --no-memory
[[ ! -e $QWEN25_MEMORY ]] || fail "--no-memory made a folder"
chat before "$first\n$second\n"
chat after "$third\n/stats\n/dialogues\n"
shows after "[going on with dialogue 1 of 4 messages"
shows after "of them from memory]"
grep -v '^[;0-9*]' "$work/after" | grep -v '^\[' >"$work/after_answers"
want=$(answer whole)
grep -qxF -- "$want" "$work/after_answers" || { cat "$work/whole" "$work/after" >&2; fail "another answer after the restart"; }
python3 -c 'import json, sys
messages = json.load(open(sys.argv[1]))["messages"]
assert [m["role"] for m in messages] == ["user", "assistant"] * 3, messages' \
  "$QWEN25_MEMORY/dialogues/default/000001.json" || fail "the dialogue on disk"

# Another namespace knows nothing of it; a new dialogue stands beside the old one.
chat other "$third\n" --namespace other
hides other "from memory"
hides other "going on"
chat new "$third\n/dialogues\n/resume 1\n" --new
shows new "*     2     2 messages  Which of them"
shows new "[going on with dialogue 1 of 6 messages"

# generate, where it is asked to.
printf '%s' "$first $second" >"$work/prompt"
"$qwen25" generate -m "$work/run/model" --prompt-file "$work/prompt" -n 2 --temperature 0 --memory "$work/memory" --json >"$work/g1"
"$qwen25" generate -m "$work/run/model" --prompt-file "$work/prompt" -n 2 --temperature 0 --memory "$work/memory" --json >"$work/g2"
python3 -c 'import json, sys
a, b = (json.load(open(path)) for path in sys.argv[1:])
known = [r["usage"]["prompt_tokens_details"]["cached_tokens"] for r in (a, b)]
assert known[0] == 0 and known[1] >= 64, known
assert a["text"] == b["text"], (a, b)' "$work/g1" "$work/g2" || fail "a text that is generated again"

quietly "$qwen25" memory stats
quietly "$qwen25" memory verify
quietly "$qwen25" memory compact

# A flipped bit: said, and the same answer.
slots=$(ls "$QWEN25_MEMORY"/kv/*.kv | head -n 1)
cp -r "$QWEN25_MEMORY" "$work/damaged"
damaged=$work/damaged/kv/$(basename "$slots")
python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    data = bytearray(f.read())
    data[6000] ^= 8
    f.seek(0)
    f.write(data)' "$damaged"
status=0
"$qwen25" memory verify --memory "$work/damaged" >"$work/verify" 2>&1 || status=$?
[[ $status == 1 ]] || { cat "$work/verify" >&2; fail "verify ended with $status for a damaged block"; }
shows verify "1 damaged"

# A second process: a message that says which part is not kept; its dialogue is, beside the first one's.
mkfifo "$work/pipe"
"$qwen25" chat -m "$work/run/model" -n 2 <"$work/pipe" >"$work/holder" 2>&1 &
holder=$!
exec 9>"$work/pipe"
printf '%b' "$third\n" >&9
# It has answered, and kept the dialogue with its answer.
until [[ $(grep -o '"role"' "$QWEN25_MEMORY/dialogues/default/000002.json" | wc -l) == 4 ]]; do
  kill -0 "$holder" 2>/dev/null || fail "the first chat ended"
done
chat locked "$third\n/dialogues\n"
shows locked "going on without memory of keys and values"
hides locked "--no-memory"
hides locked "not remembered"
printf '%b' "$second\n" >&9
exec 9>&-
wait "$holder" || fail "the first chat failed"
grep -q "another chat has gone on with dialogue 2; this one is kept as dialogue 3" "$work/holder" ||
  { cat "$work/holder" >&2; fail "two chats wrote one dialogue"; }
[[ $(ls "$QWEN25_MEMORY/dialogues/default" | wc -l) == 3 ]] || fail "a dialogue is missing"

# A damaged dialogue: said, and another one begins; the others are there, and blocks are still looked at.
cp -r "$QWEN25_MEMORY" "$work/flipped_memory"
python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    data = bytearray(f.read())
    data[len(data) // 2] ^= 1
    f.seek(0)
    f.write(data)' "$work/flipped_memory/dialogues/default/000003.json"
chat flipped "$third\n/dialogues\n/resume 3\n" --memory "$work/flipped_memory"
shows flipped "[the last dialogue cannot be read, and another one begins: "
shows flipped "*     4     2 messages"
shows flipped "000003.json: is damaged"
! "$qwen25" memory verify --memory "$work/flipped_memory" >"$work/verify" 2>&1 || fail "verify does not find a flip in a dialogue"
shows verify "000003.json: is damaged"
shows verify "dialogues: 5 checked, 1 files damaged"
shows verify "blocks of keys and values: "

# Encrypted, a wrong key, and no key.
head -c 32 /dev/urandom >"$work/key"
head -c 32 /dev/urandom >"$work/other_key"
chat secret "$first\n$second\n" --memory "$work/vault" --memory-key "$work/key"
chat again "$third\n" --memory "$work/vault" --memory-key "$work/key"
shows again "of them from memory]"
for flag in "--memory-key $work/other_key" ""; do
  # shellcheck disable=SC2086
  chat wrong "$third\n" --memory "$work/vault" $flag
  shows wrong "going on without memory"
done

# Taken to other folders, from one that is not encrypted and, with its dialogues, which keep their key, from one that is:
# the same answer, and as much reused.
reused() { grep -o '[0-9]* of [0-9]* prompt tokens were known.*' "$work/$1" | tail -n 1; }
for from in "$QWEN25_MEMORY" "$work/vault"; do
  key=()
  [[ $from == "$QWEN25_MEMORY" ]] || key=(--memory-key "$work/key")
  quietly "$qwen25" memory export-blocks "$work/blocks.safetensors" --memory "$from" "${key[@]}"
  rm -rf "$work/copy"
  quietly "$qwen25" memory import-blocks "$work/blocks.safetensors" --memory "$work/copy" "${key[@]}"
  cp -r "$from/dialogues" "$work/copy"
  chat copied "$third\n" --memory "$work/copy" "${key[@]}"
  chat original "$third\n" --memory "$from" "${key[@]}"
  shows copied "of them from memory]"
  [[ $(answer copied) == "$(answer original)" ]] || fail "another answer in the other folder"
  [[ $(reused copied) == "$(reused original)" ]] || fail "not the same reuse: $(reused copied), $(reused original)"
done
"$qwen25" memory import-blocks "$work/blocks.safetensors" --memory "$work/copy" "${key[@]}" >"$work/again" 2>&1
shows again ": 0 of"

# Erased for good.
quietly "$qwen25" memory erase --namespace default
[[ ! -e $QWEN25_MEMORY/dialogues/default ]] || fail "the dialogues are still there"
"$qwen25" memory stats >"$work/stats"
hides stats "namespace default"
chat erased "$third\n"
hides erased "from memory"
printf 'continuation: passed\n'
