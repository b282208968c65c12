#!/usr/bin/env bash
# Texts as real users have them: marks, archives, binary files, chat templates in other spellings, and control tokens
# that somebody types: text_input.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

cases=$source_folder/../shared/cases
prepare_model

# wanted MESSAGE COMMAND ...: the command fails and says this.
wanted() {
  local message=$1
  shift
  if "$@" >"$work/log" 2>&1; then fail "it should have failed: $*"; fi
  grep -qF -- "$message" "$work/log" || { cat "$work/log" >&2; fail "it does not say \"$message\": $*"; }
}

# --- Every verb reads marks, archives and JSON lines in the same way.
head -n 40 "$work/data/documents.train.jsonl" >"$work/plain.jsonl"
{ printf '\xEF\xBB\xBF'; cat "$work/plain.jsonl"; } >"$work/marked.ndjson"
gzip -c "$work/marked.ndjson" >"$work/packed.jsonl.gz"
for file in plain.jsonl marked.ndjson packed.jsonl.gz; do
  quietly "$qwen25" tokenizer apply "$work/$file" --tokenizer "$work/tokenizer" -o "$work/shard.$file"
  cmp "$work/shard.plain.jsonl.bin" "$work/shard.$file.bin" || fail "$file: other tokens"
  quietly "$qwen25" tokenizer train "$work/$file" --vocab-size 300 -o "$work/tokenizer.$file"
  cmp "$work/tokenizer.plain.jsonl/merges.txt" "$work/tokenizer.$file/merges.txt" || fail "$file: other merges"
  "$qwen25" perplexity -m "$work/run/model" "$work/$file" --max-tokens 500 --json 2>/dev/null |
    sed 's/"[a-z_]*seconds":[^,}]*//g; s/"files\?":[^]]*]//' >"$work/score.$file"
  python3 - "$work/score.plain.jsonl" "$work/score.$file" <<'PYTHON' || fail "$file: another perplexity"
import re, sys
a, b = (re.search(r'"perplexity":\s*([0-9.e+]+)', open(name).read()).group(1) for name in sys.argv[1:])
assert a == b, (a, b)
PYTHON
  quietly "$qwen25" curate --source "$work/$file" --min-bytes 0 --validation-fraction 0.3 -o "$work/curated.$file"
  grep -q bad_json "$work/curated.$file/curate_report.json" && fail "$file: curate drops a record"
  python3 - "$work/curated.plain.jsonl" "$work/curated.$file" <<'PYTHON' || fail "$file: curate splits it otherwise"
import json, sys
def texts(folder, part): return sorted(json.loads(line)["text"] for line in open(f"{folder}/documents.{part}.jsonl"))
for part in ("train", "validation"): assert texts(sys.argv[1], part) == texts(sys.argv[2], part), part
PYTHON
  quietly "$qwen25" memory add "$work/$file" --memory "$work/notes.$file"
done
[[ $("$qwen25" memory export - --memory "$work/notes.packed.jsonl.gz" | wc -l) == 40 ]] || fail "40 lines are 40 notes"
printf '\xEF\xBB\xBFOnce upon' >"$work/prompt.txt"
"$qwen25" generate -m "$work/run/model" --prompt-file "$work/prompt.txt" -n 2 --temperature 0 >"$work/marked"
"$qwen25" generate -m "$work/run/model" -p "Once upon" -n 2 --temperature 0 >"$work/unmarked"
cmp "$work/marked" "$work/unmarked" || fail "the mark is part of the prompt"

# --- What is not text is refused by its name, by all of them.
cp "$work/packed.jsonl.gz" "$work/wrong.txt"
printf '%%PDF-1.7\n' >"$work/paper.txt"
for command in "tokenizer train FILE --vocab-size 300 -o $work/t" "tokenizer apply FILE --tokenizer $work/tokenizer -o $work/s" \
  "perplexity -m $work/run/model FILE" "generate -m $work/run/model --prompt-file FILE" \
  "tokenizer encode $work/tokenizer --text-file FILE" "memory add FILE --memory $work/m" "memory import FILE --memory $work/m" \
  "embed -m $work/run/model --file FILE" "embed --make-pairs FILE -o $work/p"; do
  # shellcheck disable=SC2086
  wanted "is gzip data, not text; it is read if its name ends in .gz" "$qwen25" ${command//FILE/$work/wrong.txt}
  # shellcheck disable=SC2086
  wanted "is a PDF document, not text" "$qwen25" ${command//FILE/$work/paper.txt}
done

# --- Nobody ends a turn by typing its end. As a token it would be one of those in the prompt.
chat plain 'one two\n/stats\n/quit\n' --no-memory
chat typed 'one<|im_end|>two\n/stats\n/quit\n' --no-memory
chat parsed 'one<|im_end|>two\n/stats\n/quit\n' --no-memory --parse-special
tokens() { sed -n 's/.* of \([0-9]*\) prompt tokens.*/\1/p' "$work/$1"; }
(( $(tokens typed) > $(tokens parsed) )) || fail "a typed <|im_end|> is a token: $(tokens typed) and $(tokens parsed)"
for flags in "" --no-parse-special; do
  # shellcheck disable=SC2086
  "$qwen25" generate -m "$work/run/model" -p "one<|im_end|>two" -n 1 --json $flags |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["usage"]["prompt_tokens"])'
done >"$work/counts"
(( $(sed -n 1p "$work/counts") < $(sed -n 2p "$work/counts") )) || fail "generate --no-parse-special changes nothing"

# --- Files of users.
if [[ -d $cases ]]; then
  folder=$cases/chat_template_variants
  for model in "$folder/new-template.gguf" "$folder/old-template.gguf" "$folder/model-crlf"; do
    printf 'hi\n/stats\n' | "$qwen25" chat -m "$model" --no-memory -n 3 --temperature 0 >"$work/variant" 2>&1
    shows variant "of 64 prompt tokens"
  done
  "$qwen25" tokenizer apply "$cases/byte_order_mark_jsonl/bom.jsonl" --tokenizer "$cases/byte_order_mark_jsonl/tok" \
    -o "$work/bom" >"$work/bom.log" 2>&1 || fail "$(cat "$work/bom.log")"
  shows bom.log "2 documents"
  folder=$cases/gzip_taken_as_text
  "$qwen25" tokenizer train "$folder/c.jsonl.gz" --vocab-size 300 -o "$work/tok" >"$work/train.log" 2>&1
  shows train.log "13 different pieces"
  "$qwen25" tokenizer encode "$work/tok" --text "hello world 7" --pieces >"$work/pieces"
  shows pieces '" world"'
  quietly "$qwen25" perplexity -m "$folder/model" "$folder/c.jsonl.gz" --max-tokens 100
else
  printf 'text_input: without the cases of users, %s\n' "$cases"
fi
printf 'text_input: marks, archives, binary files, templates and typed control tokens\n'
