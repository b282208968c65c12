#!/usr/bin/env python3
"""Writes fixtures/model_*/: small random models with the logits, loss and gradients that transformers gives them.

    python make_model_fixtures.py [--output FOLDER] [--only NAME]

Every folder is a Hugging Face checkpoint (config.json, model.safetensors in float32) and one expected*.safetensors for
each attention mask:

    tokens           int32 [T]     several sequences laid end to end
    sequence_starts  int32 [S + 1] first row of each sequence, then T
    prefix_lengths   int32 [S]     prefix mask only: tokens seen in both directions at the start of each sequence
    targets          int32 [T]     the next token of the same sequence, -1 at its last one
    logit_rows       int32 [R]     the rows of which logits are kept, ascending
    logits           float32 [R, vocabulary]
    loss             float32 [1]   mean over all targets >= 0 of -log softmax(logits)[target], in nats
    grad.<name>      float32       d loss / d parameter, by its name in model.safetensors

and one metadata entry "fixture": a JSON object with the mask, the loss in full precision, the largest logit, and how far
transformers itself moves when it computes in float32. Some folders hold the same model as model.gguf in float32, written
with gguf-py by the rules of llama.cpp's converter: its names, its order of rows and its factors of rotary frequencies.

Masks (within a window, where a layer has one: at distances below it, in both directions): "causal"; "bidirectional":
every token attends to its whole sequence; "prefix": a token inside the prefix attends to
the whole prefix, a later one to everything up to itself. The loss of a bidirectional model is no sensible aim, but it is
as good as any for checking gradients.

Each sequence runs by itself, unpadded, with attn_implementation="eager", on weights widened to float64 (transformers
keeps norms, softmax and rotary angles in float32 even then), and the results are rounded to float32. Weights are larger
than a freshly initialised model's, so that attention is far from uniform and no bias or norm weight is neutral.
Needs: torch, transformers, safetensors, gguf.
"""

import argparse
import dataclasses
import json
import math
import pathlib

import gguf
import torch
import transformers
from safetensors.torch import save_file

LENGTHS = (150, 64, 1, 77)  # with blocks of 64 tokens: a cut block, a full one, a lone token, a full and a cut one


@dataclasses.dataclass
class Case:
    name: str
    seed: int
    config: dict
    architecture: str = "qwen2"
    lengths: tuple = LENGTHS
    # The keys of transformers 4 ("rope_theta", "rope_scaling"), as the official checkpoints have them, instead of 5.
    official_keys: bool = False
    prefix_lengths: tuple = ()
    bidirectional: bool = False
    all_logits: bool = False
    gguf: bool = False


def shape(layers, heads, kv_heads, hidden, intermediate, vocab, tied, theta, **extra):
    rope = {"rope_type": "default", "rope_theta": theta, **extra.pop("rope", {})}
    return dict(num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads, hidden_size=hidden,
                intermediate_size=intermediate, vocab_size=vocab, tie_word_embeddings=tied, rope_parameters=rope,
                max_position_embeddings=256, rms_norm_eps=1e-6, bos_token_id=None, eos_token_id=vocab - 1) | extra


CASES = [
    # Head dimension 8, two query heads per key head; all three masks on the same weights.
    Case("tied", 1, shape(2, 4, 2, 32, 56, 96, True, 1e6), official_keys=True, all_logits=True, bidirectional=True,
         prefix_lengths=(70, 64, 1, 20)),
    # Head dimension 16, one key head for all, an output projection of its own.
    Case("untied", 2, shape(2, 4, 1, 64, 48, 96, False, 1e4), lengths=(65, 3, 128, 2, 63)),
    # Head dimension 64, every head with keys of its own.
    Case("head64", 3, shape(2, 1, 1, 64, 24, 64, True, 1e6)),
    # Seven query heads per key head (as Qwen2.5-0.5B and 7B have them); width and vocabulary no multiple of 16.
    Case("gqa7", 4, shape(2, 7, 1, 56, 24, 151, False, 1e6), official_keys=True),
    # 14 query heads over 2 key heads, width 112 (as Qwen2.5-0.5B), in one layer.
    Case("gqa7x2", 5, shape(1, 14, 2, 112, 24, 65, True, 1e6), lengths=(129, 1, 1, 70)),
    # More columns in attention than in the residual stream, as the narrow presets have them; three layers.
    Case("wide_heads", 6, shape(3, 8, 2, 24, 44, 80, True, 1e6, head_dim=8)),
    # The same decoder without biases.
    Case("llama", 7, shape(2, 4, 4, 32, 56, 96, False, 1e4, rms_norm_eps=1e-5), architecture="llama"),
    # Positions divided by 3, under the keys of transformers 4.
    Case("linear", 9, shape(1, 4, 2, 32, 32, 72, True, 1e4, rope={"rope_type": "linear", "factor": 3.0}),
         lengths=(150, 40), official_keys=True),
    # YaRN: four times the 48 tokens it "was trained for", reached by the first sequence.
    Case("yarn", 8, shape(2, 4, 2, 64, 32, 72, True, 1e6, max_position_embeddings=192, rope={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 48}), lengths=(190, 40)),
    # Llama 3.1's rule, with frequencies that it keeps, blends and divides: wavelengths 6 to 1440 around 64 and 256.
    Case("llama3", 10, shape(2, 4, 2, 48, 32, 72, False, 500.0, head_dim=16, max_position_embeddings=2048, rope={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256}), architecture="llama", lengths=(150, 40), gguf=True),
    # A factor for each frequency, and one for attention.
    Case("longrope", 11, shape(1, 4, 2, 32, 32, 72, True, 1e4, max_position_embeddings=256, rope={
        "rope_type": "longrope", "short_factor": [1.0, 1.5, 3.0, 7.5], "long_factor": [1.0, 1.5, 3.0, 7.5],
        "original_max_position_embeddings": 64}), architecture="llama", lengths=(150, 40)),
    # Norms of query and key heads; heads wider than their share of the residual stream.
    Case("qwen3", 12, shape(2, 4, 2, 40, 48, 72, True, 1e6, head_dim=16), architecture="qwen3", lengths=(150, 1, 64),
         official_keys=True, gguf=True),
    # Its other options: biases, of o as well, and an output projection of its own.
    Case("qwen3_bias", 13, shape(1, 4, 4, 32, 32, 72, False, 1e4, head_dim=12, attention_bias=True),
         architecture="qwen3", lengths=(70, 20)),
    # A window shorter than a block, in all layers; all three masks.
    Case("mistral", 15, shape(2, 4, 2, 32, 32, 72, False, 1e4, head_dim=12, sliding_window=40),
         architecture="mistral", gguf=True, bidirectional=True, prefix_lengths=(70, 64, 1, 20)),
    # Layers that slide and layers that do not; a window longer than a block, whose edge falls inside of one.
    Case("ministral", 16, shape(3, 4, 1, 32, 32, 72, True, 1e4, head_dim=8, sliding_window=70, layer_types=[
        "full_attention", "sliding_attention", "sliding_attention"]), architecture="ministral", gguf=True,
         lengths=(200, 65)),
    # The same by the number of the first layer that slides; a window of a whole block.
    Case("qwen2_window", 17, shape(3, 4, 2, 32, 32, 72, True, 1e6, use_sliding_window=True, sliding_window=64,
                                   max_window_layers=1), official_keys=True, lengths=(200, 3, 64), gguf=True,
         bidirectional=True, prefix_lengths=(130, 1, 40)),
    # A window of two tokens, and seven query heads for a key head.
    Case("qwen3_window", 18, shape(2, 7, 1, 32, 32, 72, True, 1e6, head_dim=8, use_sliding_window=True,
                                   sliding_window=2, max_window_layers=1), architecture="qwen3", lengths=(140, 5)),
    # Biases of q, k, v and o.
    Case("llama_bias", 14, shape(1, 4, 2, 32, 32, 72, True, 1e4, attention_bias=True), architecture="llama",
         lengths=(70, 20)),
]


def build(case):
    config_class, model_class = {
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
        "ministral": (transformers.MinistralConfig, transformers.MinistralForCausalLM),
    }[case.architecture]
    config = config_class(**case.config)
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.5 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise / parameter.shape[1] ** 0.5)
    return model, generator


def write_config(model, case, folder):
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    if case.official_keys or "sliding_attention" not in config.get("layer_types", ()):
        config.pop("layer_types", None)
    for key in ("_name_or_path", "_attn_implementation", "id2label", "label2id", "return_dict",
                "chunk_size_feed_forward", "is_encoder_decoder", "output_attentions", "output_hidden_states"):
        config.pop(key, None)
    config["dtype"] = "float32"
    if case.official_keys:
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        if kind != "default":
            config["rope_scaling"] = {"type": kind, **rope}
        config["torch_dtype"] = config.pop("dtype")
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def interleaved(rows, num_heads):
    """Rows of q or k as files of architecture "llama" have them: the two halves of a head alternate."""
    return rows.reshape(num_heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama3_factors(config):
    rope = config.rope_parameters
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for i in range(0, config.head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / config.head_dim)
        turns = rope["original_max_position_embeddings"] / wavelength
        kept = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - kept) / rope["factor"] + kept))
    return torch.tensor(factors, dtype=torch.float32)


def write_gguf(model, weights, path):
    config = model.config
    architecture = {"qwen2": "qwen2", "qwen3": "qwen3"}.get(config.model_type, "llama")
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
        if config.model_type != "mistral":
            writer.add_array(f"{architecture}.attention.sliding_window_pattern",
                             [kind == "sliding_attention" for kind in config.layer_types])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config).numpy())
    for name, tensor in weights.items():
        if architecture == "llama" and ".q_proj." in name:
            tensor = interleaved(tensor, config.num_attention_heads)
        if architecture == "llama" and ".k_proj." in name:
            tensor = interleaved(tensor, config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.chmod(0o644)


def allowed(length, mask, prefix, window=None):
    """[length, length], True where the query (row) may see the key (column)."""
    seen = torch.ones(length, length, dtype=torch.bool)
    if mask != "bidirectional":
        seen = seen.tril()
    if mask == "prefix":
        seen[:prefix, :prefix] = True
    if window is not None:  # in both directions
        distance = torch.arange(length)[:, None] - torch.arange(length)[None]
        seen &= distance.abs() < window
    return seen


def additive(visible, dtype):
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[None, None]


def run(model, sequences, mask, prefix_lengths):
    """Logits [T, vocabulary] and loss; fills the gradients."""
    dtype = next(model.parameters()).dtype
    model.zero_grad()
    logits, losses = [], []
    for number, tokens in enumerate(sequences):
        attention_mask = None
        if mask != "causal":
            prefix = prefix_lengths[number] if prefix_lengths else 0
            window = getattr(model.config, "sliding_window", None)
            full = additive(allowed(len(tokens), mask, prefix), dtype)
            sliding = additive(allowed(len(tokens), mask, prefix, window), dtype)
            kinds = getattr(model.config, "layer_types", None)  # mistral has one mask for all layers
            attention_mask = full if window is None else sliding
            if window is not None and kinds is not None:
                attention_mask = {"full_attention": full, "sliding_attention": sliding}
        out = model(input_ids=tokens[None], attention_mask=attention_mask, use_cache=False).logits[0]
        logits.append(out)
        losses.append(torch.nn.functional.cross_entropy(out[:-1], tokens[1:], reduction="sum"))
    loss = sum(losses) / sum(len(tokens) - 1 for tokens in sequences)
    loss.backward()
    return torch.cat(logits).detach(), loss.item()


def kept_rows(starts, everything):
    if everything:
        return list(range(starts[-1]))
    rows = set()
    for start, end in zip(starts, starts[1:]):
        rows |= set(range(start, end, 5)) | {end - 1}
        for boundary in range(start, end, 64):
            rows |= {row for row in (boundary - 1, boundary, boundary + 1) if start <= row < end}
    return sorted(rows)


def write_expected(model, case, sequences, mask, path):
    prefix_lengths = case.prefix_lengths if mask == "prefix" else ()
    starts = [0]
    for tokens in sequences:
        starts.append(starts[-1] + len(tokens))
    targets = torch.cat([torch.cat([tokens[1:], torch.tensor([-1])]) for tokens in sequences])
    rows = kept_rows(starts, case.all_logits and mask == "causal")

    logits32, loss32 = run(model, sequences, mask, prefix_lengths)
    grads32 = {name: parameter.grad.double() for name, parameter in model.named_parameters()}
    model.double()
    logits, loss = run(model, sequences, mask, prefix_lengths)
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.float()

    difference = {
        "logits": ((logits32 - logits).abs().max() / logits.abs().max()).item(),
        "loss": abs(loss32 - loss),
        "gradients": max(((grads32[n] - g).norm() / g.norm()).item() for n, g in grads.items() if g.norm() > 0),
    }
    tensors = {
        "tokens": torch.cat(sequences).to(torch.int32),
        "sequence_starts": torch.tensor(starts, dtype=torch.int32),
        "targets": targets.to(torch.int32),
        "logit_rows": torch.tensor(rows, dtype=torch.int32),
        "logits": logits[rows].float(),
        "loss": torch.tensor([loss], dtype=torch.float32),
    }
    if prefix_lengths:
        tensors["prefix_lengths"] = torch.tensor(prefix_lengths, dtype=torch.int32)
    tensors |= {"grad." + name: grad.float() for name, grad in grads.items()}
    fixture = {
        "mask": mask,
        "loss": loss,
        "largest_logit": logits.abs().max().item(),
        "float32_difference": {key: float(f"{value:.2g}") for key, value in difference.items()},
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    save_file(tensors, path, metadata={"fixture": json.dumps(fixture, sort_keys=True)})
    path.chmod(0o644)
    small = min(grads, key=lambda name: grads[name].norm())
    print(f"  {path.name:32} loss {loss:.6f}  largest logit {fixture['largest_logit']:6.2f}  smallest gradient "
          f"{grads[small].norm():.1e} ({small})\n{'':35}float32 of transformers differs: logits "
          f"{difference['logits']:.1e}, gradients {difference['gradients']:.1e}")


def write_case(case, output):
    folder = output / f"model_{case.name}"
    folder.mkdir(parents=True, exist_ok=True)
    model, generator = build(case)
    tied = model.config.tie_word_embeddings
    weights = {name: tensor for name, tensor in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_config(model, case, folder)
    (folder / "model.safetensors").chmod(0o644)
    if case.gguf:
        write_gguf(model, weights, folder / "model.gguf")
    print(f"{folder.name}: {sum(w.numel() for w in weights.values())} parameters")

    sequences = [torch.randint(model.config.vocab_size, (length,), generator=generator) for length in case.lengths]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    same = torch.equal(loaded(sequences[0][None]).logits, model(sequences[0][None]).logits)
    if not same or not all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in weights.items()):
        raise SystemExit(f"{folder}: transformers reads another model from the folder than was written")

    write_expected(model, case, sequences, "causal", folder / "expected.safetensors")
    if case.bidirectional:
        write_expected(model, case, sequences, "bidirectional", folder / "expected_bidirectional.safetensors")
    if case.prefix_lengths:
        write_expected(model, case, sequences, "prefix", folder / "expected_prefix.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "fixtures")
    parser.add_argument("--only", help="one case by its name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order everywhere
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    cases = [case for case in CASES if arguments.only in (None, case.name)]
    if not cases:
        parser.error(f"no case {arguments.only}; there are " + ", ".join(case.name for case in CASES))
    for case in cases:
        write_case(case, arguments.output)
    size = sum(f.stat().st_size for case in cases for f in (arguments.output / f"model_{case.name}").iterdir())
    print(f"{size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
