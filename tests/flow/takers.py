#!/usr/bin/python3
"""Takers: the owner's applications say in their Ping which types they take; one each, and without one a message waits."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import Stage, dispatch, opt, plan, run  # noqa: E402
from network import Process  # noqa: E402
import erab_wire as wire  # noqa: E402


class Applications(Stage):
    """`desk` and `trader` may send and take anything by their rows; nobody else is the owner's application."""

    def __init__(self):
        super().__init__()
        self.change(lambda config: config.update(parties=[p for p in config["parties"] if p["id"] != "rest.app"]))
        for name in ("desk", "trader"):
            self.add(name)
        self.broker.start()

    def change(self, how):
        if self.broker.process.child.poll() is None:
            self.broker.process.stop()
        how(self.broker.config)

    def add(self, name, **attachment):
        self.broker.party(name, "ac", "example-coordinator", kind="local", **attachment)

    def row(self, name):
        return next(p for p in self.broker.config["parties"] if p["id"] == name)["attachment"]

    def app_of(self, name, takes=None):
        """Bound; .granted are the types that the answer to its Ping names."""
        app = self.client(name, "local", speaks="coordinator.rest", bind=False)
        app.granted = say(app, takes)
        return app


def say(app, takes):
    """A Ping on both connections, the command one names what is taken; what the answer to that names, by number."""
    granted = []
    for group in app.sockets:
        body = wire.number(1, 1)
        if group == wire.COMMAND:
            body += b"".join(wire.number(5, wire.TYPES[t]) for t in takes or [])
        app.last_ping = app.message("ping", app.broker, body, lifetime_ms=5000, signed=False)
        if group == wire.COMMAND:
            app.takes_ping = app.last_ping
        app.send(app.last_ping, group=group)
        reply = app._wait(app._inbox, lambda r, g=group: r.group == g and r.header["type"] == wire.TYPES["ping"], 5)
        granted += [name for number, value in wire.fields(reply.body) if number == 5
                    for name, n in wire.TYPES.items() if n == value]
    return granted


def sent(s, name="alder", make=opt, type_name="opt", **options):
    """A message to the owner, on its broker's disk."""
    c = s.client(name, "r3")
    message = c.message(type_name, "coordinator.rest", make(), **options)
    assert c.request(message)["state"] == "delivered"
    return c, message


def gone(s, app):
    """Closed, and the broker has noticed."""
    seen = len([r for r in s.broker.audit() if r["what"] == "connection" and r["verdict"] == "closed"])
    app.close()
    s.broker.wait_audit(lambda r: len([x for x in s.broker.audit() if x["what"] == "connection" and
                                       x["verdict"] == "closed"]) >= seen + 2)


def refusal(app):
    receipt = app.receipt_for(app.takes_ping)
    assert receipt["state"] == "refused", receipt
    return receipt


def what_is_registered_is_delivered_to_who_registered_it(s):
    desk, trader = s.app_of("desk", ["plan"]), s.app_of("trader", ["opt", "dispatch"])
    assert (desk.granted, trader.granted) == (["plan"], ["dispatch", "opt"])
    s.audited(what="connection", verdict="takes", peer="trader", detail="dispatch,opt")
    alder = s.client("alder", "r3")
    alder.request(alder.message("opt", "coordinator.rest", opt()))
    alder.request(alder.message("plan", "coordinator.rest", plan()))
    assert trader.receive().header["type"] == wire.TYPES["opt"]
    assert desk.receive().header["type"] == wire.TYPES["plan"]
    assert not trader._inbox and not desk._inbox


def a_second_taker_is_refused_as_long_as_the_first_is_connected(s):
    desk, trader = s.app_of("desk", ["opt", "plan"]), s.app_of("trader", ["dispatch", "plan"])
    assert trader.granted == []
    told = refusal(trader)
    assert (told["reason"], told["detail"]) == ("type-taken", "plan: desk takes it as long as it is connected"), told
    assert told["retry_after_ms"] > 0
    s.audited(what="connection", verdict="takes-nothing", peer="trader", reason="type-taken")
    _, message = sent(s)
    assert desk.receive("opt").hash == message.hash
    gone(s, desk)
    assert say(trader, ["dispatch", "plan"]) == ["dispatch", "plan"], "asked for again, and now it is free"


def who_is_refused_gets_nothing_not_even_what_is_free(s):
    s.app_of("desk", ["plan"])
    trader = s.app_of("trader", ["dispatch", "plan"])
    assert refusal(trader)["reason"] == "type-taken"
    retail = s.client("retail", "r2")
    order = retail.message("dispatch", "coordinator.rest", dispatch())
    assert retail.request(order)["state"] == "delivered"
    assert say(trader, ["opt"]) == ["opt"]
    _, message = sent(s)
    assert trader.receive().hash == message.hash, "the order still waits"
    assert say(trader, ["opt", "dispatch"]) == ["dispatch", "opt"]
    assert trader.receive("dispatch").hash == order.hash


def when_its_connection_ends_messages_wait_for_its_return(s):
    s.app_of("desk", ["plan"])
    trader = s.app_of("trader", ["opt"])
    gone(s, trader)
    alder, message = sent(s)
    _, second = sent(s, "birch")
    trader = s.app_of("trader", ["opt"])
    assert [trader.receive("opt", timeout=10).hash for _ in range(2)] == [message.hash, second.hash]
    assert not alder._receipts


def what_it_had_not_answered_waits_too_and_may_go_to_another(s):
    trader = s.app_of("trader", ["opt"])
    _, message = sent(s)
    assert trader.receive("opt").hash == message.hash
    gone(s, trader)
    desk = s.app_of("desk", ["opt"])
    assert desk.receive("opt", timeout=10).hash == message.hash
    trader = s.app_of("trader", ["opt"])
    assert refusal(trader)["reason"] == "type-taken" and not trader._inbox


def without_a_taker_it_ends_at_its_deadline(s):
    s.app_of("desk", ["plan"])
    gone(s, s.app_of("trader", ["opt"]))
    alder, message = sent(s, lifetime_ms=1500)
    receipt = alder.receipt_for(message, timeout=10)
    assert (receipt["state"], receipt["reason"]) == ("expired", "expired")
    trader = s.app_of("trader", ["opt"])
    _, later = sent(s, "birch")
    assert trader.receive("opt").hash == later.hash and not trader._inbox


def what_the_configuration_gives_to_another_is_refused(s):
    s.change(lambda config: s.row("desk").update(types=["opt", "receipt"]))
    s.broker.start()
    trader = s.app_of("trader", ["opt"])
    told = refusal(trader)
    assert (told["reason"], told["detail"]) == ("type-taken", "opt: the configuration gives it to desk"), told
    desk = s.app_of("desk")
    _, message = sent(s)
    assert desk.receive("opt").hash == message.hash


def its_row_bounds_what_it_may_take(s):
    s.change(lambda config: s.row("trader").update(types=["opt", "receipt"]))
    s.broker.start()
    trader = s.app_of("trader", ["opt", "plan"])
    told = refusal(trader)
    assert told["reason"] == "type-not-yours" and told["detail"].startswith("plan: 'types' of trader"), told
    assert "retry_after_ms" not in told
    alder = s.client("alder", "r3", bind=False)
    assert say(alder, ["opt"]) == []
    assert refusal(alder)["reason"] == "type-not-yours"
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered", "and goes on"


def who_says_nothing_takes_what_nobody_else_has_said(s):
    desk, trader = s.app_of("desk"), s.app_of("trader", ["opt"])
    alder, message = sent(s)
    sent(s, "birch", plan, "plan")
    got = trader.receive()
    assert got.hash == message.hash and desk.receive().header["type"] == wire.TYPES["plan"]
    trader.answer(got, "applied")
    assert alder.receipt_for(message)["state"] == "applied"
    gone(s, trader)
    _, later = sent(s, "birch")
    assert desk.receive("opt").hash == later.hash and not desk._inbox


def a_newer_connection_of_the_same_key_keeps_or_changes_what_is_taken(s):
    s.app_of("desk", ["plan"])
    older = s.app_of("trader", ["opt"])
    newer = s.app_of("trader", ["opt"])
    assert newer.granted == ["opt"]
    s.audited(what="connection", verdict="closed", peer="trader", reason="replaced")
    _, message = sent(s)
    assert newer.receive("opt").hash == message.hash
    older.close()
    third = s.app_of("trader", ["capability"])
    sent(s, "birch")
    assert third.granted == ["capability"] and say(third, ["capability", "opt"]) == ["opt", "capability"]
    assert third.receive("opt", timeout=10)


def after_a_kill_messages_wait_for_who_takes_them(s):
    s.change(lambda config: s.row("desk").update(types=["plan", "receipt"]))
    s.broker.start()
    trader = s.app_of("trader", ["capability"])
    _, message = sent(s)
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    trader = s.app_of("trader", ["capability"])
    assert not trader._inbox
    assert say(trader, ["opt"]) == ["opt"]
    assert trader.receive("opt", timeout=10).hash == message.hash


def what_became_of_its_messages_is_told_after_a_restart(s):
    s.change(lambda config: config.update(parties=[p for p in config["parties"] if p["id"] != "desk"]))
    s.broker.start()
    trader = s.app_of("trader", ["opt"])
    order = trader.message("dispatch", "alder", dispatch())
    assert trader.request(order)["state"] == "accepted"
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    trader = s.app_of("trader", ["opt"])
    alder = s.client("alder", "r3")
    alder.answer(alder.receive("dispatch", timeout=10), "applied")
    assert trader.receipt_for(order, timeout=10)["state"] == "applied"


def a_reload_keeps_takers_and_finds_new_ones(s):
    trader = s.app_of("trader", ["opt"])
    s.app_of("desk", ["plan"])
    gone(s, s.app_of("trader", ["capability"]))
    _, message = sent(s)
    trader = s.app_of("trader", ["capability"])
    s.add("clerk", types=["opt", "receipt"])
    s.broker.write()
    assert s.broker.tool("config", "reload")[0] == 0
    clerk = s.app_of("clerk")
    assert clerk.receive("opt", timeout=10).hash == message.hash
    assert say(trader, ["opt"]) == [] and refusal(trader)["detail"] == "opt: the configuration gives it to clerk"


# ---- the SDK and the tool ----

def watching(s, name, takes, *more):
    endpoint, server_key = s.broker.server("local")
    trust = "alder=" + s.net.keys.sign("alder")
    return Process("watch", [s.net.erab, "watch", "--json", "--identity", s.net.keys.path(name), "--endpoint", endpoint,
                             "--server-key", server_key, "--hub", "coordinator.rest", "--take", takes, "--trust", trust,
                             "--timeout", "60", *more])


def the_tool_takes_what_it_is_told_to(s):
    s.app_of("desk", ["plan"])
    watch = watching(s, "trader", "opt,capability", "--count", "1")
    assert watch.wait_event(lambda e: e["event"] == "takes")["types"] == "opt,capability"
    alder, message = sent(s)
    assert watch.wait_event(lambda e: e["event"] == "message")["id"].replace("-", "") == message.id.hex()
    assert watch.child.wait(20) == 0
    watch.stop()


def the_tool_says_who_has_it(s):
    s.app_of("desk", ["opt"])
    watch = watching(s, "trader", "opt")
    code = watch.child.wait(20)
    watch.stop()
    answer = json.loads(watch.lines[-1])
    assert code == 1 and answer["error"].endswith("(type-taken): opt: desk takes it as long as it is connected"), answer


run(make=Applications)
