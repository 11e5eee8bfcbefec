#!/usr/bin/env python3
"""Writes golden messages of HTTP, from docs/HTTP.md alone and with nothing but the standard library,
so that they are evidence against our encoders and not their echo.

usage: make-http.py [directory]        writes http-v1, http-v2 and http-v3 in there; default: beside this file
"""

import json
import pathlib
import struct
import sys

sys.dont_write_bytecode = True

from checksum import crc32c


def key(first):
    """32 bytes counting up from `first`."""
    return bytes((first + i) % 256 for i in range(32))


NO_POSITION = 0xFFFFFFFF
LEFT_OUT = 2


def bulk(records, attributes, payloads, version=1):
    """Records are (key, length, tokens, flags, tier); payloads stand in the order in which they come."""
    table = b"".join(
        one + struct.pack("<IIIII", length, tokens, NO_POSITION, flags, tier) + bytes(12)
        for one, length, tokens, flags, tier in records
    )
    start = b"WMBTHTP%d" % version + struct.pack("<II", len(records), len(attributes))
    head = start + struct.pack("<II", crc32c(start + table + attributes), 0)
    return head + table + attributes + b"".join(one + struct.pack("<I", crc32c(one)) for one in payloads)


def answer(status, kind, body):
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(status, kind, body, size):
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in pieces)
    return head.encode() + chunks + b"0\r\n\r\n"


def text(value):
    return json.dumps(value).encode()


BULK = "application/vnd.wombatkv.bulk"
JSON = "application/json"
LOADED = bulk(
    [(key(1), 5, 128, 1, 2), (key(33), 0, 0, 0, 1)], text({"reason": "unknown"}), [b"bytes", b""]
)
PARENT = '{"durable":true,"parent":"%s"}' % key(100).hex()

# The question before a save, what is answered by a server that takes version 2, and the save.
ASKED = {"keys": [key(1).hex(), key(33).hex(), key(65).hex()], "lengths": [7, 5, 2]}
GOLDEN_V2 = {
    "asked-body": json.dumps(ASKED, separators=(",", ":")).encode(),
    "present": answer("200 OK", JSON, text({"stored": [True, False, False], "bulk": 2})),
    "save-body": bulk(
        [(key(1), 0, 0, LEFT_OUT, 0), (key(33), 5, 0, 0, 0), (key(65), 2, 0, 0, 0)],
        PARENT.encode(),
        [b"ab", b"bytes"],
        version=2,
    ),
}

# A save of version 3: 20,000 bytes as one zstd frame, made by hand of one block of one byte repeated, and 2 bytes as they are.
REPEATED = b"a" * 20000
FRAME = bytes.fromhex("28b52ffda0") + struct.pack("<I", 20000) + struct.pack("<I", 20000 << 3 | 1 << 1 | 1)[:3] + b"a"


def with_forms(records, attributes, payloads):
    """Payloads are (what is sent, form, payload): the form is the number of its filter, or None for the payload itself."""
    head = bulk(records, attributes, [], version=3)
    parts = [
        struct.pack("<II", 0 if form is None else len(sent), form or 0) + sent + struct.pack("<I", crc32c(payload))
        for sent, form, payload in payloads
    ]
    return head + b"".join(parts)


GOLDEN_V3 = {
    "save-body": with_forms(
        [(key(1), 0, 0, LEFT_OUT, 0), (key(33), 20000, 0, 0, 0), (key(65), 2, 0, 0, 0)],
        PARENT.encode(),
        [(b"ab", None, b"ab"), (FRAME, 0, REPEATED)],
    ),
}

GOLDEN = {
    "save-body": bulk(
        [(key(1), 0, 0, LEFT_OUT, 0), (key(33), 5, 0, 0, 0), (key(65), 0, 0, 0, 0)], PARENT.encode(), [b"bytes", b""]
    ),
    "load-body": LOADED,
    "loaded": answer("200 OK", BULK, LOADED),
    "loaded-chunked": chunked("200 OK", BULK, LOADED, 70),
    "looked-up": answer("200 OK", JSON, text({"matched": 1, "reason": "unknown"})),
    "present": answer("200 OK", JSON, text({"stored": [True, False, True]})),
    "saved": answer("200 OK", JSON, text({"saved": 2, "known": 1, "savedBytes": 5})),
    "error": answer("429 Too Many Requests", JSON, text({"error": {"code": "BUSY", "reason": "é \U0001f600 full"}})),
}

if __name__ == "__main__":
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    for folder, messages in {"http-v1": GOLDEN, "http-v2": GOLDEN_V2, "http-v3": GOLDEN_V3}.items():
        (directory / folder).mkdir(exist_ok=True)
        for name, data in messages.items():
            (directory / folder / f"{name}.bin").write_bytes(data)
