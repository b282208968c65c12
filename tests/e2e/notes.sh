#!/usr/bin/env bash
# Notes from the command line: added, found, superseded, exported, imported, forgotten without a trace, and kept by a
# writer that is killed: notes.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

quietly "$qwen25" memory add "The garage code is 4711." --tag home
quietly "$qwen25" memory add "Die Katze heißt Mimi." "会议在星期三下午三点举行。"
"$qwen25" memory search "what is the code of the garage?" | grep -q "garage code is 4711" || fail "a note is not found"
"$qwen25" memory search "星期三" --mode words | grep -q "note 3 " || fail "Chinese is not found"
[[ $("$qwen25" memory search "garage" --namespace other) == "nothing found" ]] || fail "namespaces are not apart"

# Symbols are found, by words and by meaning.
symbols=(--memory "$work/symbols")
quietly "$qwen25" memory add "release party 🎉 on Friday" "🎉🎉" "Prag 🇨🇿" "Schritt 3️⃣" "∑ over n" "nothing of these" "${symbols[@]}"
for mode in words vectors hybrid; do
  [[ $("$qwen25" memory search 🎉 "${symbols[@]}" --mode $mode -k 2 | grep -o '^note [0-9]' | sort | tr '\n' ' ') == "note 1 note 2 " ]] ||
    fail "an emoji is not found by $mode"
done
for found in "3 🇨🇿" "4 3️⃣" "5 ∑"; do
  "$qwen25" memory search "${found#* }" "${symbols[@]}" -k 1 | grep -q "^note ${found%% *} " || fail "${found#* } is not found"
done

# A folder that can only be read, as on a read-only medium.
mkdir "$work/medium"
if mount -t tmpfs -o size=16m tmpfs "$work/medium" 2>/dev/null; then
  trap 'umount "$work/medium" 2>/dev/null || true; rm -rf "$work"' EXIT
  quietly "$qwen25" memory add --memory "$work/medium/m" "The tide comes at nine."
  mount -o remount,ro "$work/medium"
  for verb in "search tide" list export "show 1"; do
    # shellcheck disable=SC2086
    "$qwen25" memory $verb --memory "$work/medium/m" | grep -q "tide comes" || fail "memory $verb of a folder that can only be read"
  done
  quietly "$qwen25" memory stats --memory "$work/medium/m"
  quietly "$qwen25" memory verify --memory "$work/medium/m"
  ! "$qwen25" memory add x --memory "$work/medium/m" >"$work/log" 2>&1 || fail "a note was added where nothing can be"
  grep -q "can only be read" "$work/log" || { cat "$work/log" >&2; fail "the reason is not said"; }
  umount "$work/medium"
else
  echo "notes: SKIPPED a read-only medium, which cannot be mounted here"
fi

# A flipped bit of a text is found.
cp -r "$QWEN25_MEMORY" "$work/flipped"
python3 -c 'import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.find(b"garage code is 4711")
assert at > 0
data[at] ^= 1
open(sys.argv[1], "wb").write(data)' "$work/flipped/notes.sqlite"
! "$qwen25" memory verify --memory "$work/flipped" >"$work/log" 2>&1 || fail "verify does not find a flip in a note"
grep -q "not what was written: 1" "$work/log" || { cat "$work/log" >&2; fail "the damaged note is not named"; }

quietly "$qwen25" memory add "The garage code is 5822." --supersedes 1
"$qwen25" memory search "garage code" --json | grep -q 4711 && fail "a superseded note is found"
"$qwen25" memory search "garage code" --all | grep -q superseded || fail "--all does not show what was superseded"

mkdir "$work/docs"
for i in $(seq 1 400); do printf 'Chapter %d tells of the lighthouse keeper number %d.\n\n' "$i" $((i * 37)); done >"$work/docs/tale.txt"
printf 'no text\0here' >"$work/docs/image.png"
quietly "$qwen25" memory add "$work/docs"
"$qwen25" memory search "keeper 7400" | head -2 | grep -q "Chapter 200 " || fail "a place in a document is not found"
quietly "$qwen25" memory add "$work/docs"
[[ $("$qwen25" memory list --all | wc -l) == 5 ]] || fail "an unchanged file was added twice"
echo 'The tale is lost.' >"$work/docs/tale.txt"
quietly "$qwen25" memory add "$work/docs"
"$qwen25" memory search "keeper 7400" --mode words --json | grep -q Chapter && fail "the old text of a file is found"

quietly "$qwen25" memory export "$work/notes.jsonl"
quietly "$qwen25" memory import "$work/notes.jsonl" --memory "$work/copy"
diff <("$qwen25" memory list --all --json | python3 -c 'import json,sys
for l in sys.stdin: n=json.loads(l); print(n["text"], n.get("tags"), n["created_ms"], "superseded_by" in n)') \
  <("$qwen25" memory list --all --json --memory "$work/copy" | python3 -c 'import json,sys
for l in sys.stdin: n=json.loads(l); print(n["text"], n.get("tags"), n["created_ms"], "superseded_by" in n)') ||
  fail "an import differs from what was exported"

quietly "$qwen25" memory forget --source "$work/docs/tale.txt" --erase --yes
grep -rqi lighthouse "$work/memory" && fail "an erased document left a trace"
"$qwen25" memory forget --everything </dev/null >/dev/null 2>&1 && fail "everything was forgotten without being asked"
[[ $("$qwen25" memory list | wc -l) == 3 ]] || fail "notes are missing"
quietly "$qwen25" memory verify

# Killed in the middle: what was printed is there.
for i in $(seq 1 60); do printf 'File %d is about subject %d.\n' "$i" $((i * 11)) >"$work/docs/$i.txt"; done
for round in 1 2 3 4 5; do
  "$qwen25" memory add "$work/docs" --memory "$work/killed" >"$work/printed" 2>/dev/null & writer=$!
  while [[ $(wc -l <"$work/printed") -lt $((round * 5)) ]] && kill -0 "$writer" 2>/dev/null; do :; done
  kill -9 "$writer" 2>/dev/null || true
  wait "$writer" 2>/dev/null || true
  head -n -1 "$work/printed" | cut -f1 | xargs -r "$qwen25" memory show --memory "$work/killed" >/dev/null ||
    fail "an acknowledged note is gone"
done
quietly "$qwen25" memory verify --memory "$work/killed"

"$qwen25" embed "a cat" "the cats" "tax law" --embedder hashed --similarity | awk 'NR == 1 && $2 > $3 { ok = 1 } END { exit !ok }' ||
  fail "similar texts are not nearer"
quietly "$qwen25" embed "one" "two" --embedder hashed -o "$work/v.npy"
[[ $(stat -c %s "$work/v.npy") == $((128 + 2 * 512 * 4)) ]] || fail "the .npy file has a wrong size"
echo "notes: added, found, superseded, exported, forgotten, and kept through five kills"
