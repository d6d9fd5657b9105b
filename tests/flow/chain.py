#!/usr/bin/python3
"""An order over the brokers of two firms: the coordinator's, and that of the aggregator alder, which dials up to it. At
each hop the parent is checked by who took it, and a drill stays a drill."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import Client, Stage, Timeout, cancel, device_command, dispatch, opt, run  # noqa: E402
import erab_wire as wire  # noqa: E402


class Firms(Stage):
    """The stage's broker, and alder's own with an application and two gateways on R4."""

    def __init__(self):
        super().__init__()
        self.broker.process.stop()
        parties = self.broker.config["parties"]
        parties[:] = [p for p in parties if p["id"] != "alder"]
        self.broker.party("alder", "ra", "alder", kind="uplink")
        b = self.alder = self.net.broker("alder", "ra", "alder")
        b.config["parties"][0]["sign_keys"] = [self.net.keys.sign("alder")]
        b.listen("r4")
        b.party("alder.app", "ra", "alder", kind="local")
        b.party("home", "gateway", "home")
        b.party("barn", "gateway", "barn")
        b.config["parties"].append({"id": "coordinator.rest", "role": "ac", "firm": "example-coordinator",
                                    "sign_keys": [self.net.keys.sign("coordinator.rest")]})
        self.broker.start()
        b.uplink(self.broker, "r3")
        b.start()
        for group in (1, 2):  # both connections of the uplink
            self.broker.wait_audit(lambda r, n=group: r["what"] == "connection" and r["verdict"] == "opened" and
                                   r["peer"] == "alder", timeout=20)

    def at(self, broker, party, interface, speaks=None):
        endpoint, server_key = broker.server(interface)
        s = self.secrets(party)
        c = Client(endpoint, bytes.fromhex(server_key), s["curve_public"], s["curve_secret"], speaks or party,
                   sign_secret=None if interface == "local" else s["sign_secret"], broker=broker.owner)
        self.clients.append(c)
        c.bind()
        return c

    def everyone(self):
        """The coordinator's application, alder's application, the gateway."""
        return (self.app(), self.at(self.alder, "alder.app", "local", speaks="alder"), self.at(self.alder, "home", "r4"))

    def order(self, app, alder, **options):
        sent = app.message("dispatch", "alder", dispatch(), **options)
        app.send(sent)
        app._wait(app._receipts, lambda r: wire.decode_receipt(r.body).get("about") == sent.id and
                  r.header.get("exercise", False) == options.get("exercise", False), 5)
        received = alder.receive("dispatch", timeout=15)
        assert (received.hash, received.body) == (sent.hash, sent.body)
        return sent, received


def an_order_and_its_receipts_cross_two_brokers(s):
    app, alder, home = s.everyone()
    sent, received = s.order(app, alder)
    assert app.receipt_for(sent, timeout=10, state="delivered")
    command = alder.message("device-command", "home", device_command(), parent=received)
    assert alder.request(command)["state"] == "accepted"
    got = home.receive("device-command")
    assert got.header["parent"] == (sent.id, sent.hash), "the gateway sees which order it follows"
    home.answer(got, "applied")
    assert alder.receipt_for(command)["state"] == "applied"
    alder.answer(received, "applied")
    assert app.receipt_for(sent, timeout=10, state="applied")


def the_trace_of_a_command_leads_through_both_firms(s):
    app, alder, home = s.everyone()
    sent, received = s.order(app, alder)
    command = alder.message("device-command", "home", device_command(), parent=received)
    alder.request(command)
    h = command.id.hex()
    text = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
    s.alder.wait_audit(lambda r: r.get("id") == text)
    done = subprocess.run([s.net.erab, "trace", text, s.alder.config["audit"], s.broker.config["audit"]], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    out = done.stdout.decode()
    assert done.returncode == 0 and "coordinator.rest" in out and "home" in out, out


def a_parent_must_be_the_very_message_that_was_taken(s):
    app, alder, _ = s.everyone()
    sent, received = s.order(app, alder)
    refuse = [((wire.new_id(), sent.hash), "parent-unknown"), ((sent.id, bytes(32)), "parent-mismatch")]
    for parent, reason in refuse:
        message = alder.message("device-command", "home", device_command(), parent=parent)
        alder.send(message)
        assert alder.receipt_for(message)["reason"] == reason
    home = s.at(s.alder, "barn", "r4")
    message = home.message("opt", "alder", opt(), parent=received)
    assert home.request(message)["state"] == "delivered", "what is no order may name any"


def an_order_cancelled_upstream_ends_here_too(s):
    app, alder, _ = s.everyone()
    sent, received = s.order(app, alder)
    app.request(app.message("dispatch-cancel", "alder", cancel("o-1", sent.id), parent=sent))
    taken = alder.receive("dispatch-cancel", timeout=15)
    late = alder.message("device-command", "home", device_command(), parent=received)
    alder.send(late)
    assert alder.receipt_for(late)["reason"] == "parent-ended"
    restore = alder.message("device-command", "home", device_command(action=5), parent=taken)
    assert alder.request(restore)["state"] == "accepted", "the safe state may always be restored"


def a_newer_version_upstream_ends_the_older_one_here_too(s):
    app, alder, _ = s.everyone()
    _, older = s.order(app, alder)
    app.request(app.message("dispatch", "alder", dispatch(modification=1)))
    newer = alder.receive("dispatch", timeout=15)
    late = alder.message("device-command", "home", device_command(), parent=older)
    alder.send(late)
    assert alder.receipt_for(late)["reason"] == "parent-ended"
    assert alder.request(alder.message("device-command", "home", device_command(), parent=newer))["state"] == "accepted"


def a_drill_stays_a_drill_over_both_firms(s):
    app, alder, home = s.everyone()
    _, received = s.order(app, alder, exercise=True)
    assert received.header["exercise"] is True
    real = alder.message("device-command", "home", device_command(), parent=received)
    alder.send(real)
    assert alder.receipt_for(real)["reason"] == "exercise-mismatch"
    alder.request(alder.message("device-command", "home", device_command(), parent=received, exercise=True))
    got = home.receive("device-command")
    assert got.header["exercise"] is True
    marks = [r["exercise"] for b in (s.broker, s.alder) for r in b.audit() if r["what"] == "message" and r["type"] in (
        "dispatch", "device-command")]
    assert set(marks) == {"yes"}, marks


def a_drill_may_follow_a_drill_only_and_a_real_order_may_have_one(s):
    app, alder, home = s.everyone()
    _, received = s.order(app, alder)
    drill = alder.message("device-command", "home", device_command(), parent=received, exercise=True)
    assert alder.request(drill)["state"] == "accepted", "a test of the last hop under a real order switches nothing"
    assert home.receive("device-command").header["exercise"] is True


def orders_cross_when_the_other_firm_comes_back(s):
    app = s.app()
    s.alder.process.child.kill()
    s.alder.process.stop()
    sent = app.message("dispatch", "alder", dispatch())
    assert app.request(sent)["state"] == "accepted"
    s.alder.start()
    alder = s.at(s.alder, "alder.app", "local", speaks="alder")
    assert alder.receive("dispatch", timeout=30).hash == sent.hash
    assert app.receipt_for(sent, timeout=15, state="delivered")


def one_partys_order_reaches_only_it(s):
    app, alder, _ = s.everyone()
    birch = s.client("birch", "r3")
    s.order(app, alder)
    app.request(app.message("dispatch", "birch", dispatch(order="o-2")))
    assert b"o-2" in birch.receive("dispatch").body
    try:
        alder.receive("dispatch", timeout=1)
        raise AssertionError("alder has birch's order")
    except Timeout:
        pass


run(make=Firms)
