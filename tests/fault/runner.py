#!/usr/bin/python3
"""Third-party code that crashes, hangs, leaks, forks, floods, closes what is not its own, lies or opens the network by
itself: contained in its runner. Each under a real erabd, beside a second adapter that must not notice.

Aggregators: alder behind the adapter "bad", birch behind "good"; the coordinator's application sends orders to both."""
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
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


@test
def a_crash_ends_the_runner_alone_and_the_command_comes_again():
    w = World("crash")
    w.adapter("ready")
    order = w.order("alder")
    ended = w.adapter("ended")
    w.is_applied("birch")
    w.adapter("started", after=ended["seq"])
    w.answered(order, "applied")
    w.said(r"erab-runner: bad: died of signal")
    return w


@test
def a_hang_is_found_cut_and_ended_and_what_waits_ends_at_its_deadline():
    w = World("hang")
    w.adapter("ready")
    first = w.order("alder")
    w.is_applied("birch")
    hung = w.adapter("hung")
    late = w.order("alder", lifetime_ms=300)
    cut = w.cut()
    ended = w.adapter("ended")
    started = w.adapter("started", after=ended["seq"])
    assert hung["seq"] < cut["seq"] < ended["seq"] < started["seq"]
    w.answered(late, "expired", "expired")
    w.answered(first, "applied")
    # Nothing of the hung one was taken after the line that says so, up to its successor's.
    between = [r for r in w.broker.audit() if hung["seq"] < r["seq"] < started["seq"] and r.get("from") == "alder"]
    assert not between, between
    return w


@test
def memory_ends_for_the_leak_and_for_nobody_else():
    w = World("leak")
    if SANITIZED:
        w.said(r"bad: (no more memory|nobody stopped it)", 120)
    else:
        taken = int(w.said(r"bad: no more memory after (\d+) MiB", 60)[1])
        assert 64 <= taken <= 256, taken
    w.is_applied("birch")
    return w


@test
def no_process_is_made_and_none_is_ended():
    w = World("forks")
    for what in ("fork", "vfork", "exec", "kill", "ptrace", "unshare"):
        line = w.said(rf"bad: {what} (.*)")
        assert line[1] == "Operation not permitted", line[0]
    w.is_applied("alder")
    return w


@test
def files_of_others_are_not_opened():
    w = World("files")
    for what in ("/etc/passwd", "keys", "journal", "write", "link"):
        line = w.said(rf"bad: {what}: (.*)")
        assert line[1] == "Permission denied", line[0]
    assert w.said(r"bad: its own: (.*)")[1] == "worked"
    w.is_applied("alder")
    return w


@test
def without_namespaces_the_runner_refuses_and_says_why():
    deny = "echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_net_namespaces; exec \"$@\""
    w = World("forks", prefix=("unshare", "-rU", "sh", "-c", deny, "sh"))
    refused = w.adapter("refused")
    assert "namespace" in refused["detail"], refused
    w.said(r"erab-runner: bad: refuses to start: the sandbox cannot be made: .*namespace.*: No space left on device")
    w.adapter("ended", after=refused["seq"])
    w.broker.process.pump()
    assert not [x for x in w.broker.process.lines if "bad: started" in x]
    assert not [r for r in w.broker.audit() if r.get("verdict") == "ready"]
    return w


@test
def threads_are_bounded():
    w = World("threads")
    made = w.said(r"bad: (\d+) threads: (.*)")
    if made[2] == "all worked":  # root's are not limited by the kernel; the supervisor counts them
        w.said(r"erab-runner: bad: has more than \d+ threads: is ended")
        ended = w.adapter("ended")
        w.adapter("ready", after=ended["seq"])
    else:
        assert int(made[1]) <= 32, made[0]
    w.is_applied("alder")
    w.is_applied("birch")
    return w


@test
def a_garbled_channel_ends_the_runner_alone():
    w = World("garbles")
    ended = w.adapter("ended")
    w.adapter("ready", after=ended["seq"])
    w.is_applied("alder")
    w.is_applied("birch")
    return w


@test
def a_stopped_process_counts_as_hung():
    w = World("connects")
    w.adapter("ready")
    w.is_applied("alder")
    half = next(subprocess_children(pid)[0] for pid in subprocess_children(w.broker.process.child.pid) if half_of(pid, w, "bad"))
    os.kill(half, signal.SIGSTOP)
    waiting = w.order("alder")
    hung = w.adapter("hung")
    cut = w.cut(after=hung["seq"])
    ended = w.adapter("ended", after=cut["seq"])
    w.adapter("ready", after=ended["seq"])
    w.answered(waiting, "applied")
    return w


@test
def a_flood_of_messages_and_lines_is_bounded():
    w = World("flood")
    w.adapter("ready")
    w.is_applied("birch")
    w.said(r"bad\| \d+ lines were too many")
    w.is_applied("birch")
    return w


@test
def closed_descriptors_end_the_runner_alone():
    w = World("closes")
    ended = w.adapter("ended")
    w.adapter("ready", after=ended["seq"])
    w.is_applied("alder")
    w.is_applied("birch")
    return w


@test
def lies_are_refused_and_hurt_nobody():
    w = World("lies")
    w.said(r"bad: as another: Permission denied")
    for _ in range(3):
        w.answered(w.order("alder"), "refused", "internal")
    w.is_applied("alder")
    w.is_applied("birch")
    assert not [r for r in w.broker.audit() if r.get("from") == "birch" and r.get("type") == "capability"]
    return w


@test
def undeclared_connects_are_refused_and_one_incident():
    w = World("connects")
    for what in ("tcp", "tcp6", "udp", "message", "local"):
        line = w.said(rf"bad: {what} (.*)")
        assert line[1] == "Permission denied", line[0]
    assert w.said(r"bad: bad address (.*)")[1] == "Bad address"
    assert w.said(r"bad: packet socket (.*)")[1] == "Address family not supported by protocol"
    assert w.said(r"bad: netlink socket (.*)")[1] == "Address family not supported by protocol"
    assert w.said(r"bad: listen (.*)")[1] == "Operation not permitted"
    assert w.adapter("incident")["detail"] == "connect to 192.0.2.1 port 80"
    w.is_applied("alder")
    w.is_applied("birch")
    assert len([r for r in w.broker.audit() if r.get("verdict") == "incident"]) == 1
    assert len([x for x in w.broker.process.lines if "it is not declared" in x]) == 1
    return w


@test
def a_declared_stream_reaches_its_endpoint_and_no_more_of_them_than_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def answer():
            other, _ = server.accept()
            with other:
                assert other.recv(5, socket.MSG_WAITALL) == b"hello"
                other.sendall(b"good day")

        thread = threading.Thread(target=answer)
        thread.start()
        w = World("streams", endpoint=f"127.0.0.1:{server.getsockname()[1]}", interface="lo")
        thread.join(30)
        w.said(r"bad: the other end says good day")
        w.said(r"bad: the stream ended")
        assert w.said(r"bad: not an endpoint: (.*)")[1] == "Invalid argument"
        assert w.said(r"bad: no such option: (.*)")[1] == "Invalid argument"
        assert w.said(r"bad: twenty more: (.*)")[1] == "Resource temporarily unavailable"
        w.is_applied("alder")
    return w


@test
def a_stream_to_nowhere_ends():
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        w = World("streams", endpoint=f"localhost:{taken.getsockname()[1]}")
        w.said(r"bad: the stream ended")
        w.said(r"erab-runner: bad: stream to localhost port \d+: cannot be connected")
    return w


@test
def datagrams_go_where_they_were_declared_and_nowhere_else():
    w = World("strays", interface="lo")
    w.said(r"bad: it has 127.0.0.1/8")
    assert w.adapter("incident")["detail"] == "datagram to 192.0.2.1 port 23610"
    index = socket.if_nametoindex("lo")
    w.said(rf"bad: from 127.0.0.1 at interface {index}: to a neighbour again")
    w.broker.process.pump()
    assert not [x for x in w.broker.process.lines if "to a group" in x or "to another port" in x]
    w.is_applied("alder")
    return w


def free_port(address="127.0.0.1", family=socket.AF_INET):
    with socket.socket(family) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def reached(address, port, source=None, family=socket.AF_INET):
    """A connection to the module, and what it says of where that comes from."""
    s = socket.socket(family)
    s.settimeout(30)
    if source:
        s.bind((source, 0))
    s.connect((address, port))
    line = b""
    while not line.endswith(b"\n"):
        more = s.recv(1)
        if not more:
            s.close()
            return None, ""
        line += more
    return s, line.decode().strip()


def echoes(s, text):
    s.sendall(text)
    got = b""
    while len(got) < len(text):
        more = s.recv(65536)
        assert more, "ended"
        got += more
    return got == text


@test
def accepted_streams_come_with_their_source_and_only_where_it_was_declared():
    port = free_port()
    w = World("listens", listen=f"listen://127.0.0.1:{port}", endpoint=f"127.0.0.1:{free_port()}")
    assert w.said(r"bad: where it only connects: (.*)")[1] == "Invalid argument"
    assert w.said(r"bad: no such option: (.*)")[1] == "Invalid argument"
    assert w.said(r"bad: connects where it listens: (.*)")[1] == "Invalid argument"
    assert w.said(r"bad: twice: (.*)")[1] == "Address already in use"
    w.said(rf"erab-runner: bad: listens on listen://127.0.0.1:{port}")
    w.said(r"bad: listening: yes")
    for source in ("127.0.0.1", "127.9.8.7"):
        s, told = reached("127.0.0.1", port, source)
        with s:
            assert told == f"you are {source} {s.getsockname()[1]}", told
            assert echoes(s, b"x" * 20000)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b"", "its end is told"
    w.is_applied("alder")  # the first order
    w.is_applied("alder")  # the second: it closes its listener
    w.is_applied("birch")
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
    assert not [r for r in w.broker.audit() if r.get("verdict") == "incident"]
    return w


@test
def accepted_streams_over_ipv6():
    port = free_port("::1", socket.AF_INET6)
    w = World("listens", listen=f"listen://[::1]:{port}")
    w.said(r"bad: listening: yes")
    s, told = reached("::1", port, family=socket.AF_INET6)
    with s:
        assert told == f"you are ::1 {s.getsockname()[1]}", told
    return w


@test
def accepted_streams_are_bounded_for_each_source_and_in_all_and_say_so():
    port = free_port()
    w = World("listens", listen=f"listen://127.0.0.1:{port}")
    w.said(r"bad: listening: yes")
    held = [reached("127.0.0.1", port, "127.0.0.1")[0] for _ in range(16)]
    assert all(held)
    assert reached("127.0.0.1", port, "127.0.0.1") == (None, ""), "the 17th of one source"
    detail = w.adapter("incident")["detail"]
    assert detail == f"listen://127.0.0.1:{port}: more than 16 connections from 127.0.0.1", detail
    w.said(r"erab-runner: bad: limit: .* more than 16 connections")
    for last in range(2, 9):
        held += [reached("127.0.0.1", port, f"127.0.0.{last}")[0] for _ in range(16)]
    assert len(held) == 128 and all(held)
    with socket.socket() as waits:  # the 129th is not turned away: it waits in the kernel
        waits.bind(("127.0.0.9", 0))
        waits.connect(("127.0.0.1", port))
        waits.settimeout(0.3)
        try:
            raise AssertionError(waits.recv(1))
        except TimeoutError:
            pass
        held.pop().close()
        waits.settimeout(30)
        assert waits.recv(7) == b"you are"
    for s in held:
        s.close()
    s, told = reached("127.0.0.1", port, "127.0.0.1")  # the places are free again
    with s:
        assert told.startswith("you are 127.0.0.1"), told
    w.is_applied("alder")
    w.is_applied("birch")
    return w


@test
def a_flood_of_connections_does_not_hurt_what_else_it_does():
    port, over = free_port(), threading.Event()
    w = World("listens", listen=f"listen://127.0.0.1:{port}")
    w.said(r"bad: listening: yes")
    counts = [0, 0, 0]
    held, told = reached("127.0.0.1", port, "127.0.0.77")

    def flood(i):
        while not over.is_set():
            with socket.socket() as s:
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
                counts[i] += 1

    threads = [threading.Thread(target=flood, args=[i]) for i in range(3)]
    for t in threads:
        t.start()
    try:
        for _ in range(5):
            w.is_applied("birch")
            w.is_applied("alder")
            assert echoes(held, b"still here"), "an accepted one goes on"
    finally:
        over.set()
        for t in threads:
            t.join()
        held.close()
    assert sum(counts) > 100, counts
    assert not [r for r in w.broker.audit() if r.get("verdict") in ("hung", "ended")], "it lived on"
    return w


@test
def a_killed_supervisor_takes_its_other_half_along():
    w = World("connects")
    w.adapter("ready")
    children = subprocess_children(w.broker.process.child.pid)
    halves = {pid: subprocess_children(pid) for pid in children}
    assert len(halves) == 2 and all(len(x) == 1 for x in halves.values()), halves
    victim = next(pid for pid in halves if half_of(pid, w, "bad"))
    ends = os.pidfd_open(halves[victim][0])
    os.kill(victim, signal.SIGKILL)
    assert select.select([ends], [], [], 30)[0], "the other half lives on"
    os.close(ends)
    ended = w.adapter("ended")
    w.adapter("ready", after=ended["seq"])
    w.is_applied("alder")
    return w


def subprocess_children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(x) for x in f.read().split()]


def half_of(pid, w, instance):
    """The sandboxed half has the instance's module mapped; only a root may look."""
    try:
        with open(f"/proc/{subprocess_children(pid)[0]}/maps", encoding="utf-8") as f:
            return "fault_" in f.read()
    except PermissionError:
        return True


def main():
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
            if World.last and World.last.broker.process:
                World.last.broker.process.stop()
                print("  " + "\n  ".join(World.last.broker.process.lines[-30:]), flush=True)
                print("  " + "\n  ".join(json.dumps(r) for r in World.last.broker.audit()[-12:]), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
