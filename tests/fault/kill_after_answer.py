#!/usr/bin/python3
"""What an operator was told is done is on disk: the broker is killed in the moment of its answer."""
import json
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import run  # noqa: E402

LINK = {"party": "alder", "interface": "r3", "peer": "coordinator.rest"}
ROUNDS = 8


def ask_and_kill(s, request):
    """No tool between the answer and the kill."""
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.broker.config["admin_socket"])
        c.sendall(json.dumps(request).encode() + b"\n")
        answer = c.recv(65536)
        os.kill(s.broker.process.child.pid, signal.SIGKILL)
    s.broker.process.stop()
    assert json.loads(answer)["ok"] is True, answer
    s.broker.start()


def is_open(s):
    return any(x["state"] == "open" for x in s.broker.tool("breaker", "list")[1]["links"])


def a_trip_and_a_close_that_were_answered_survive_a_kill(s):
    for _ in range(ROUNDS):
        ask_and_kill(s, {"verb": "breaker-trip", **LINK})
        assert is_open(s), "the trip was forgotten"
        ask_and_kill(s, {"verb": "breaker-close", **LINK})
        assert not is_open(s), "the close was forgotten"


def a_trip_behind_a_close_that_is_on_its_way_counts(s):
    for _ in range(ROUNDS):
        ask_and_kill(s, {"verb": "breaker-trip", **LINK})
        pid = s.broker.process.child.pid
        os.kill(pid, signal.SIGSTOP)  # both are there when it looks
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for c, verb in zip(clients, ("breaker-close", "breaker-trip")):
            c.settimeout(20)
            c.connect(s.broker.config["admin_socket"])
            c.sendall(json.dumps({"verb": verb, **LINK}).encode() + b"\n")
        os.kill(pid, signal.SIGCONT)
        close, trip = (json.loads(c.recv(65536)) for c in clients)
        for c in clients:
            c.close()
        assert trip["ok"] is True, trip
        assert close["ok"] is True or "something else happened" in close["error"], close
        assert is_open(s), close
        os.kill(pid, signal.SIGKILL)
        s.broker.process.stop()
        s.broker.start()
        assert is_open(s), close


def a_revocation_that_was_answered_survives_a_kill(s):
    names = [f"ra{i}" for i in range(ROUNDS)]
    s.broker.process.stop()
    for name in names:
        s.broker.party(name, "ra", name, interfaces=["r3"])
    s.broker.start()
    for name in names:
        ask_and_kill(s, {"verb": "party-revoke", "party": name})
        assert s.broker.tool("party", "show", name)[1]["state"] == "revoked", name


def an_isolation_that_was_answered_survives_a_kill(s):
    for _ in range(ROUNDS):
        ask_and_kill(s, {"verb": "isolate", "interface": "r2"})
        assert s.broker.tool("health")[1]["isolated"] == ["r2"]
        ask_and_kill(s, {"verb": "join", "interface": "r2"})
        assert s.broker.tool("health")[1]["isolated"] == []


run()
