#!/usr/bin/python3
"""Third-party code that crashes, hangs, leaks, forks, floods, closes what is not its own, lies or opens the network by
itself: contained in its runner."""
import os
import select
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from fault_world import SANITIZED, World, run, test  # noqa: E402


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
    counted = r"erab-runner: bad: has more than \d+ threads: is ended"
    made = w.said(rf"bad: (\d+) threads: (.*)|{counted}")
    if made[2] in (None, "all worked"):  # root's are not limited by the kernel; the supervisor counts them, meanwhile or then
        if made[2]:
            w.said(counted)
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


if __name__ == "__main__":
    run()
