#!/usr/bin/env bash
# A chat over a pipe: commands, history, saving and loading, and every kind of wrong input with its message:
# chat.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_model
model=$work/run/model

# expect TEXT COMMAND ...: the command's output, whatever its exit status, must hold TEXT.
expect() {
  local wanted=$1
  shift
  "$@" >"$work/out" 2>&1 </dev/null || true
  grep -qF -- "$wanted" "$work/out" || { cat "$work/out" >&2; fail "no \"$wanted\" from: $*"; }
}
# expect_chat TEXT LINES: the same for a chat that gets these lines.
expect_chat() {
  printf '%b' "$2" | "$qwen25" chat -m "$model" -n 8 --temperature 0 >"$work/out" 2>&1 || fail "the chat failed"
  grep -qF -- "$1" "$work/out" || { cat "$work/out" >&2; fail "no \"$1\" from a chat with: $2"; }
}

expect_chat "Ctrl-C           stop the answer" '/help\n'
expect_chat "there is no command /dance" '/dance\n'
expect_chat "there is nothing to take back" '/undo\n'
expect_chat "You are a helpful assistant." '/system\n'
expect_chat "cannot open: No such file" "/load $work/none.json\n"
expect_chat "saved 3 messages" "/system Be brief.\nhello\n/save $work/chat.json\n"
python3 -c 'import json, sys
messages = json.load(open(sys.argv[1]))["messages"]
assert [m["role"] for m in messages] == ["system", "user", "assistant"], messages
assert messages[0]["content"] == "Be brief." and messages[1]["content"] == "hello"' "$work/chat.json" || fail "the saved chat"
expect_chat "of 512 tokens in the context; last answer" "/load $work/chat.json\nand then?\n/stats\n"
expect_chat "the context would overflow" "$(printf 'word %.0s' {1..800})\n"
printf '{"messages": [{"role": "king"}]}' >"$work/bad.json"
expect_chat "messages[0]" "/load $work/bad.json\n"

expect "give either --prompt TEXT or --prompt-file FILE" "$qwen25" generate -m "$model"
expect "there is no such model folder" "$qwen25" generate -m "$work/none" -p x
expect "temperature is -1" "$qwen25" generate -m "$model" -p x --temperature -1
expect "the context would overflow" "$qwen25" generate -m "$model" -p "$(printf 'word %.0s' {1..800})"
"$qwen25" generate -m "$model" -p "import" -n 5 --json 2>/dev/null |
  python3 -c 'import json, sys; assert json.load(sys.stdin)["usage"]["completion_tokens"] <= 5' || fail "generate --json"

# A vocabulary that is not the model's.
quietly "$qwen25" tokenizer train "$work/data/documents.train.jsonl" --vocab-size 600 -o "$work/other"
cp -r "$model" "$work/mixed"
cp "$work/other/tokenizer.json" "$work/mixed/"
expect "they do not belong together" "$qwen25" generate -m "$work/mixed" -p x
expect "must be at least that" "$qwen25" train --data "$work/data/train" --tokenizer "$work/other" \
  --set model.vocab_size=512 --sequence-length 64 --tokens-per-step 512 --max-steps 1 -o "$work/never"
printf 'chat: commands, history and %s\n' "the messages of wrong input"
