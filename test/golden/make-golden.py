#!/usr/bin/env python3
"""Writes the golden v2 frames and frames.json, from docs/FORMAT.md alone and with nothing but the
standard library, so that they are evidence against our encoder and not its echo.

Digests are fixed bytes (no BLAKE3 here): a frame only carries them.

usage: make-golden.py [directory]        default: frame-v2 beside this file
"""

import json
import pathlib
import struct
import sys

sys.dont_write_bytecode = True

from checksum import crc32c

CODECS = {"raw": 0, "zstd": 1}
FILTERS = {"none": 0, "shuffle2": 1, "split2": 2}
KIND_FLAGS = {"block": 0, "tail": 1, "raw-tail": 4}
DECODED_TOKENS = 2


def digest(first):
    """32 bytes counting up from `first`."""
    return bytes((first + i) % 256 for i in range(32))


def noise(count, seed):
    """Bytes of a linear congruential generator."""
    out = bytearray()
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2**31
        out.append(seed >> 16 & 0xFF)
    return bytes(out)


def shuffle2(data):
    pairs = len(data) // 2 * 2
    return data[0:pairs:2] + data[1:pairs:2] + data[pairs:]


def zstd_block(kind, size, body, last):
    """kind 0: raw, 1: one byte repeated."""
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + body


def zstd_by_hand(data, repeated):
    """A frame whose first blocks are raw and whose last one repeats a byte `repeated` times."""
    head, last = data[: len(data) - repeated], data[len(data) - repeated :]
    assert last == last[:1] * repeated and 256 <= len(data) < 65536 + 256
    middle = len(head) // 2
    return (
        bytes.fromhex("28b52ffd")
        + bytes([0x60])  # content size in 2 bytes, single segment, no checksum, no dictionary
        + struct.pack("<H", len(data) - 256)
        + zstd_block(0, middle, head[:middle], 0)
        + zstd_block(0, len(head) - middle, head[middle:], 0)
        + zstd_block(1, repeated, last[:1], 1)
    )


def frame(fields, stored):
    flags = KIND_FLAGS[fields["kind"]] | (DECODED_TOKENS if fields["hasDecodedTokens"] else 0)
    following = b"".join(fields["following"])
    header = struct.pack(
        "<4sHHBBHIIIQQII",
        b"WKVF",
        2,
        192 + len(following),
        CODECS[fields["codec"]],
        FILTERS[fields["filter"]],
        flags,
        fields["tokens"],
        0xFFFFFFFF if fields["position"] is None else fields["position"],
        len(fields["following"]),
        fields["rawLength"],
        fields["storedLength"],
        fields["rawCrc"],
        fields["storedCrc"],
    )
    header += fields["key"] + (fields["parent"] or bytes(32)) + fields["namespaceDigest"]
    header += (fields["fingerprint"] or bytes(32)) + bytes(12)
    assert len(header) == 188
    return header + struct.pack("<I", crc32c(header + following)) + following + stored


def golden(name, raw, stored=None, **given):
    stored = raw if stored is None else stored
    fields = {
        "kind": "block",
        "codec": "raw",
        "filter": "none",
        "hasDecodedTokens": False,
        "tokens": 0,
        "position": None,
        "key": digest(0x10),
        "parent": None,
        "namespaceDigest": digest(0xA0),
        "fingerprint": None,
        "following": [],
        **given,
        "rawLength": len(raw),
        "storedLength": len(stored),
        "rawCrc": crc32c(raw),
    }
    fields["storedCrc"] = crc32c(fields["namespaceDigest"] + fields["key"] + stored)
    return name, fields, frame(fields, stored), raw


def goldens():
    yield golden("block", noise(96, 1), tokens=128, parent=digest(0x30))
    yield golden(
        "block-following",
        noise(256, 2),
        hasDecodedTokens=True,
        tokens=8192,
        position=0x01020304,
        parent=digest(0x30),
        fingerprint=digest(0x50),
        following=[digest(0x80 + 3 * i) for i in range(63)],
    )
    yield golden("tail", noise(33, 3), kind="tail", tokens=77, position=256, parent=digest(0x70))
    yield golden("raw-tail", noise(40, 4), kind="raw-tail")
    yield golden("empty", b"", tokens=128, position=0, parent=digest(0x30))
    values = b"".join(bytes([i * 7 % 256, 0x3C if i > 60 else 0xBC + i % 3]) for i in range(300))
    yield golden(
        "zstd-shuffle2",
        values + b"\x3c",
        zstd_by_hand(shuffle2(values + b"\x3c"), 240),
        codec="zstd",
        filter="shuffle2",
        tokens=128,
        position=128,
        parent=digest(0x30),
        following=[digest(0xC0)],
    )
    planes = shuffle2(values + b"\x3c")
    yield golden(
        "zstd-split2",
        values + b"\x3c",
        planes[:300] + zstd_by_hand(planes[300:], 100),
        codec="zstd",
        filter="split2",
        tokens=128,
        position=256,
        parent=digest(0x30),
    )


def described(name, fields, raw):
    def text(value):
        if isinstance(value, bytes):
            return value.hex()
        return [text(item) for item in value] if isinstance(value, list) else value

    return {"file": f"{name}.frame", **{k: text(v) for k, v in fields.items()}, "raw": raw.hex()}


def main():
    beside = pathlib.Path(__file__).resolve().parent / "frame-v2"
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    directory.mkdir(parents=True, exist_ok=True)
    descriptions = []
    for name, fields, data, raw in goldens():
        (directory / f"{name}.frame").write_bytes(data)
        descriptions.append(described(name, fields, raw))
    text = json.dumps(descriptions, indent=2) + "\n"
    (directory / "frames.json").write_bytes(text.encode())


if __name__ == "__main__":
    main()
