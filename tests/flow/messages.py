#!/usr/bin/python3
"""What a message does on its way through one broker, seen by a client that was written from PROTOCOL.md."""
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import (Timeout, cancel, device_command, dispatch, now, opt, plan, run, telemetry)  # noqa: E402
import erab_wire as wire  # noqa: E402
import journal  # noqa: E402


def an_order_is_accepted_delivered_and_applied(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    assert app.request(order)["state"] == "accepted"
    got = alder.receive("dispatch")
    assert got.body == order.body and got.hash == order.hash
    alder.answer(got, "delivered")
    assert app.receipt_for(order)["state"] == "delivered"
    alder.answer(got, "applied")
    assert app.receipt_for(order)["state"] == "applied"


def the_broker_signs_for_its_owners_application(s):
    app, alder = s.app(), s.client("alder", "r3")
    app.request(app.message("dispatch", "alder", dispatch()))
    got = alder.receive("dispatch")
    public = bytes.fromhex(s.net.keys.sign("coordinator.rest"))
    assert wire.verify(got.header_bytes, got.body, got.signature, public)


def what_is_for_the_owner_is_delivered_at_once(s):
    app, alder = s.app(), s.client("alder", "r3")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert app.receive("opt").header["from"] == "alder"


def a_plan_passes_on_r2_and_a_device_command_does_not(s):
    retail = s.client("retail", "r2")
    assert retail.request(retail.message("plan", "coordinator.rest", plan()))["state"] == "delivered"
    s.refused(retail, retail.message("device-command", "coordinator.rest", device_command()), "flow-refused")


def the_same_bytes_again_get_the_same_receipt(s):
    alder, app = s.client("alder", "r3"), s.app()
    message = alder.message("opt", "coordinator.rest", opt())
    first = alder.request(message)
    second = alder.request(message)
    assert first["state"] == second["state"] == "delivered"
    app.receive("opt")
    try:
        app.receive("opt", timeout=1)
        raise AssertionError("delivered twice")
    except Timeout:
        pass


def an_order_to_a_group_reaches_every_member(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    order = app.message("dispatch", "@all-ra", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert alder.receive("dispatch").hash == birch.receive("dispatch").hash == order.hash


def only_its_owner_writes_to_a_group(s):
    alder = s.client("alder", "r3")
    s.refused(alder, alder.message("opt", "@all-ra", opt()), "group-not-yours")


def telemetry_passes_without_a_receipt(s):
    app, alder = s.app(), s.client("alder", "r3")
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False))
    assert app.receive("telemetry").header["from"] == "alder"


def what_comes_in_one_packet_leaves_in_one(s):
    app, alder = s.app(), s.client("alder", "r3")
    batch = [alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False) for _ in range(100)]
    sent = s.broker.tool("health")[1]["packets_out"]
    alder.send(*batch)
    assert [app.receive("telemetry").hash for _ in batch] == [m.hash for m in batch]
    assert s.broker.tool("health")[1]["packets_out"] - sent < 50  # one, and what else the broker has to say


def telemetry_that_comes_again_is_delivered_once(s):
    app, alder = s.app(), s.client("alder", "r3")
    first = alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False)
    last = alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False)
    for message in (first, first, last):
        alder.send(message)
    assert [app.receive("telemetry").hash for _ in range(2)] == [first.hash, last.hash]


def another_message_under_the_id_of_telemetry_is_refused(s):
    app, alder = s.app(), s.client("alder", "r3")
    first = alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False)
    alder.send(first)
    app.receive("telemetry")
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False, id=first.id, exercise=True))
    receipt = alder.shed_receipt()
    assert (receipt["shed"], receipt["reason"]) == (1, "replay")
    s.refused(alder, alder.message("opt", "coordinator.rest", opt(), id=first.id), "replay")


def telemetry_of_one_home_is_refused_on_r3_and_counted(s):
    alder = s.client("alder", "r3")
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=3, signed=False))
    assert alder.shed_receipt()["shed"] == 1
    s.audited(what="refused", reason="category-refused", section="3.7.2")


def an_order_that_is_late_is_refused(s):
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(), now_ms=now() - 10000, lifetime_ms=5000), "expired")


def a_message_from_the_future_is_refused(s):
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(), now_ms=now() + 60000), "not-yet")


def a_lifetime_of_two_hours_is_too_long_for_an_order(s):
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(), lifetime_ms=7200000), "lifetime")


def an_order_that_nobody_fetches_expires_and_its_sender_is_told(s):
    app = s.app()
    order = app.message("dispatch", "alder", dispatch(), lifetime_ms=2000)
    assert app.request(order)["state"] == "accepted"
    assert app.receipt_for(order, timeout=10)["state"] == "expired"


def an_order_over_before_it_came_is_refused(s):
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(start=now() - 5000, end=now() - 1000)), "window-past")
    s.refused(app, app.message("dispatch", "alder", dispatch(start=now() + 5000, end=now() + 5000)), "window-unbounded")


def nothing_may_follow_a_cancelled_order(s):
    retail, app = s.client("retail", "r2"), s.app()
    order = retail.message("dispatch", "coordinator.rest", dispatch())
    retail.request(order)
    received = app.receive("dispatch")
    app.request(app.message("dispatch", "alder", dispatch(), parent=received))
    retail.request(retail.message("dispatch-cancel", "coordinator.rest", cancel("o-1", order.id)))
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=received), "parent-ended")


def what_follows_an_exercise_is_one(s):
    retail, app = s.client("retail", "r2"), s.app()
    retail.request(retail.message("dispatch", "coordinator.rest", dispatch(), exercise=True))
    received = app.receive("dispatch")
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=received), "exercise-mismatch")
    assert app.request(app.message("dispatch", "alder", dispatch(), parent=received, exercise=True))["state"] == "accepted"


def accepted_orders_survive_a_kill(s):
    app = s.app()
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}")) for i in range(20)]
    for order in orders:
        assert app.request(order)["state"] == "accepted"
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    alder = s.client("alder", "r3")
    got = [alder.receive("dispatch", timeout=10).hash for _ in orders]
    assert got == [o.hash for o in orders], "order kept, none lost, none twice"


def a_replay_after_a_restart_is_known(s):
    app = s.app()
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    s.broker.process.stop()
    s.broker.start()
    app = s.app()
    assert app.request(order)["state"] == "accepted"
    other = app.message("dispatch", "alder", dispatch(kw=-1.0), id=order.id)
    s.refused(app, other, "replay")


def a_revoked_party_is_cut_and_stays_out(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    code, _ = s.broker.tool("party", "revoke", "birch")
    assert code == 0
    s.audited(what="connection", verdict="cut", peer="birch", reason="revoked")
    s.audited(what="connection", verdict="refused", reason="revoked")
    s.refused(app, app.message("dispatch", "birch", dispatch()), "breaker-open")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    s.broker.process.stop()
    s.broker.start()
    restarted = max(r["seq"] for r in s.broker.audit() if r.get("act") == "start")
    s.client("birch", "r3", bind=False)
    s.broker.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and r["reason"] == "revoked" and
                        r["seq"] > restarted)


def health_says_ready_and_who_is_there(s):
    s.client("alder", "r3")
    code, health = s.broker.tool("health")
    assert code == 0 and health["ready"] is True, health
    assert {(p["peer"], p["interface"], p["lanes"]) for p in health["peers"]} == {("alder", "r3", 1), ("alder", "r3", 2)}


def a_head_of_the_other_firms_log_stands_in_ours(s):
    alder = s.client("alder", "r3")
    body = wire.block(1, bytes(range(16))) + wire.number(2, 7) + wire.block(3, bytes(32)) + wire.number(4, now())
    assert alder.request(alder.message("audit-head", "coordinator.rest", body, category=5))["state"] == "delivered"
    s.audited(what="peer-head", of="alder", log=bytes(range(16)).hex(), head_seq=7)


def our_heads_go_to_whom_the_configuration_names(s):
    s.broker.process.stop()
    s.broker.config["heads"] = {"every": 5, "to": ["alder"]}
    s.broker.start()
    alder, app = s.client("alder", "r3"), s.app()
    for i in range(6):
        app.request(app.message("dispatch", "alder", dispatch(order=f"o-{i}")))
    got = alder.receive("audit-head", timeout=10)
    assert wire.verify(got.header_bytes, got.body, got.signature, bytes.fromhex(s.net.keys.sign("coordinator.rest")))


def time_does_not_start_below_what_it_was(s):
    app = s.app()
    app.request(app.message("dispatch", "alder", dispatch()))
    s.broker.process.stop()
    ahead = now() + 3600000
    journal.set_state(os.path.join(s.broker.folder, "journal.db"), "clock-floor", ahead.to_bytes(8, "big"))
    s.broker.start()
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(order="o-2")), "expired")


def an_admin_request_may_come_in_pieces(s):
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(10)
        c.connect(s.broker.config["admin_socket"])
        c.send(b'{"verb":')
        assert s.broker.tool("health")[0] == 0  # by now the broker has read the first piece
        c.send(b'"health"}\n')
        assert json.loads(c.recv(65536))["ok"] is True


run()
