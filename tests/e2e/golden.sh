#!/usr/bin/env bash
# Losses, weights, logits and names of blocks that a change of structure must not change, to the last bit: golden.sh PROGRAM
# The values of golden.txt hold for AVX2, which this test pins. After a change that is meant to change numbers, or formats,
#   tests/e2e/golden.sh PROGRAM --write
# writes them anew; its commit says why.
source "$(dirname "$0")/common.sh" "$@"
export QWEN25_FORCE_ISA=AVX2 QWEN25_NUM_THREADS=1
"$qwen25" plan nano >/dev/null 2>&1 || skip "this machine does not run AVX2"

# Text that does not depend on this checkout: sentences of made-up words, some more frequent than others.
python3 - "$work/text.jsonl" "$work/prompt.txt" <<'PY'
import json, sys
state = 12345
def below(n):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % n
syllables = ["ka", "ro", "mi", "tel", "su", "ban", "or", "il", "den", "pra", "vo", "est"]
words = ["".join(syllables[below(12)] for _ in range(1 + below(3))) for _ in range(300)]
def sentence():
    return " ".join(words[min(below(300), below(300))] for _ in range(4 + below(12))).capitalize() + "."
def document():
    return " ".join(sentence() for _ in range(2 + below(10)))
with open(sys.argv[1], "w") as f:
    for _ in range(400):
        f.write(json.dumps({"text": document()}) + "\n")
with open(sys.argv[2], "w") as f:
    f.write(" ".join(document() for _ in range(4)))
PY
quietly "$qwen25" tokenizer train "$work/text.jsonl" --vocab-size 512 -o "$work/tokenizer"
quietly "$qwen25" tokenizer apply "$work/text.jsonl" --tokenizer "$work/tokenizer" -o "$work/shard"
write_small_config "$work/config.json"

# train NAME [SETTINGS ...]: forty steps, in $work/NAME.
train() {
  local name=$1
  shift
  quietly "$qwen25" train --data "$work/shard" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$work/config.json" --sequence-length 256 --tokens-per-step 1024 --micro-batch-tokens 512 \
    --max-steps 40 --set run.measure_peak=false --set optimizer.learning_rate=0.003 "$@" -o "$work/$name"
}
train run
train muon --set optimizer.kind=muon --set batch.recompute=true
model=$work/run/model

ids=$("$qwen25" tokenizer encode "$work/tokenizer" --text-file "$work/prompt.txt" | tr '\n' ' ' | cut -d ' ' -f 1-300)
# logits NAME MODEL
logits() {
  # shellcheck disable=SC2086
  quietly "$qwen25" logits -m "$2" $ids -o "$work/$1.safetensors"
}
logits logits-stored "$model"
for type in float16 q8_0 q4_0 q4_k; do
  quietly "$qwen25" quantize -m "$model" -o "$work/$type.gguf" --format $type
  logits logits-$type "$work/$type.gguf"
done

# Answers and the blocks that they leave, with each format of keys and values, routed and not.
prompt="$(head -c 1400 "$work/prompt.txt")"
# chat_blocks NAME [FLAGS ...]
chat_blocks() {
  local name=$1
  shift
  chat "$name" "$prompt\nAnd then what\n" --memory "$work/memory-$name" --system "Answer." --max-context 512 "$@"
  grep -v '^\[' "$work/$name" >"$work/answer-$name"
  quietly "$qwen25" memory export-blocks "$work/blocks-$name.safetensors" --memory "$work/memory-$name"
}
chat_blocks float32
chat_blocks float16 --kv float16
chat_blocks int8 --kv int8
chat_blocks routed --routing top_k:1,local=0,dense_below=64
chat_blocks weights-int8 --weights int8
chat_blocks weights-int4 --weights int4
for sampling in "--top-k 40 --top-p 0.95" "--top-p 0.9" "--min-p 0.05" "--speculate lookup --top-k 40"; do
  name=answer-sampled$(tr -d -c 'a-z0-9' <<<"$sampling")
  # shellcheck disable=SC2086
  "$qwen25" generate -m "$model" --prompt "$prompt" -n 40 --temperature 0.9 --seed 7 $sampling >"$work/$name" 2>"$work/log" ||
    { cat "$work/log" >&2; fail "generate $sampling"; }
done

python3 - "$work" >"$work/golden.txt" <<'PY'
import hashlib, json, pathlib, struct, sys
work = pathlib.Path(sys.argv[1])
def digest(data):
    return hashlib.sha256(data).hexdigest()[:32]
def tensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]
            for name, t in sorted(header.items())}
for run in ("run", "muon"):
    losses = []
    for line in open(work / run / "metrics.jsonl"):
        record = json.loads(line)
        for key in ("loss", "gradient_norm"):
            if key in record:
                losses.append(f"{key} {record[key]!r}")
    assert len(losses) >= 80, losses
    print(run, "losses", digest("\n".join(losses).encode()), losses[-2])
    print(run, "weights", digest(b"".join(tensors(work / run / "model" / "model.safetensors").values())))
for path in sorted(work.glob("logits-*.safetensors")):
    print(path.stem, digest(b"".join(tensors(path).values())))
for path in sorted(work.glob("blocks-*.safetensors")):
    for name, data in tensors(path).items():
        if name.endswith((".ids", ".keys_values", ".summaries")):
            print(path.stem, name, len(data), digest(data))
for path in sorted(work.glob("answer-*")):
    print(path.name, digest(path.read_bytes()))
PY
golden=$source_folder/tests/e2e/golden.txt
if [[ ${2:-} == --write ]]; then
  cp "$work/golden.txt" "$golden"
  exit 0
fi
diff "$golden" "$work/golden.txt" || fail "numbers differ from those in golden.txt (< as they were, > as they are)"
printf 'golden: passed\n'
