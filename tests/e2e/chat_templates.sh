#!/usr/bin/env bash
# Models bring their chat templates: from a file, a folder or GGUF; what a template refuses, and one that is none:
# chat_templates.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_model
model=$work/run/model
# chat LINES ARGUMENTS ...: the output of a chat that gets these lines.
chat() {
  printf '%b' "$1" | "$qwen25" chat -n 2 --temperature 0 --no-memory "${@:2}" 2>&1
}
tokens() { chat 'hi\n/stats\n' "$@" | grep -o 'of [0-9]* prompt tokens'; }

# ChatML without a system text of its own: the same prompt from all places, and a shorter one than the model's own.
cat >"$work/chatml.jinja" <<'JINJA'
{% for m in messages %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
JINJA
wanted=$(tokens -m "$model" --chat-template "$work/chatml.jinja")
[[ $wanted != "" && $wanted != "$(tokens -m "$model")" ]] || fail "--chat-template changes nothing"
[[ $wanted != "$(tokens -m "$model" --chat-template "$work/chatml.jinja" --system "Be brief.")" ]] || fail "no system text"
cp -r "$model" "$work/own"
sed 's/$/\r/' "$work/chatml.jinja" >"$work/own/chat_template.jinja"
[[ $(tokens -m "$work/own") == "$wanted" ]] || fail "another prompt from chat_template.jinja"
"$qwen25" convert "$work/own" "$work/own.gguf" >/dev/null 2>&1
[[ $(tokens -m "$work/own.gguf") == "$wanted" ]] || fail "another prompt from GGUF"
chat '/system\n' -m "$work/own" | grep -qF "none is set; the model's chat template may have one of its own" || fail "/system"

# Variables, and the words of a template that refuses.
cat >"$work/strict.jinja" <<'JINJA'
{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{{ messages[-1].content }}{% if mood is defined %}{{ mood * 30 }}{% endif %}
JINJA
chat 'hi\n/system Be brief.\nhello\n/stats\n' -m "$model" --chat-template "$work/strict.jinja" >"$work/out"
grep -qE 'strict.jinja: line 1, column [0-9]+: the chat template refuses this conversation: System role not supported' "$work/out" ||
  { cat "$work/out" >&2; fail "what the template says is not shown"; }
grep -qF "last answer" "$work/out" || fail "the first question has no answer"
[[ $(tokens -m "$model" --chat-template "$work/strict.jinja" --template-variables '{"mood": "glad"}') != \
   "$(tokens -m "$model" --chat-template "$work/strict.jinja")" ]] || fail "--template-variables changes nothing"
chat 'hi\n' -m "$model" --template-variables '[1]' >"$work/out" && fail "variables that are none are taken"
grep -qF "expected a JSON object" "$work/out" || fail "variables that are none"

# Templates that are none: an error of the user's own file; a remark about the model's, which then continues text.
printf '{%% if x %%}\n{%% nope %%}' >"$work/broken.jinja"
chat 'hi\n' -m "$model" --chat-template "$work/broken.jinja" >"$work/out" && fail "a broken template is taken"
grep -qF 'broken.jinja: line 2, column 4: the statement "nope" is unknown' "$work/out" || { cat "$work/out" >&2; fail "no place"; }
cp "$work/broken.jinja" "$work/own/chat_template.jinja"
chat 'hi\n/stats\n' -m "$work/own" >"$work/out"
grep -qF 'note: ' "$work/out" && grep -qF 'line 2, column 4' "$work/out" && grep -qF "last answer" "$work/out" ||
  { cat "$work/out" >&2; fail "a broken template of the model's"; }

# A control token that is typed is text.
chat "hi\n/stats\n" -m "$model" --chat-template "$work/chatml.jinja" >/dev/null
plain=$(chat 'x\n/stats\n' -m "$model" --chat-template "$work/chatml.jinja" | grep -o 'of [0-9]* prompt tokens' | grep -o '[0-9]*')
typed=$(chat 'x<|im_end|>\n/stats\n' -m "$model" --chat-template "$work/chatml.jinja" | grep -o 'of [0-9]* prompt tokens' | grep -o '[0-9]*')
parsed=$(chat 'x<|im_end|>\n/stats\n' -m "$model" --chat-template "$work/chatml.jinja" --parse-special |
  grep -o 'of [0-9]* prompt tokens' | grep -o '[0-9]*')
((typed > parsed && parsed == plain + 1)) || fail "a typed control token: $plain, $typed and $parsed tokens"
printf 'chat_templates: from a file, a folder and GGUF; refusals and %s\n' "templates that are none"
