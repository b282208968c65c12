#!/usr/bin/env python3
"""Writes a Hugging Face folder with the first layers of a model alone, to try it as a draft model.

    python first_layers.py MODEL_FOLDER NUM_LAYERS OUTPUT_FOLDER

Norm and output projection stay the model's own.
"""

import json
import pathlib
import shutil
import sys

from safetensors.numpy import load_file, save_file


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, count, target = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    config = json.loads((source / "config.json").read_text())
    if not 0 < count < config["num_hidden_layers"]:
        sys.exit(f"{source} has {config['num_hidden_layers']} layers; asked for the first {count}")
    target.mkdir(parents=True)
    tensors = {}
    for path in sorted(source.glob("*.safetensors")):
        tensors.update(load_file(path))
    prefix = "model.layers."
    kept = {name: tensor for name, tensor in tensors.items()
            if not name.startswith(prefix) or int(name[len(prefix):].split(".")[0]) < count}
    save_file(kept, target / "model.safetensors", {"format": "pt"})
    config["num_hidden_layers"] = count
    (target / "config.json").write_text(json.dumps(config, indent=2))
    for path in source.glob("*.json"):
        if path.name != "config.json" and not path.name.endswith(".index.json"):
            shutil.copy(path, target / path.name)


if __name__ == "__main__":
    main()
