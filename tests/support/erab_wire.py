"""The bytes of schemas/PROTOCOL.md in Python, written from that text alone: nothing here comes from the C code."""
import hashlib
import os
import struct
import time

import nacl.bindings as sodium

TAG = b"erab.v1.envelope\0"
COMMAND, TELEMETRY = 1, 2
TYPES = {"dispatch": 1, "dispatch-cancel": 2, "device-command": 3, "opt": 10, "capability": 11, "plan": 12, "baseline": 13,
         "registration": 14, "party-card": 15, "evidence": 16, "evidence-withdrawal": 17, "evidence-request": 18, "advisory": 19,
         "incident": 20, "breaker-notice": 21, "audit-head": 22, "result": 23, "receipt": 24, "ping": 25, "telemetry": 30,
         "device-state": 31}
STATES = {1: "queued", 2: "accepted", 3: "delivered", 4: "applied", 5: "expired", 6: "refused"}


def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def number(field, v):
    return varint(field << 3) + varint(v)


def block(field, data):
    if isinstance(data, str):
        data = data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def real(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v)


def read_varint(data, at):
    v = shift = 0
    while True:
        b = data[at]
        at += 1
        v |= (b & 127) << shift
        if b < 128:
            return v, at
        shift += 7


def fields(data):
    """[(field number, value)] of one message; numbers as int, fixed and blocks as bytes."""
    out, at = [], 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            v, at = read_varint(data, at)
        else:
            if wire == 2:
                n, at = read_varint(data, at)
            else:
                n = {1: 8, 5: 4}[wire]
            if at + n > len(data):
                raise ValueError("cut off")
            v, at = data[at:at + n], at + n
        out.append((tag >> 3, v))
    return out


def new_id(now_ms=None):
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    r = bytearray(now_ms.to_bytes(6, "big") + os.urandom(10))
    r[6] = r[6] & 15 | 0x70
    r[8] = r[8] & 63 | 0x80
    return bytes(r)


def encode_header(h):
    out = block(1, h["id"]) + block(2, h["from"]) + block(3, h["to"]) + number(4, h["type"])
    out += number(5, h["issued_at_ms"]) + number(6, h["expires_at_ms"]) + number(7, h["seq"])
    if "parent" in h:
        out += block(8, block(1, h["parent"][0]) + block(2, h["parent"][1]))
    out += number(9, h.get("category", 1))
    if h.get("exercise"):
        out += number(10, 1)
    if "trace_id" in h:
        out += block(11, h["trace_id"])
    if h.get("sealed"):
        out += number(12, 1)
    if h.get("version", 1) != 1:
        out += number(13, h["version"])
    return out


def decode_header(data):
    names = {1: "id", 2: "from", 3: "to", 4: "type", 5: "issued_at_ms", 6: "expires_at_ms", 7: "seq", 8: "parent", 9: "category",
             10: "exercise", 11: "trace_id", 12: "sealed", 13: "version"}
    h = {names[f]: v for f, v in fields(data)}
    h["from"], h["to"] = h["from"].decode(), h["to"].decode()
    if "parent" in h:
        p = dict(fields(h["parent"]))
        h["parent"] = (p[1], p[2])
    for flag in ("exercise", "sealed"):
        if flag in h:
            h[flag] = bool(h[flag])
    return h


def signed_string(header, body):
    return TAG + len(header).to_bytes(4, "big") + header + len(body).to_bytes(4, "big") + body


def envelope_hash(header, body):
    return hashlib.blake2b(signed_string(header, body), digest_size=32).digest()


def sign(header, body, secret):
    """secret: 64 bytes, seed and public key."""
    return sodium.crypto_sign(signed_string(header, body), secret)[:64]


def verify(header, body, signature, public):
    try:
        sodium.crypto_sign_open(signature + signed_string(header, body), public)
        return True
    except Exception:
        return False


def seal(body, curve_public):
    """A sealed body: crypto_box_seal to the recipient's connection key."""
    return sodium.crypto_box_seal(body, curve_public)


def open_sealed(body, curve_public, curve_secret):
    return sodium.crypto_box_seal_open(body, curve_public, curve_secret)


def envelope(header, body, signature=b""):
    return block(1, header) + block(2, body) + (block(3, signature) if signature else b"")


def packet(group, envelopes):
    return number(1, group) + b"".join(block(2, e) for e in envelopes)


def read_packet(data):
    """(lane group, [(header, body, signature)])"""
    group, out = None, []
    for f, v in fields(data):
        if f == 1:
            group = v
        else:
            e = dict(fields(v))
            out.append((e[1], e[2], e.get(3, b"")))
    return group, out


def decode_receipt(body):
    r = {"members": []}
    names = {1: "about", 2: "about_hash", 3: "state", 4: "reason", 5: "section", 6: "detail", 7: "retry_after_ms", 9: "shed"}
    for f, v in fields(body):
        if f == 8:
            m = dict(fields(v))
            r["members"].append((m[1].decode(), STATES[m[2]], m[3].decode()))
        else:
            r[names[f]] = v.decode() if f in (4, 5, 6) else STATES[v] if f == 3 else v
    return r
