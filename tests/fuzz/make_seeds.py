#!/usr/bin/env python3
"""Writes what a fuzzer starts from: small good files of every kind that the targets read, and words to build others from.

    make_seeds.py FOLDER

FOLDER/<target>/ holds the seeds, FOLDER/<target>.dict libFuzzer's dictionary. Everything is made up here; nothing but
Python's standard library is needed, and the same files come out every time.
"""

import gzip
import json
import pathlib
import struct
import sys

QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                 r"\s*[\r\n]+|\s+(?!\S)|\s+")
DTYPE_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


def safetensors(tensors, metadata=None, padding=0):
    """tensors: (name, dtype, shape); the data counts up."""
    header, at = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape in tensors:
        size = DTYPE_BYTES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + bytes(i % 60 for i in range(at))


def safetensors_seeds():
    yield safetensors([("weight", "F32", [2, 3])])
    yield safetensors([("a", "BF16", [4]), ("b", "F16", [2, 2]), ("c", "I64", [1])], {"format": "pt"}, 7)
    yield safetensors([("empty", "F32", [0, 7]), ("scalar", "F32", []), ("bytes", "U8", [5])])
    yield safetensors([])
    yield safetensors([(f"model.layers.{i}.mlp.up_proj.weight", "F32", [1]) for i in range(40)])
    yield safetensors([(dtype, dtype, [3]) for dtype in DTYPE_BYTES], {})


def gguf_text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_array(kind, elements):
    return struct.pack("<IQ", kind, len(elements)) + b"".join(elements)


def gguf(values, tensors, version=3, alignment=32):
    """values: (key, type, bytes); tensors: (name, sizes, fastest first, type, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for key, kind, value in values:
        out += gguf_text(key) + struct.pack("<I", kind) + value
    at, data = 0, b""
    for name, sizes, kind, size in tensors:
        out += gguf_text(name) + struct.pack("<I", len(sizes)) + b"".join(struct.pack("<Q", n) for n in sizes)
        out += struct.pack("<IQ", kind, at)
        data += bytes(i % 60 for i in range(size)) + b"\0" * (-size % alignment)
        at = len(data)
    return out + b"\0" * (-len(out) % alignment) + data


def gguf_seeds():
    numbers = [("u8", 0, "<B"), ("i8", 1, "<b"), ("u16", 2, "<H"), ("i16", 3, "<h"), ("u32", 4, "<I"), ("i32", 5, "<i"),
               ("f32", 6, "<f"), ("bool", 7, "<B"), ("u64", 10, "<Q"), ("i64", 11, "<q"), ("f64", 12, "<d")]
    yield gguf([], [])
    yield gguf([(name, kind, struct.pack(form, 1)) for name, kind, form in numbers], [])
    yield gguf([("general.architecture", 8, gguf_text("qwen2")), ("general.alignment", 4, struct.pack("<I", 64)),
                ("tokenizer.ggml.tokens", 9, gguf_array(8, [gguf_text(t) for t in ("<s>", "a", "")])),
                ("tokenizer.ggml.scores", 9, gguf_array(6, [struct.pack("<f", s) for s in (0, -1, -2)]))],
               [("token_embd.weight", [32, 3], 8, 102), ("output_norm.weight", [32], 0, 128)], alignment=64)
    nested = gguf_array(9, [gguf_array(4, [struct.pack("<I", 7)] * 2), gguf_array(8, [gguf_text("x")])])
    yield gguf([("nested", 9, nested), ("bools", 9, gguf_array(7, [b"\0", b"\1"]))], [("empty", [0, 4], 1, 0)], version=2)
    yield gguf([], [(f"blk.{i}.ffn_up.weight", [256], kind, size) for i, (kind, size) in
                    enumerate([(12, 144), (13, 176), (14, 210), (2, 144), (30, 512)])])


def byte_alphabet():
    """The characters that GPT-2 writes for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def byte_level(added=True, merges_as_lists=False):
    words = ["in", "ing", "Ġt", "he", "Ġthe", "aÌ"]
    merges = [("i", "n"), ("in", "g"), ("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("a", "Ì")]
    vocabulary = {token: i for i, token in enumerate(byte_alphabet() + words)}
    tokens = [{"id": 262 + i, "content": content, "single_word": False, "lstrip": i == 1, "rstrip": i == 1,
               "normalized": i == 1, "special": i == 0} for i, content in enumerate(["<|end|>", "<both>"])]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens if added else [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": not added,
                  "vocab": vocabulary,
                  "merges": [list(pair) if merges_as_lists else " ".join(pair) for pair in merges]}}


def sentence_piece():
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "t", "h", "e", "th", "▁the"]
    merges = ["t h", "th e", "▁ the"]
    tokens.append("the")
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                      {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges}}


def word_piece():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "##ing", "in", "##g", "漢", "4", "##2", "'", "s"]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, token in enumerate(tokens[:4])],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                                      {"Sequence": {"id": "A", "type_id": 0}},
                                      {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {token: i for i, token in enumerate(tokens)}}}


def tokenizer_seeds():
    plain = byte_level(added=False)
    plain["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    plain["normalizer"] = None
    for document in (byte_level(), byte_level(merges_as_lists=True), plain, sentence_piece(), word_piece()):
        yield json.dumps(document, ensure_ascii=False).encode()
    yield json.dumps(byte_level(added=False), indent=2).encode()
    steps = byte_level()
    steps["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": r"\s{2,}|(?<=a)b?"}, "content": " "}, {"type": "StripAccents"}]}
    steps["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": True},
        {"type": "Split", "pattern": {"Regex": r"(?=(\d{3})+(?!\d))|[\p{Lu}&&[^A]]++|(?i:'s)?\S"},
         "behavior": "MergedWithNext", "invert": True},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}]}
    yield json.dumps(steps).encode()
    words = sentence_piece()
    words["normalizer"] = None
    words["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "CharDelimiterSplit", "delimiter": ","},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}]}
    words["decoder"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield json.dumps(words).encode()


def config_seeds():
    base = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896,
            "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
            "max_position_embeddings": 32768, "vocab_size": 151936, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
            "tie_word_embeddings": True, "use_sliding_window": False, "sliding_window": 32768, "bos_token_id": 151643,
            "eos_token_id": 151645, "torch_dtype": "bfloat16", "use_cache": True}
    llama = {**base, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "head_dim": 64,
             "mlp_bias": False, "rms_norm_eps": 1e-5, "eos_token_id": [2, 7], "pretraining_tp": 1, "rope_scaling": None}
    yarn = {**base, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192,
                                     "beta_fast": 32, "beta_slow": 1, "attention_factor": 1.1}}
    linear = {**base, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}
    least = {key: base[key] for key in ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
                                        "num_attention_heads", "num_key_value_heads", "vocab_size")}
    llama3 = {**llama, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}
    longrope = {**llama, "head_dim": 4, "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.5],
                                                        "long_factor": [1.0, 1.5], "attention_factor": 1.2,
                                                        "original_max_position_embeddings": 4096}}
    qwen3 = {**base, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128, "attention_bias": False,
             "use_sliding_window": True, "sliding_window": 1024, "max_window_layers": 20}
    ministral = {**llama, "model_type": "ministral", "num_hidden_layers": 2, "sliding_window": 256,
                 "layer_types": ["sliding_attention", "full_attention"]}
    for config in (base, llama, yarn, linear, least, llama3, longrope, qwen3, ministral):
        yield json.dumps(config, indent=2).encode()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def slot(num_layers, layer_bytes, summary_bytes, flags=0):
    """The head of a slot of a block file (docs/formats/kv_blocks.md)."""
    header_bytes = -(-(400 + 16 * (num_layers + 1)) // 4096) * 4096
    before = b"q25block" + struct.pack("<7I", 1, header_bytes, flags, 3, num_layers, layer_bytes, summary_bytes)
    after = bytes(16 + 16 + 8) + struct.pack("<6Q2I", 1, 2, 3, 4, 5, 6, 7, 64) + struct.pack("<64i", *range(64)) + bytes(8)
    after += b"".join(struct.pack("<I12x", 1000 + i) for i in range(num_layers + 1))
    after += bytes(header_bytes - 40 - len(after))
    return before + struct.pack("<I", crc32c(before + bytes(4) + after)) + after


def slot_seeds():
    yield slot(1, 64, 0)
    yield slot(24, 32768, 512)
    yield slot(300, 1000, 4)
    yield slot(2, 128, 16, flags=1)


def kv_export(formats):
    """Exported blocks (docs/formats/kv_export.md); formats: (layers, bytes of a layer, of a summary). Of each, a sequence of
    two blocks with the tokens 0 to 63, and one of one."""
    tensors, metadata = [], {"content": "qwen25 KV blocks", "version": "1", "namespace": "a"}
    ids = [bytes(range(16)), bytes.fromhex("de6adc1e3277d9ea28902a3046c1f1ab"), b"another sequence"]  # the second: XXH3
    tokens = [struct.pack("<64i", *range(64))] * 3
    for number, (layers, layer_bytes, summary_bytes) in enumerate(formats):
        fingerprint = struct.pack("<QQ", number, 255)
        metadata[f"{number}.fingerprint"] = f"{255:016x}{number:016x}"
        keys_values = [bytes((row + i) % 60 for i in range(layers * layer_bytes)) for row in range(3)]
        summaries = [bytes([row]) * (layers * summary_bytes) for row in range(3)]
        sums = [crc32c(b"a" + fingerprint + b"".join(row)) for row in zip(ids, tokens, keys_values, summaries)]
        tensors += [(f"{number}.{name}", dtype, [3, *shape], data) for name, dtype, shape, data in (
            ("keys_values", "U8", [layers, layer_bytes], b"".join(keys_values)),
            ("summaries", "U8", [layers, summary_bytes], b"".join(summaries)),
            ("tokens", "I32", [64], b"".join(tokens)),
            ("parents", "I32", [], struct.pack("<3i", -1, 0, -1)),
            ("positions", "I32", [], struct.pack("<3i", 0, 1, 0)),
            ("sums", "U32", [], struct.pack("<3I", *sums)),
            ("ids", "U8", [16], b"".join(ids))) if name != "summaries" or summary_bytes]
    header, at = {"__metadata__": metadata}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for *_, data in tensors)


def kv_export_seeds():
    yield kv_export([])
    yield kv_export([(1, 8, 0)])
    yield kv_export([(2, 16, 4)])
    yield kv_export([(1, 5, 3), (3, 2, 0)])


PAGE = 4096
NO_PAGE = 2**64 - 1


def lmdb_page(number, flags, nodes):
    """A page of LMDB 0.9 (mdb.c: MDB_page); nodes from the end of the page downwards."""
    places, body, upper = [], b"", PAGE
    for node in nodes:
        node += b"\0" * (len(node) % 2)
        upper -= len(node)
        places.append(upper)
        body = node + body
    head = struct.pack("<QHHHH", number, 0, flags, 16 + 2 * len(places), upper)
    head += b"".join(struct.pack("<H", place) for place in places)
    return head + bytes(upper - len(head)) + body


def lmdb_leaf(key, value, flags=0, size=None):
    size = len(value) if size is None else size
    return struct.pack("<HHHH", size & 0xFFFF, size >> 16, flags, len(key)) + key + value


def lmdb_branch(key, page):
    return struct.pack("<HHHH", page & 0xFFFF, page >> 16 & 0xFFFF, page >> 32, len(key)) + key


def lmdb_table(flags=0, depth=0, branches=0, leaves=0, large=0, entries=0, root=NO_PAGE, pad=0):
    return struct.pack("<IHHQQQQQ", pad, flags, depth, branches, leaves, large, entries, root)


def lmdb(main, pages, free=lmdb_table(8, pad=PAGE)):
    """Two heads, then pages from number 2 on."""
    meta = struct.pack("<IIQQ", 0xBEEFC0DE, 1, 0, 1 << 20) + free + main + struct.pack("<Q", 1 + len(pages))
    heads = [lmdb_page(i, 8, [])[:16] + meta + struct.pack("<Q", i + 5) for i in range(2)]
    return b"".join(head + bytes(PAGE - len(head)) for head in heads) + b"".join(pages)


def lmdb_seeds():
    def two_tables(a, b):
        return lmdb_page(2, 2, [lmdb_leaf(b"a", a, 2), lmdb_leaf(b"b", b, 2)])

    main = lmdb_table(0, 1, 0, 1, 0, 2, 2)
    yield lmdb(lmdb_table(), [])
    yield lmdb(main, [two_tables(lmdb_table(), lmdb_table())])
    leaf = lmdb_page(3, 2, [lmdb_leaf(b"key %d" % i, b"value" * i) for i in range(8)])
    yield lmdb(main, [two_tables(lmdb_table(0, 1, 0, 1, 0, 8, 3), lmdb_table()), leaf])
    large = struct.pack("<QHHI", 4, 0, 4, 1) + b"x" * (PAGE - 16)
    free_page = lmdb_page(5, 2, [lmdb_leaf(struct.pack("<Q", 3), struct.pack("<QQ", 1, 6))])
    yield lmdb(main, [two_tables(lmdb_table(0, 1, 0, 1, 1, 1, 3), lmdb_table()),
                      lmdb_page(3, 2, [lmdb_leaf(b"large", struct.pack("<Q", 4), 1, 4000)]), large, free_page, bytes(PAGE)],
               lmdb_table(8, 1, 0, 1, 0, 1, 5, PAGE))
    yield lmdb(main, [two_tables(lmdb_table(), lmdb_table(0, 2, 1, 2, 0, 4, 3)),
                      lmdb_page(3, 1, [lmdb_branch(b"", 4), lmdb_branch(b"m", 5)]),
                      lmdb_page(4, 2, [lmdb_leaf(b"c", b"1"), lmdb_leaf(b"d", b"2")]),
                      lmdb_page(5, 2, [lmdb_leaf(b"m", b"3"), lmdb_leaf(b"n", b"4")])])


def documents_seeds():
    lines = b"".join(b'{"id": "%d", "source": "book", "text": "Line \\u00e9\\n%d"}\n' % (i, i) for i in range(5))
    yield lines
    yield b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n")
    yield gzip.compress(lines, mtime=0)
    yield gzip.compress(lines[:40], mtime=0) + gzip.compress(lines[40:], mtime=0)
    # A Zstandard frame of one raw block: magic, one segment whose length takes a byte, last block, no sum.
    yield b"\x28\xb5\x2f\xfd\x20" + bytes([len(lines[:50])]) + struct.pack("<I", len(lines[:50]) << 3 | 1)[:3] + lines[:50]
    yield "h\u00e9llo".encode("utf-16")
    yield b"\x89PNG\r\n\x1a\n" + bytes(20)


def chat_template_seeds():
    template = pathlib.Path(__file__).parent.parent / "reference/fixtures/chat_template.jinja"
    yield template.read_bytes()
    yield template.read_bytes().replace(b"\n", b"\r\n")
    yield (b"{%- if messages[0]['role'] == 'system' %}\n    {{- '<|im_start|>system\\n' + messages[0].content ~ \"<|im_end|>\\n\" }}\n"
           b"{%- endif %}{# note #}\n{% set x = {'a': [1, 2.5]} %}{{+ x | tojson -}} \n {% raw %}{{ }}{% endraw %}")


def http_seeds():
    host = b"Host: localhost:8080\r\n"
    yield b"GET /v1/models?limit=2 HTTP/1.1\r\n" + host + b"Authorization: Bearer key\r\n\r\n"
    yield b"GET http://localhost/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    post = b"POST /v1/chat/completions HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
    yield post + b"Content-Length: 15\r\nExpect: 100-continue\r\n\r\n{\"messages\": []}" + b"HEAD / HTTP/1.1\r\n" + host + b"\r\n"
    yield post + (b"Transfer-Encoding: chunked\r\n\r\n5;name=value\r\nhello\r\n0a\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"
                  b"\r\nOPTIONS * HTTP/1.1\r\n" + host + b"\r\n")
    yield post + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + post + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    yield b"GET / HTTP/1.1\n" + host + b" folded\r\nContent-Length : 1\r\n\r\n"


def hub_seeds():
    git, sha256 = "ce013625030ba8dba906f756967f9e9ca394464a", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    for names in (["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
                  ["a/m-Q8_0-00001-of-00002.gguf", "a/m-Q8_0-00002-of-00002.gguf", "m-q4_k_m.gguf", "mmproj-f16.gguf"],
                  ["config.json", "pytorch_model.bin", "1_Pooling/config.json"]):
        yield json.dumps([{"type": "directory", "oid": git, "size": 0, "path": "a"}] +
                         [{"type": "file", "oid": git, "size": 6, "path": name} for name in names] +
                         [{"type": "file", "oid": git, "size": 7, "path": "x.safetensors",
                           "lfs": {"oid": sha256, "size": 7, "pointerSize": 134}}]).encode()
    yield b'<https://host/x?cursor=1>; rel="next", <https://host/y>; rel="last"'
    yield b"unsloth/Qwen3-GGUF:UD-Q4_K_XL@refs/pr/1"


def jinja_seeds():
    # What the fixture of the interpreter holds, a few templates to a seed; what the user says may follow.
    cases = json.loads((pathlib.Path(__file__).parent.parent / "reference/fixtures/jinja.json").read_text())["cases"]
    sources = [case["template"] for case in cases if case["text"] is not None]
    for at in range(0, len(sources), 3):
        yield "\n".join(sources[at:at + 3]).encode()
    yield from (case["template"].encode() for case in cases if case["text"] is None and len(case["template"]) > 30)
    template = pathlib.Path(__file__).parent.parent / "reference/fixtures/chat_template.jinja"
    yield template.read_bytes() + b"\x1eWhat is <|im_start|>?\n\xe6\x97\xa5"


def api_seeds():
    """Requests and answers: the target reads every seed as both."""
    function = {"name": "search", "description": "Finds", "parameters": {"type": "object", "properties": {}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{\"q\": \"a\"}"}}
    messages = [{"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "\u00e9"}]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "found", "tool_call_id": "call_1"}]
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 1, "n": 2, "stop": ["a", "b"], "logit_bias": {"5": -100}}
    yield json.dumps({"model": "m", "messages": messages, "tools": [{"type": "function", "function": function}],
                      "tool_choice": {"type": "function", "function": {"name": "search"}}, "stream": True,
                      "stream_options": {"include_usage": True}}).encode()
    yield json.dumps({"messages": messages[:2], **sampling, "logprobs": True, "top_logprobs": 3, "max_tokens": 5,
                      "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}).encode()
    yield json.dumps({"messages": [messages[1], {"role": "assistant", "content": "So"}], "continue_final_message": True,
                      "guided_regex": "a+", "memory": {"namespace": "a", "recall": True, "notes_as": "text"}, "priority": 1,
                      "deadline_ms": 5, "routing": "dense", "speculation": True, "chat_template_kwargs": {"a": 1}}).encode()
    for prompt in ("a", ["a", "b"], [1, 2], [[1], [2, 3]]):
        yield json.dumps({"prompt": prompt, **sampling, "echo": True, "logprobs": 1, "max_tokens": 1}).encode()
    cached = {"cache_control": {"type": "ephemeral"}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hi", **cached}]},
             {"role": "assistant", "content": [{"type": "text", "text": "So"},
                                               {"type": "tool_use", "id": "a", "name": "search", "input": {"q": 1}}]},
             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "found", "is_error": False}]},
             {"role": "assistant", "content": "Well"}]
    tools = [{"name": "search", "description": "Finds", "input_schema": function["parameters"], **cached}]
    yield json.dumps({"messages": turns, "system": [{"type": "text", "text": "Be brief."}], "tools": tools, "max_tokens": 5,
                      "tool_choice": {"type": "any", "disable_parallel_tool_use": True}, "stop_sequences": ["a"], "top_k": 5,
                      "thinking": {"type": "disabled"}, "metadata": {"user_id": "u"}}).encode()
    yield json.dumps({"messages": turns[:1], "system": "Be brief.",
                      "output_config": {"format": {"type": "json_schema", "schema": {}}}}).encode()
    items = [{"role": "user", "content": "Hi"},
             {"type": "message", "id": "m", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": "So", "annotations": []}]},
             {"type": "function_call", "call_id": "a", "name": "search", "arguments": "{\"q\": 1}"},
             {"type": "function_call_output", "call_id": "a", "output": "found"}]
    yield json.dumps({"input": items, "instructions": "Be brief.", "tools": [{"type": "function", **function, "strict": True}],
                      "tool_choice": {"type": "function", "name": "search"}, "max_output_tokens": 5, "store": False,
                      "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}, "truncation": "disabled"}).encode()
    yield json.dumps({"input": "Hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2, "stream": True,
                      "stream_options": {"include_obfuscation": False}, "reasoning": {"effort": "low"}}).encode()
    yield json.dumps({"input_prefix": "int f(", "prompt": "int", "input_suffix": ") {}", "n_predict": -1, "repeat_penalty": 1.1,
                      "input_extra": [{"filename": "a.h", "text": "int a;"}], "samplers": ["top_k"], "cache_prompt": True}).encode()
    yield json.dumps({"input": ["a", "b"], "encoding_format": "base64", "dimensions": 4}).encode()
    yield b'{"prompt": "a", "add_special_tokens": false}'
    yield b'{"tokens": [1, 2]}'
    answer = b'Text\n<tool_call>\n{"name": "search", "arguments": {"q": "} </tool_call> \\" \xc3\xa9", "n": [1.5e3, null]}}\n</tool_call>'
    yield answer + b'\n<tool_call>{"arguments": "{\\"a\\": 1}", "name": "get_time"}\n</tool_call> rest'
    yield b'```json\n{"name": "search", "arguments": {}}\n```\n{"name": "get_time", "parameters": null}'
    yield b'<|python_tag|>{"name": "search", "parameters": {"a": 1}} <tool_call>{"name": "search"'


def schema_seeds():
    yield json.dumps({"type": "object", "properties": {"a": {"type": "integer", "minimum": -3, "maximum": 120}, "b/c": {"enum": [1, "x", None, {"k": [1]}]}},
                      "required": ["a"], "additionalProperties": {"type": ["string", "null"], "minLength": 1, "maxLength": 5}}).encode()
    yield json.dumps({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 3}}}).encode()
    yield json.dumps({"oneOf": [{"properties": {"k": {"const": "a"}}, "required": ["k"]}, {"not": {"required": ["k"]}}], "type": "object",
                      "minProperties": 1, "maxProperties": 4}).encode()
    yield json.dumps({"type": "object", "patternProperties": {"^(a|b+)$": {"type": "number", "multipleOf": 0.25}, "x": True},
                      "propertyNames": {"maxLength": 3}, "additionalProperties": False}).encode()
    yield json.dumps({"anyOf": [{"type": "string", "pattern": "^[a-z]{2,4}$", "format": "email"}, {"type": "string", "format": "date-time"}],
                      "if": {"const": "x"}, "then": {"minLength": 1}, "else": {"maxLength": 40}}).encode()
    yield json.dumps({"type": "array", "prefixItems": [{"const": 1}, {}], "items": False, "minItems": 1,
                      "allOf": [{"maxItems": 2}, {"dependentRequired": {"a": ["b"]}}]}).encode()


def pattern_seeds():
    yield from (text.encode() for text in (
        r"^(?:[a-z]+|\d{2,5})*$", r"a(b|c)?\x41[^\w\s-]{0,300}", r"\p{Lu}\u{1F600}.\/|(?<n>x+?)y*", "[^\u00e9-\u20ac]+$"))


def gbnf_seeds():
    yield b'root ::= sum "\\n"?\nsum ::= term ("+" term)*\nterm ::= [0-9]{1,3} | "(" sum ")" # comment\n'
    yield b'root ::= item{2,400}\nitem ::= [^a-c\\]] "\\x41\\u00e9" | other\n  | .\nother ::= "b" item?\n'
    yield b'root ::= "[" (root | a)* "]"\na ::= ("x" | "")+ "y"\n'


def adapter_seeds():
    lora = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}
    yield json.dumps(lora).encode()
    yield json.dumps({**lora, "use_rslora": True, "rank_pattern": {"q_proj": 4, "layers.0.mlp.*": 2}, "bias": "none",
                      "alpha_pattern": {".*\\.self_attn\\.(q|k)_proj": 3.5}, "fan_in_fan_out": False, "inference_mode": True,
                      "target_modules": ["q_proj", "k_proj"], "init_lora_weights": "gaussian", "modules_to_save": None}).encode()
    yield json.dumps({**lora, "use_dora": True, "modules_to_save": ["lm_head"], "init_lora_weights": "pissa"}).encode()


def words(document):
    """Every key and every text in a JSON document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from words(value)
    elif isinstance(document, list):
        for value in document:
            yield from words(value)
    elif isinstance(document, str):
        yield document


def quoted(text):
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\x{b:02x}" for b in text.encode()) + '"'


def main(folder):
    dictionaries = {
        "safetensors": ["__metadata__", "dtype", "shape", "data_offsets", *DTYPE_BYTES],
        "gguf": ["GGUF", "general.alignment", "general.architecture", "split.count", "token_embd.weight"],
        "tokenizer": [word for d in (byte_level(), sentence_piece()) for word in words(d) if len(word) > 2],
        "slot": ["q25block"],
        "lmdb": ["a", "b"],
        "kv_export": ["__metadata__", "content", "version", "namespace", "0.fingerprint", "0.keys_values", "0.parents"],
        "documents": ["id", "source", "text"],
        "chat_template": ["messages", "content", "role", "<|im_start|>", "<|im_end|>", "{%- if", "{{-", "-%}", "}}"],
        "http": ["GET ", "POST ", " HTTP/1.1", " HTTP/1.0", "Host: a", "Content-Length: ", "Transfer-Encoding: chunked", "Connection: ",
                 "close", "keep-alive", "Expect: 100-continue", "\r\n", "\r\n\r\n", "0\r\n\r\n", "\n", ", ", ";a=b"],
        "hub": ["type", "file", "oid", "size", "path", "lfs", ".gguf", ".safetensors", "-00001-of-00002", "../", "rel=\"next\""],
        "api": [*words(json.loads(next(api_seeds()))), "<tool_call>", "</tool_call>", "<|python_tag|>", "```json", "arguments",
                "parameters", "prompt", "input", "tokens", "logprobs", "response_format", "json_schema"],
        "jinja": ["{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "for", "in", "if", "else", "elif", "endif", "endfor", "set", "endset",
                  "macro", "endmacro", "call", "endcall", "caller", "filter", "endfilter", "namespace(", "loop.", "messages", "content",
                  "role", "tools", "tojson", "map", "select", "join", "range(", "recursive", "is", "not", "raw", "endraw", "generation"],
        "schema": ["type", "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "enum", "const", "items",
                   "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
                   "exclusiveMinimum", "multipleOf", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "$ref", "$defs", "$anchor", "#",
                   "#/$defs/a", "object", "array", "string", "integer", "number", "boolean", "dependentRequired", "minProperties"],
        "pattern": ["(?:", "(?=", "[^", "{2,3}", "\\d", "\\p{L}", "\\u{", "\\b", "|", "^", "$", "*?"],
        "gbnf": ["root ::= ", "::=", "{1,", "[^", "\\x", "\\u", "| ", "(", ")*", "\n"],
        "adapter": [word for seed in adapter_seeds() for word in words(json.loads(seed))],
        "config": [word for seed in config_seeds() for word in words(json.loads(seed))],
    }
    targets = {"safetensors": safetensors_seeds, "gguf": gguf_seeds, "tokenizer": tokenizer_seeds, "config": config_seeds,
               "slot": slot_seeds, "lmdb": lmdb_seeds, "kv_export": kv_export_seeds, "documents": documents_seeds,
               "chat_template": chat_template_seeds, "http": http_seeds, "hub": hub_seeds, "jinja": jinja_seeds, "schema": schema_seeds, "pattern": pattern_seeds, "gbnf": gbnf_seeds, "api": api_seeds, "adapter": adapter_seeds}
    for target, seeds in targets.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / target / f"seed{number}").write_bytes(seed)
        entries = [quoted(f'"{word}"') for word in dict.fromkeys(dictionaries[target]) if len(word) < 40]
        entries += [quoted(word) for word in ("{", "}", "[", "]", ":", ",", "null", "true", "-1", "1e308", "\\u0000")]
        (folder / f"{target}.dict").write_text("\n".join(entries) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
