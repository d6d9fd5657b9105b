#!/usr/bin/python3
"""A broker that runs out of descriptors: what is open goes on, orders are kept and written, and it accepts again when there are some."""
import json
import os
import resource
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import dispatch, opt, run  # noqa: E402

HUB = "coordinator.rest"


def opened(s):
    return len(os.listdir(f"/proc/{s.broker.process.child.pid}/fd"))


def limit(s, descriptors):
    """None: as many as it had at first."""
    pid = s.broker.process.child.pid
    most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors or most, most))


def exhaust(s, spare):
    """Leaves the broker so many descriptors, and takes them with connections that say nothing."""
    limit(s, opened(s) + spare)
    host, port = s.broker.ports["r3"].removeprefix("tcp://").rsplit(":", 1)
    return [socket.create_connection((host, int(port)), timeout=10) for _ in range(spare + 20)]


def what_is_open_goes_on_and_others_come_in_again_later(s):
    app, alder = s.app(), s.client("alder", "r3")
    admin = socket.socket(socket.AF_UNIX)
    admin.connect(s.broker.config["admin_socket"])
    lines = admin.makefile("rwb")

    def healthy():
        lines.write(b'{"verb": "health"}\n')
        lines.flush()
        assert json.loads(lines.readline())["ok"] is True

    healthy()  # by now it is accepted
    for spare in (0, 1, 3):
        crowd = exhaust(s, spare)
        for i in range(20):
            order = app.message("dispatch", "alder", dispatch(order=f"o-{spare}-{i}"))
            assert app.request(order, timeout=20)["state"] == "accepted"
            got = alder.receive("dispatch", timeout=20)
            assert got.hash == order.hash
            alder.answer(got, "delivered")
            assert app.receipt_for(order, timeout=20, state="delivered")
        healthy()
        for c in crowd:
            c.close()
        limit(s, None)
        birch = s.client("birch", "r3", bind=False)
        birch.bind(timeout=20)
        assert birch.request(birch.message("opt", HUB, opt()), timeout=20)["state"] == "delivered"
        birch.close()
        assert s.broker.tool("health")[0] == 0
        healthy()
    admin.close()
    s.broker.process.stop()
    taken = [r for r in s.broker.audit() if r["what"] == "message" and r["type"] == "dispatch"]
    assert len(taken) == 60, len(taken)
    s.broker.start()


run()
