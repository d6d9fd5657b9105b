"""A coordinator's broker (`rest` part) with parties around it, all on loopback, for the flow and attack tests."""
import inspect
import os
import select
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


def one(test, make):
    """A test on a stage of its own: did it hold?"""
    stage = make()
    try:
        test(stage)
        stage.close()
        print(f"ok      {test.__name__}", flush=True)
        return True
    except Exception:  # noqa: BLE001 any failure is a failed test
        print(f"FAILED  {test.__name__}", flush=True)
        traceback.print_exc(file=sys.stdout)
        print("\n".join(stage.broker.process.lines[-10:]) if stage.broker.process else "", flush=True)
        stage.net.stop()
        return False


def begin(test, make):
    """The same in a process of its own; (pid, what it prints)."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, os.fdopen(ours, "rb")
    code = 1
    try:
        os.close(ours)
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        os.close(theirs)
        code = 0 if one(test, make) else 1
    except BaseException:  # noqa: BLE001 also what make() throws
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        os._exit(code)


def tests_of(module):
    """Its functions whose name is a sentence and whose one argument is the stage: so none is forgotten."""
    return [f for name, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__ and
            name.count("_") > 2 and list(inspect.signature(f).parameters) == ["s"]]


def run(make=Stage):
    """Each test of the program on a stage and in a process of its own, ERAB_JOBS [1] at a time, for most of their time they
    wait; exit code 1 when one failed."""
    only = sys.argv[1:]
    tests = [t for t in tests_of(sys.modules["__main__"]) if not only or t.__name__ in only]
    assert tests, f"no test of the name {only}"
    jobs = 1 if only else int(os.environ.get("ERAB_JOBS", "1"))
    if jobs == 1:
        sys.exit(0 if all([one(t, make) for t in tests]) else 1)
    sys.stdout.flush()
    waiting, running, failed = list(tests), {}, 0
    while waiting or running:
        while waiting and len(running) < jobs:
            pid, out = begin(waiting.pop(0), make)
            running[out] = (pid, [])
        for out in select.select(list(running), [], [])[0]:
            data = os.read(out.fileno(), 65536)
            pid, said = running[out]
            said.append(data)
            if data:
                continue
            out.close()
            del running[out]
            failed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
            print(b"".join(said).decode("utf-8", "replace"), end="", flush=True)
    sys.exit(1 if failed else 0)
