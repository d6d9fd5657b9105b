#!/usr/bin/python3
"""Streams that others open to a module: only where that was declared, with their source, bounded, and without harm to
what else its runner does."""
import errno
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from fault_world import World, run, test  # noqa: E402


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


if __name__ == "__main__":
    run()
