#!/usr/bin/python3
"""A broker whose system's clock is set: what is taken over, what stops, and what operators decide. Nobody waits: a file says
by how much the clock is off."""
import json
import os
import select
import socket
import sys
import time
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import journal  # noqa: E402
import stage  # noqa: E402
from enrolment import erab  # noqa: E402
from stage import dispatch, now, opt  # noqa: E402

# A preloaded library stands before that of AddressSanitizer, which it otherwise refuses.
PRELOAD = {"LD_PRELOAD": sys.argv.pop(1),
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
HUB = "coordinator.rest"
HOUR = 3600000


class Shifted(stage.Stage):
    operators = ()

    def __init__(self):
        super().__init__()
        self.broker.process.stop()
        self.file = os.path.join(self.folder, "shift")
        self.shift(0)
        os.environ["ERAB_SHIFTED_CLOCK"] = self.file
        self.up()

    def up(self):
        self.broker.start(prefix=["env", *(f"{k}={v}" for k, v in PRELOAD.items())])

    def kill(self):
        self.broker.process.child.kill()
        self.broker.process.stop()
        self.up()

    def shift(self, ms):
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write(str(ms))
        os.rename(self.file + ".new", self.file)

    def clock(self, *words):
        return erab(self, "clock", *words, "--socket", self.broker.config["admin_socket"])

    def state(self):
        code, answer = self.clock("show")
        assert code == 0, answer
        return answer["state"], round(answer["ahead_ms"], -4)

    def until(self, wanted, timeout=20):
        end = time.monotonic() + timeout
        while self.state() != wanted:
            assert time.monotonic() < end, (self.state(), wanted)
            select.select([], [], [], 0.02)

    def ready(self):
        code, answer = self.broker.tool("health")
        return code == 0, answer["not_ready_because"]

    def order(self, app, to="alder", off=0, **more):
        """An order of somebody whose clock is off by so much."""
        at = now() + off
        return app.message("dispatch", to, dispatch(start=at, end=at + 600000, **more), now_ms=at)

    def accepted(self, app, off=0, **more):
        message = self.order(app, off=off, **more)
        assert app.request(message)["state"] == "accepted"
        return message

    def sign_as(self, *names):
        self.broker.process.stop()
        self.broker.config["operators"] = []
        for name in names:
            code, made = erab(self, "operator", "new", name, os.path.join(self.folder, name))
            assert code == 0
            self.broker.config["operators"].append({"name": name, "sign_key": made["sign_key"]})
        self.up()


def a_step_of_less_than_a_minute_is_taken_over(s):
    s.shift(55000)
    s.until(("right", 0))
    assert s.ready() == (True, "")
    assert s.clock("show")[1]["broker_ms"] > now() + 50000


def an_hour_ahead_stops_commands_until_it_is_accepted(s):
    app, alder = s.app(), s.client("alder", "r3")
    s.accepted(app)
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    assert s.ready() == (False, "clock")
    s.audited(what="admin", act="clock", object=HUB, verdict="ahead")
    s.refused(app, s.order(app), "not-ready")
    assert alder.request(alder.message("opt", HUB, opt()))["state"] == "delivered", "only commands stop"
    code, answer = s.clock("accept")
    assert (code, answer["state"], answer["already"]) == (0, "right", False), answer
    assert s.ready() == (True, "")
    line = s.audited(what="admin", act="clock-accept", verdict="done")
    assert line["time_ms"] > now() + HOUR - 10000, line
    s.refused(app, s.order(app), "expired")
    s.accepted(app, off=HOUR)
    s.kill()
    assert s.state() == ("right", 0)


def a_rejected_hour_stops_nothing_also_after_a_kill(s):
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    code, answer = s.clock("reject")
    assert (code, answer["state"]) == (0, "rejected"), answer
    s.accepted(s.app())
    s.kill()
    s.clients.pop().close()
    seen = (s.state(), s.ready())
    assert seen == (("rejected", HOUR), (True, "")), seen
    app = s.app()
    s.accepted(app, order="o-2")
    s.shift(2 * HOUR)  # a further jump is a further question
    s.until(("ahead", 2 * HOUR))
    s.refused(app, s.order(app, order="o-3"), "not-ready")
    s.shift(0)
    s.until(("right", 0))
    assert s.ready() == (True, "")


def a_jump_outlasts_a_restart(s):
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    s.kill()
    seen = (s.state(), s.ready())
    assert seen == (("ahead", HOUR), (False, "clock")), seen
    s.broker.process.stop()
    s.shift(-HOUR)  # and what happens while it is down is found, too
    s.up()
    assert s.state() == ("behind", -HOUR)
    s.broker.process.stop()
    s.shift(61000)
    s.up()
    assert s.state()[0] == "ahead"


def an_hour_back_stops_nothing_and_changes_nothing(s):
    s.shift(-HOUR)
    s.until(("behind", -HOUR))
    assert s.ready() == (True, "")
    s.accepted(s.app())
    code, answer = s.clock("accept")
    assert code == 1 and "--lower" in answer["error"], answer
    assert s.clock("reject")[1]["already"] is True
    assert s.state() == ("behind", -HOUR)


def set_back_by_an_operator_all_commands_before_count_as_expired(s):
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    assert s.clock("accept")[0] == 0
    app = s.app()
    waiting = [s.accepted(app, off=HOUR, order=f"o-{i}") for i in range(7)]
    old = s.order(app, off=-1000, order="o-old")  # of before, by a right clock
    retail = s.client("retail", "r2")
    asked = s.order(retail, to=HUB, off=HOUR)
    assert retail.request(asked)["state"] == "delivered"
    seen = app.receive("dispatch")
    s.shift(0)
    s.until(("behind", -HOUR))
    code, answer = s.clock("accept", "--lower")
    assert (code, answer["state"], answer["already"]) == (0, "right", False), answer
    assert abs(answer["broker_ms"] - now()) < 60000
    for order in waiting:
        assert app.receipt_for(order, state="expired")["reason"] == "expired"
    assert not [r for r in s.broker.audit() if r["what"] == "breaker"], "nobody failed to answer"
    s.refused(app, old, "expired")
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=seen), "parent-ended")
    s.kill()
    for c in s.clients:
        c.close()
    s.clients = []
    assert s.state() == ("right", 0)
    app, alder = s.app(), s.client("alder", "r3")
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=seen), "parent-ended")
    new = s.accepted(app, order="o-new")
    assert alder.receive("dispatch").hash == new.hash, "nothing of before came first"
    for order in waiting:
        app.send(order)
        assert app.receipt_for(order)["state"] in ("expired", "refused")


def what_a_kill_left_to_expire_is_expired_at_the_next_start(s):
    """As if it came between the new time on the disk and what follows from it."""
    app = s.app()
    order = s.accepted(app)
    s.broker.process.child.kill()
    s.broker.process.stop()
    path = os.path.join(s.broker.folder, "journal.db")
    with journal.open_journal(path) as db:
        (value,) = db.execute("select value from state where key = 'clock-floor'").fetchone()
    journal.set_state(path, "clock-floor", value[:32] + b"\1" + value[33:])
    s.up()
    app.close()
    s.clients.remove(app)
    app, alder = s.app(), s.client("alder", "r3")
    assert app.receipt_for(order, state="expired")["reason"] == "expired"
    new = s.accepted(app, order="o-new")
    assert alder.receive("dispatch").hash == new.hash


def where_operators_are_named_one_of_them_signs(s):
    s.sign_as("hana")
    hana = ["--operator", os.path.join(s.folder, "hana")]
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    code, answer = s.clock("accept")
    assert code == 1 and "signed statement" in answer["error"], answer
    with mock.patch.dict(os.environ, PRELOAD):  # hana sits at the same machine, whose clock is off
        code, answer = s.clock("reject", *hana)
    assert (code, answer["state"]) == (0, "rejected"), answer
    line = s.audited(what="admin", act="clock-reject", operator="hana", verdict="asked")
    said = json.loads(line["statement"])
    assert abs(said["time_ms"] - now() - HOUR) < 60000, said
    request = {"verb": "clock-reject", "statement": line["statement"], "signature": line["signature"]}
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.broker.config["admin_socket"])
        c.sendall(json.dumps(request).encode() + b"\n")
        assert json.loads(c.recv(65536)).get("already", True) is True
    assert s.clock("accept", *hana)[0] == 0, "hana's own clock is right: this was signed an hour before that one"
    assert s.state() == ("right", 0)


def a_statement_is_about_the_time_that_was_seen(s):
    s.shift(HOUR)
    s.until(("ahead", HOUR))
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.broker.config["admin_socket"])
        file = c.makefile("rw")
        for seen in (now(), now() + 2 * HOUR, 0, "x"):
            file.write(json.dumps({"verb": "clock-accept", "time_ms": seen}) + "\n")
            file.flush()
            assert "shows another time" in json.loads(file.readline())["error"]
    assert s.state() == ("ahead", HOUR)


stage.run(make=Shifted)
