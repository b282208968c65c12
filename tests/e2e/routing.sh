#!/usr/bin/env bash
# What is said about routing: recall of facts with a recall window, its pictures, the map of a text: routing.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

quietly "$qwen25" bench recall --write-data "$work/facts" --documents 40 --document-tokens 256 --fact-every 16
write_small_config "$work/config.json"
sed -i 's/"vocab_size": 512/"vocab_size": 1024/' "$work/config.json"
quietly "$qwen25" train --data "$work/facts" --set model.preset= --set "model.config=$work/config.json" \
  --sequence-length 256 --tokens-per-step 1024 --micro-batch-tokens 1024 --max-steps 5 --set run.measure_peak=false \
  --set model.routing=top_k:2,local=0,dense_below=0 --set model.routing_from_step=2 -o "$work/run"

# Far beyond the 512 positions of the model, with 1 MiB of some 12 in RAM.
"$qwen25" bench recall -m "$work/run/model" --length 600,20000 --depths 5 --histories 2 --recall-window 256 --working-mib 1 \
  --spill-directory "$work" -o "$work/recall.svg" --growth "$work/growth.svg" --json >"$work/json" 2>"$work/log" ||
  { cat "$work/log" >&2; fail "bench recall"; }
python3 - "$work" <<'PYTHON' || fail "the figures: $(cat "$work/json")"
import json, sys
from xml.etree import ElementTree
work = sys.argv[1]
short, long = json.load(open(work + "/json"))["results"]
assert short["length"] == 600 and long["length"] == 20000
for row in short, long:
    assert len(row["right"]) == 5 and all(0 <= right <= 2 for right in row["right"]), row
    assert row["seconds_per_token"] > 0 and row["seconds_per_question"] > 0, row
    assert 0 < row["resident_bytes"] < 1 << 30, row
assert long["read_share"] < 0.1 < short["read_share"], (short, long)
recall, growth = (ElementTree.parse(f"{work}/{name}.svg").getroot() for name in ("recall", "growth"))
assert "".join(recall.itertext()).count("%") >= 10
assert "MiB in RAM" in "".join(growth.itertext())
PYTHON

# A text: the page, and its pictures alone.
prepare_data
write_small_config "$work/config.json"
quietly "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
  --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512 --micro-batch-tokens 512 \
  --max-steps 5 --set run.measure_peak=false -o "$work/text"
for name in map.svg map.html; do
  quietly "$qwen25" routing -m "$work/text/model" --text-file "$source_folder/README.md" --max-tokens 500 \
    --routing top_p:0.5,local=0,dense_below=0 -o "$work/$name"
done
python3 - "$work" <<'PYTHON' || fail "the pictures of a text"
import sys
from xml.etree import ElementTree
work = sys.argv[1]
figure = ElementTree.parse(work + "/map.svg").getroot()
text = "".join(figure.itertext())
assert "Blocks of 64 tokens" in text and all(f"layer {layer}" in text for layer in range(3)), text
page = open(work + "/map.html").read()
assert page.startswith("<!DOCTYPE html>") and page.count("<figcaption>") == 3
PYTHON
# Reranked by their keys: reported, and as exact as all routing.
for rerank in 1 64; do
  "$qwen25" perplexity -m "$work/text/model" "$source_folder/README.md" --window 500 --max-tokens 499 --json \
    --routing "top_k:2,local=0,dense_below=0,rerank=$rerank" >"$work/rerank$rerank.json" 2>"$work/log" ||
    { cat "$work/log" >&2; fail "perplexity with rerank=$rerank"; }
done
python3 - "$work" <<'PYTHON' || fail "reranking is not reported"
import json, sys
plain, reranked = (json.load(open(f"{sys.argv[1]}/rerank{n}.json")) for n in (1, 64))
assert plain["reranked_share"] == 0 and 0.1 < reranked["reranked_share"] < 1, reranked
assert plain["read_share"] == reranked["read_share"] < 1, (plain, reranked)
PYTHON

# A policy that suits the model is kept beside it, and others use it; one that asks too much is not.
calibrate() {
  "$qwen25" routing -m "$work/text/model" --text-file "$source_folder/README.md" --calibrate -o "$work/calibration.svg" \
    --json "$@" >"$work/calibration.json" 2>"$work/log" || { cat "$work/log" >&2; fail "routing --calibrate"; }
}
score() { "$qwen25" perplexity -m "$work/text/model" "$source_folder/README.md" --window 500 --max-tokens 499 --json "$@"; }
score >"$work/before.json" 2>"$work/log"
calibrate --max-loss 1000
score >"$work/routed.json" 2>"$work/log"
grep -q "routed as $work/text/model/routing.json says" "$work/log" || fail "perplexity does not say that it is routed"
score --routing dense >"$work/dense.json" 2>"$work/log"
"$qwen25" generate -m "$work/text/model" -p "a text" -n 3 --no-memory >"$work/text.txt" 2>"$work/log" ||
  { cat "$work/log" >&2; fail "generate with a calibrated model"; }
grep -q "routed as $work/text/model/routing.json says" "$work/log" || fail "generate does not say that it is routed"
cp "$work/calibration.json" "$work/kept.json"
# Within a recall window that is shorter than what the policy reads whole.
sed -i 's/dense_below=[0-9]*/dense_below=400/' "$work/text/model/routing.json"
quietly "$qwen25" generate -m "$work/text/model" -p "a text" -n 3 --no-memory --recall-window 128
calibrate --max-loss 0
python3 - "$work" <<'PYTHON' || fail "calibration: $(cat "$work/kept.json")"
import json, os, sys
from xml.etree import ElementTree
work = sys.argv[1]
before, routed, dense, kept, strict = (json.load(open(f"{work}/{name}.json"))
                                       for name in ("before", "routed", "dense", "kept", "calibration"))
assert len(kept["policies"]) == 12 and kept["kept"] == work + "/text/model/routing.json", kept
least = min(kept["policies"], key=lambda point: point["work"])
assert kept["chosen"] == least["policy"], kept["chosen"]
assert before == dense and dense["read_share"] == 1 > routed["read_share"], routed
assert "score=mean,rerank=3" in "".join(ElementTree.parse(work + "/calibration.svg").getroot().itertext())
fitting = [point for point in strict["policies"] if point["loss"] <= 0]
assert (strict["chosen"] is None) == (not fitting), strict
assert os.path.exists(work + "/text/model/routing.json") == bool(fitting)
PYTHON
# Of a GGUF file, too, whose policy stands beside it.
quietly "$qwen25" convert "$work/text/model" "$work/model.gguf"
quietly "$qwen25" routing -m "$work/model.gguf" --text-file "$source_folder/README.md" --calibrate --max-loss 1000 -o ''
"$qwen25" generate -m "$work/model.gguf" -p "a text" -n 3 --no-memory >"$work/text.txt" 2>"$work/log"
grep -q "routed as $work/model.gguf.routing.json says" "$work/log" || fail "a GGUF file is not routed as calibrated"
printf '{"policy": "top_k:0"}' >"$work/text/model/routing.json"
if score >/dev/null 2>"$work/log"; then fail "a damaged routing.json is used"; fi
grep -q 'routing.json.*--calibrate' "$work/log" || fail "the error about routing.json: $(cat "$work/log")"
rm "$work/text/model/routing.json"
if "$qwen25" routing -m "$work/text/model" -t "short" --calibrate -o '' >/dev/null 2>"$work/log"; then
  fail "a short text calibrates"
fi
grep -q 'give a longer text' "$work/log" || fail "the error about a short text: $(cat "$work/log")"

# A sentence planted in a text.
"$qwen25" bench needle -m "$work/text/model" --text "$source_folder/README.md" --length 300,400 --depths 3 --json \
  -o "$work/needles.svg" --growth "$work/growth.svg" >"$work/needles.json" 2>"$work/log" ||
  { cat "$work/log" >&2; fail "bench needle"; }
python3 - "$work" <<'PYTHON' || fail "planted sentences: $(cat "$work/needles.json")"
import json, sys
from xml.etree import ElementTree
work = sys.argv[1]
results = json.load(open(work + "/needles.json"))["results"]
assert [row["length"] for row in results] == [300, 400] and all(len(row["right"]) == 3 for row in results), results
assert "Planted sentences found" in "".join(ElementTree.parse(work + "/needles.svg").getroot().itertext())
PYTHON
printf 'routing: facts asked far beyond the positions of a model, and its pictures\n'
