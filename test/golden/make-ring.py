#!/usr/bin/env python3
"""Writes a golden commit ring, from docs/FORMAT.md alone and with nothing but the standard library,
so that it is evidence against our code and not its echo.

usage: make-ring.py [directory]        default: ring-v1 beside this file
"""

import pathlib
import struct
import sys

sys.dont_write_bytecode = True

from checksum import crc32c

DATA_BYTES = 4096
SEED = 0x5A17C0DE
UNIT = 64
NO_POSITION = 0xFFFFFFFF


def key(first):
    """32 bytes counting up from `first`."""
    return bytes((first + i) % 256 for i in range(32))


def padded(data, unit):
    return data + bytes(-len(data) % unit)


def entry(position, namespace, blocks, parent=None, fingerprint=None):
    """Each block: key, payload, tokens, position, whether it has decoded tokens."""
    name = namespace.encode()
    rows = b"".join(
        block[0] + struct.pack("<6I", len(block[1]), crc32c(block[1]), block[2], block[3], block[4], 0)
        for block in blocks
    )
    payloads = b"".join(padded(block[1], 8) for block in blocks)
    described = 96 + len(padded(name, 8)) + len(rows)
    length = max(len(padded(bytes(described) + payloads, UNIT)), 512 * len(blocks))
    flags = (1 if parent else 0) | (2 if fingerprint else 0)
    fields = struct.pack("<IIHHII", position, described, len(name), flags, len(blocks), 0)
    description = fields + (parent or bytes(32)) + (fingerprint or bytes(32)) + padded(name, 8) + rows
    checksum = crc32c(struct.pack("<II", SEED, position) + description)
    head = struct.pack("<III", 0x45564B57, length, checksum)
    return (head + description + payloads).ljust(length, b"\0")


def fill(units):
    return struct.pack("<II", 0x45564B57, units * UNIT).ljust(UNIT, b"\0")


def ring():
    """What waits begins 1536 bytes before the end of the data, and the last entry at its beginning."""
    tail = 2**32 - 24
    first = entry(tail, "default", [(key(1), b"one", 128, 0, 0)])
    second = entry(
        tail + len(first) // UNIT,
        "tenänt",
        [(key(2), b"", 7, NO_POSITION, 1), (key(3), bytes(range(200)), 0, 2**32 - 2, 0)],
        parent=key(9),
        fingerprint=key(77),
    )
    left = 24 - (len(first) + len(second)) // UNIT
    assert 0 <= left * UNIT < 512, left
    third = entry(0, "default", [(key(4), b"four" * 300, 1, 1, 0)])
    data = bytearray(DATA_BYTES)
    at = DATA_BYTES - 24 * UNIT
    for one in (first, second):
        data[at : at + len(one)] = one
        at += len(one)
    if left:
        data[at : at + UNIT] = fill(left)
    data[: len(third)] = third
    header = b"WKVRING\0" + struct.pack("<III", 1, DATA_BYTES, SEED)
    page = bytearray(header.ljust(4096, b"\0"))
    struct.pack_into("<I", page, 64, len(third) // UNIT)
    struct.pack_into("<I", page, 128, tail)
    return bytes(page) + bytes(data)


def main():
    where = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "ring-v1"
    where.mkdir(parents=True, exist_ok=True)
    (where / "ring.bin").write_bytes(ring())


main()
