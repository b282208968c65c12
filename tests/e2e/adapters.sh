#!/usr/bin/env bash
# An adapter changes what a model writes, the same whether it is applied beside the weights, merged while they are loaded or
# written into a model of its own: adapters.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"
prepare_model 256
model=$work/run/model
# PEFT's folders, and the same as a GGUF file.
PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/adapter_files.py" "$model" "$work" || fail "the adapters could not be made"
lora=$work/lora

generate() { "$qwen25" generate -m "$1" -p "const std::string" -n 40 --temperature 0 "${@:2}"; }
generate "$model" >"$work/plain"
generate "$model" --adapter "$lora" >"$work/wanted"
if cmp -s "$work/plain" "$work/wanted"; then fail "the adapter changes nothing"; fi
same() {  # same NAME COMMAND ...
  "${@:2}" | diff "$work/wanted" - >&2 || fail "$1 does not write what the adapter does"
}
same "the GGUF file" generate "$model" --adapter "$lora.gguf"
same "halves that add up" generate "$model" --adapter "$lora=0.5" --adapter "$lora.gguf=0.5"
same "the merged one" generate "$model" --adapter "$lora" --merge-adapters
quietly "$qwen25" convert "$model" "$work/merged" --adapter "$lora"
same "the converted one" generate "$work/merged"
quietly "$qwen25" convert "$work/merged" "$work/merged.gguf"
same "the converted one as GGUF" generate "$work/merged.gguf"
generate "$model" --adapter "$lora=0" | diff "$work/plain" - >&2 || fail "none of an adapter changes something"
# A memory keeps the two apart: what one has stored, the other does not read.
remembered() { generate "$model" --memory "$work/kept" "$@"; }
remembered --adapter "$lora" | diff "$work/wanted" - >&2 || fail "the memory changes the text"
remembered | diff "$work/plain" - >&2 || fail "keys and values of the adapter were used without it"
remembered --adapter "$lora" | diff "$work/wanted" - >&2 || fail "keys and values without the adapter were used with it"

perplexity() {
  "$qwen25" perplexity -m "$1" "$source_folder/docs/layers.txt" --max-tokens 500 --json "${@:2}" 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["perplexity"])'
}
apart=$(perplexity "$model" --adapter "$lora")
for other in "$(perplexity "$model" --adapter "$lora" --merge-adapters)" "$(perplexity "$work/merged")"; do
  python3 -c "import sys; sys.exit(not abs($other / $apart - 1) < 1e-5)" || fail "perplexity $apart became $other"
done
python3 -c "import sys; sys.exit(not abs($(perplexity "$model") / $apart - 1) > 1e-3)" || fail "perplexity ignores the adapter"
printf 'Say hello\n' | "$qwen25" chat -m "$model" --adapter "$lora" --max-new-tokens 4 >/dev/null 2>&1 || fail "chat"

# A server, whose answers are those of generate.
PYTHONDONTWRITEBYTECODE=1 python3 - "$qwen25" "$model" "$work" "$(dirname "$0")" <<'PYTHON' || fail "see above"
import pathlib, sys
program, model, work, here = sys.argv[1:]
sys.path.insert(0, here)
from server_process import Server
server = Server(program, ["-m", model, "--adapter", f"{work}/lora"], work)
answer = server.ask("/v1/completions", {"prompt": "const std::string", "max_tokens": 40, "temperature": 0, "echo": True})
server.process.terminate()
server.process.wait()
wanted = pathlib.Path(work, "wanted").read_text().removesuffix("\n")
assert answer["choices"][0]["text"] == wanted, (answer, wanted)
PYTHON

refused() {  # refused TEXT COMMAND ...
  local text=$1
  shift
  if "$@" >"$work/log" 2>&1; then fail "was not refused: $*"; fi
  grep -q -- "$text" "$work/log" || { cat "$work/log" >&2; fail "does not say \"$text\": $*"; }
}
refused 'there is no such adapter' generate "$model" --adapter "$work/none"
refused 'expected a finite number' generate "$model" --adapter "$lora=much"
refused 'merge it into its base model' generate "$model" --adapter "$work/dora"
refused 'made for another model' generate "$model" --adapter "$work/narrow"
refused 'give --adapter' generate "$model" --merge-adapters
refused 'are not kept with merged adapters' generate "$model" --adapter "$lora" --merge-adapters --cache-weights
refused 'write a folder with --adapter first' "$qwen25" convert "$model" "$work/x.gguf" --adapter "$lora"
refused 'made for another model' "$qwen25" convert "$model" "$work/x" --adapter "$work/narrow"
refused 'holds an adapter' generate "$lora"
[[ ! -e $work/x.gguf && ! -e $work/x ]] || fail "a refused command left something behind"
printf 'adapters: passed\n'
