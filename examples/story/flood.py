"""A home gateway that was taken over: it sends as much as the connection takes, and never reads. Ends when its
standard input does. usage: flood.py ENDPOINT SERVER_KEY KEY_FILE PARTY BROKER TO"""
import os
import select
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "support"))
import yaml  # noqa: E402
import zmq  # noqa: E402

import erab_wire as wire  # noqa: E402
from erab_client import Client  # noqa: E402


def main():
    endpoint, server, file, party, broker, to = sys.argv[1:]
    with open(file, encoding="utf-8") as f:
        keys = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
    client = Client(endpoint, bytes.fromhex(server), keys["curve_public"], keys["curve_secret"], party,
                    sign_secret=keys["sign_secret"], broker=broker)
    client.bind(timeout=20)
    print("bound", flush=True)
    sys.stdin.readline()  # the word to begin
    print("floods", flush=True)
    body, sent = wire.number(1, 1) + wire.block(2, "o-1"), 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        some = [client.message("opt", to, body) for _ in range(50)]
        data = wire.packet(wire.COMMAND, [wire.envelope(m.header, m.body, m.signature) for m in some])
        try:
            client.sockets[wire.COMMAND].send(data, zmq.NOBLOCK)
            sent += len(some)
        except zmq.Again:
            client.sockets[wire.COMMAND].poll(100, zmq.POLLOUT)
    print(f"sent {sent}", flush=True)
    client.close()


main()
