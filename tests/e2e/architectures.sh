#!/usr/bin/env bash
# Architectures other than Qwen2 through the whole program: each is trained, run from its folder and from GGUF with the same
# answers, quantised and drafted for; a window changes the answer: architectures.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

prepare_data

# config FILE KEY=JSON ...: the small shape with changes.
config() {
  write_small_config "$1"
  python3 - "$@" <<'PYTHON'
import json, sys
config = json.load(open(sys.argv[1]))
config.pop("architectures")
for change in sys.argv[2:]:
    key, value = change.split("=", 1)
    config[key] = json.loads(value)
json.dump(config, open(sys.argv[1], "w"))
PYTHON
}
config "$work/qwen3.json" 'model_type="qwen3"' head_dim=32 use_sliding_window=true sliding_window=40 max_window_layers=2
config "$work/mistral.json" 'model_type="mistral"' sliding_window=48
config "$work/llama.json" 'model_type="llama"' rope_theta=10000 max_position_embeddings=4096 \
  'rope_scaling={"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":512}'

answer() {  # MODEL [FLAGS ...]
  "$qwen25" generate -m "$1" -p "$prompt" -n 40 --temperature 0 --ignore-eos --json "${@:2}" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["tokens"])'
}
prompt="for (size_t i = 0; i < count; ++i) { values[i] = static_cast<float>(rng.Normal()); } // and so on and so forth, for \
(size_t i = 0; i < count; ++i) { values[i] = "

for name in qwen3 mistral llama; do
  quietly "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$work/$name.json" --sequence-length 128 --tokens-per-step 1024 --micro-batch-tokens 512 \
    --max-steps 12 --optimizer muon --set run.measure_peak=false -o "$work/$name"
  model=$work/$name/model
  expected=$(answer "$model")
  [[ $(answer "$model" --speculate) == "$expected" ]] || fail "$name: speculation changes the answer"
  quietly "$qwen25" convert "$model" "$work/$name.gguf"
  [[ $(answer "$work/$name.gguf") == "$expected" ]] || fail "$name: its GGUF file answers otherwise"
  quietly "$qwen25" convert "$work/$name.gguf" "$work/$name-again"
  cmp -s "$model/model.safetensors" "$work/$name-again/model.safetensors" || fail "$name: weights changed on the way"
  packed=$(answer "$model" --weights int4 --cache-weights)
  [[ $(answer "$model" --weights int4 --cache-weights) == "$packed" ]] || fail "$name: the cache answers otherwise"
  quietly "$qwen25" plan "$model"
done

# Without its window a model sees more, from the 49th token on.
quietly "$qwen25" logits -m "$work/mistral/model" $(seq 1 60) -o "$work/windowed.safetensors"
config "$work/mistral/model/config.json" 'model_type="mistral"' sliding_window=null
quietly "$qwen25" logits -m "$work/mistral/model" $(seq 1 60) -o "$work/whole.safetensors"
python3 - "$work/windowed.safetensors" "$work/whole.safetensors" <<'PYTHON' || fail "the window is not of 48 tokens"
import json, sys
rows = []
for name in sys.argv[1:]:
    data = open(name, "rb").read()
    header_bytes = int.from_bytes(data[:8], "little")
    tensor = json.loads(data[8:8 + header_bytes])["logits"]
    begin, end = (8 + header_bytes + offset for offset in tensor["data_offsets"])
    size = (end - begin) // 60
    rows.append([data[begin + i * size:begin + (i + 1) * size] for i in range(60)])
same = [a == b for a, b in zip(*rows)]
assert same == [True] * 48 + [False] * 12, same
PYTHON
