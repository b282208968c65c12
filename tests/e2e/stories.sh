#!/usr/bin/env bash
# The published story model of llama2.c, imported, must write the text that its author recorded, letter by letter, and
# predict the story sample as well as it was measured to: stories.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

data=$source_folder/../shared/data
[[ -d $data/weights ]] || skip "needs the shared data folder, $data"

quietly "$qwen25" convert "$data/weights/stories260K.bin" "$work/stories" --tokenizer "$data/weights/tok512.bin"
"$qwen25" generate -m "$work/stories" -p "" -n 256 >"$work/text"
# The reference: what stands between the command with `-t 0.0` and the end of its block.
awk '/-t 0\.0$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$data/weights/stories260K.reference.md" >"$work/wanted"
[[ -s $work/wanted ]] || fail "the reference holds no text"
diff "$work/wanted" "$work/text" >&2 || fail "the greedy text differs from the recorded one"

perplexity=$("$qwen25" perplexity -m "$work/stories" "$data/text/tinystories_sample.txt" --json 2>/dev/null)
python3 - "$perplexity" <<'PYTHON' || fail "the perplexity of the story sample is not what it was: $perplexity"
import json, sys
assert abs(json.loads(sys.argv[1])["perplexity"] - 6.3323) < 0.001
PYTHON
printf 'stories: the recorded text, and %s\n' "$perplexity"
