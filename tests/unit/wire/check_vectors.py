"""The vectors, read back by Python: they are what make_vectors.py makes, and they decode to what they say."""
import json
import pathlib
import subprocess
import sys

import nacl.bindings as sodium

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import erab_wire as wire  # noqa: E402


def check_case(case, public):
    group, envelopes = wire.read_packet(bytes.fromhex(case["packet"]))
    assert group == case["lane_group"] and len(envelopes) == 1
    header, body, signature = envelopes[0]
    assert header.hex() == case["header"] and body.hex() == case["body"] and signature.hex() == case["signature"]
    assert wire.envelope_hash(header, body).hex() == case["hash"]
    if signature:
        assert wire.verify(header, body, signature, public)
        assert not wire.verify(header, body + b"\0", signature, public)
    seen = wire.decode_header(header)
    assert wire.encode_header(seen) == header
    for name, value in case["fields"].items():
        got = seen[name]
        got = got.hex() if isinstance(got, bytes) else [p.hex() for p in got] if isinstance(got, tuple) else got
        assert got == value, name


def main():
    folder = ROOT / "schemas" / "vectors"
    data = json.loads((folder / "envelope.json").read_text())
    for case in data["cases"]:
        check_case(case, bytes.fromhex(data["public"]))
    for c in json.loads((folder / "curve.json").read_text())["commands"]:
        h = {k: bytes.fromhex(v) for k, v in c.items() if k != "name"}
        box = h["bytes"][len(h["clear"]):]
        assert sodium.crypto_box_open(box, h["nonce"], h["sender_public"], h["receiver_secret"]) == h["plain"], c["name"]
    return subprocess.run([sys.executable, ROOT / "tests/support/make_vectors.py", "--check"], check=False).returncode


sys.exit(main())
