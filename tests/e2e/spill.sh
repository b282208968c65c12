#!/usr/bin/env bash
# Histories beyond the recall window: a full disk is named, a folder in RAM too, and a TMPDIR that is not there does not
# matter: spill.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

# A small disk needs the right to mount: as root, or inside a user namespace if the system allows that.
if [[ ${QWEN25_IN_NAMESPACE:-} != 1 ]]; then
  unshare --mount --map-root-user true 2>/dev/null || skip "this system lets us mount no tmpfs (no root, no user namespaces)"
  QWEN25_IN_NAMESPACE=1 unshare --mount --map-root-user bash "$0" "$@"
  exit
fi

prepare_model
mkdir "$work/small"
mount -t tmpfs -o size=9m tmpfs "$work/small" || skip "mounting a tmpfs is refused"
trap 'umount "$work/small"; rm -rf "$work"' EXIT
head -qc 10000 "$source_folder"/docs/*.md >"$work/prompt"
generate() {  # FLAGS: an answer to a prompt that is far longer than the window
  "$qwen25" generate -m "$work/run/model" --prompt-file "$work/prompt" --recall-window 256 --routing top_k:4,local=1,dense_below=0 \
    -n 4 --temperature 0 "$@"
}

# Room for the first 8 MiB, and not for more.
status=0
generate --spill-directory "$work/small" >"$work/answer" 2>"$work/output" || status=$?
[[ $status -ne 0 && $status -lt 128 ]] || { cat "$work/output" >&2; fail "status $status on a full disk"; }
grep -qi 'no space left' "$work/output" || { cat "$work/output" >&2; fail "the message does not say that the disk is full"; }
grep -q "$work/small" "$work/output" || { cat "$work/output" >&2; fail "the message does not name the folder"; }

# The folder for temporary files lies in RAM: another one is taken, or it is said that there is none.
TMPDIR=$work/small generate >"$work/answer" 2>"$work/output" || { cat "$work/output" >&2; fail "TMPDIR in RAM"; }
grep -q 'lies in RAM' "$work/output" || { cat "$work/output" >&2; fail "nobody says that the folder lies in RAM"; }

TMPDIR=/nonexistent/folder generate >"$work/answer.without" 2>"$work/output" ||
  { cat "$work/output" >&2; fail "a TMPDIR that is not there"; }
cmp "$work/answer" "$work/answer.without" || fail "the folder changes the answer"
printf 'spill: full disks, folders in RAM and missing ones\n'
