#!/usr/bin/python3
"""A broker whose broker above is hostile: it has the right server key and the right name, and says what it likes. Nothing of it reaches
the owner's application, nothing below notices, and the broker stays as small as it was."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import zmq  # noqa: E402
import zmq.utils.z85 as z85  # noqa: E402

from stage import Client, Network, SOURCE, Timeout, dispatch, opt, run, telemetry, yaml  # noqa: E402
import erab_wire as wire  # noqa: E402

import shutil  # noqa: E402
import tempfile  # noqa: E402

HUB = "coordinator.rest"


class Upper:
    """The hostile broker: answers Pings while `polite`, and sends any bytes."""

    def __init__(self, sign_secret):
        self.public, self.secret = zmq.curve_keypair()
        self.sign_secret = sign_secret
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger, self.router.sndhwm, self.router.rcvhwm = 0, 20, 100
        self.router.router_mandatory = 1
        self.router.curve_server, self.router.curve_secretkey = True, self.secret
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint, self.key = f"tcp://127.0.0.1:{port}", z85.decode(self.public).hex()
        self.peers, self.heard, self.polite, self.seq = {}, [], True, 0

    def close(self):
        self.router.close(0)
        self.context.term()

    def message(self, type_name, to, body, sender=HUB, secret=None, life_ms=60000, ago_ms=0, **fields):
        now = int(time.time() * 1000) - ago_ms
        self.seq += 1
        header = {"id": wire.new_id(now), "from": sender, "to": to, "type": wire.TYPES[type_name], "issued_at_ms": now,
                  "expires_at_ms": now + life_ms, "seq": self.seq, "category": 1, "exercise": False, **fields}
        head = wire.encode_header(header)
        return wire.envelope(head, body, wire.sign(head, body, secret) if secret else b""), header, wire.envelope_hash(head, body)

    def bytes(self, group, data, more=False):
        """False: the connection is gone or takes no more."""
        try:
            self.router.send_multipart([self.peers[group], *data] if more else [self.peers[group], data], zmq.NOBLOCK)
            return True
        except zmq.ZMQError:
            return False

    def say(self, *envelopes, group=wire.COMMAND):
        return self.bytes(group, wire.packet(group, list(envelopes)))

    def step(self, milliseconds=50):
        while self.router.poll(milliseconds):
            milliseconds = 0
            routing, data = self.router.recv_multipart()
            group, envelopes = wire.read_packet(data)
            self.peers[group] = routing
            for header, body, _ in envelopes:
                h = wire.decode_header(header)
                if h["type"] != wire.TYPES["ping"]:
                    self.heard.append((h, body))
                elif self.polite:
                    self.say(self.message("ping", h["from"], wire.number(1, 1) + wire.number(2, 1))[0], group=group)

    def until(self, condition, seconds=40):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "never seen"
            self.step()

    def connected(self):
        self.peers.clear()
        self.until(lambda: len(self.peers) == 2)


class Below:
    """alder's broker: an application, a gateway, and the hostile broker above."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="erab-attack-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker("alder", "ra", "alder")
        b.config["parties"][0]["sign_keys"] = [self.net.keys.sign("alder")]
        b.listen("r4")
        b.party("alder.app", "ra", "alder", kind="local")
        b.party("home", "gateway", "home")
        b.config["parties"].append({"id": HUB, "role": "ac", "firm": "example-coordinator",
                                    "sign_keys": [self.net.keys.sign(HUB)]})
        b.config["limits"] = {"link_messages_per_second": 0}
        self.hub_secret = self.secrets(HUB)["sign_secret"]
        self.upper = Upper(self.hub_secret)
        b.config["uplinks"] = [{"party": HUB, "endpoint": self.upper.endpoint, "server_key": self.upper.key}]
        b.start()
        self.clients = []
        self.upper.until(lambda: len(self.upper.peers) == 2)

    def secrets(self, party):
        with open(self.net.keys.path(party), encoding="utf-8") as f:
            return {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}

    def client(self, party, interface, speaks=None):
        endpoint, server_key = self.broker.server(interface)
        s = self.secrets(party)
        c = Client(endpoint, bytes.fromhex(server_key), s["curve_public"], s["curve_secret"], speaks or party, broker="alder",
                   sign_secret=None if interface == "local" else s["sign_secret"])
        self.clients.append(c)
        c.bind()
        return c

    def app(self):
        return self.client("alder.app", "local", speaks="alder")

    def audited(self, **wanted):
        return self.broker.wait_audit(lambda r: all(r.get(k) == v for k, v in wanted.items()))

    def good_order_passes(self, app):
        """And no other order came before it."""
        self.upper.step()
        good, header, digest = self.upper.message("dispatch", "alder", dispatch(), secret=self.hub_secret)
        assert self.upper.say(good)
        end = time.monotonic() + 20
        while True:
            self.upper.step(10)
            try:
                got = app.receive("dispatch", timeout=0.2)
                break
            except Timeout:
                assert time.monotonic() < end
        assert (got.header["id"], got.hash) == (header["id"], digest), got

    def below_works(self):
        home = self.client("home", "r4")
        assert home.request(home.message("opt", "alder", opt()))["state"] in ("accepted", "delivered")

    def close(self):
        for c in self.clients:
            c.close()
        self.upper.close()
        codes = self.net.stop()
        shutil.rmtree(self.folder)
        assert set(codes.values()) <= {0}, f"exit codes {codes}"


def memory(s):
    with open(f"/proc/{s.broker.process.child.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def forged_expired_and_foreign_orders_do_not_reach_the_application(s):
    app, u = s.app(), s.upper
    mallory = s.secrets("mallory")["sign_secret"]
    for envelope, reason in (
            (u.message("dispatch", "alder", dispatch())[0], "signature-missing"),
            (u.message("dispatch", "alder", dispatch(), secret=mallory)[0], "signature-bad"),
            (u.message("dispatch", "alder", dispatch(), secret=s.hub_secret, ago_ms=120000)[0], "expired"),
            (u.message("dispatch", "alder", dispatch(), secret=s.hub_secret, ago_ms=-3600000)[0], "not-yet"),
            (u.message("dispatch", "alder", dispatch(), secret=mallory, sender="mallory")[0], "from-not-yours"),
            (u.message("dispatch", "alder", dispatch(), secret=s.hub_secret, sender="home")[0], "from-not-yours"),
            (u.message("device-command", "home", dispatch(), secret=s.hub_secret)[0], None),
            (u.message("dispatch", "alder", os.urandom(60), secret=s.hub_secret)[0], "malformed")):
        assert u.say(envelope)
        if reason:
            s.audited(what="refused", reason=reason)
    s.good_order_passes(app)
    s.below_works()


def an_order_that_was_taken_is_not_taken_again(s):
    app, u = s.app(), s.upper
    good, header, _ = u.message("dispatch", "alder", dispatch(order="o-9"), secret=s.hub_secret)
    for _ in range(100):
        u.until(lambda: u.say(good))
    other = u.message("dispatch", "alder", dispatch(order="o-10"), secret=s.hub_secret, id=header["id"])[0]
    u.say(other)
    assert app.receive(timeout=20).header["id"] == header["id"]
    s.audited(what="refused", reason="replay")
    s.good_order_passes(app)


def receipts_about_what_was_never_sent_move_nothing(s):
    app, u = s.app(), s.upper
    for state in range(8):
        body = wire.block(1, wire.new_id()) + wire.block(2, bytes(32)) + wire.number(3, state) + wire.block(4, "none")
        u.say(u.message("receipt", "alder", body)[0])
        u.say(u.message("receipt", "home", body)[0])
    u.step()
    s.below_works()
    s.broker.process.stop()
    s.broker.start()
    s.upper.connected()
    s.good_order_passes(s.app())


def a_card_that_the_hub_did_not_sign_changes_no_key(s):
    app, u = s.app(), s.upper
    mallory = s.secrets("mallory")
    now = int(time.time() * 1000)
    key = (wire.block(1, mallory["sign_public"]) + wire.block(2, mallory["curve_public"]) + wire.number(3, now) +
           wire.number(4, now + 3600000))
    body = wire.block(1, HUB) + wire.number(2, 2**31) + wire.block(3, key)
    for secret in (None, mallory["sign_secret"]):
        u.say(u.message("party-card", "alder", body, secret=secret)[0])
    u.step()
    u.say(u.message("dispatch", "alder", dispatch(order="bad"), secret=mallory["sign_secret"])[0])
    s.audited(what="refused", type="dispatch", reason="signature-bad")
    s.good_order_passes(app)


def bytes_that_are_no_packet_cost_the_connection_and_it_is_dialled_again(s):
    for group, data, more in ((wire.COMMAND, b"\x00garbage", False), (wire.COMMAND, bytes(1 << 20), False),
                              (wire.TELEMETRY, wire.packet(wire.COMMAND, [s.upper.message("dispatch", "alder", dispatch(), secret=s.hub_secret)[0]]), False),
                              (wire.COMMAND, [b"x"] * 5000, True)):
        old = dict(s.upper.peers)
        assert s.upper.bytes(group, data, more)
        s.upper.until(lambda: s.upper.peers.get(group) != old[group])
    s.below_works()
    s.good_order_passes(s.app())


def a_broker_that_never_answers_holds_nothing_up(s):
    s.upper.polite = False
    app = s.app()
    report = app.message("opt", HUB, opt(), lifetime_ms=2000)
    assert app.request(report, timeout=20)["state"] == "accepted"
    assert app.receipt_for(report, timeout=20, state="expired")
    s.below_works()
    assert s.broker.tool("health")[0] == 0


def a_flood_from_above_leaves_the_broker_as_it_was(s):
    app, u = s.app(), s.upper
    def wave(n):
        for i in range(n):
            bad = [u.message("dispatch", "alder", os.urandom(200))[0] for _ in range(50)]
            shed = [u.message("telemetry", "alder", telemetry(), category=2)[0] for _ in range(50)]
            u.until(lambda: u.say(*bad))
            u.until(lambda: u.say(*shed, group=wire.TELEMETRY))
            u.step(0)
    wave(40)
    before = memory(s)
    wave(160)
    with open(s.net.erabd, "rb") as f:
        keeps_freed_memory = b"__asan_init" in f.read()  # AddressSanitizer's quarantine
    assert keeps_freed_memory or memory(s) - before < 16 << 20, f"grew by {memory(s) - before} bytes"
    s.below_works()
    s.broker.process.stop()
    assert len([r for r in s.broker.audit() if r["what"] == "refused"]) < 4000
    s.broker.start()


run(make=Below)
