#!/usr/bin/env bash
# A sentence encoder from the command line: vectors as the reference gives them, prompts by role, notes found with it, and
# what is no such encoder refused by name: sentence_encoder.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

refused() {  # refused WORDS COMMAND ...
  local words=$1
  shift
  "$@" >"$work/log" 2>&1 && fail "no error: $words"
  grep -q -- "$words" "$work/log" || { cat "$work/log" >&2; fail "the message lacks: $words"; }
}

fixtures=$source_folder/tests/reference/fixtures
# vectors FOLDER NAME FLAGS ...: embeds the texts of a fixture and compares with what its expected.safetensors has.
compare() {
  local folder=$1 name=$2
  shift 2
  python3 - "$folder" >"$work/texts.jsonl" <<'PY'
import json, sys
for text in json.load(open(sys.argv[1] + "/expected.json"))["texts"]:
    print(json.dumps({"text": text}))
PY
  "$qwen25" embed -m "$folder" -f "$work/texts.jsonl" "$@" >"$work/vectors.jsonl" 2>"$work/log" ||
    { cat "$work/log" >&2; fail "embed of $folder"; }
  python3 - "$folder" "$name" "$work/vectors.jsonl" <<'PY' || fail "the $name of $folder differ"
import array, json, struct, sys
folder, name, path = sys.argv[1:]
data = open(folder + "/expected.safetensors", "rb").read()
(size,) = struct.unpack("<Q", data[:8])
entry = json.loads(data[8:8 + size])[name]
begin, end = entry["data_offsets"]
wanted = array.array("f", data[8 + size + begin:8 + size + end])
found = [x for line in open(path) for x in json.loads(line)["embedding"]]
sys.exit(len(found) != len(wanted) or max(abs(a - b) for a, b in zip(found, wanted)) > 1e-5)
PY
}
compare "$fixtures/encoder_mean" passages
compare "$fixtures/encoder_dense" passages
compare "$fixtures/encoder_dense" queries --query
compare "$fixtures/encoder_dense" queries --passage-prompt "a question: "

# The name of a folder tells the prompts of its family, and says so.
cp -r "$fixtures/encoder_mean" "$work/e5-tiny-v2"
"$qwen25" embed -m "$work/e5-tiny-v2" "the cat" >"$work/known" 2>"$work/log"
grep -q 'E5 family: queries begin with "query: "' "$work/log" || { cat "$work/log" >&2; fail "no remark about prompts"; }
"$qwen25" embed -m "$fixtures/encoder_mean" "passage: the cat" >"$work/spelled" 2>"$work/log"
cmp "$work/known" "$work/spelled" || fail "the prompt of E5 is not put before a passage"

# As the embedder of notes, which later commands load by themselves.
quietly "$qwen25" memory add "The cat sat on the mat." "A question about answers." --embedder "model:$fixtures/encoder_mean"
"$qwen25" memory search "The cat sat on the mat." --mode vectors -k 1 2>"$work/log" | grep -q "^note 1 " ||
  { cat "$work/log" >&2; fail "a note is not found by its vector"; }
refused "made by\|embedder" "$qwen25" memory search cat --mode vectors --embedder "model:$fixtures/encoder_dense"
quietly "$qwen25" memory reindex --embedder "model:$fixtures/encoder_dense" --query-prompt "find: "
"$qwen25" memory search "The cat sat on the mat." --mode vectors -k 2 2>"$work/log" | grep -q "^note 1 " ||
  { cat "$work/log" >&2; fail "a note is not found after reindex"; }

refused "is a sentence encoder" "$qwen25" embed -m "$fixtures/encoder_mean" x --pooling causal-last
cp -r "$fixtures/encoder_mean" "$work/other"
sed -i 's/"model_type": "bert"/"model_type": "xlm-roberta"/' "$work/other/config.json"
refused '"xlm-roberta", which this program does not run' "$qwen25" embed -m "$work/other" x
refused "gives vectors of texts and writes none" "$qwen25" generate -m "$fixtures/encoder_mean" --prompt x
echo "sentence_encoder: ok"
