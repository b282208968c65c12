#!/usr/bin/env bash
# A model goes to GGUF and back without a change, runs from there with the same text, and in fewer bits with nearly the same
# perplexity: gguf.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

data=$source_folder/../shared/data
[[ -d $data/weights ]] || skip "needs the shared data folder, $data"

quietly "$qwen25" convert "$data/weights/stories260K.bin" "$work/stories" --tokenizer "$data/weights/tok512.bin"
quietly "$qwen25" convert "$work/stories" "$work/stories.gguf"
quietly "$qwen25" convert "$work/stories.gguf" "$work/again"
quietly "$qwen25" convert "$work/stories" "$work/plain"  # tensors in the order of `again`
cmp "$work/plain/model.safetensors" "$work/again/model.safetensors" || fail "the weights changed on the way to GGUF and back"

generate() { "$qwen25" generate -m "$1" -p "Once upon a time" -n 64 --temperature 0; }
generate "$work/stories" >"$work/wanted"
for model in stories.gguf again; do
  generate "$work/$model" | diff "$work/wanted" - >&2 || fail "$model does not write the text of the folder"
done

perplexity() {
  "$qwen25" perplexity -m "$1" "$data/text/tinystories_sample.txt" --max-tokens 8000 --json 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["perplexity"])'
}
full=$(perplexity "$work/stories.gguf")
# format, and how much of the perplexity it may add
while read -r format most; do
  quietly "$qwen25" quantize -m "$work/stories.gguf" -o "$work/$format.gguf" --format "$format"
  generate "$work/$format.gguf" >/dev/null || fail "$format does not run"
  lossy=$(perplexity "$work/$format.gguf")
  python3 -c "import sys; sys.exit(not $lossy / $full - 1 < $most)" || fail "$format: perplexity $full became $lossy"
done <<'FORMATS'
float16 0.001
bfloat16 0.005
q8_0 0.005
q6_k 0.01
q5_1 0.06
q5_0 0.06
q4_1 0.15
q4_0 0.2
int4 0.15
FORMATS

refused() {  # refused TEXT COMMAND ...
  local text=$1
  shift
  if "$@" >"$work/log" 2>&1; then fail "was not refused: $*"; fi
  grep -q -- "$text" "$work/log" || { cat "$work/log" >&2; fail "does not say \"$text\": $*"; }
}
refused 'expected one of' "$qwen25" quantize -m "$work/stories" -o "$work/x.gguf" --format q3_k
refused 'ends in .gguf' "$qwen25" quantize -m "$work/stories" -o "$work/x" --format q8_0
refused 'give another output' "$qwen25" quantize -m "$work/stories.gguf" -o "$work/stories.gguf" --format q8_0
refused 'cannot open' "$qwen25" generate -m "$work/none.gguf" -p x
head -c 500000 "$work/stories.gguf" >"$work/cut.gguf"
refused 'was probably cut' "$qwen25" generate -m "$work/cut.gguf" -p x
[[ ! -e $work/x.gguf && ! -e $work/x ]] || fail "a refused command left something behind"
