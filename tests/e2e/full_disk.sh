#!/usr/bin/env bash
# A disk that fills up while a checkpoint is written: the run must end with an error that says so, the checkpoint before
# must stay whole, and the run must go on from it once there is room: full_disk.sh PROGRAM
source "$(dirname "$0")/common.sh" "$@"

# A small disk needs the right to mount: as root, or inside a user namespace where the system allows that.
if [[ ${QWEN25_IN_NAMESPACE:-} != 1 ]]; then
  unshare --mount --map-root-user true 2>/dev/null || skip "this system lets us mount no tmpfs (no root, no user namespaces)"
  QWEN25_IN_NAMESPACE=1 unshare --mount --map-root-user bash "$0" "$@"
  exit
fi

prepare_data
write_small_config "$work/config.json"
train() {  # OUTPUT, further flags
  local output=$1
  shift
  "$qwen25" train --data "$work/data/train" --tokenizer "$work/tokenizer" --set model.preset= \
    --set "model.config=$work/config.json" --sequence-length 64 --tokens-per-step 512 --micro-batch-tokens 512 \
    --max-steps 6 --set run.checkpoint_every=2 --set run.measure_peak=false -o "$output" "$@"
}

# Room for one and a half checkpoints: the first fits, the second, which must be whole before the first may go, does not.
quietly train "$work/roomy"
checkpoint=$(find "$work/roomy" -maxdepth 1 -name 'checkpoint-*' -type d | head -n 1)
[[ -n $checkpoint ]] || fail "the run wrote no checkpoint"
kilobytes=$(($(du -sk "$checkpoint" | cut -f1) * 3 / 2 + 64))
mkdir "$work/small"
mount -t tmpfs -o "size=${kilobytes}k" tmpfs "$work/small" || skip "mounting a tmpfs is refused"

status=0
train "$work/small/run" >"$work/output" 2>&1 || status=$?
[[ $status -ne 0 ]] || fail "the run succeeded on a disk of $kilobytes KiB"
[[ $status -lt 128 ]] || fail "the run died of signal $((status - 128))"
grep -qi 'no space left' "$work/output" || { cat "$work/output" >&2; fail "the message does not say that the disk is full"; }
[[ -d $work/small/run/checkpoint-2 ]] || fail "the first checkpoint is gone"

# Room again: the run goes on from the checkpoint that was whole and ends with the weights of the undisturbed run.
cp -r "$work/small/run" "$work/moved"
quietly train "$work/moved" --resume
cmp "$work/roomy/model/model.safetensors" "$work/moved/model/model.safetensors" || fail "the resumed run differs"
printf 'full_disk: on %d KiB the run stopped with: %s\n' "$kilobytes" "$(grep -i 'no space left' "$work/output" | head -n 1)"
umount "$work/small"
