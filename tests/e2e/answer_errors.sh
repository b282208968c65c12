#!/usr/bin/env bash
# An answer that cannot go on says why, and the program fails: a disk that fills up under spilled history, and numbers of
# the model that are not finite: answer_errors.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

# A small disk needs the right to mount: as root, or inside a user namespace where the system allows that.
if [[ ${QWEN25_IN_NAMESPACE:-} != 1 ]]; then
  unshare --mount --map-root-user true 2>/dev/null || skip "this system lets us mount no tmpfs (no root, no user namespaces)"
  QWEN25_IN_NAMESPACE=1 unshare --mount --map-root-user bash "$0" "$@"
  exit
fi

prepare_model
model=$work/run/model

# fails OUTPUT COMMAND ...: the command ends with an error of its own; what it wrote is in $work/OUTPUT.
fails() {
  local output=$1 status=0
  shift
  "$@" >"$work/$output" 2>&1 || status=$?
  [[ $status -ne 0 ]] || { tail -c 1000 "$work/$output" >&2; fail "$output: the program ends with status 0"; }
  [[ $status -lt 128 ]] || { tail -c 1000 "$work/$output" >&2; fail "$output: it died of signal $((status - 128))"; }
}

# Blocks of 64 tokens (48 KiB of this model) are taken 8 MiB at a time: 170 of them, which hold 10,880 tokens. The disk has
# room for these and for their summaries, and not for the next 8 MiB, which the answer needs.
mkdir "$work/disk"
trap 'umount "$work/disk" 2>/dev/null || true; rm -rf "$work"' EXIT
mount -t tmpfs -o size=20m tmpfs "$work/disk" || skip "mounting a tmpfs is refused"
"$qwen25" generate -m "$model" --prompt-file "$source_folder/README.md" --recall-window 512 --spill-directory "$work" -n 1 \
  --temperature 0 --json >"$work/json" 2>"$work/log" || { cat "$work/log" >&2; fail "generate"; }
python3 - "$work" "$source_folder/README.md" <<'PYTHON'
import json, sys
work, path = sys.argv[1:]
text = " ".join(open(path).read().split())
tokens = json.load(open(work + "/json"))["usage"]["prompt_tokens"]
length = 9700 * len(text) // tokens
open(work + "/prompt", "w").write((text * 20)[:length])
PYTHON
limits=(--recall-window 512 --spill-directory "$work/disk" --temperature 0)
fails full "$qwen25" generate -m "$model" --prompt-file "$work/prompt" -n 3000 --ignore-eos "${limits[@]}"
shows full "error: $work/disk: cannot take 8 MiB more"
fails full_json "$qwen25" generate -m "$model" --prompt-file "$work/prompt" -n 3000 --ignore-eos "${limits[@]}" --json
python3 - "$work/full_json" <<'PYTHON' || fail "the JSON of an answer that the disk ended: $(tail -c 1000 "$work/full_json")"
import json, sys
answer = json.loads(next(line for line in open(sys.argv[1]) if line.startswith("{")))
assert answer["finish_reason"] == "error", answer["finish_reason"]
assert "cannot take 8 MiB more" in answer["error"], answer["error"]
assert answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"] - 1 == 170 * 64, answer["usage"]
assert len(answer["tokens"]) == answer["usage"]["completion_tokens"] and len(answer["text"]) > 0
PYTHON
chat_full() { "$qwen25" chat -m "$model" -n 3000 --no-memory "${limits[@]}" <"$work/prompt"; }
fails full_chat chat_full
shows full_chat "[the answer ends here: $work/disk: cannot take 8 MiB more"
hides full_chat "is full; /reset"
umount "$work/disk"

# The same model with one weight whose products overflow, though it is one that loading accepts: the two factors of the
# feed-forward layer grow with it.
cp -r "$model" "$work/broken"
python3 - "$work/broken/model.safetensors" <<'PYTHON'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack_from("<Q", data)[0]
tensor = json.loads(bytes(data[8:8 + size]))["model.layers.1.post_attention_layernorm.weight"]
weight = struct.pack("<f", 1e15)[{"F32": 0, "BF16": 2}[tensor["dtype"]]:]
begin = 8 + size + tensor["data_offsets"][0]
data[begin:begin + len(weight)] = weight
open(sys.argv[1], "wb").write(data)
PYTHON
fails overflow "$qwen25" generate -m "$work/broken" --prompt "static int" -n 8 --temperature 0
shows overflow "not finite, first in model.layers.1 of 3 layers"
hides overflow "!!!!"
chat_broken() { printf 'static int\n' | "$qwen25" chat -m "$work/broken" -n 8 --no-memory; }
fails overflow_chat chat_broken
shows overflow_chat "not finite, first in model.layers.1 of 3 layers"

# Without the folder for the file of a recall window there is no answer, and a message instead of an abort. Of the system's
# folders one that is not there is passed over.
fails no_folder "$qwen25" generate -m "$model" --prompt "a" -n 1 --recall-window 512 --spill-directory /nowhere
shows no_folder "/nowhere"
TMPDIR=/nowhere quietly "$qwen25" generate -m "$model" --prompt "a" -n 1 --recall-window 512
printf 'answer_errors: a full disk, numbers that are not finite and a folder that is not there end an answer with a message\n'
