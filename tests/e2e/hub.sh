#!/usr/bin/env bash
# Models by name: fetched from a hub that fails in every way, found in caches, used by every verb, removed. Nothing that
# is not whole is ever taken for a model: hub.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

# A full disk needs the right to mount: as root, or inside a user namespace where the system allows that.
if [[ ${QWEN25_IN_NAMESPACE:-} != 1 ]] && unshare --mount --map-root-user true 2>/dev/null; then
  QWEN25_IN_NAMESPACE=1 exec unshare --mount --map-root-user bash "$0" "$@"
fi

for name in HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE TRANSFORMERS_OFFLINE LLAMA_CACHE \
  OLLAMA_MODELS http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy; do
  unset "$name"
done
export HOME=$work/home HF_HOME=$work/hf XDG_CACHE_HOME=$work/cache no_proxy='*'
hub=$HF_HOME/hub
mkdir -p "$work/state" "$work/here" "$HOME"

# wait_for SECONDS CONDITION ...
wait_for() {
  local -i tries=$(($1 * 50))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.02
  done
}

# The server ends when its input does, which is when this script ends.
mkfifo "$work/server"
python3 "$(dirname "$0")/hub_server.py" "$work/repositories" "$work/state" <"$work/server" 2>"$work/server.log" &
exec 9>"$work/server"
wait_for 20 test -s "$work/state/address" || { cat "$work/server.log" >&2; fail "the hub does not start"; }
HF_ENDPOINT=$(head -n 1 "$work/state/address")
export HF_ENDPOINT

# Repositories: a model and another version of it, two GGUF formats, pickled weights, and one with a large file.
prepare_model
repositories=$work/repositories
mkdir -p "$repositories"/{org,private}
cp -rL "$work/run/model" "$repositories/org/model"
echo "# A model" >"$repositories/org/model/README.md"
mkdir "$repositories/org/model/1_Pooling"
echo '{}' >"$repositories/org/model/1_Pooling/config.json"
cp -r "$repositories/org/model" "$repositories/private/model"
cp -rL "$source_folder/tests/reference/fixtures/encoder_dense" "$repositories/org/encoder"
mkdir "$repositories/org/gguf" "$repositories/org/pickled" "$repositories/org/large"
quietly "$qwen25" quantize -m "$work/run/model" --format q8_0 -o "$repositories/org/gguf/m-Q8_0.gguf"
quietly "$qwen25" convert "$work/run/model" "$repositories/org/gguf/m-F16.gguf" --dtype f16
echo '{}' >"$repositories/org/pickled/config.json"
head -c 20000 /dev/zero >"$repositories/org/pickled/pytorch_model.bin"
cp "$work/run/model/config.json" "$repositories/org/large/config.json"
python3 -c "
import random, sys
open(sys.argv[1], 'wb').write(random.Random(1).randbytes(24_000_000))" "$repositories/org/large/model.safetensors"

fault() { printf '%s\n' "$@" >"$work/state/faults.new" && mv "$work/state/faults.new" "$work/state/faults"; }
pull() { "$qwen25" pull "$@" >"$work/output" 2>&1; }
# pulls NAME ...: succeeds. refuses TEXT NAME ...: fails without a signal, and says so.
pulls() { pull "$@" || { cat "$work/output" >&2; fail "pull $*"; }; }
refuses() {
  local text=$1 status=0
  shift
  pull "$@" || status=$?
  [[ $status -eq 1 ]] || { cat "$work/output" >&2; fail "pull $*: exit status $status"; }
  grep -qF -- "$text" "$work/output" || { cat "$work/output" >&2; fail "pull $*: does not say: $text"; }
}
says() { grep -qF -- "$1" "$work/output" || { cat "$work/output" >&2; fail "does not say: $1"; }; }
requests() { : >"$work/state/requests"; }
forget() { rm -rf "$HF_HOME"; }
# No model is found by this name, whatever is in the cache.
absent() {
  local status=0
  "$qwen25" generate -m "$1" -p a -n 1 >"$work/absent" 2>&1 || status=$?
  [[ $status -eq 1 ]] && grep -qF "qwen25 pull $1" "$work/absent" || { cat "$work/absent" >&2; fail "$1 is taken for a model"; }
  [[ ! -e $hub/models--${1/\//--}/refs/main ]] || fail "$1: there is a reference to what is not whole"
  [[ ! -d $hub || -z $(find -L "$hub" -type l) ]] || fail "$1: links lead nowhere: $(find -L "$hub" -type l)"
}
# Every link of every snapshot leads to a file that has the digest of its name.
sound() {
  "$qwen25" models verify >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "the cache is damaged"; }
  [[ -z $(find -L "$hub" -type l) ]] || fail "links that lead nowhere: $(find -L "$hub" -type l)"
}

# What a pull needs, and no more: no README, a listing of several pages, the token only where it belongs.
absent org/model
requests
HF_TOKEN=hf_secret pulls org/model
says "use it: qwen25 chat -m org/model"
snapshot=$(tail -n 2 "$work/output" | head -n 1)
[[ -f $snapshot/config.json && -f $snapshot/tokenizer.json && -f $snapshot/1_Pooling/config.json ]] || fail "files are missing"
[[ ! -e $snapshot/README.md ]] || fail "the README was fetched"
cmp "$snapshot/model.safetensors" "$work/run/model/model.safetensors" || fail "other weights"
[[ $(readlink "$snapshot/model.safetensors") == ../../blobs/* ]] || fail "no relative link"
[[ $(cat "$hub/models--org--model/refs/main") == "$(basename "$snapshot")" ]] || fail "refs/main"
[[ $(stat -c %s "$hub/models--org--model/refs/main") -eq 40 ]] || fail "refs/main is not bare"
grep -q 'hf_secret' "$work/state/requests" || fail "the token was not sent"
grep -q 'cursor\|tree' "$work/state/requests" || fail "the files were not listed"
sound
requests
pulls org/model
says "all there"
! grep -q resolve "$work/state/requests" || fail "files were fetched again"
pulls org/model --offline
says "$snapshot"
refuses "offline" org/gguf --offline
HF_HUB_OFFLINE=1 refuses "HF_HUB_OFFLINE" org/gguf
pulls org/gguf --dry-run
says "m-Q8_0.gguf"
absent org/gguf

# GGUF: by format, and the best one without.
pulls org/gguf
says "m-Q8_0.gguf"
refuses ":F16" org/gguf:Q4_K_M
pulls org/gguf:f16
pulls org/model --file 'READ*' --file '*.txt'
[[ -f $snapshot/README.md ]] || fail "--file"

# Every verb takes the name, and says the same as for the folder.
echo "The text that is scored, in one short line." >"$work/text.txt"
same() {  # same COMMAND with MODEL in it
  local words
  read -ra words <<<"$1"
  "$qwen25" "${words[@]/MODEL/$work/run/model}" >"$work/by_path" 2>/dev/null || fail "${1/MODEL/folder}"
  (cd "$work/here" && "$qwen25" "${words[@]/MODEL/org/model}") >"$work/by_name" 2>"$work/log" ||
    { cat "$work/log" >&2; fail "${1/MODEL/org/model}"; }
  cmp -s "$work/by_path" "$work/by_name" || { diff "$work/by_path" "$work/by_name" >&2; fail "$1: other output by name"; }
}
same "generate -m MODEL -p if -n 5 --temperature 0"
same "generate -m MODEL -p if -n 5 --temperature 0 --speculate MODEL"
same "perplexity -m MODEL $work/text.txt"
same "divergence -m MODEL $work/text.txt --weights int8"
same "embed -m MODEL text"
same "embed --embedder model:MODEL text"
same "tokenizer encode MODEL --text-file $work/text.txt"
same "tokenizer decode MODEL 1 2 3"
same "logits -m MODEL 1 2 3 -o $work/logits"
for command in "routing -m MODEL -t $(printf 'text%.0s' {1..60}) --routing top_k:2,dense_below=0 -o $work/map.svg" \
  "plan MODEL" "quantize -m MODEL --format q8_0 -o $work/quantized.gguf" "convert MODEL $work/converted" \
  "bench inference -m MODEL --weights int8 --prompt 8 --generate 4 --rounds 1 --json" "divergence -m MODEL --against org/gguf:F16 $work/text.txt" \
  "train --initial MODEL --tokenizer MODEL --data $work/data/train --max-steps 1 --sequence-length 64 --set run.measure_peak=false -o $work/more"; do
  quietly "$qwen25" ${command//MODEL/org/model}
done
"$qwen25" memory add "the door code is 4711" --embedder model:org/model >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "memory"; }
"$qwen25" memory search "door code" --embedder model:org/model >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "memory"; }
for name in org/gguf:Q8_0 org/gguf:f16 org/model@main "org/model@$(basename "$snapshot")"; do
  quietly "$qwen25" generate -m "$name" -p if -n 2
done
# A sentence encoder comes with its modules, and is not offered for a chat.
pulls org/encoder
says "use it: qwen25 embed -m org/encoder"
"$qwen25" embed -m "$repositories/org/encoder" text >"$work/by_path"
"$qwen25" embed -m org/encoder text >"$work/by_name"
cmp "$work/by_path" "$work/by_name" || fail "an encoder gives other vectors by name"
"$qwen25" chat >"$work/output" 2>&1 || true
! grep -q org/encoder "$work/output" || fail "an encoder is offered for a chat"

# What belongs to a model is written elsewhere: its store is that of other programs, too.
quietly "$qwen25" generate -m org/model -p if -n 2 --weights int8 --cache-weights
quietly "$qwen25" generate -m org/gguf:Q8_0 -p if -n 2 --cache-weights
[[ $(find "$XDG_CACHE_HOME/qwen25/packed" -name '*.packed' | wc -l) -eq 2 ]] || fail "the packed weights are missing"
[[ -z $(find "$hub" -name '*.packed*') ]] || fail "packed weights in the hub's cache"
[[ -z $(find "$hub"/models--*/snapshots -type f) ]] || fail "files in snapshots"

# Other stores: LLAMA_CACHE with the same layout, and Ollama's.
mv "$hub" "$work/llama"
absent org/model
LLAMA_CACHE=$work/llama quietly "$qwen25" generate -m org/gguf:q8_0 -p if -n 2
mkdir -p "$hub" && rmdir "$hub" && mv "$work/llama" "$hub"
export OLLAMA_MODELS=$work/ollama
digest=$(sha256sum "$repositories/org/gguf/m-Q8_0.gguf" | cut -d' ' -f1)
mkdir -p "$OLLAMA_MODELS"/blobs "$OLLAMA_MODELS/manifests/registry.ollama.ai/library/tiny"
cp "$repositories/org/gguf/m-Q8_0.gguf" "$OLLAMA_MODELS/blobs/sha256-$digest"
echo "{\"layers\": [{\"mediaType\": \"application/vnd.ollama.image.model\", \"digest\": \"sha256:$digest\"}]}" \
  >"$OLLAMA_MODELS/manifests/registry.ollama.ai/library/tiny/latest"
quietly "$qwen25" generate -m ollama/tiny -p if -n 2 --cache-weights
[[ $(ls "$OLLAMA_MODELS/blobs" | wc -l) -eq 1 ]] || fail "something was written into Ollama's store"

# Without a model: what is there, as commands, with the exit status of a usage error.
ln -s "$work/run/model" "$work/here/near"
for verb in chat generate perplexity; do
  status=0
  (cd "$work/here" && "$qwen25" "$verb") >"$work/output" 2>&1 || status=$?
  [[ $status -eq 106 ]] || fail "qwen25 $verb without a model: exit status $status"
  for line in "qwen25 $verb -m org/model " "qwen25 $verb -m org/gguf:Q8_0" "qwen25 $verb -m near" \
    "qwen25 $verb -m ollama/tiny:latest" "qwen25 pull Qwen/Qwen2.5-0.5B-Instruct"; do
    says "$line"
  done
done
(cd "$work/here" && "$qwen25" models) >"$work/output"
says "org/gguf:F16"
says "near"
"$qwen25" models --json | python3 -c "
import json, os, sys
models = json.load(sys.stdin)['models']
assert {'org/model', 'org/gguf:Q8_0', 'org/gguf:F16', 'ollama/tiny:latest'} <= {m['name'] for m in models}, models
assert all(os.path.exists(m['path']) and m['bytes'] > 1000 for m in models), models" || fail "models --json"
[[ $("$qwen25" models path org/gguf:F16) == */m-F16.gguf ]] || fail "models path"

# Removing asks; without a terminal it needs --yes.
status=0
"$qwen25" models remove org/model </dev/null >"$work/output" 2>&1 || status=$?
[[ $status -ne 0 && -d $snapshot ]] || fail "removed without a question"
quietly "$qwen25" models remove org/gguf:F16 --yes
"$qwen25" models path org/gguf:Q8_0 >"$work/log" || fail "another format was removed"
quietly "$qwen25" models remove org/model --yes
[[ ! -e $hub/models--org--model && ! -e $XDG_CACHE_HOME/qwen25/packed/models--org--model ]] || fail "something stays"
absent org/model
unset OLLAMA_MODELS
forget

# Answers that are final, each with what to do.
refuses "there is no such repository" nobody/nothing
refuses "HF_TOKEN" private/model
HF_TOKEN=wrong refuses "your token may read it" private/model
HF_TOKEN=hf_secret pulls private/model
refuses "there is no such revision" org/model --revision v7
refuses "can run programs" org/pickled
fault "1 gated resolve"
refuses "accept the model's terms" org/model
absent org/model
refuses "expected one as in" org/model --endpoint ftp://localhost
refuses "names no model" org/model/more
mkdir -p "$HF_HOME" && echo hf_secret >"$HF_HOME/token"
pulls private/model
forget

# Faults that pass: the hub is asked again, and what is there is not fetched again.
fault "2 status-500 revision" "1 status-503 tree" "1 status-429 resolve" "1 status-502 large/org/model"
pulls org/model
says "org/model"
sound
forget
requests
fault "1 cut-10000000 large/org/large"
pulls org/large
grep -q '"range": "bytes=10000000-"' "$work/state/requests" || fail "a cut was not resumed: $(grep range "$work/state/requests")"
sound
forget
requests
fault "1 cut-10000000 large/org/large" "1 whole large/org/large"
pulls org/large
sound
forget
fault "1 cut-10000000 large/org/large" "1 other-part large/org/large"
pulls org/large
sound
forget
for kind in wrong short long; do
  fault "1 $kind large/org/large"
  pulls org/large
  sound
  forget
  fault "2 $kind large/org/large"
  refuses "twice" org/large
  absent org/large
  [[ -z $(find "$hub/models--org--large" -name '*.incomplete' -size +0) ]] || fail "wrong bytes were kept"
  forget
done
fault "1 wrong config.json"
pulls org/model
sound
forget
[[ ! -e $work/state/leaks ]] || fail "the token went to another host: $(cat "$work/state/leaks")"

# Stopped in the middle, by Ctrl-C and by kill -9: no model, and the next pull goes on.
for signal in INT KILL; do
  rm -f "$work/state/hanging" "$work/state/release"
  fault "1 hang large/org/large"
  "$qwen25" pull org/large >"$work/output" 2>&1 &
  wait_for 20 test -e "$work/state/hanging" || fail "the download does not start"
  has_half() { [[ $(find "$hub" -name '*.incomplete' -printf '%s\n' 2>/dev/null | sort -n | tail -n 1) -ge 12000000 ]]; }
  wait_for 20 has_half || fail "nothing is written"
  absent org/large
  kill "-$signal" $!
  status=0
  wait $! || status=$?
  if [[ $signal == INT ]]; then
    [[ $status -eq 130 ]] || fail "Ctrl-C: exit status $status"
    says "the same command goes on from there: qwen25 pull org/large"
  fi
  touch "$work/state/release"
  absent org/large
  (cd "$work/here" && "$qwen25" models) >"$work/output"
  says "was not finished"
  requests
  pulls org/large
  grep -q '"range": "bytes=12000000-"' "$work/state/requests" || fail "$signal: not resumed: $(cat "$work/state/requests")"
  sound
  forget
done

# Two at a time: the second waits for the first, says for whom, and fetches nothing.
rm -f "$work/state/hanging" "$work/state/release"
requests
fault "1 hang large/org/large"
"$qwen25" pull org/large >"$work/first" 2>&1 &
first=$!
wait_for 20 test -e "$work/state/hanging" || fail "the download does not start"
"$qwen25" pull org/large >"$work/output" 2>&1 &
second=$!
wait_for 20 grep -q "another process (process $first) is fetching this model" "$work/output" || fail "the second one does not wait"
status=0
"$qwen25" models remove org/large --yes >"$work/log" 2>&1 || status=$?
[[ $status -eq 1 ]] && grep -q 'is fetching this model' "$work/log" || fail "removed while it is fetched"
touch "$work/state/release"
wait $first || { cat "$work/first" >&2; fail "the first of two"; }
wait $second || { cat "$work/output" >&2; fail "the second of two"; }
[[ $(grep -c 'resolve.*model.safetensors' "$work/state/requests") -eq 1 ]] || fail "both fetched it"
sound
forget

# Another program, which locks a content as huggingface_hub does, is waited for.
digest=$(sha256sum "$repositories/org/large/model.safetensors" | cut -d' ' -f1)
mkdir -p "$hub/.locks/models--org--large"
exec 8>"$hub/.locks/models--org--large/$digest.lock"
flock 8
"$qwen25" pull org/large >"$work/output" 2>&1 8>&- &
wait_for 20 grep -q 'another program is fetching model.safetensors' "$work/output" || fail "a lock is not respected"
absent org/large
exec 8>&-
wait $! || { cat "$work/output" >&2; fail "after the other program"; }
sound
forget

# A disk without room: before anything is fetched, and when it fills up meanwhile.
disk="(no full disk: mounting is refused)"
mkdir -p "$HF_HOME"
if [[ ${QWEN25_IN_NAMESPACE:-} == 1 ]] && mount -t tmpfs -o size=16m tmpfs "$HF_HOME" 2>/dev/null; then
  disk="and a full disk"
  requests
  refuses "the disk has room for" org/large
  ! grep -q resolve "$work/state/requests" || fail "fetched without room"
  umount "$HF_HOME"
  mount -t tmpfs -o size=26m tmpfs "$HF_HOME"
  rm -f "$work/state/hanging" "$work/state/release"
  fault "1 hang large/org/large"
  "$qwen25" pull org/large >"$work/output" 2>&1 &
  wait_for 20 test -e "$work/state/hanging" || fail "the download does not start"
  wait_for 20 has_half || fail "nothing is written"
  head -c 8000000 /dev/zero >"$HF_HOME/filler"
  touch "$work/state/release"
  status=0
  wait $! || status=$?
  [[ $status -eq 1 ]] || fail "a disk that fills up: exit status $status"
  says "make room and start again"
  absent org/large
  rm "$HF_HOME/filler"
  pulls org/large
  sound
  umount "$HF_HOME"
fi
printf 'hub: models by name, through redirects, cuts, wrong bytes, refusals, kills %s\n' "$disk"
