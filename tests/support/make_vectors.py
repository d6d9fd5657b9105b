"""Writes schemas/vectors/*.json from fixed keys and nonces. `--check` compares with what is there."""
import json
import pathlib
import sys

import nacl.bindings as sodium

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import erab_wire as wire  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "schemas" / "vectors"
NOW = 1795430000000


def fixed(n, start):
    return bytes((start + 7 * i) & 255 for i in range(n))


def an_id(start):
    b = bytearray(NOW.to_bytes(6, "big") + fixed(10, start))
    b[6] = b[6] & 15 | 0x70
    b[8] = b[8] & 63 | 0x80
    return bytes(b)


def a_case(name, secret, header, body, group):
    head = wire.encode_header(header)
    signature = wire.sign(head, body, secret) if secret else b""
    printed = {k: v.hex() if isinstance(v, bytes) else [p.hex() for p in v] if isinstance(v, tuple) else v for k, v in header.items()}
    return {"name": name, "fields": printed, "header": head.hex(), "body": body.hex(), "lane_group": group,
            "hash": wire.envelope_hash(head, body).hex(), "signature": signature.hex(),
            "packet": wire.packet(group, [wire.envelope(head, body, signature)]).hex()}


def envelopes():
    public, secret = sodium.crypto_sign_seed_keypair(fixed(32, 1))
    slot = wire.number(1, NOW) + wire.number(2, NOW + 1800000) + wire.real(3, -1500.0)
    dispatch = (wire.block(1, "order-1") + wire.number(2, 0) + wire.number(3, 1) + wire.number(4, NOW) + wire.number(5, NOW + 1800000) +
                wire.block(6, slot) + wire.block(7, "tertiary-2"))
    first = {"id": an_id(3), "from": "example-tso", "to": "example-ac.direct", "type": 1, "issued_at_ms": NOW,
             "expires_at_ms": NOW + 60000, "seq": 1, "category": 1}
    parent = (first["id"], wire.envelope_hash(wire.encode_header(first), dispatch))
    second = {"id": an_id(5), "from": "example-ac.rest", "to": "@example-homes", "type": 1, "issued_at_ms": NOW + 20,
              "expires_at_ms": NOW + 60020, "seq": 129, "parent": parent, "category": 1, "exercise": True, "trace_id": fixed(16, 9),
              "sealed": True, "version": 2}
    point = wire.block(1, "home-1") + wire.number(2, 1) + wire.number(3, NOW) + wire.real(4, 0.0)
    third = {"id": an_id(7), "from": "example-gateway", "to": "example-ra", "type": 30, "issued_at_ms": NOW,
             "expires_at_ms": NOW + 86400000, "seq": 1 << 40, "category": 3}
    ping = {"id": an_id(8), "from": "example-ra", "to": "example-ac.rest", "type": 25, "issued_at_ms": NOW, "expires_at_ms": NOW + 5000,
            "seq": 1, "category": 1}
    return {"seed": fixed(32, 1).hex(), "public": public.hex(), "secret": secret.hex(), "cases": [
        a_case("a dispatch without a parent", secret, first, dispatch, 1),
        a_case("a child to a group with every field", secret, second, dispatch, 1),
        a_case("unsigned telemetry, 0 kW", None, third, wire.block(1, point), 2),
        a_case("the ping that binds a connection", None, ping, wire.number(1, 1), 1)]}


def metadata(*rows):
    return b"".join(bytes([len(n)]) + n + len(v).to_bytes(4, "big") + v for n, v in rows)


class Pair:
    def __init__(self, start):
        self.secret = fixed(32, start)
        self.public = sodium.crypto_scalarmult_base(self.secret)


def curve():
    client, server, client1, server1 = Pair(11), Pair(22), Pair(33), Pair(44)
    cookie_key, commands = fixed(32, 55), []

    def box(name, clear, nonce, plain, sender, receiver):
        sealed = sodium.crypto_box(plain, nonce, receiver.public, sender.secret)
        commands.append({"name": name, "clear": clear.hex(), "nonce": nonce.hex(), "plain": plain.hex(),
                         "sender_secret": sender.secret.hex(), "sender_public": sender.public.hex(),
                         "receiver_secret": receiver.secret.hex(), "receiver_public": receiver.public.hex(),
                         "bytes": (clear + sealed).hex()})
        return clear + sealed

    def counter(n):
        return n.to_bytes(8, "big")

    box("HELLO", b"\x05HELLO\x01\x00" + bytes(72) + client1.public + counter(1), b"CurveZMQHELLO---" + counter(1), bytes(64), client1, server)
    cookie_plain, cookie_nonce = client1.public + server1.secret, fixed(16, 66)
    cookie = cookie_nonce + sodium.crypto_secretbox(cookie_plain, b"COOKIE--" + cookie_nonce, cookie_key)
    n16 = fixed(16, 77)
    box("WELCOME", b"\x07WELCOME" + n16, b"WELCOME-" + n16, server1.public + cookie, server, client1)
    v16 = fixed(16, 88)
    vouch = box("vouch", b"", b"VOUCH---" + v16, client1.public + server.public, client, server1)
    box("INITIATE", b"\x08INITIATE" + cookie + counter(2), b"CurveZMQINITIATE" + counter(2),
        client.public + v16 + vouch + metadata((b"Socket-Type", b"DEALER"), (b"Identity", b"")), client1, server1)
    box("READY", b"\x05READY" + counter(1), b"CurveZMQREADY---" + counter(1),
        metadata((b"Socket-Type", b"ROUTER"), (b"Identity", b"")), server1, client1)
    box("MESSAGE from the client", b"\x07MESSAGE" + counter(3), b"CurveZMQMESSAGEC" + counter(3), b"\0content", client1, server1)
    box("MESSAGE from the server", b"\x07MESSAGE" + counter(2), b"CurveZMQMESSAGES" + counter(2), b"\0content", server1, client1)
    box("PING from the server", b"\x07MESSAGE" + counter(3), b"CurveZMQMESSAGES" + counter(3), b"\x02\x04PING\x00\x64ctx", server1, client1)
    box("PONG from the client", b"\x07MESSAGE" + counter(4), b"CurveZMQMESSAGEC" + counter(4), b"\x02\x04PONGctx", client1, server1)
    box("PING without a context from the server", b"\x07MESSAGE" + counter(4), b"CurveZMQMESSAGES" + counter(4), b"\x02\x04PING\x00\x64", server1,
        client1)
    greeting = b"\xff" + bytes(7) + b"\x01\x7f\x03\x01CURVE".ljust(24, b"\0")
    return {"greeting_client": (greeting + bytes(64 - len(greeting))).hex(), "greeting_server": (greeting[:32] + b"\x01" + bytes(31)).hex(),
            "cookie": {"key": cookie_key.hex(), "nonce": (b"COOKIE--" + cookie_nonce).hex(), "plain": cookie_plain.hex(),
                       "bytes": cookie.hex()},
            "error": (b"\x05ERROR\x03400").hex(), "commands": commands}


def main():
    bad = 0
    FOLDER.mkdir(exist_ok=True)
    for name, data in [("envelope.json", envelopes()), ("curve.json", curve())]:
        text = json.dumps(data, indent=2) + "\n"
        path = FOLDER / name
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                print(f"{path} differs from what this script makes")
                bad = 1
        else:
            path.write_text(text)
    return bad


if __name__ == "__main__":
    sys.exit(main())
