#!/usr/bin/python3
"""The journal's disk is full for a while: a small one of the test's own, in a mount namespace of the broker's."""
import os
import select
import shutil
import sqlite3
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
import stage  # noqa: E402
from stage import SOURCE, Network, Refused, dispatch  # noqa: E402

MOUNT = 'mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && exec "$@"'


class Small(stage.Stage):
    """The stage's parties around a broker whose state lies on a disk of 1 MiB."""
    audit_too = False

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="erab-full-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker("coordinator.rest", "ac", "example-coordinator")
        b.listen("r3")
        b.party("rest.app", "ac", "example-coordinator", kind="local")
        b.party("alder", "ra", "alder", interfaces=["r3"])
        b.party("birch", "ra", "birch", interfaces=["r3"])
        state = b.config["state_dir"] = os.path.join(b.folder, "state")
        os.mkdir(state, 0o700)
        if self.audit_too:
            b.config["audit"] = os.path.join(state, "audit.jsonl")
        self.prepare()
        b.start(prefix=["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", MOUNT, state])
        self.state = f"/proc/{b.process.child.pid}/root{state}"
        self.clients = []

    def prepare(self):
        """What another file's tests have besides."""

    def fill(self):
        with open(os.path.join(self.state, "filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(512))
            except OSError:
                pass

    def empty(self):
        os.unlink(os.path.join(self.state, "filler"))

    def until(self, wanted):
        end = time.monotonic() + 20
        while not wanted():
            assert time.monotonic() < end, "it never came so"
            select.select([], [], [], 0.05)

    def ready(self):
        return self.broker.tool("health")[0] == 0

    def kept(self):
        """What a restart would find: read from a copy, for SQLite would follow /proc's link out of the namespace."""
        copy = tempfile.mkdtemp(dir=self.folder)
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(os.path.join(self.state, name), copy)
        db = sqlite3.connect(os.path.join(copy, "journal.db"))
        try:
            return ({row[0] for row in db.execute("SELECT party FROM revocation")},
                    {row[0] for row in db.execute("SELECT key FROM state WHERE key LIKE 'breaker:%' OR key = 'isolated'")})
        finally:
            db.close()


def orders_stop_while_the_disk_is_full_and_go_on_afterwards(s):
    app = s.app()
    s.client("alder", "r3")
    assert app.request(app.message("dispatch", "alder", dispatch(order="before")))["state"] == "accepted"
    s.fill()
    order = app.message("dispatch", "alder", dispatch(order="full"))
    try:
        assert app.request(order)["state"] != "accepted"
    except Refused as refused:
        assert refused.receipt["reason"] in ("storage", "not-ready"), refused.receipt
    s.until(lambda: not s.ready())
    s.empty()
    s.until(s.ready)
    assert app.request(app.message("dispatch", "alder", dispatch(order="after")))["state"] == "accepted"


def a_revocation_on_a_full_disk_is_written_when_there_is_room(s):
    s.fill()
    code, answer = s.broker.tool("party", "revoke", "birch")
    assert code == 1 and "not yet on disk" in answer["error"], answer
    s.audited(what="admin", act="party-revoke", object="birch", verdict="done")
    s.audited(what="admin", act="party-revoke", object="birch", verdict="not kept")
    s.until(lambda: not s.ready())
    code, answer = s.broker.tool("party", "revoke", "birch")  # it acts already, and is still not kept
    assert code == 1 and "not yet on disk" in answer["error"], answer
    assert s.kept()[0] == set()
    s.empty()
    s.until(lambda: s.kept()[0] == {"birch"})
    assert s.broker.tool("party", "revoke", "birch")[1] == {"ok": True, "party": "birch", "already": True}


LINK = ("alder", "r3", "coordinator.rest")


def open_links(s):
    return [x["peer"] for x in s.broker.tool("breaker", "list")[1]["links"] if x["state"] == "open"]


def a_trip_on_a_full_disk_acts_at_once_and_is_written_when_there_is_room(s):
    s.fill()
    code, answer = s.broker.tool("breaker", "trip", *LINK)
    assert code == 1 and "not yet on disk" in answer["error"], answer
    assert open_links(s) == ["alder"]
    code, answer = s.broker.tool("isolate", "r3")
    assert code == 1 and "not yet on disk" in answer["error"], answer
    assert s.kept()[1] == set()
    s.empty()
    s.until(lambda: s.kept()[1] == {"breaker:r3:alder:coordinator.rest", "isolated"})
    assert s.broker.tool("breaker", "trip", *LINK)[1]["already"] is True


def a_close_that_the_disk_refuses_does_not_act(s):
    assert s.broker.tool("breaker", "trip", *LINK)[0] == 0
    s.fill()
    code, answer = s.broker.tool("breaker", "close", *LINK)
    assert code == 1 and "not closed" in answer["error"], answer
    assert open_links(s) == ["alder"]
    s.audited(what="admin", act="breaker-close", verdict="not kept")
    s.empty()
    s.until(s.ready)
    assert open_links(s) == ["alder"]
    assert s.broker.tool("breaker", "close", *LINK)[0] == 0
    assert open_links(s) == [] and s.kept()[1] == set()


def run(make):
    probe = tempfile.mkdtemp()
    made = os.spawnlp(os.P_WAIT, "unshare", "unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", MOUNT, probe, "true")
    shutil.rmtree(probe)
    if made != 0:
        print("no mount namespace can be made here: skipped")
        sys.exit(77)
    stage.run(make=make)


if __name__ == "__main__":
    run(make=Small)
