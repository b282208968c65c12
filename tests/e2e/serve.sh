#!/usr/bin/env bash
# The server as its clients see it: serve.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"
prepare_model 256
PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/serve.py" "$qwen25" "$work/run/model" "$work" || fail "see above"
printf 'serve: passed\n'
