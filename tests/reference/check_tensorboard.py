#!/usr/bin/env python3
"""Reads a run folder's event files with TensorBoard's own reader and compares them with its metrics.jsonl.

usage: check_tensorboard.py RUN_FOLDER        (needs the Python package tensorboard)

Every number of metrics.jsonl must be there once, at its step, to float32 precision; so this also checks that a
resumed run shows no step twice.
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "loss": "loss/train",
    "learning_rate": "optimizer/learning_rate",
    "gradient_norm": "optimizer/gradient_norm",
    "tokens_per_second": "speed/tokens_per_second",
    "flop_utilization": "speed/flop_utilization",
    "validation_loss": "loss/validation",
    "bits_per_byte": "loss/validation_bits_per_byte",
}


def main(run_folder):
    run = pathlib.Path(run_folder)
    expected = {tag: [] for tag in TAGS.values()}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for field, tag in TAGS.items():
            if field in record:
                expected[tag].append((record["step"], record[field]))
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    present = set(events.Tags()["scalars"])
    failures = 0
    for tag, points in expected.items():
        found = [(event.step, event.value) for event in events.Scalars(tag)] if tag in present else []
        same = [step for step, _ in found] == [step for step, _ in points] and all(
            abs(a - b) <= 1e-6 * max(1.0, abs(b)) for (_, a), (_, b) in zip(found, points))
        print(f"{'ok  ' if same else 'FAIL'} {tag}: {len(found)} points, {len(points)} in metrics.jsonl")
        failures += not same
    if not any(expected.values()):
        print("FAIL metrics.jsonl is empty")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
