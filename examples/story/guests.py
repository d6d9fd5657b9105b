"""Two more brokers, beside the story: modules without a good signature, a home that floods, a vendor's policy. What
is shown here waits for nobody of the story, so it runs while the story waits."""
import concurrent.futures
import os
import shutil
import statistics
import sys
import time

import yaml

import erab_wire as wire
from erab_client import Client
from network import Network, Process

HERE = os.path.dirname(os.path.abspath(__file__))
RATE = 1000  # messages a second that a link of Maple's may carry


def milliseconds():
    return int(time.time() * 1000)


class Guests:
    def __init__(self, build, source, folder):
        os.makedirs(folder, mode=0o700)
        self.build, self.folder = build, folder
        self.net = Network(folder, build, source)
        self.clients, self.processes = [], []
        self.maple = self.oak = None
        self.one = concurrent.futures.ThreadPoolExecutor(1)

    def begin(self, modules):
        """Starts all of it in the background; [(sentence, result())], to be asked for in this order."""
        steps = [("Modules without a signature or changed after it are refused; signed, they run", self.signatures, True),
                 ("A vendor's policy in its sandbox denies an order with its own reason", self.vendor, True),
                 ("A flooding home is cut while the commands to others pass", self.flood, False)]
        chosen = [(sentence, run) for sentence, run, needs in steps if modules or not needs]
        left = [sentence for sentence, _, needs in steps if needs and not modules]
        return [(sentence, self.one.submit(run).result) for sentence, run in chosen], left

    def example(self, name, copy=None):
        to = os.path.join(self.folder, copy or name + ".so")
        shutil.copyfile(os.path.join(self.build, "examples/story", name + ".so"), to)
        return to

    def client(self, broker, key, interface, party):
        endpoint, server = broker.server(interface)
        with open(self.net.keys.path(key), encoding="utf-8") as f:
            keys = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
        c = Client(endpoint, bytes.fromhex(server), keys["curve_public"], keys["curve_secret"], party,
                   sign_secret=None if interface == "local" else keys["sign_secret"], broker=broker.owner)
        self.clients.append(c)
        c.bind(timeout=20)
        return c

    # ---- modules ----

    def signatures(self):
        b = self.net.broker("ginkgo", "ra", "ginkgo")
        b.listen("r4")
        b.party("g0001.gw", "gateway", "home-g1", interfaces=["r4"])
        for name in ("unsigned", "tampered"):
            b.party(f"g0001.{name}", "device", "home-g1", represented_by=name)
            b.adapter(name, self.example("template", f"template-{name}.so"), "template", [f"g0001.{name}"],
                      {"gateway": "g0001.gw", "report_s": 3600})
        unsigned, tampered = (a["module"] for a in b.config["adapters"])
        os.remove(unsigned + ".sig")
        with open(tampered, "ab") as f:
            f.write(b"\0")
        b.start()

        def adapter(name, verdict):
            return b.wait_audit(lambda r: r.get("act") == "adapter" and r["object"] == name and r["verdict"] == verdict, 30)

        reasons = {name: adapter(name, "refused")["reason"] for name in ("unsigned", "tampered")}
        assert reasons == {"unsigned": "signature-missing", "tampered": "signature-bad"}, reasons
        assert not [r for r in b.audit() if r.get("act") == "adapter" and r["verdict"] == "started"]
        assert b.tool("health")[0] == 0, "the broker itself goes on"
        for module in (unsigned, tampered):
            self.net.sign(module)
        for name in reasons:
            adapter(name, "ready")
        return "audited: " + ", ".join(f"{name}: {reason}" for name, reason in reasons.items()) + "; then both ready"

    # ---- a vendor's policy ----

    def vendor(self):
        """examples/policy_template: orders on R3 only within the operator's hours."""
        later = 2 if time.gmtime().tm_hour >= 12 else 20
        b = self.net.broker("oak", "ac", "oak")
        b.listen("r3")
        b.party("oak.app", "ac", "oak", kind="local")
        b.party("ash", "ra", "ash", interfaces=["r3"])
        policy = {"name": "hours", "module": b.module(self.example("hours")), "types": ["dispatch"],
                  "options": {"from_hour": later, "to_hour": later + 1}}
        b.config["policies"] = ["r3", policy]
        b.start()
        denied = self.order(b, lambda receipt: receipt["reason"] != "policy-deadline")
        assert (denied["state"], denied["section"], denied["detail"]) == ("refused", "3.6.3", "no orders at this hour"), denied
        b.wait_audit(lambda r: r["what"] == "verdict" and r.get("policy") == "hours" and r["section"] == "3.6.3")
        b.process.stop()
        policy["options"] = {"from_hour": 0, "to_hour": 24}
        b.start()
        passed = self.order(b, lambda receipt: receipt["state"] != "refused")
        return (f"{denied['reason']}, section {denied['section']}: {denied['detail']}; within its hours the same order is "
                f"{passed['state']}")

    def order(self, b, wanted):
        """Sends an order to Ash until the answer is a policy's, and not that its process is still being started."""
        for attempt in range(20):
            started = b.wait_audit(lambda r: r.get("act") == "policy" and r["object"] == "hours" and r["verdict"] == "started")
            assert started
            app = self.client(b, "oak.app", "local", "oak")
            start = milliseconds()
            slot = wire.number(1, start) + wire.number(2, start + 600000) + wire.real(3, -100.0)
            body = (wire.block(1, f"o-{attempt}") + wire.number(2, 0) + wire.number(3, 2) + wire.number(4, start) +
                    wire.number(5, start + 600000) + wire.block(6, slot))
            message = app.message("dispatch", "ash", body)
            app.send(message)
            receipt = app.receipt_for(message, timeout=20)
            app.close()
            self.clients.remove(app)
            if wanted(receipt):
                return receipt
        raise AssertionError(f"the last answer is {receipt}")

    # ---- a flood ----

    def flood(self):
        b = self.net.broker("maple", "ra", "maple")
        b.listen("r4")
        b.party("maple.app", "ra", "maple", kind="local")
        for home in ("m0001.gw", "m0002.gw"):
            b.party(home, "gateway", home[:5], interfaces=["r4"])
        b.config["limits"] = {"link_messages_per_second": RATE}
        b.start()
        app, good = self.client(b, "maple.app", "local", "maple"), self.client(b, "m0002.gw", "r4", "m0002.gw")
        endpoint, server = b.server("r4")
        bad = Process("the flooding home", [sys.executable, os.path.join(HERE, "flood.py"), endpoint, server,
                                            self.net.keys.path("m0001.gw"), "m0001.gw", "maple", "maple"])
        self.processes.append(bad)
        bad.wait_line("^bound$")
        quiet = [self.command(app, good)[1] for _ in range(200)]
        bad.child.stdin.write(b"begin\n")
        bad.child.stdin.flush()
        bad.wait_line("^floods$")
        busy, cut = [], None
        while len(busy) < 200 or (not cut and len(busy) < 20000):
            busy.append(self.command(app, good))
            if not cut and len(busy) % 20 == 0:
                cut = next((r for r in b.audit() if r["what"] == "breaker" and r["state"] == "open" and
                            r["peer"] == "m0001.gw"), None)
        assert cut and cut["cause"] == "flood", cut
        gone = b.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "cut")
        assert (gone["peer"], gone["reason"]) == ("m0001.gw", "breaker-open"), gone
        assert not [r for r in b.audit() if r["what"] in ("breaker", "connection") and r.get("peer") == "m0002.gw" and
                    r.get("verdict") != "opened"], "the other home was disturbed"
        sent = "uncounted"  # libzmq 4.3.4 may end its own process (_io_error) when it is cut while it writes
        if bad.child.poll() is None:
            bad.child.stdin.write(b"end\n")
            bad.child.stdin.flush()
            sent = bad.wait_line(r"^sent (\d+)$")[1]
        during, took = [t for began, t in busy if began * 1000 < cut["mono_ms"]], [t for _, t in busy]
        return (f"cut: {cut['cause']}, of {sent} messages. Commands to another home, all delivered: "
                f"{len(quiet)} before the flood, {self.spread(quiet)};\n              {len(took)} from its begin on "
                f"({len(during)} of them until the cut), {self.spread(took)}, the slowest {max(took):.1f} ms")

    @staticmethod
    def command(app, home):
        """(when, milliseconds) of sending a command until the home has it: judged, signed and on the disk in between."""
        start = milliseconds()
        body = wire.number(1, 2) + wire.real(2, 1000.0) + wire.number(4, start) + wire.number(5, start + 60000)
        message = app.message("device-command", home.party, body)
        began = time.monotonic()
        app.send(message)
        got = home.receive("device-command", timeout=20)
        took = (time.monotonic() - began) * 1000
        assert got.hash == message.hash
        home.answer(got, "delivered")
        return began, took

    @staticmethod
    def spread(took):
        cuts = statistics.quantiles(took, n=100)
        return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"

    def audits(self):
        return [b.config["audit"] for b in self.net.brokers]

    def stop(self):
        self.one.shutdown(wait=True, cancel_futures=True)
        for c in self.clients:
            c.close()
        for process in self.processes:
            if not process.child.stdout.closed:
                process.stop()
        self.net.stop()
