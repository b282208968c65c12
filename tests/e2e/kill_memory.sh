#!/usr/bin/env bash
# A process that stores KV blocks is killed (kill -9) again and again at random moments. After each kill the store must
# open, hold every block whose Put had returned, byte for byte, and keep to its limit: kill_memory.sh BLOCK_STORE_TOOL
# QWEN25_KILLS sets how often (40). In RAM where there is such a folder and TMPDIR names no other: what a killed process
# has written is in the system's cache either way, and many more blocks are put between two kills.
[[ -n ${TMPDIR:-} || ! -w /dev/shm ]] || export TMPDIR=/dev/shm
source "$(dirname "$0")/common.sh" "$@"
tool=$1
kills=${QWEN25_KILLS:-40}

# Four stores take turns. In those that are large every acknowledged block must be there; in the small ones (some 200
# blocks) old ones are evicted, and the newest 16 must be there.
large_mebibytes=16384
small_mebibytes=4
newest=16
names=(large small large_encrypted small_encrypted)
declare -A next
for name in "${names[@]}"; do
  next[$name]=0
  : >"$work/$name.acknowledged"
done

# in_store NAME COMMAND [ARGUMENT ...]: replaces the shell by the tool, so that a kill hits the tool itself.
in_store() {
  local name=$1 command=$2 mebibytes=$large_mebibytes
  shift 2
  [[ $name == small* ]] && mebibytes=$small_mebibytes
  [[ $name == *encrypted ]] && export QWEN25_TEST_KEY=0123456789abcdef0123456789abcdef
  exec "$tool" "$command" "$work/$name" "$mebibytes" "$@"
}

check_store() {
  local name=$1 acknowledged stored missing
  if [[ $name == small* ]]; then
    tail -n "$newest" "$work/$name.acknowledged" >"$work/wanted"
  else
    cp "$work/$name.acknowledged" "$work/wanted"
  fi
  (in_store "$name" check) <"$work/wanted" >"$work/checked" 2>"$work/log" ||
    { cat "$work/log" >&2; fail "the store $name is damaged after kill $kill"; }
  missing=$(sed -n 's/^missing: *//p' "$work/checked")
  [[ -z $missing ]] || fail "acknowledged blocks are missing from $name after kill $kill: $missing"
  stored=$(sed -n 's/^stored: *//p' "$work/checked")
  acknowledged=$(wc -l <"$work/$name.acknowledged")
  # One more may have been stored when the kill came before its acknowledgement.
  [[ $name == small* || $stored -eq $acknowledged || $stored -eq $((acknowledged + 1)) ]] ||
    fail "$name holds $stored blocks, $acknowledged were acknowledged (kill $kill)"
  [[ $name != small* || $stored -le $((acknowledged + 1)) ]] || fail "$name holds blocks that nobody put"
  [[ $stored -ge $acknowledged ]] || evicted=$((evicted > acknowledged - stored ? evicted : acknowledged - stored))
}

evicted=0
total=0
for ((kill = 1; kill <= kills; ++kill)); do
  name=${names[kill % 4]}
  if [[ $name == large* && ${next[$name]} -gt 2000 ]]; then  # to keep the checks short
    total=$((total + $(wc -l <"$work/$name.acknowledged")))
    rm -r "${work:?}/$name"
    : >"$work/$name.acknowledged"
    next[$name]=0
  fi
  (in_store "$name" put "${next[$name]}") >>"$work/$name.acknowledged" 2>"$work/log" &
  pid=$!
  sleep "0.$(printf '%03d' $((RANDOM % (RANDOM % 3 ? 120 : 20))))"  # the random moment
  kill -9 "$pid" 2>/dev/null || { cat "$work/log" >&2; fail "the tool ended by itself before kill $kill"; }
  wait "$pid" 2>/dev/null || true
  last=$(tail -n 1 "$work/$name.acknowledged")
  [[ -z $last ]] || next[$name]=$((last + 1))
  check_store "$name"
done
total=$((total + $(cat "$work"/*.acknowledged | wc -l)))
[[ $kills -lt 40 || $total -gt $kills ]] || fail "only $total blocks were put between $kills kills"
printf 'kill_memory: %d kills, %d blocks acknowledged, none lost or damaged; up to %d evicted from a small store\n' \
  "$kills" "$total" "$evicted"
