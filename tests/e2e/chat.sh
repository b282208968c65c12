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
expect_chat "there is no answer to go on with" '/continue\n'
expect_chat "there is no question to answer again" '/retry\n'
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
# Files of conversations are read like every other text.
(printf '\xef\xbb\xbf' && cat "$work/chat.json") | gzip >"$work/marked.json.gz"
expect_chat "of 512 tokens in the context; last answer" "/load $work/marked.json.gz\nand then?\n/stats\n"

# Conversations of others: calls, their arguments in text, numbers beyond 64 bits, parts, unknown members. Saved and
# loaded they are the same prompt.
python3 - "$work/foreign.json" <<'PYTHON'
import json, sys
call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris", "n": 12345678901234567890123}'}}
none = {"type": "function", "function": {"name": "now", "arguments": ""}}
json.dump({"model": "m", "messages": [
    {"role": "developer", "content": "", "name": "S"},
    {"role": "user", "content": [{"type": "text", "text": "weather?"}], "name": "Ann"},
    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call, none]},
    {"role": "tool", "tool_call_id": "c1", "content": "21", "score": 99999999999999999999},
    {"role": "assistant", "content": "21 degrees"}]}, open(sys.argv[1], "w"))
PYTHON
expect_chat "[calls now with {}]" "/load $work/foreign.json\n/save $work/saved.json\n"
python3 -c 'import json, sys
a, b = (json.load(open(path)) for path in sys.argv[1:])
assert a == b, (a, b)' "$work/foreign.json" "$work/saved.json" || fail "a conversation lost something on the way"
prompt_of() {  # FILE: tokens of the prompt that one question after it makes
  printf '/load %s\nand tomorrow?\n/stats\n' "$1" | "$qwen25" chat -m "$model" -n 2 --temperature 0 --no-memory |
    grep -o 'of [0-9]* prompt tokens'
}
[[ $(prompt_of "$work/foreign.json") == "$(prompt_of "$work/saved.json")" ]] || fail "another prompt from what was saved"
printf '/load %s\nand tomorrow?\n' "$work/foreign.json" | "$qwen25" chat -m "$model" -n 2 --temperature 0 --memory "$work/foreign" >/dev/null
python3 -c 'import json, sys
a, b = (json.load(open(path))["messages"] for path in sys.argv[1:])
assert a == b[:5] and len(b) == 7, b' "$work/foreign.json" "$work/foreign/dialogues/default/000001.json" || fail "the dialogue on disk"
printf '/undo\n/undo\n/stats\n/undo\n' | "$qwen25" chat -m "$model" --memory "$work/foreign" >"$work/out" 2>&1
grep -qF "there is nothing to take back" "$work/out" || fail "/undo takes back calls apart from their question"

# An empty system text is one.
expect_chat "(empty)" "/load $work/saved.json\n/system\n"
with=$(printf 'hi\n/stats\n' | "$qwen25" chat -m "$model" -n 2 --temperature 0 --no-memory | grep -o 'of [0-9]* prompt tokens')
without=$(printf 'hi\n/stats\n' | "$qwen25" chat -m "$model" -n 2 --temperature 0 --no-memory --system "" | grep -o 'of [0-9]* prompt tokens')
[[ $with != "$without" ]] || fail "--system '' is the default system text"

# As the reference counts them.
cases=$source_folder/../shared/cases
if [[ -d $cases/tool_calls_kept ]]; then
  run_case() { (cp -r "$cases/$1" "$work/$1" && cd "$work/$1" && PATH=$(dirname "$qwen25"):$PATH bash ./command.txt >out 2>&1) || true; }
  qwen25=$(realpath "$qwen25")
  run_case tool_calls_kept
  [[ $(grep -o 'of 196 prompt tokens' "$work/tool_calls_kept/out" | wc -l) == 2 ]] || { cat "$work/tool_calls_kept/out" >&2; fail "tool_calls_kept: not 196 tokens twice"; }
  # The question after the restart has the prompt that it has without one.
  last=$(cd "$work/tool_calls_kept" && printf '/load conv.json\nand tomorrow?\nand then?\n/stats\n' |
    "$qwen25" chat -m model --no-memory -n 3 --temperature 0 | grep -o 'of [0-9]* prompt tokens')
  sed '1,/== started again/d' "$work/tool_calls_kept/out" | grep -qF "$last" ||
    { cat "$work/tool_calls_kept/out" >&2; fail "tool_calls_kept: not $last after a restart"; }
  run_case empty_system_message
  [[ $(grep -o 'of [0-9]* prompt tokens' "$work/empty_system_message/out" | tr '\n' ' ') == "of 47 prompt tokens of 24 prompt tokens " ]] ||
    { cat "$work/empty_system_message/out" >&2; fail "empty_system_message: not 47 and 24 tokens"; }
  run_case empty_tool_arguments
  grep -qF "[calls get_time with {}]" "$work/empty_tool_arguments/out" || fail "empty_tool_arguments"
else
  echo "chat: SKIPPED the cases of ../shared/cases, which are not there"
fi

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
