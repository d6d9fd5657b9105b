"""A real erabd with two adapters, each in its runner: "bad", a module of tests/fault/modules, speaks for alder; "good" for
birch, and must not notice. The coordinator's application sends orders to both."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stage import SOURCE, Client, Network, dispatch, yaml  # noqa: E402

SANITIZED = os.environ.get("ERAB_SANITIZED", "none") != "none"


TESTS = []


def test(function):
    TESTS.append(function)
    return function


class World:
    last = None

    def __init__(self, module, prefix=(), **options):
        World.last = self
        self.folder = tempfile.mkdtemp(prefix="erab-fault-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        self.clients, self.orders = [], 0
        b = self.broker = self.net.broker("coordinator.rest", "ac", "example-coordinator")
        b.party("rest.app", "ac", "example-coordinator", kind="local")
        b.party("alder", "ra", "alder", represented_by="bad")
        b.party("birch", "ra", "birch", represented_by="good")
        b.adapter("bad", os.path.join(os.environ["ERAB_MODULES"], f"fault_{module}.so"), "bad", ["alder"], options)
        b.adapter("good", os.environ["ERAB_ECHO"], "echo", ["birch"], {})
        # Loaded machines with sanitizers are slow; what is tested is the order of events, not their speed.
        b.config["adapters"][1]["liveness_ms"] = 20000
        b.config["adapters"][0]["liveness_ms"] = 2000 if SANITIZED or module != "hang" else 1000
        b.start(prefix)

    def app(self):
        """The coordinator's application, one connection for the whole test."""
        if not self.clients:
            endpoint, server_key = self.broker.server("local")
            with open(self.net.keys.path("rest.app"), encoding="utf-8") as f:
                s = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
            self.clients.append(Client(endpoint, bytes.fromhex(server_key), s["curve_public"], s["curve_secret"],
                                       "coordinator.rest", broker="coordinator.rest"))
            self.clients[0].bind()
        return self.clients[0]

    def order(self, to, **options):
        """Sends an order; returns it."""
        self.orders += 1
        m = self.app().message("dispatch", to, dispatch(order=f"o-{self.orders}"), **options)
        self.app().send(m)
        return m

    def answered(self, order, state, reason="none", timeout=30):
        receipt = self.app().receipt_for(order, timeout, state=state)
        assert receipt["reason"] == reason, receipt

    def adapter(self, verdict, instance="bad", after=0, timeout=30):
        """The first audit record after that number about the adapter."""
        return self.broker.wait_audit(lambda r: r.get("act") == "adapter" and r["object"] == instance and
                                      r["verdict"] == verdict and r["seq"] > after, timeout)

    def cut(self, after=0):
        return self.broker.wait_audit(lambda r: r["what"] == "connection" and r["peer"] == "bad" and
                                      r["verdict"] == "cut" and r["reason"] == "heartbeat-lost" and r["seq"] > after)

    def said(self, pattern, timeout=30):
        return self.broker.process.wait_line(pattern, timeout)

    def is_applied(self, party):
        """An order to it is applied."""
        self.answered(self.order(party), "applied")

    def close(self):
        for c in self.clients:
            c.close()
        code = self.broker.process.stop()
        assert code == 0, f"erabd ended with {code}"
        shutil.rmtree(self.folder)


def run():
    if subprocess.run(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("SKIPPED, NOT TESTED: no user namespaces here, so no runner starts", file=sys.stderr)
        sys.exit(77)
    failed, only = 0, sys.argv[1:]
    for test in TESTS:
        if only and test.__name__ not in only:
            continue
        World.last = None
        try:
            test().close()
            print(f"ok      {test.__name__}", flush=True)
        except Exception:  # noqa: BLE001 any failure is a failed test
            failed += 1
            print(f"FAILED  {test.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
            if World.last and hasattr(World.last, "broker") and World.last.broker.process:
                if World.last.broker.process.child.returncode is None:
                    World.last.broker.process.stop()
                print("  " + "\n  ".join(World.last.broker.process.lines[-30:]), flush=True)
                print("  " + "\n  ".join(json.dumps(r) for r in World.last.broker.audit()[-12:]), flush=True)
    sys.exit(1 if failed else 0)
