"""Writes a language model of random weights that llama.cpp can serve, in half a megabyte and with nothing but the standard library.

    make_model.py FILE

Its answers are noise. It has what the wire needs: a tokenizer that knows every byte, a chat template, a context of 2048 tokens.
The file is the GGUF format, version 3: a head, named values, the shapes of the tensors, and the tensors, each at a multiple of 32.
"""

import random
import struct
import sys

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 2048
# Kinds of values in the head.
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5
# Kinds of tokens.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def plain(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", F32: "<f", I32: "<i"}[kind], value)


def entry(name, kind, value, each=None):
    if kind != ARRAY:
        return text(name) + struct.pack("<I", kind) + plain(kind, value)
    head = text(name) + struct.pack("<IIQ", ARRAY, each, len(value))
    return head + b"".join(plain(each, item) for item in value)


def vocabulary():
    tokens = [("<unk>", UNKNOWN, 0.0), ("<s>", CONTROL, 0.0), ("</s>", CONTROL, 0.0)]
    tokens += [(f"<0x{byte:02X}>", BYTE, -1.0) for byte in range(256)]
    tokens += [("\u2581" + letter, NORMAL, -2.0 - n / 100) for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")]
    tokens += [(letter, NORMAL, -3.0 - n / 100) for n, letter in enumerate("etaoinshrdlu.,")]
    return tokens


def tensors(size):
    yield "token_embd.weight", (WIDTH, size)
    yield "output_norm.weight", (WIDTH,)
    yield "output.weight", (WIDTH, size)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (WIDTH,)
        yield block + "ffn_norm.weight", (WIDTH,)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{part}.weight", (WIDTH, WIDTH)
        yield block + "ffn_gate.weight", (WIDTH, INNER)
        yield block + "ffn_up.weight", (WIDTH, INNER)
        yield block + "ffn_down.weight", (INNER, WIDTH)


def weights(name, shape, dice):
    count = 1
    for length in shape:
        count *= length
    if name.endswith("norm.weight"):
        return struct.pack(f"<{count}f", *[1.0] * count)
    return struct.pack(f"<{count}f", *[dice.gauss(0, 0.05) for _ in range(count)])


def main(path):
    dice = random.Random(1)
    tokens = vocabulary()
    values = [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "tiny-random"),
        entry("llama.context_length", U32, CONTEXT),
        entry("llama.embedding_length", U32, WIDTH),
        entry("llama.block_count", U32, LAYERS),
        entry("llama.feed_forward_length", U32, INNER),
        entry("llama.attention.head_count", U32, HEADS),
        entry("llama.attention.head_count_kv", U32, HEADS),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, WIDTH // HEADS),
        entry("llama.vocab_size", U32, len(tokens)),
        entry("general.file_type", U32, 0),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.pre", STRING, "default"),
        entry("tokenizer.ggml.tokens", ARRAY, [token for token, _, _ in tokens], STRING),
        entry("tokenizer.ggml.scores", ARRAY, [score for _, _, score in tokens], F32),
        entry("tokenizer.ggml.token_type", ARRAY, [kind for _, kind, _ in tokens], I32),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 2),
        entry(
            "tokenizer.chat_template",
            STRING,
            "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:",
        ),
    ]
    infos, data = b"", b""
    shapes = list(tensors(len(tokens)))
    for name, shape in shapes:
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        infos += struct.pack("<IQ", 0, len(data))
        data += weights(name, shape, dice)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(values)) + b"".join(values) + infos
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + data)


if __name__ == "__main__":
    main(sys.argv[1])
