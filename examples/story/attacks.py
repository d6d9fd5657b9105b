"""What someone tries who holds no key, the wrong key, or the key of a real aggregator (Dogwood, whose system was
taken over). The client is the Python one of the tests, written from schemas/PROTOCOL.md."""
import time

import yaml
import zmq

import erab_wire as wire
from erab_client import Client, keypair

OPT = wire.number(1, 1)


def steps(story):
    clients = []

    def connect(party, interface):
        endpoint, server = story.rest.server(interface)
        with open(story.net.keys.path(party), encoding="utf-8") as f:
            keys = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
        clients.append(Client(endpoint, bytes.fromhex(server), keys["curve_public"], keys["curve_secret"], party,
                              sign_secret=keys["sign_secret"], broker="coordinator.rest"))
        return clients[-1]

    def refusal(test):
        record = story.rest.wait_audit(test)
        return f"audited: {record['reason']}"

    def good():
        dogwood = connect("dogwood", "r3")
        dogwood.bind()
        story.dogwood = dogwood
        return "audited: " + story.rest.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "opened" and
                                                   r["peer"] == "dogwood")["verdict"]

    def unknown():
        endpoint, server = story.rest.server("r3")
        public, secret = keypair()
        clients.append(Client(endpoint, bytes.fromhex(server), public, secret, "dogwood", broker="coordinator.rest"))
        return refusal(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and r["key"] == public.hex())

    def wrong_role():
        connect("retail", "r3")
        return refusal(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and r["peer"] == "retail")

    def no_curve():
        endpoint, _ = story.rest.server("r3")
        context = zmq.Context()
        plain = context.socket(zmq.DEALER)
        plain.connect(endpoint)
        try:
            return refusal(lambda r: r["what"] == "connection" and r["reason"] == "wrong-mechanism")
        finally:
            plain.close(0)
            context.term()

    def refused(message, reason):
        story.dogwood.send(message)
        receipt = story.dogwood.receipt_for(message)
        assert (receipt["state"], receipt["reason"]) == ("refused", reason), receipt
        return refusal(lambda r: r["what"] == "refused" and r["reason"] == reason and r["by"] == "dogwood")

    def replay():
        first = story.dogwood.message("opt", "coordinator.rest", OPT)
        story.dogwood.request(first)
        story.dogwood.receipt_for(first, state="refused")  # the application knows no such order
        return refused(story.dogwood.message("opt", "coordinator.rest", OPT + wire.block(2, "other"), id=first.id),
                       "replay")

    def unsigned():
        now = int(time.time() * 1000)
        body = wire.number(1, 2) + wire.real(2, 1000.0) + wire.number(4, now) + wire.number(5, now + 60000)
        try:
            first = refused(story.dogwood.message("opt", "coordinator.rest", OPT, signed=False), "signature-missing")
            return first + "; its DeviceCommand: " + refused(
                story.dogwood.message("device-command", "coordinator.rest", body, signed=False), "flow-refused")
        finally:
            for c in clients:
                c.close()

    return [
        ("A known aggregator (Dogwood) gets in on R3", good),
        ("An unknown key is refused in the handshake", unknown),
        ("A retailer's key is refused on R3", wrong_role),
        ("A client without CURVE (mechanism NULL) is refused", no_curve),
        ("Another message under an id that was used is refused as a replay", replay),
        ("An unsigned message that must be signed, and a command from below, are refused", unsigned),
    ]
