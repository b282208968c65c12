#!/usr/bin/env python3
"""Writes a Hugging Face folder with some layers of a model alone, to try it as a draft model.

    python select_layers.py MODEL_FOLDER LAYERS OUTPUT_FOLDER

LAYERS counts from 0: "0-5" are the first six, "0-9,20-29" leaves the middle out. Norm and output projection stay the
model's own.
"""

import json
import pathlib
import shutil
import sys

from safetensors.numpy import load_file, save_file


def layers_of(text, count):
    layers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            sys.exit(f"layers are \"{text}\", expected numbers and ranges such as 0-5,24-29")
        if int(last or first) < int(first):
            sys.exit(f"layers are \"{text}\": {part} falls; expected rising numbers")
        layers += range(int(first), int(last or first) + 1)
    if layers != sorted(set(layers)) or not layers or layers[-1] >= count:
        sys.exit(f"layers are \"{text}\", expected rising numbers below {count}, which is how many the model has")
    return layers


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[3])
    config = json.loads((source / "config.json").read_text())
    layers = layers_of(sys.argv[2], config["num_hidden_layers"])
    target.mkdir(parents=True)
    prefix = "model.layers."
    kept = {}
    for path in sorted(source.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if name.startswith(prefix):
                layer, _, rest = name[len(prefix):].partition(".")
                if int(layer) not in layers:
                    continue
                name = f"{prefix}{layers.index(int(layer))}.{rest}"
            kept[name] = tensor
    save_file(kept, target / "model.safetensors", {"format": "pt"})
    config["num_hidden_layers"] = len(layers)
    if "layer_types" in config:
        config["layer_types"] = [config["layer_types"][layer] for layer in layers]
    (target / "config.json").write_text(json.dumps(config, indent=2))
    for path in source.iterdir():
        if path.name not in ("config.json", "model.safetensors") and path.suffix in (".json", ".txt", ".jinja") \
                and not path.name.endswith(".index.json"):
            shutil.copy(path, target / path.name)


if __name__ == "__main__":
    main()
