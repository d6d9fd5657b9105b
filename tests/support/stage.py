"""A coordinator's broker (`rest` part) with parties around it, all on loopback, for the flow and attack tests."""
import os
import shutil
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "examples", "story"))
sys.path.insert(0, HERE)

import yaml  # noqa: E402

import erab_wire as wire  # noqa: E402
from erab_client import Client, Refused, Timeout, keypair  # noqa: E402,F401
from network import Failed, Network  # noqa: E402,F401


def now():
    return int(time.time() * 1000)


def dispatch(order="o-1", kw=-100.0, start=None, end=None, modification=0):
    start = now() if start is None else start
    end = start + 600000 if end is None else end
    slot = wire.number(1, start) + wire.number(2, end) + wire.real(3, kw)
    return (wire.block(1, order) + wire.number(2, modification) + wire.number(3, 2) + wire.number(4, start) +
            wire.number(5, end) + wire.block(6, slot))


def cancel(order, message_id):
    return wire.block(1, order) + wire.block(2, message_id) + wire.number(3, 0)


def device_command(action=2, watts=1000.0, start=None, end=None):
    start = now() if start is None else start
    end = start + 600000 if end is None else end
    return wire.number(1, action) + wire.real(2, watts) + wire.number(4, start) + wire.number(5, end)


def opt(order="o-1"):
    return wire.number(1, 1) + wire.block(2, order)


def plan(name="p-1"):
    slot = wire.number(1, now()) + wire.number(2, now() + 1800000) + wire.real(3, 10.0)
    return wire.block(1, name) + wire.number(2, 1) + wire.block(5, slot)


def telemetry(resource="group", kw=-1.5):
    point = wire.block(1, resource) + wire.number(2, 1) + wire.number(3, now()) + wire.real(4, kw)
    return wire.block(1, point)


class Stage:
    """coordinator.rest with its application, alder and birch on R3, retail on R2."""

    policies = None  # of the configuration, where a test file needs others than r1 to r5

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="erab-flow-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker("coordinator.rest", "ac", "example-coordinator")
        b.listen("r2")
        b.listen("r3")
        b.party("rest.app", "ac", "example-coordinator", kind="local")
        b.party("alder", "ra", "alder", interfaces=["r3"])
        b.party("birch", "ra", "birch", interfaces=["r3"])
        b.party("retail", "retailer", "example-retail", interfaces=["r2"])
        b.config["groups"] = [{"id": "all-ra", "owner": "coordinator.rest", "members": ["alder", "birch"]}]
        if self.policies:
            b.config["policies"] = [{**p, "module": b.module(p["module"])} if "module" in p else p for p in self.policies]
        b.start()
        self.clients = []

    def secrets(self, party):
        with open(self.net.keys.path(party), encoding="utf-8") as f:
            return {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}

    def client(self, party, interface, speaks=None, bind=True, **options):
        endpoint, server_key = self.broker.server(interface)
        s = self.secrets(party)
        local = interface == "local"
        c = Client(endpoint, bytes.fromhex(server_key), s["curve_public"], s["curve_secret"], speaks or party,
                   sign_secret=None if local else s["sign_secret"], broker=self.broker.owner, **options)
        self.clients.append(c)
        if bind:
            c.bind()
        return c

    def app(self):
        return self.client("rest.app", "local", speaks="coordinator.rest")

    def audited(self, **wanted):
        return self.broker.wait_audit(lambda r: all(r.get(k) == v for k, v in wanted.items()))

    def refused(self, client, message, reason):
        """The message is refused with this reason, once in the audit and by a receipt."""
        client.send(message)
        receipt = client.receipt_for(message)
        assert (receipt["state"], receipt["reason"]) == ("refused", reason), receipt
        self.audited(what="refused", reason=reason)

    def close(self):
        for c in self.clients:
            c.close()
        codes = self.net.stop()
        shutil.rmtree(self.folder)
        assert set(codes.values()) <= {0}, f"exit codes {codes}"


def run(tests, make=Stage):
    """Each test on a stage of its own; one line each; exit code 1 when one failed."""
    failed = 0
    only = sys.argv[1:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        stage = make()
        try:
            test(stage)
            stage.close()
            print(f"ok      {test.__name__}", flush=True)
        except Exception:  # noqa: BLE001 any failure is a failed test
            failed += 1
            print(f"FAILED  {test.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
            print("\n".join(stage.broker.process.lines[-10:]) if stage.broker.process else "")
            stage.net.stop()
    sys.exit(1 if failed else 0)
