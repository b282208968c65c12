#!/usr/bin/env bash
# A whole day's use of the memory by a script that ends processes in every way, half of them by SIGKILL: what
# was acknowledged is there, and nothing else (whole_day.py): whole_day.sh PROGRAM
# QWEN25_TURNS sets how many turns (60, with 8 restarts in 3 namespaces). 500 are a whole day: 40 restarts in 8
# namespaces. QWEN25_SEED repeats a day whose seed was printed. An encrypted memory then has half such a day.
source "$(dirname "$0")/common.sh" "$@"
turns=${QWEN25_TURNS:-60}
restarts=$((turns < 100 ? 8 : turns * 2 / 25))
namespaces=$((turns < 500 ? 3 : 8))

prepare_model 256
# The context must hold dialogues with answers of 400 tokens.
sed -i 's/"max_position_embeddings": 512/"max_position_embeddings": 4096/' "$work/run/model/config.json"

day() {
  TMPDIR=$work PYTHONDONTWRITEBYTECODE=1 python3 "$source_folder/tests/e2e/whole_day.py" "$qwen25" \
    --model "$work/run/model" --seed "${QWEN25_SEED:-$RANDOM}" --namespaces "$namespaces" "$@" ||
    fail "see above"
}
day --turns "$turns" --restarts "$restarts"
day --turns $((turns / 2)) --restarts $((restarts / 2)) --encrypted
printf 'whole_day: passed\n'
