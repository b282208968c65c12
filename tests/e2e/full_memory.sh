#!/usr/bin/env bash
# A disk that fills up while KV blocks are stored, and one that is read-only: the message says which, every acknowledged
# block stays, and storing goes on once there is room: full_memory.sh BLOCK_STORE_TOOL
source "$(dirname "$0")/common.sh" "$@"
tool=$1

# A small disk needs the right to mount: as root, or inside a user namespace where the system allows that.
if [[ ${QWEN25_IN_NAMESPACE:-} != 1 ]]; then
  unshare --mount --map-root-user true 2>/dev/null || skip "this system lets us mount no tmpfs (no root, no user namespaces)"
  QWEN25_IN_NAMESPACE=1 unshare --mount --map-root-user bash "$0" "$@"
  exit
fi

mkdir "$work/small"
mount -t tmpfs -o size=1m tmpfs "$work/small" || skip "mounting a tmpfs is refused"

# put_until_full FIRST: the tool must end with an error that says that the disk is full.
put_until_full() {
  local status=0
  "$tool" put "$work/small/store" 1000 "$1" >>"$work/acknowledged" 2>"$work/output" || status=$?
  [[ $status -ne 0 && $status -lt 128 ]] || fail "the tool ended with status $status on a full disk"
  grep -qi 'no space left' "$work/output" || { cat "$work/output" >&2; fail "the message does not say that the disk is full"; }
}

check_all() {
  "$tool" check "$work/small/store" 1000 <"$work/acknowledged" >"$work/checked" 2>"$work/output" ||
    { cat "$work/output" >&2; fail "the store is damaged $1"; }
  grep -q '^missing:$' "$work/checked" || fail "$1: $(grep '^missing' "$work/checked")"
}

: >"$work/acknowledged"
put_until_full 0
message=$(head -n 1 "$work/output")
first=$(wc -l <"$work/acknowledged")
[[ $first -gt 5 ]] || fail "only $first blocks fitted"
check_all "after the disk was full"

mount -o remount,size=3m "$work/small"
put_until_full "$(($(tail -n 1 "$work/acknowledged") + 1))"
second=$(wc -l <"$work/acknowledged")
[[ $second -gt $first ]] || fail "nothing more was stored when there was room again"
check_all "after there was room again"

mount -o remount,ro "$work/small"
status=0
"$tool" put "$work/small/store" 1000 0 >/dev/null 2>"$work/output" || status=$?
[[ $status -ne 0 && $status -lt 128 ]] || fail "the tool ended with status $status in a read-only folder"
grep -qi 'read-only' "$work/output" || { cat "$work/output" >&2; fail "the message does not say that the folder is read-only"; }
read_only_message=$(head -n 1 "$work/output")
mount -o remount,rw "$work/small"
check_all "after it was read-only"
printf 'full_memory: %d, then %d blocks fitted; messages: %s | %s\n' "$first" "$second" "$message" "$read_only_message"
umount "$work/small"
