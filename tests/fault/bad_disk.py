#!/usr/bin/python3
"""A whole broker whose journal's disk fails for a while, stays read-only, or loses it in the middle of a write: commands are
refused, telemetry goes on, it comes back by itself; what was accepted arrives."""
import errno
import os
import select
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
SHIM = sys.argv.pop(1)
sys.argv.insert(1, SHIM)
sys.argv.insert(2, "")  # disk.py's driver: not used here
import disk  # noqa: E402
import stage  # noqa: E402
from stage import Refused, Timeout, dispatch, telemetry  # noqa: E402

del sys.argv[1:3]
FAIL, SHORT, KILL_TORN, ALWAYS = disk.FAIL, disk.SHORT, disk.KILL_TORN, disk.ALWAYS


class Bad(stage.Stage):
    """The usual stage; what the broker does to its journal's files goes through the shim."""

    def __init__(self):
        self.aside = tempfile.mkdtemp(prefix="erab-bad-")
        self.control = disk.Control(os.path.join(self.aside, "control"))
        super().__init__()
        self.broker.process.stop()
        self.start()

    def start(self):
        env = disk.environment(self.control)
        self.broker.start(prefix=["env"] + [f"{k}={env[k]}" for k in ("LD_PRELOAD", "ERAB_FAULT_CONTROL", "ERAB_FAULT_PATH")])
        assert self.control.calls() > 0  # else nothing would be tested

    def until(self, wanted):
        end = time.monotonic() + 30
        while not wanted():
            assert time.monotonic() < end, self.broker.tool("health")
            select.select([], [], [], 0.05)

    def ready(self):
        return self.broker.tool("health")[0] == 0

    def goes_bad(self, error):
        self.control.plan(1, ALWAYS, FAIL, error)

    def is_good(self):
        self.control.plan(0, 0, 0, 0)


def order(app, name):
    """The message, and whether it was accepted."""
    m = app.message("dispatch", "alder", dispatch(order=name))
    try:
        return m, app.request(m)["state"] == "accepted"
    except Refused as refused:
        assert refused.receipt["reason"] in ("storage", "not-ready"), refused.receipt
        return m, False


def taken(alder, wanted):
    """Answers what comes until all of `wanted` (ids) is there; how often each came."""
    seen = {}
    while set(wanted) - set(seen):
        got = alder.receive("dispatch", timeout=15)
        seen[got.header["id"]] = seen.get(got.header["id"], 0) + 1
        alder.answer(got, "delivered")
    return seen


def bad_for_a_while(s, error):
    alder, app = s.client("alder", "r3"), s.app()
    first, good = order(app, "before")
    assert good
    s.goes_bad(error)
    assert not order(app, "bad")[1]
    s.until(lambda: not s.ready())
    assert s.broker.tool("health")[1]["not_ready_because"] == "storage"
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry()))
    app.receive("telemetry")  # it goes on
    s.is_good()
    s.until(s.ready)  # no restart
    last, good = order(app, "after")
    assert good
    seen = taken(alder, [first.id, last.id])
    assert set(seen) == {first.id, last.id} and set(seen.values()) == {1}, seen
    app.receipt_for(last, state="delivered")
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()
    s.start()
    try:
        s.client("alder", "r3").receive("dispatch", timeout=2)
        raise AssertionError("it came twice")
    except Timeout:
        pass


def orders_stop_while_nothing_can_be_written_and_go_on_afterwards(s):
    bad_for_a_while(s, errno.EIO)


def orders_stop_while_it_is_read_only_and_go_on_afterwards(s):
    bad_for_a_while(s, errno.EROFS)


def what_was_accepted_between_faults_arrives_once(s):
    alder, app = s.client("alder", "r3"), s.app()
    kept, refused = [], 0
    for i in range(12):
        now = s.control.calls()
        s.control.plan(now + 1 + i % 5, now + 2 + i % 5, SHORT if i % 2 else FAIL, errno.ENOSPC)
        for k in range(3):
            m, good = order(app, f"o-{i}-{k}")
            kept += [m.id] if good else []
            refused += not good
            taken(alder, [m.id] if good else [])
        s.until(s.ready)
    s.is_good()
    assert refused and len(kept) > 3, (refused, len(kept))
    last, good = order(app, "last")
    assert good
    assert taken(alder, [last.id]) == {last.id: 1}  # and nothing of before


def what_was_accepted_before_a_kill_in_the_middle_of_a_write_arrives(s):
    app = s.app()
    kept = []
    for k in (40, 75, 110, 160, 230):  # some 30 calls a commit
        now = s.control.calls()
        s.control.plan(now + k, ALWAYS, KILL_TORN, 0)
        for i in range(20):
            m = app.message("dispatch", "alder", dispatch(order=f"o-{k}-{i}"))
            try:
                if app.request(m, timeout=2)["state"] == "accepted":
                    kept.append(m.id)
            except (Timeout, Refused):
                break
        s.broker.process.child.wait(20)
        for c in s.clients:
            c.close()
        s.clients = []
        s.is_good()
        s.start()
        app = s.app()
    alder = s.client("alder", "r3")
    assert len(kept) > 5, kept
    seen = taken(alder, kept)  # and perhaps one that was kept and not told any more
    assert set(seen.values()) == {1}, seen


def a_folder_that_is_read_only_at_the_start_is_told(s):
    s.broker.process.stop()
    mount = 'mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && mount -o remount,ro "$0" && exec "$@"'
    s.broker.config["state_dir"] = state = os.path.join(s.folder, "read-only")
    os.mkdir(state)
    try:
        s.broker.start(prefix=["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", mount, state])
        raise AssertionError("it started")
    except stage.Failed as failed:
        assert "journal.db" in str(failed) and "Read-only" in str(failed), failed
    s.broker.process.child.wait(20)
    s.broker.process = None


if __name__ == "__main__":
    stage.run(make=Bad)
