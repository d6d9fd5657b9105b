#!/usr/bin/python3
"""The flow table of profiles/erab-1.2-draft.yaml, whole: every (type, sender role, receiver role) over every listener.

One broker, owned by a party that is neither end, with a hub on each listener that speaks for every party. What the
table says is read here from the file, not from the broker: `expected` is the whole of it. Commands and control
messages are judged by their receipts, receipts and telemetry by their delivery or the audit log."""
import collections
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import yaml  # noqa: E402

from stage import SOURCE, Client, Network, cancel, device_command, dispatch, now, opt, plan, telemetry  # noqa: E402
import erab_wire as wire  # noqa: E402

ROLES = ["tso", "ac", "ra", "retailer", "ems-server", "ems-controller", "gateway", "device", "sensor", "maker", "body"]
LISTENERS = ["r1", "r2", "r3", "r4", "r5", "internal", "info"]
SECURITY = {"evidence", "evidence-withdrawal", "evidence-request", "advisory", "incident", "breaker-notice", "audit-head"}
TYPES = [t for t in wire.TYPES if t != "ping"]  # a Ping belongs to the connection and has no row
HUB = "observer"

with open(os.path.join(SOURCE, "profiles/erab-1.2-draft.yaml"), encoding="utf-8") as f:
    PROFILE = yaml.safe_load(f)


def party(role, number):
    return f"{role}-1.{'direct' if number == 0 else 'rest'}" if role == "ac" else f"{role}-{number}"


def pair(a, b):
    return next((p for p in PROFILE["pairs"] if sorted(p["roles"]) == sorted([a, b])), None)


def expected(kind, sender, receiver, sender_id, listener, signed):
    """The reason code that the tables give."""
    found = pair(sender, receiver)
    if found is None:
        return "no-interface"
    if found["interface"] != listener:
        return "wrong-interface"
    rows = [f for f in PROFILE["flows"] if f["interface"] == listener and kind in f["types"] and sender in f["from"] and
            receiver in f["to"] and sender_id.endswith(f.get("from_id_ends", ""))]
    if rows and not signed and any(f["signed"] for f in rows):
        return "signature-missing"
    return "none" if rows else "flow-refused"


def bodies():
    """One good body of each type."""
    i16, i32, ms = bytes(range(16)), bytes(32), now()
    text, num, real = wire.block, wire.number, wire.real
    slot = num(1, ms) + num(2, ms + 1800000) + real(3, 1.0)
    return {
        "dispatch": dispatch(), "dispatch-cancel": cancel("o-1", i16), "device-command": device_command(), "opt": opt(),
        "capability": text(1, "g") + real(2, 1.0) + real(3, 1.0) + num(4, ms), "plan": plan(),
        "baseline": text(1, "g") + text(2, "high-4-of-5") + text(3, slot), "registration": text(1, "b-1") + text(2, "storage-battery"),
        "party-card": text(1, "x") + num(2, 3) + num(3, 1) + text(4, text(1, i32) + num(3, ms) + num(4, ms + 1000)),
        "evidence": text(1, "x") + text(2, "p") + text(3, "K13") + text(4, "y") + num(5, 1) + num(6, ms) + num(7, ms + 1000),
        "evidence-withdrawal": text(1, i16) + text(2, "declined"),
        "evidence-request": text(1, "x") + text(2, "p") + text(3, "K13") + num(4, ms + 1000),
        "advisory": text(1, "a-1") + text(2, "t") + num(3, 1),
        "incident": text(1, "i-1") + num(2, 1) + num(3, 4) + text(4, "t") + num(5, ms),
        "breaker-notice": text(1, "x") + text(2, "r3") + text(3, "y") + num(4, 1) + num(5, 1) + num(6, ms) + text(7, "declined"),
        "audit-head": text(1, i16) + num(2, 1) + text(3, i32) + num(4, ms),
        "result": text(1, i16) + num(2, 1) + text(3, "none"), "receipt": text(1, i16) + num(3, 4) + text(4, "none"),
        "telemetry": telemetry(), "device-state": text(1, "b-1") + num(2, 1) + num(3, ms)}


class Table:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="erab-table-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker(HUB, "body", HUB)
        for listener in LISTENERS:
            b.listen(listener)
        parties = [party(role, i) for role in ROLES for i in (0, 1)]
        for role in ROLES:
            for i in (0, 1):
                b.party(party(role, i), role, "one-firm" if role == "ac" else party(role, i), represented_by="hub")
        b.party("hub", "body", "hub", kind="uplink", speaks_for=["hub", *parties])
        b.config["policies"] = ["r1", "r2", "r3", "r4", "r5", "info"]
        b.start()
        with open(self.net.keys.path("hub"), encoding="utf-8") as f:
            keys = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
        self.clients = {}
        for listener in LISTENERS:
            endpoint, server_key = b.server(listener)
            self.clients[listener] = c = Client(endpoint, bytes.fromhex(server_key), keys["curve_public"], keys["curve_secret"],
                                                "hub", sign_secret=keys["sign_secret"], broker=HUB)
            c.bind()

    def send(self, listener, signed):
        """Every combination over this listener (unsigned: those with a row); {id: (what it is, expected reason, type)}."""
        client, made, out, ready = self.clients[listener], bodies(), {}, {1: [], 2: []}
        for sender in ROLES:
            for receiver in ROLES:
                ways = [(0, 1), (1, 0)] if sender == receiver else [(0, 1)]
                for a, b in ways:
                    who, whom = party(sender, a), party(receiver, b)
                    for kind in TYPES:
                        reason = expected(kind, sender, receiver, who, listener, signed)
                        if not signed and reason not in ("none", "signature-missing"):
                            continue
                        m = client.message(kind, whom, made[kind], category=5 if kind in SECURITY else 1,
                                           parent=(wire.new_id(), bytes(32)) if wire.TYPES[kind] < 10 else None,
                                           signed=signed, **{"from": who})
                        out[m.id] = (f"{kind} {who} to {whom} on {listener}{'' if signed else ', unsigned'}", reason, kind)
                        ready[1 if m.type < 30 else 2].append(m)
        for group, messages in ready.items():
            for i in range(0, len(messages), 100):
                client.send(*messages[i:i + 100], group=group)
        return out

    def answers(self, listener, sent):
        """{id: reason} as far as this listener's client is told or shown."""
        client, seen = self.clients[listener], {}
        shown = {i for i, (_, reason, kind) in sent.items() if reason == "none" and kind in ("receipt", "telemetry", "device-state")}
        told = {i for i, (_, _, kind) in sent.items() if kind not in ("receipt", "telemetry", "device-state")}
        left, quiet = told | shown, 0
        while left:
            before = len(left)
            client._pump(500)
            for queue in (client._receipts, client._inbox):
                while queue:
                    r = queue.popleft()
                    ours = r.header["type"] == wire.TYPES["receipt"] and r.header["from"] == HUB
                    receipt = wire.decode_receipt(r.body) if ours else {"about": r.header["id"], "reason": "none"}
                    if receipt.get("about") in left:
                        seen[receipt["about"]] = receipt["reason"]
                        left.remove(receipt["about"])
            quiet = quiet + 1 if len(left) == before else 0
            assert quiet < 20, f"{len(left)} of {len(sent)} unanswered: " + ", ".join(sent[i][0] for i in list(left)[:5])
        return seen

    def close(self):
        for c in self.clients.values():
            c.close()
        codes = self.net.stop()
        shutil.rmtree(self.folder)
        assert set(codes.values()) <= {0}, codes

    def refused_by_audit(self, sent, silent, before):
        """Receipts and telemetry that were refused stand in the audit log only: line by line, or counted by their reason."""
        def text(i):
            h = i.hex()
            return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        expected_ = collections.Counter(reason for _, reason, _ in sent.values() if reason != "none")
        seen = collections.Counter()

        def all_told(_):
            seen.clear()
            for r in self.broker.audit():
                if r["seq"] > before and r["what"] == "refused":
                    seen[r["reason"]] += 1
                elif r["seq"] > before and r["what"] == "more" and r["of"] == "refused":
                    seen[r["reason"]] += r["records"]
            return seen.total() >= expected_.total()
        self.broker.wait_audit(lambda r: r["seq"] == 1 and all_told(r), timeout=30)
        ids = {text(i): i for i in silent}
        lines = {ids[r["id"]]: r["reason"] for r in self.broker.audit() if r.get("id") in ids and r["what"] == "refused"}
        counted = {i: sent[i][1] for i in silent if seen == expected_}
        return counted | lines

    def run(self):
        wrong, counts = [], collections.Counter()
        for listener, signed in [(n, s) for n in LISTENERS for s in (True, False)]:
            before = self.broker.audit()[-1]["seq"]
            sent = self.send(listener, signed)
            got = self.answers(listener, sent)
            got |= self.refused_by_audit(sent, sent.keys() - got.keys(), before)
            for i, (what, reason, _) in sent.items():
                counts[reason] += 1
                if got.get(i) != reason:
                    wrong.append(f"{what}: {got.get(i)} and not {reason}")
        print(", ".join(f"{n} {reason}" for reason, n in sorted(counts.items())))
        for line in wrong[:40]:
            print("FAILED ", line)
        rows = sum(len(f["types"]) for f in PROFILE["flows"])
        assert counts["none"] >= rows and counts["flow-refused"] > rows, counts
        return len(wrong)


table = Table()
try:
    failed = table.run()
except BaseException:
    table.net.stop()
    shutil.rmtree(table.folder)
    raise
table.close()
sys.exit(1 if failed else 0)
