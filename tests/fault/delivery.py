#!/usr/bin/python3
"""Never lost, never late, never twice: real brokers and parties that are killed, stopped, cut off and lied to about the
time, in the middle of a fan-out. checker.py judges what the parties logged.

    ERAB_FAULT_ROUNDS=N    so many times each [1]
    ERAB_FAULT_SEED=N      the seed of the first round [1]; each round prints its own"""
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
sys.path.insert(0, HERE)
from stage import SOURCE, Network  # noqa: E402
from network import Process  # noqa: E402
import checker  # noqa: E402

OWNER = "coordinator.rest"
PARTY = os.environ["ERAB_FAULT_PARTY"]


def wait(seconds):
    """The fault itself lasts so long; nothing is concluded from it."""
    select.select([], [], [], seconds)


class Run:
    """A coordinator's broker, its application that sends, and aggregators that take. Peers live in processes of their own, or
    all in one."""

    def __init__(self, seed, peers=12, together=False, prefix=()):
        self.random = random.Random(seed)
        self.prefix = prefix
        self.folder = tempfile.mkdtemp(prefix="erab-fault-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker(OWNER, "ac", "example-coordinator")
        b.listen("r3")
        b.party("rest.app", "ac", "example-coordinator", kind="local")
        self.names = [f"p{i:03d}" for i in range(peers)]
        for name in self.names:
            b.party(name, "ra", name, interfaces=["r3"])
        b.config["groups"] = [{"id": "all", "owner": OWNER, "members": self.names}]
        self.processes, self.logs, self.orders = {}, [], 0
        b.start(prefix=prefix)
        self.hosts = {"peers": self.names} if together else {name: [name] for name in self.names}
        self.begin("sender", [OWNER])
        for host in self.hosts:
            self.begin(host, self.hosts[host])
        for host in ["sender", *self.hosts]:
            self.connected(host)

    def begin(self, host, names):
        log = os.path.join(self.folder, host + ".log")
        local = host == "sender"
        endpoint, server_key = self.broker.server("local" if local else "r3")
        more = ["--local", OWNER, self.net.keys.path("rest.app")] if local else ["--seen", self.folder] + [
            self.net.keys.path(name) for name in names]
        self.processes[host] = Process(host, [PARTY, log, endpoint, server_key, OWNER, self.net.keys.sign(OWNER), *more])
        if log not in self.logs:
            self.logs.append(log)

    def connected(self, host):
        for name in self.hosts.get(host, [OWNER]):
            self.processes[host].wait_line(rf"^connected {name}$", timeout=60)

    def say(self, host, *lines):
        self.processes[host].child.stdin.write("".join(line + "\n" for line in lines).encode())
        self.processes[host].child.stdin.flush()

    def fan_out(self, rounds=5, lifetime=60000, whom=None):
        """Orders to each, plans, an order to all, and values back."""
        lines = []
        for _ in range(rounds):
            for name in whom or self.names:
                self.orders += 1
                lines.append(f"send {OWNER} {name} {lifetime} o-{self.orders} 0")
                if self.orders % 7 == 0:
                    lines.append(f"plan {OWNER} {name} {lifetime}")
            self.orders += 1
            if not whom:
                lines.append(f"send {OWNER} @all {lifetime} o-{self.orders} 0")
        self.say("sender", *lines)
        for host, names in self.hosts.items():
            if self.processes[host].child.poll() is None:
                self.say(host, *[f"telemetry {name} {OWNER}" for name in names])

    def kill(self, host):
        self.processes[host].child.kill()
        self.processes[host].stop()

    def restart_broker(self):
        self.broker.process.child.kill()
        self.broker.process.stop()
        self.broker.start(prefix=self.prefix)

    def signal(self, number, *hosts):
        for host in hosts:
            child = self.broker.process.child if host == "broker" else self.processes[host].child
            os.kill(child.pid, number)

    def verdict(self):
        return checker.check(self.broker.path, self.logs)

    def until(self, wanted, timeout=60):
        """The verdict for which wanted(verdict) is true, or the last one when the time is over."""
        end = time.monotonic() + timeout
        while True:
            verdict = self.verdict()
            if wanted(verdict) or time.monotonic() > end:
                return verdict
            for p in self.processes.values():
                p.pump()
            wait(0.1)

    def events(self, host, what):
        return [e for e in checker.read(os.path.join(self.folder, host + ".log")) if e["what"] == what]

    def judged(self, timeout=60):
        verdict = self.until(lambda v: not v.wrong, timeout)
        assert not verdict.wrong, verdict
        assert verdict.counts["sent"] > 0 and verdict.counts["taken"] > 0, verdict
        return verdict

    def close(self):
        for p in self.processes.values():
            p.stop()
        self.net.stop()


# --- the faults ---

def the_broker_is_killed_in_the_middle_of_a_fan_out(seed):
    run = Run(seed)
    for _ in range(6):
        run.fan_out(rounds=8)
        wait(run.random.uniform(0, 0.12))
        run.restart_broker()
    return run, run.judged()


def recipients_are_killed_and_come_back(seed):
    run = Run(seed)
    for _ in range(3):
        run.fan_out(rounds=6)
        wait(run.random.uniform(0, 0.1))
        for host in run.random.sample(run.names, 4):
            run.kill(host)
            run.begin(host, [host])
    verdict = run.judged()
    assert verdict.counts["taken"] > 150, verdict
    return run, verdict


def broker_and_recipients_are_killed_at_once(seed):
    run = Run(seed)
    for _ in range(3):
        run.fan_out(rounds=6)
        wait(run.random.uniform(0, 0.1))
        some = run.random.sample(run.names, 4)
        for host in some:
            run.kill(host)
        run.restart_broker()
        for host in some:
            run.begin(host, [host])
    return run, run.judged()


def recipients_are_stopped_over_the_deadline(seed):
    run = Run(seed)
    some = run.random.sample(run.names, 3)
    run.signal(signal.SIGSTOP, *some)
    run.fan_out(rounds=5, lifetime=1500)
    run.until(lambda v: v.counts["expired"] >= 3 * 5)
    run.signal(signal.SIGCONT, *some)
    run.fan_out(rounds=3)
    verdict = run.judged()
    assert verdict.counts["expired"] >= 3 * 5, verdict
    return run, verdict


def the_broker_is_stopped_over_the_deadline(seed):
    run = Run(seed)
    run.fan_out(rounds=10, lifetime=1500)
    wait(run.random.uniform(0, 0.02))
    run.signal(signal.SIGSTOP, "broker")
    run.fan_out(rounds=4, lifetime=1500)
    wait(3)
    run.signal(signal.SIGCONT, "broker")
    run.fan_out(rounds=3)
    verdict = run.judged()
    assert verdict.counts["expired"] + verdict.counts["refused"] > 0, verdict
    return run, verdict


def two_hundred_connect_anew_at_once(seed):
    run = Run(seed, peers=200, together=True)
    for _ in range(2):
        run.fan_out(rounds=1)
        wait(run.random.uniform(0, 0.2))
        run.restart_broker()
    run.fan_out(rounds=1)
    return run, run.judged()


class Wall:
    """The broker's wall clock, as many hours off as it is set to."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="erab-wall-")
        self.file = os.path.join(self.folder.name, "shift")
        self.set(0)
        self.prefix = ["env", "LD_PRELOAD=" + os.environ["ERAB_SHIFTED_CLOCK_LIBRARY"], "ERAB_SHIFTED_CLOCK=" + self.file,
                       "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"]

    def set(self, hours):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(str(hours * 3600000))
        os.rename(self.file + ".new", self.file)


def ready(run, wanted):
    end = time.monotonic() + 20
    while (run.broker.tool("health")[0] == 0) != wanted:
        assert time.monotonic() < end, f"it never became {'' if wanted else 'un'}ready"
        wait(0.05)


def the_clock_goes_an_hour_ahead_and_back(seed):
    wall = Wall()
    run = Run(seed, prefix=wall.prefix)
    away = run.random.choice(run.names)
    run.signal(signal.SIGSTOP, away)
    run.fan_out(rounds=3)  # of these some wait all the time
    run.until(lambda v: len(run.events("sender", "receipt")) > 3 * len(run.names))
    wall.set(1)
    ready(run, False)
    run.fan_out(rounds=2)
    run.until(lambda v: v.counts["refused"] >= 2 * len(run.names))
    assert {e["reason"] for e in run.events("sender", "receipt") if e["state"] == "refused"} == {"not-ready"}
    wall.set(0)
    ready(run, True)
    run.signal(signal.SIGCONT, away)
    run.fan_out(rounds=2)
    return run, run.judged()


def the_clock_goes_an_hour_back_and_forth(seed):
    wall = Wall()
    run = Run(seed, prefix=wall.prefix)
    run.fan_out(rounds=2)
    wait(2.5)  # what the time was is on the disk two seconds after the start
    wall.set(-1)
    run.fan_out(rounds=2, lifetime=20000)
    run.until(lambda v: not v.wrong)
    run.restart_broker()
    run.fan_out(rounds=2, lifetime=20000)
    wall.set(0)
    run.fan_out(rounds=2)
    verdict = run.judged()
    assert verdict.counts["refused"] == 0, verdict
    return run, verdict


FAULTS = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None) and
          v.__code__.co_varnames[:1] == ("seed",)]


def main():
    first, rounds = int(os.environ.get("ERAB_FAULT_SEED", "1")), int(os.environ.get("ERAB_FAULT_ROUNDS", "1"))
    failed = 0
    for fault in FAULTS:
        if sys.argv[1:] and fault.__name__ not in sys.argv[1:]:
            continue
        for seed in range(first, first + rounds):
            began, made = time.monotonic(), []
            inner, Run.__init__ = Run.__init__, lambda self, *a, _i=Run.__init__, **k: (made.append(self), _i(self, *a, **k))[1]
            try:
                _, verdict = fault(seed)
                print(f"ok      {fault.__name__}, seed {seed}, {time.monotonic() - began:.1f} s: {verdict}", flush=True)
                good = True
            except Exception:  # noqa: BLE001 any failure is a failed test
                failed += 1
                good = False
                print(f"FAILED  {fault.__name__}, seed {seed}; kept in {made[0].folder if made else 'nothing'}", flush=True)
                traceback.print_exc(file=sys.stdout)
                print("\n".join(made[0].broker.process.lines[-5:]) if made and made[0].broker.process else "")
            finally:
                Run.__init__ = inner
                for run in made:
                    run.close()
                    if good:
                        shutil.rmtree(run.folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
