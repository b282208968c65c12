#!/usr/bin/env bash
# Folders as users have them: what the reference loader accepts runs, what would change the result is used or refused by its
# cause; damaged and immense weights are named; packed weights are kept beside a model only on request: model_files.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

cases=$source_folder/../shared/cases
[[ -d $cases ]] || skip "needs the shared cases, $cases"

refused() {  # refused TEXT COMMAND ...
  local text=$1
  shift
  if "$@" >"$work/log" 2>&1; then fail "was not refused: $*"; fi
  grep -qF -- "$text" "$work/log" || { cat "$work/log" >&2; fail "does not say \"$text\": $*"; }
}
tokens() {  # of a greedy answer
  "$qwen25" generate -m "$1" -p hello -n 4 --temperature 0 --ignore-eos --json "${@:2}" 2>"$work/notes" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["tokens"])'
}
copy() {  # copy CASE NAME: a model that may be written to
  cp -rL "$cases/$1/model" "$work/$2"
  chmod -R u+w "$work/$2"
}
# patch FOLDER TENSOR ELEMENT NUMBER: overwrites one float32
patch() {
  python3 - "$@" <<'PYTHON'
import json, struct, sys
path = sys.argv[1] + "/model.safetensors"
with open(path, "r+b") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    tensor = json.loads(file.read(size))[sys.argv[2]]
    assert tensor["dtype"] == "F32"
    file.seek(8 + size + tensor["data_offsets"][0] + 4 * int(sys.argv[3]))
    file.write(struct.pack("<f", float(sys.argv[4])))
PYTHON
}

# Options that are not in use, and tokens that nobody needs.
for case in pad_token_outside_vocabulary sliding_window_unused; do
  quietly "$qwen25" generate -m "$cases/$case/model" -p hi -n 3 --temperature 0
done
refused 'quantized with awq (config.json quantization_config), which is not read; use the original or a GGUF file' \
  "$qwen25" generate -m "$cases/awq_folder/model" -p hi -n 3

# An output projection of its own is used wherever the model goes.
wanted='[621, 114, 413, 321]'
model=$cases/tied_but_own_head/model
[[ $(tokens "$model") == "$wanted" ]] || fail "the model's own output projection is not used"
grep -q 'an output projection of their own (lm_head.weight), which is used' "$work/notes" || fail "nothing says so"
quietly "$qwen25" convert "$model" "$work/own.gguf"
[[ $(tokens "$work/own.gguf") == "$wanted" ]] || fail "the GGUF file has lost the output projection"
quietly "$qwen25" convert "$model" "$work/own"
[[ $(tokens "$work/own") == "$wanted" ]] || fail "the folder has lost the output projection"
[[ ! -s $work/notes ]] || fail "a folder that says what it holds needs no note: $(cat "$work/notes")"

# Positions that YaRN stretches are positions, for every verb.
yarn=$cases/yarn_beyond_positions/model
# shellcheck disable=SC2046
quietly "$qwen25" logits -m "$yarn" $(seq 1 40) -o "$work/logits.safetensors"
# shellcheck disable=SC2046
refused 'sequence 0 has 65 tokens, the model 64 positions' \
  "$qwen25" logits -m "$yarn" $(seq 1 65) -o "$work/logits.safetensors"

# A flipped bit of an exponent, and a number that small formats do not hold.
copy pad_token_outside_vocabulary damaged
name=model.layers.1.mlp.up_proj.weight
patch "$work/damaged" $name 7 3e38
for verb in "generate -p hi -n 3" "logits 1 2 3 -o $work/x" "perplexity $cases/yarn_beyond_positions/t.txt"; do
  # shellcheck disable=SC2086
  refused "$name holds 3e+38 at element 7" "$qwen25" $verb -m "$work/damaged"
done
refused "$name holds 3e+38 at element 7" "$qwen25" convert "$work/damaged" "$work/x.gguf"
patch "$work/damaged" $name 7 1e7
stored=$(tokens "$work/damaged")
[[ $(tokens "$work/damaged" --weights float32) == "$stored" ]] || fail "1e7 is not kept"
for format in float16 int8 int4; do
  refused "$name holds 1e+07 at element 7, and $format keeps at most" \
    "$qwen25" generate -m "$work/damaged" -p hi -n 3 --weights $format
done
for format in q8_0 q4_k q6_k float16 int4; do
  [[ $format == q6_k ]] && continue  # whose scales reach it
  refused "$name holds 1e+07 at element 7" "$qwen25" quantize -m "$work/damaged" -o "$work/x.gguf" --format $format
done
refused "$name holds 1e+07 at element 7" "$qwen25" convert "$work/damaged" "$work/x" --dtype f16
[[ ! -e $work/x && ! -e $work/x.gguf ]] || fail "a refused command left something behind"

# Packed weights: kept and used on request, and never when they are not what they were made from.
copy pad_token_outside_vocabulary cached
packed=$work/cached/qwen25-int8.packed
plain=$(tokens "$work/cached" --weights int8)
[[ ! -e $packed ]] || fail "packed weights were kept although nobody asked for it"
[[ $(tokens "$work/cached" --weights int8 --cache-weights) == "$plain" && -e $packed ]] || fail "packed weights are not kept"
[[ $(tokens "$work/cached" --weights int8 --cache-weights) == "$plain" ]] || fail "packed weights give another answer"
python3 - "$packed" <<'PYTHON'
import os, sys
status = os.stat(sys.argv[1])
with open(sys.argv[1], "r+b") as file:
    content = bytearray(file.read())
    for at in range(len(content) // 4, len(content), 101):
        content[at] ^= 64
    file.seek(0)
    file.write(content)
os.utime(sys.argv[1], ns=(status.st_atime_ns, status.st_mtime_ns))
PYTHON
[[ $(tokens "$work/cached" --weights int8) == "$plain" ]] || fail "packed weights are used without their flag"
[[ $(tokens "$work/cached" --weights int8 --cache-weights) == "$plain" ]] || fail "damaged packed weights are used"

# A folder without room: the answer comes all the same, with a note.
if unshare --mount --map-root-user true 2>/dev/null; then
  mkdir "$work/small"
  kilobytes=$(($(du -skL "$work/cached" --exclude='*.packed*' | cut -f1) + 64))
  unshare --mount --map-root-user bash -c '
    mount -t tmpfs -o "size=$1k" tmpfs "$2/small" || exit 77
    cp "$2/cached/"*.json "$2/cached/model.safetensors" "$2/small/"
    "$3" generate -m "$2/small" -p hi -n 3 --temperature 0 --weights float32 --cache-weights >"$2/answer" 2>"$2/notes" || exit 1
    [[ $(find "$2/small" -name "*packed*" | wc -l) == 0 ]] || exit 2' bash "$kilobytes" "$work" "$qwen25" || {
    status=$?
    [[ $status == 77 ]] || { cat "$work/notes" >&2; fail "no answer without room for the packed weights ($status)"; }
  }
  [[ ! -e $work/notes ]] || grep -q 'the packed weights are not kept' "$work/notes" || fail "nothing says that they are not kept"
fi
