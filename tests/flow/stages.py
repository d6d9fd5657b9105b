#!/usr/bin/python3
"""Policies beyond the message that comes in: what leaves, who connects, what operators do; and what a restart must not
make them forget."""
import os
import signal
import sys

import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import enrolment  # noqa: E402
import stage  # noqa: E402
from reload import reload, write  # noqa: E402
from stage import dispatch, now, opt, telemetry  # noqa: E402


def access(*rules):
    return {"name": "access", "options": {"rules": list(rules)}}


def with_policies(s, *policies, how=reload):
    s.broker.config["policies"] = ["r2", "r3", *policies]
    code, report = how(s)
    assert code == 0, report


def refused(client, message):
    receipt = client.receipt_for(message, state="refused", timeout=15)
    return receipt["reason"], receipt.get("section"), receipt.get("detail")


def what_may_not_leave_any_more_is_told_to_its_sender(s):
    app = s.app()
    order, other = app.message("dispatch", "alder", dispatch()), app.message("dispatch", "birch", dispatch())
    assert app.request(order)["state"] == "accepted"  # it waits: alder is away
    with_policies(s, access("stage=egress peer=alder type=dispatch"))
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    assert refused(app, order) == ("policy-denied", "3.6", "rule 1")
    s.audited(what="verdict", policy="access", reason="policy-denied", to="alder", detail="rule 1")
    s.audited(what="outbox", verdict="refused", reason="policy-denied", id=wire_id(order))
    assert app.request(other)["state"] == "accepted"
    assert birch.receive("dispatch").hash == other.hash
    app.send(order)  # the same bytes again: the same answer, and they do not leave either
    assert app.receipt_for(order)["reason"] == "policy-denied"
    with_policies(s)
    last = app.message("dispatch", "alder", dispatch(order="o-2"))
    assert app.request(last)["state"] == "accepted"
    assert alder.receive("dispatch").hash == last.hash, "the refused one left after all"


def a_restart_lets_nothing_leave_that_may_not(s):
    app = s.app()
    order = app.message("dispatch", "alder", dispatch())
    assert app.request(order)["state"] == "accepted"  # it waits: alder is away
    with_policies(s, access("stage=egress peer=alder type=dispatch"))
    s.broker.process.child.kill()
    s.broker.process.child.wait()
    s.broker.start()
    app, alder = s.app(), s.client("alder", "r3")
    assert refused(app, order) == ("policy-denied", "3.6", "rule 1")
    with_policies(s)
    last = app.message("dispatch", "alder", dispatch(order="o-2"))
    assert app.request(last)["state"] == "accepted"
    assert alder.receive("dispatch").hash == last.hash, "the refused one left after all"


def wire_id(message):
    text = message.id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def a_member_of_a_group_may_be_left_out(s):
    app, birch = s.app(), s.client("birch", "r3")
    with_policies(s, access("stage=egress peer=alder"))
    order = app.message("dispatch", "@all-ra", dispatch())
    assert app.request(order)["state"] == "accepted"
    s.client("alder", "r3")
    s.audited(what="verdict", policy="access", to="alder")
    birch.answer(birch.receive("dispatch"), "delivered")
    receipt = app.receipt_for(order, state="delivered", timeout=15)
    assert receipt["members"] == [("alder", "refused", "policy-denied")], receipt


def telemetry_that_may_not_leave_is_shed_and_told(s):
    s.app()
    alder = s.client("alder", "r3")
    with_policies(s, access("stage=egress type=telemetry"))
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=2))
    summary = alder.shed_receipt(timeout=15)
    assert (summary["state"], summary["reason"], summary["shed"]) == ("refused", "policy-denied", 1), summary
    s.audited(what="telemetry-shed", reason="policy-denied")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def what_has_waited_leaves_within_the_quota(s):
    app = s.app()
    with_policies(s, {"name": "quota", "options": {"rules": ["direction=leaving type=dispatch peer=alder rate=0.001"]}})
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}")) for i in range(3)]
    for order in orders:
        assert app.request(order)["state"] == "accepted"
    alder = s.client("alder", "r3")
    assert alder.receive("dispatch").hash == orders[0].hash
    for order in orders[1:]:
        assert refused(app, order) == ("quota", "3.3", "over the budget of messages or bytes")


def bind(client):
    for attempt in range(3):
        try:
            client.bind()
            return
        except stage.Timeout:  # the Ping went down with a connection that was cut meanwhile
            assert attempt < 2, "never let in"


def who_may_not_connect_comes_in_once_it_may(s):
    with_policies(s, access("stage=connect peer=alder interface=r3"))
    alder, birch = s.client("alder", "r3", bind=False), s.client("birch", "r3")
    ping = alder.message("ping", alder.broker, b"\x08\x01", lifetime_ms=5000, signed=False)
    alder.send(ping)
    record = s.audited(what="connection", verdict="refused", peer="alder", reason="policy-denied")
    assert record["detail"] == "policy access: rule 1" and record["interface"] == "r3", record
    alder.events(1, until=zmq.EVENT_DISCONNECTED)
    app = s.app()
    order = app.message("dispatch", "alder", dispatch())
    assert app.request(order)["state"] == "accepted"
    health = s.broker.tool("health")[1]["peers"]
    assert {p["peer"] for p in health if p["bound"]} == {"birch", "rest.app"}, health
    with_policies(s)
    alder.events(1, until=zmq.EVENT_HANDSHAKE_SUCCEEDED)  # the very same socket, by itself: nothing told it to give up
    bind(alder)
    assert alder.receive("dispatch").hash == order.hash
    assert birch.request(birch.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def a_link_may_be_named_from_either_end(s):
    """A rule about a link holds for it in whichever order the operator names its parties."""
    with_policies(s, access("stage=admin act=breaker-close object=alder*"))
    for one, other in (("alder", "coordinator.rest"), ("coordinator.rest", "alder")):
        assert s.broker.tool("breaker", "trip", one, "r3", other)[0] == 0
        code, answer = s.broker.tool("breaker", "close", one, "r3", other)
        assert code == 1 and "the policy access refuses it" in answer["error"], answer
    assert s.broker.tool("breaker", "trip", "birch", "r3", "coordinator.rest")[0] == 0
    assert s.broker.tool("breaker", "close", "birch", "r3", "coordinator.rest")[0] == 0


def what_makes_things_safer_cannot_be_denied(s):
    with_policies(s, access("stage=admin"))
    assert s.broker.tool("breaker", "trip", "alder", "r3", "coordinator.rest")[0] == 0
    code, answer = s.broker.tool("breaker", "close", "alder", "r3", "coordinator.rest")
    assert code == 1 and answer["error"] == "the policy access refuses it: rule 1 (policy-denied)", answer
    s.audited(what="admin", act="breaker-close", object="alder r3 coordinator.rest", verdict="refused", policy="access",
              reason="policy-denied", detail="rule 1")
    assert s.broker.tool("isolate", "r3")[0] == 0
    assert s.broker.tool("join", "r3")[0] == 1
    s.audited(what="admin", act="join", object="r3", verdict="refused", policy="access")
    assert s.broker.tool("health")[1]["isolated"] == ["r3"]
    assert s.broker.tool("party", "revoke", "birch")[0] == 0


def an_act_is_judged_by_the_operator_who_signed_it(s):
    s.broker.config["policies"] = ["r2", "r3", access("stage=admin act=party-* object=cedar by=night-*")]
    enrolment.operators(s, "hana", "night-ken")
    where = enrolment.at(s)
    ken = ("--operator", enrolment.path(s, "night-ken"))
    denied = "the policy access refuses it: rule 1 (policy-denied)"
    assert enrolment.refused(s, "party", "invite", "cedar", enrolment.path(s, "never"), "--role", "ra", "--firm", "cedar",
                             *ken, *where) == denied
    enrolment.invite(s)
    enrolment.enroll(s)
    assert enrolment.refused(s, "party", "approve", "cedar", *ken, *where) == denied
    with_policies(s, access("stage=admin act=party-approve interface=r3"))
    assert enrolment.refused(s, "party", "approve", "cedar", "--operator", enrolment.path(s, "hana"), *where) == denied
    with_policies(s, access("stage=admin act=party-* object=cedar by=night-*"))
    record = s.audited(what="admin", act="party-approve", verdict="refused", policy="access")
    assert (record["object"], record["operator"]) == ("cedar", "night-ken"), record
    assert enrolment.state(s) == "pending"
    assert enrolment.approve(s)["state"] == "active"


def the_hosts_own_administrator_gets_back_in(s):
    with_policies(s, access("stage=admin act=config-reload"))
    s.broker.config["policies"] = ["r2", "r3"]
    assert reload(s)[0] == 1
    s.audited(what="admin", act="config-reload", verdict="refused", policy="access")
    write(s)
    s.broker.process.child.send_signal(signal.SIGHUP)
    s.audited(what="config-change", where="policies.access", how="removed")
    assert reload(s)[0] == 0


def a_crash_does_not_let_a_ramp_be_jumped(s):
    s.broker.config["policies"] = ["r2", "r3", {"name": "safety",
                                                "options": {"rules": ["type=dispatch ramp_kw_per_min=10"]}}]
    assert reload(s)[0] == 0
    app = s.app()
    assert app.request(app.message("dispatch", "alder", dispatch(kw=-100.0)))["state"] == "accepted"
    assert app.request(app.message("dispatch", "@all-ra", dispatch(order="o-g", kw=-95.0)))["state"] == "accepted"
    s.broker.process.child.kill()
    s.broker.process.child.wait()
    s.broker.start()
    app = s.app()
    for party in ("alder", "birch"):
        jump = app.message("dispatch", party, dispatch(order=f"o-{party}", kw=50.0))
        app.send(jump)
        assert refused(app, jump) == ("out-of-range", "3.3", "rule 1: power would change faster than allowed")
    step = app.message("dispatch", "alder", dispatch(order="o-3", kw=-90.0, start=now() + 1000))
    assert app.request(step)["state"] == "accepted"


def a_crash_does_not_let_a_ramp_be_jumped_by_who_was_approved_into_a_group(s):
    enrolment.operators(s, "hana")
    enrolment.invite(s)
    enrolment.enroll(s)
    enrolment.good(s, *enrolment.at(s, "party", "approve", "cedar", "--operator", enrolment.path(s, "hana"), "--group", "all-ra"))
    s.broker.config["policies"] = ["r2", "r3", {"name": "safety",
                                                "options": {"rules": ["type=dispatch ramp_kw_per_min=10"]}}]
    assert reload(s)[0] == 0
    app = s.app()
    assert app.request(app.message("dispatch", "@all-ra", dispatch(order="o-g", kw=-95.0)))["state"] == "accepted"
    s.broker.process.child.kill()
    s.broker.process.child.wait()
    s.broker.start()
    app = s.app()
    jump = app.message("dispatch", "cedar", dispatch(order="o-c", kw=50.0))
    app.send(jump)
    assert refused(app, jump) == ("out-of-range", "3.3", "rule 1: power would change faster than allowed")


if __name__ == "__main__":
    stage.run()
