#!/usr/bin/env bash
# The server as its clients see it: serve.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"
prepare_model 256
# The context must hold descriptions of functions.
sed -i 's/"max_position_embeddings": 512/"max_position_embeddings": 2048/' "$work/run/model/config.json"
PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/serve.py" "$qwen25" "$work/run/model" "$work" || fail "see above"
printf 'serve: passed\n'
