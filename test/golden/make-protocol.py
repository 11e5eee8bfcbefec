#!/usr/bin/env python3
"""Writes golden frames of the protocol, from docs/PROTOCOL.md alone and with nothing but the
standard library, so that they are evidence against our encoder and not its echo.

usage: make-protocol.py [directory]        default: protocol-v1 beside this file
"""

import pathlib
import struct
import sys

sys.dont_write_bytecode = True

from checksum import crc32c

TYPES = {
    "hello": 1, "welcome": 2, "error": 3, "cancel": 4, "ping": 5, "pong": 6, "payload": 8, "data": 9,
    "lookup": 16, "looked-up": 17, "contains": 18, "present": 19, "load": 20, "loaded": 21,
    "load-tail": 22, "load-raw-tail": 23, "save": 24, "save-tail": 25, "save-raw-tail": 26,
    "wanted": 27, "grant": 28, "saved": 29, "prefetch": 30, "prefetched": 31, "flush": 32,
    "flushed": 33, "delete": 34, "deleted": 35, "stats": 36, "statistics": 37, "resend": 38,
    "lent": 39, "filled": 40, "open-ring": 41, "ring": 42, "ring-news": 43, "resident": 44,
    "resident-tail": 45, "borrow-raw-tail": 46,
}  # fmt: skip


def frame(kind, number, body=b""):
    checksum = 0 if kind == "data" else crc32c(body)
    head = b"WKVP" + struct.pack("<BBHIII", 1, TYPES[kind], 0, number, len(body), checksum)
    return head + struct.pack("<I", crc32c(head)) + body


def text(value):
    encoded = value.encode()
    return struct.pack("<H", len(encoded)) + encoded


def key(first):
    """32 bytes counting up from `first`."""
    return bytes((first + i) % 256 for i in range(32))


def keys(*firsts):
    return struct.pack("<I", len(firsts)) + b"".join(key(first) for first in firsts)


def head(namespace, deadline):
    return text(namespace) + struct.pack("<I", deadline)


def tokens(*values):
    return struct.pack("<I", len(values)) + b"".join(struct.pack("<i", value) for value in values)


NONE = 0xFFFFFFFF

GOLDEN = {
    "hello": frame("hello", 0, struct.pack("<HHI", 1, 1, 55) + bytes(range(16)) + text("s3cret") + text("c-library 1.1")),
    "welcome": frame("welcome", 0, struct.pack("<HIIIIII", 1, 55, 8388608, 1048576, 131072, 256, 16) + text("wombatkv 0.1.0")),
    "error": frame("error", 7, b"\x01" + text("the backlog limit is 4 bytes")),
    "cancel": frame("cancel", 7),
    "ping": frame("ping", 9),
    "pong": frame("pong", 9),
    "lookup": frame("lookup", 1, head("default", 250) + keys(1, 33)),
    "looked-up": frame("looked-up", 1, struct.pack("<IB", 1, 2)),
    "contains": frame("contains", 2, head("équipe/a", 10000) + keys()),
    "present": frame("present", 2, struct.pack("<I", 10) + bytes([0b10000101, 0b00000010])),
    "load": frame("load", 3, head("default", 9999) + b"\x03" + key(200) + keys(1)),
    "load-any": frame("load", 15, head("default", 9999) + b"\x00" + keys(1)),
    "load-tail": frame("load-tail", 4, head("default", 1) + b"\x00" + key(7) + tokens(1, -2, 2147483647)),
    "load-raw-tail": frame("load-raw-tail", 5, head("default", 0) + key(7)),
    "payload": frame("payload", 3, struct.pack("<IIIIBB", 0, 5, crc32c(b"bytes"), 128, 1, 2)),
    "load-compressed": frame("load", 19, head("default", 9999) + b"\x04" + keys(1)),
    "payload-compressed": frame(
        "payload", 19, struct.pack("<IIIIBBBI", 0, 65536, 0xDEADBEEF, 128, 2 | 1, 0, 2, 40000),
    ),
    "load-borrowing": frame("load", 21, head("default", 9999) + b"\x08" + keys(1)),
    "resident": frame("resident", 21, struct.pack("<IBBB", 3, 2, 1, 0)),
    "load-tail-borrowing": frame("load-tail", 22, head("default", 1) + b"\x08" + key(7) + tokens(1, -2, 2147483647)),
    "borrow-raw-tail": frame("borrow-raw-tail", 23, head("default", 0) + key(7)),
    "resident-tail": frame("resident-tail", 22, struct.pack("<IB", 2, 1)),
    "data": frame("data", 3, b"bytes"),
    "loaded": frame("loaded", 3, struct.pack("<IB", 1, 0)),
    "save": frame(
        "save", 6,
        head("default", 10000) + bytes([1 | 4 | 8 | 32]) + key(200) + key(100) + struct.pack("<I", 2)
        + key(1) + struct.pack("<IIIB", 5, 128, 0, 0)
        + key(33) + struct.pack("<IIIB", 0, 0, NONE, 1),
    ),
    "save-unasked": frame(
        "save", 16,
        head("default", 10000) + bytes([1 | 8 | 16 | 32]) + key(100) + struct.pack("<I", 2)
        + key(1) + struct.pack("<IIIB", 5, 0, NONE, 0)
        + key(33) + struct.pack("<IIIB", 0, 0, NONE, 0),
    ),
    "save-filling": frame(
        "save", 17,
        head("default", 10000) + bytes([64]) + struct.pack("<I", 1) + key(1) + struct.pack("<IIIB", 131072, 128, 0, 0),
    ),
    "save-compressed": frame(
        "save", 20,
        head("default", 10000) + bytes([128]) + struct.pack("<I", 1) + key(1) + struct.pack("<IIIB", 131072, 128, 0, 0),
    ),
    "save-tail": frame(
        "save-tail", 7,
        head("default", 10000) + bytes([2 | 16]) + key(7) + struct.pack("<IIB", 5, NONE, 1) + tokens(5, 6),
    ),
    "save-raw-tail": frame("save-raw-tail", 8, head("default", 10000) + b"\x00" + key(7) + struct.pack("<I", 5)),
    "wanted": frame("wanted", 6, struct.pack("<QI", 67108864, 2) + b"\x01"),
    "grant": frame("grant", 6, struct.pack("<Q", 1048576)),
    "saved": frame("saved", 6, struct.pack("<IIQ", 1, 1, 5)),
    "resend": frame("resend", 6),
    "lent": frame("lent", 17, struct.pack("<IIIII", 1, 2, 769, 0xDEADBEEF, 7)),
    "filled": frame("filled", 17, struct.pack("<II", 1, 0xE3069283)),
    "open-ring": frame("open-ring", 18),
    "ring": frame("ring", 18, struct.pack("<II", 3, 8392704)),
    "ring-news": frame("ring-news", 0),
    "prefetched": frame("prefetched", 10, struct.pack("<Q", 40)),
    "flush": frame("flush", 11, head("default", 60000)),
    "flushed": frame("flushed", 11),
    "delete-blocks": frame("delete", 12, head("default", 60000) + b"\x00" + keys(1, 33)),
    "delete-subtree": frame("delete", 13, head("default", 60000) + b"\x01" + key(1)),
    "delete-namespace": frame("delete", 14, head("default", 60000) + b"\x02"),
    "deleted": frame("deleted", 14, struct.pack("<Q", 3)),
}  # fmt: skip

directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "protocol-v1"
directory.mkdir(exist_ok=True)
for name, frame_bytes in GOLDEN.items():
    (directory / f"{name}.bin").write_bytes(frame_bytes)
