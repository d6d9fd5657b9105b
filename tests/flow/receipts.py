#!/usr/bin/python3
"""Receipts, groups, versions of orders, lanes and takers: what PROTOCOL.md promises about each, across restarts too."""
import contextlib
import os
import select
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import Timeout, cancel, dispatch, now, opt, plan, run, telemetry  # noqa: E402
import erab_wire as wire  # noqa: E402


def kill(s):
    s.broker.process.child.kill()
    s.broker.process.stop()


def past(ms):
    """Until the wall clock says so: deadlines are wall time."""
    while now() <= ms:
        select.select([], [], [], 0.05)


def receipts(client, about, wanted, timeout=10):
    """Receipts about a message to a group until wanted(receipt); that one. All come from the broker: the members' own are
    gathered."""
    while True:
        got = client._wait(client._receipts, lambda r: wire.decode_receipt(r.body).get("about") == about.id, timeout)
        assert got.header["from"] == "coordinator.rest", got.header
        receipt = wire.decode_receipt(got.body)
        if wanted(receipt):
            return receipt


def committed(client):
    """All that the broker took so far is on its disk: the journal keeps the order."""
    assert client.request(client.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def a_receipt_is_never_answered(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    got = alder.receive("dispatch")
    good = alder.answer(got, "delivered")
    bad = alder.message("receipt", "coordinator.rest", b"\x08")
    alder.send(bad)
    s.audited(what="refused", type="receipt", reason="malformed")
    committed(alder)
    for receipt in alder._receipts:
        assert wire.decode_receipt(receipt.body).get("about") not in (good.id, bad.id)


def a_receipt_owed_survives_a_kill(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    app.close()
    got = alder.receive("dispatch")
    alder.answer(got, "delivered")
    alder.answer(got, "applied")
    committed(alder)
    kill(s)
    s.broker.start()
    app = s.app()
    assert app.receipt_for(order)["state"] == "delivered"
    assert app.receipt_for(order)["state"] == "applied"


def a_receipt_written_to_a_dead_connection_is_written_again(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    alder.answer(alder.receive("dispatch"), "applied")
    app.receipt_for(order, state="applied")
    s.app().receipt_for(order, state="applied")


def what_expires_while_the_broker_is_down_is_told(s):
    app = s.app()
    order = app.message("dispatch", "alder", dispatch(), lifetime_ms=2000)
    end = now() + 2000
    assert app.request(order)["state"] == "accepted"
    app.close()
    kill(s)
    past(end)
    s.broker.start()
    receipt = s.app().receipt_for(order)
    assert (receipt["state"], receipt["reason"]) == ("expired", "expired")
    s.audited(what="outbox", verdict="expired", reason="expired")
    s.broker.process.stop()
    s.broker.start()
    app = s.app()
    app.request(app.message("dispatch", "alder", dispatch()))
    told = [r for r in s.broker.audit() if r["what"] == "outbox"]
    assert len(told) == 1, told


def a_sender_attached_without_a_list_of_interfaces_hears_of_the_deadline(s):
    s.broker.process.stop()
    s.broker.party("cedar", "ra", "cedar")
    s.broker.start()
    cedar = s.client("cedar", "r3")
    message = cedar.message("opt", "coordinator.rest", opt(), lifetime_ms=1500)
    assert cedar.request(message)["state"] == "delivered"
    assert cedar.receipt_for(message, timeout=10)["state"] == "expired"


def states_of_a_groups_members_are_gathered(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "@all-ra", dispatch(), lifetime_ms=5000)
    first = app.request(order)
    assert (first["state"], first["members"]) == ("accepted", [])
    got = alder.receive("dispatch")
    alder.answer(got, "delivered")
    alder.answer(got, "applied")
    seen = receipts(app, order, lambda r: r["members"] == [("alder", "applied", "none")])
    assert seen["state"] == "accepted"
    last = receipts(app, order, lambda r: r["state"] == "applied", timeout=15)
    assert last["members"] == [("birch", "expired", "expired")]


def when_all_members_are_done_the_last_receipt_does_not_wait_for_the_deadline(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    order = app.message("dispatch", "@all-ra", dispatch())
    app.request(order)
    for member in (alder, birch):
        member.answer(member.receive("dispatch"), "applied")
    receipts(app, order, lambda r: r["state"] == "applied" and not r["members"])


def what_a_groups_members_did_survives_a_kill(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "@all-ra", dispatch())
    app.request(order)
    alder.answer(alder.receive("dispatch"), "applied")
    committed(alder)
    kill(s)
    s.broker.start()
    app, birch = s.app(), s.client("birch", "r3")
    receipts(app, order, lambda r: r["state"] == "accepted" and r["members"] == [("alder", "applied", "none")])
    birch.answer(birch.receive("dispatch", timeout=10), "applied")
    receipts(app, order, lambda r: r["state"] == "applied" and not r["members"])


def a_groups_last_receipt_is_told_after_a_restart(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "@all-ra", dispatch(), lifetime_ms=2500)
    end = now() + 2500
    app.request(order)
    alder.answer(alder.receive("dispatch"), "applied")
    committed(alder)
    app.close()
    kill(s)
    past(end)
    s.broker.start()
    last = receipts(s.app(), order, lambda r: r["state"] == "applied")
    assert last["members"] == [("birch", "expired", "expired")]


def members_refused_are_listed_also_when_it_is_asked_again(s):
    app, _ = s.app(), s.client("alder", "r3")
    assert s.broker.tool("party", "revoke", "birch")[0] == 0
    order = app.message("dispatch", "@all-ra", dispatch())
    first, again = app.request(order), app.request(order)
    assert first["members"] == again["members"] == [("birch", "refused", "breaker-open")]
    assert first["state"] == again["state"] == "accepted"


def a_group_of_which_nobody_may_have_it_is_refused_with_reasons(s):
    app = s.app()
    for member in ("alder", "birch"):
        assert s.broker.tool("party", "revoke", member)[0] == 0
    order = app.message("dispatch", "@all-ra", dispatch())
    app.send(order)
    receipt = app.receipt_for(order)
    assert receipt["state"] == "refused" and receipt["reason"] == "breaker-open"
    assert receipt["members"] == [(m, "refused", "breaker-open") for m in ("alder", "birch")]


def two_versions(s):
    """retail's order in version 0 and 1, as the application received them."""
    retail, app = s.client("retail", "r2"), s.app()
    got = []
    for version in (0, 1):
        retail.request(retail.message("dispatch", "coordinator.rest", dispatch(modification=version)))
        got.append(app.receive("dispatch"))
    return retail, app, got


def a_newer_version_of_an_order_ends_the_older_one(s):
    _, app, (older, newer) = two_versions(s)
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=older), "parent-ended")
    assert app.request(app.message("dispatch", "alder", dispatch(), parent=newer))["state"] == "accepted"
    rescue = app.message("dispatch-cancel", "alder", cancel("o-1", older.header["id"]), parent=older)
    assert app.request(rescue)["state"] == "accepted", "a cancel may name an ended one"


def an_ended_version_stays_so_after_a_restart(s):
    _, app, (older, newer) = two_versions(s)
    s.broker.process.stop()
    s.broker.start()
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=older), "parent-ended")
    assert app.request(app.message("dispatch", "alder", dispatch(), parent=newer))["state"] == "accepted"


def a_lower_version_that_comes_late_is_refused(s):
    retail, _, _ = two_versions(s)
    s.refused(retail, retail.message("dispatch", "coordinator.rest", dispatch(modification=0)), "superseded")


def an_older_version_that_still_waits_leaves_and_its_sender_is_told(s):
    app = s.app()
    older = app.message("dispatch", "alder", dispatch())
    other = app.message("dispatch", "alder", dispatch(order="o-2"))
    for order in (older, other):
        app.request(order)
    newer = app.message("dispatch", "alder", dispatch(kw=-50.0, modification=1))
    assert app.request(newer)["state"] == "accepted"
    receipt = app.receipt_for(older)
    assert (receipt["state"], receipt["reason"]) == ("refused", "superseded"), receipt
    s.audited(what="outbox", verdict="refused", reason="superseded")
    app.send(older)
    assert app.receipt_for(older)["reason"] == "superseded", "the same bytes again get the same answer"
    alder = s.client("alder", "r3")
    assert [alder.receive("dispatch").hash for _ in range(2)] == [other.hash, newer.hash]
    committed(alder)
    assert not alder._inbox


def what_was_superseded_stays_so_after_a_kill(s):
    app = s.app()
    older, newer = (app.message("dispatch", "alder", dispatch(modification=i)) for i in range(2))
    for order in (older, newer):
        app.request(order)
    app.receipt_for(older, state="refused")
    app.request(app.message("plan", "birch", plan()))  # its commit is behind the older one's end
    kill(s)
    s.broker.start()
    alder = s.client("alder", "r3")
    assert alder.receive("dispatch").hash == newer.hash
    committed(alder)
    assert not alder._inbox


def an_older_version_that_was_sent_is_its_recipients_to_answer(s):
    app, alder = s.app(), s.client("alder", "r3")
    older, newer = (app.message("dispatch", "alder", dispatch(modification=i)) for i in range(2))
    app.request(older)
    got = alder.receive("dispatch")
    app.request(newer)
    assert alder.receive("dispatch").hash == newer.hash
    alder.answer(got, "applied")
    assert app.receipt_for(older)["state"] == "applied", "and was not told to be superseded before"


def the_members_that_have_not_got_an_older_version_get_only_the_newer(s):
    app, alder = s.app(), s.client("alder", "r3")
    older, newer = (app.message("dispatch", "@all-ra", dispatch(modification=i)) for i in range(2))
    app.request(older)
    alder.answer(alder.receive("dispatch"), "applied")
    app.request(newer)
    last = receipts(app, older, lambda r: r["state"] == "applied")
    assert last["members"] == [("birch", "refused", "superseded")], last
    birch = s.client("birch", "r3")
    assert birch.receive("dispatch").hash == newer.hash
    committed(birch)
    assert not birch._inbox


def what_its_recipient_could_not_take_may_be_sent_again(s):
    app, alder = s.app(), s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    alder.answer(alder.receive("dispatch"), "refused", "busy")
    assert app.receipt_for(order, state="refused")["reason"] == "busy"
    committed(alder)
    kill(s)
    s.broker.start()
    app, alder = s.app(), s.client("alder", "r3")
    app.send(order)
    app.receipt_for(order, state="accepted")
    alder.answer(alder.receive("dispatch"), "refused", "declined")
    assert app.receipt_for(order, state="refused")["reason"] == "busy", "told again, it was owed"
    assert app.receipt_for(order, state="refused")["reason"] == "declined"
    app.send(order)
    app.receipt_for(order, state="accepted")
    committed(alder)
    assert not alder._inbox, "declined is final: nothing is delivered again"


def an_id_with_other_bytes_is_a_replay(s):
    alder = s.client("alder", "r3")
    first = alder.message("opt", "coordinator.rest", opt())
    alder.request(first)
    s.refused(alder, alder.message("opt", "coordinator.rest", opt("o-2"), id=first.id), "replay")
    birch = s.client("birch", "r3")
    s.refused(birch, birch.message("opt", "coordinator.rest", opt(), id=first.id), "replay")


def big_plan():
    return plan("p" * 40000)


def control_messages_never_take_the_room_of_commands(s):
    app = s.app()
    plans = [app.message("plan", "alder", big_plan()) for _ in range(60)]
    for p in plans:
        app.send(p)
    reasons = [app.receipt_for(p)["reason"] for p in plans]
    assert reasons[0] == "none" and reasons[-1] == "queue-full", reasons
    s.audited(what="refused", type="plan", reason="queue-full")
    assert app.request(app.message("dispatch", "alder", dispatch()))["state"] == "accepted"
    first = plans[-1]
    app.send(first)
    assert app.receipt_for(first)["retry_after_ms"] > 0
    alder = s.client("alder", "r3")
    assert alder.receive().header["type"] == wire.TYPES["dispatch"], "and commands go first"


def commands_have_a_limit_and_say_so(s):
    app = s.app()
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}")) for i in range(8193)]
    for i in range(0, len(orders), 100):
        app.send(*orders[i:i + 100])
    reasons = [app.receipt_for(o, timeout=30)["reason"] for o in orders]
    assert reasons.count("none") == 8192 and reasons[-1] == "queue-full"
    assert app.request(app.message("plan", "alder", plan()))["state"] == "accepted"
    assert app.request(app.message("dispatch", "birch", dispatch()))["state"] == "accepted"


def telemetry_that_nobody_fetches_sheds_its_oldest_and_its_sender_is_told(s):
    alder = s.client("alder", "r3")
    body = wire.block(1, wire.block(1, "g" * 30000) + wire.number(2, 1) + wire.number(3, now()) + wire.real(4, 1.0))
    for _ in range(50):
        alder.send(alder.message("telemetry", "coordinator.rest", body, category=2, signed=False))
    receipt = alder.shed_receipt(timeout=10)
    assert receipt["reason"] == "queue-full" and receipt["shed"] > 0
    s.audited(what="telemetry-shed", **{"from": "alder"}, reason="queue-full")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def a_telemetry_summary_says_why(s):
    alder = s.client("alder", "r3")
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=3, signed=False))
    assert alder.shed_receipt()["reason"] == "category-refused"


def local_application(s, name, types=None):
    s.broker.party(name, "ac", "example-coordinator", kind="local", **({"types": types} if types else {}))


def without_a_taker_a_message_waits_for_one(s):
    s.broker.process.stop()
    s.broker.config["parties"] = [p for p in s.broker.config["parties"] if p["id"] != "rest.app"]
    local_application(s, "rest.app", ["dispatch", "receipt"])
    s.broker.start()
    app, alder = s.app(), s.client("alder", "r3")
    message = alder.message("opt", "coordinator.rest", opt())
    assert alder.request(message)["state"] == "delivered"
    app.request(app.message("dispatch", "alder", dispatch()))
    assert not app._inbox, "it takes no opts"
    s.broker.process.stop()
    local_application(s, "trader", ["opt"])
    s.broker.start()
    assert s.client("trader", "local", speaks="coordinator.rest").receive("opt", timeout=10).hash == message.hash


def without_a_taker_a_message_ends_at_its_deadline(s):
    s.broker.process.stop()
    s.broker.config["parties"] = [p for p in s.broker.config["parties"] if p["id"] != "rest.app"]
    s.broker.start()
    alder = s.client("alder", "r3")
    message = alder.message("opt", "coordinator.rest", opt(), lifetime_ms=1500)
    assert alder.request(message)["state"] == "delivered"
    assert alder.receipt_for(message, timeout=10)["state"] == "expired"


def who_names_a_type_takes_it(s):
    s.broker.process.stop()
    local_application(s, "trader", ["opt", "dispatch", "receipt"])
    s.broker.start()
    app, trader, alder = s.app(), s.client("trader", "local", speaks="coordinator.rest"), s.client("alder", "r3")
    alder.request(alder.message("opt", "coordinator.rest", opt()))
    alder.request(alder.message("plan", "coordinator.rest", plan()))
    assert trader.receive().header["type"] == wire.TYPES["opt"]
    assert app.receive().header["type"] == wire.TYPES["plan"]


def receipts_go_to_the_application_that_sent(s):
    s.broker.process.stop()
    local_application(s, "trader", ["opt", "dispatch"])
    s.broker.start()
    trader, alder = s.client("trader", "local", speaks="coordinator.rest"), s.client("alder", "r3")
    s.app()
    order = trader.message("dispatch", "alder", dispatch())
    trader.request(order)
    alder.answer(alder.receive("dispatch"), "applied")
    assert trader.receipt_for(order)["state"] == "applied"


def what_tells_of_a_person_passes_a_third_partys_broker_only_sealed(s):
    s.broker.process.stop()
    for party in s.broker.config["parties"]:
        if party["id"] == "alder":
            party["attachment"]["interfaces"] = ["r2", "r3"]
    s.broker.start()
    retail, alder = s.client("retail", "r2"), s.client("alder", "r2")
    s.refused(retail, retail.message("plan", "alder", plan(), category=4), "category-refused")
    sealed = retail.message("plan", "alder", wire.seal(plan(), bytes.fromhex(s.net.keys.curve("alder"))), category=4, sealed=True)
    assert retail.request(sealed)["state"] == "accepted"
    got = alder.receive("plan")
    keys = s.secrets("alder")
    assert wire.open_sealed(got.body, keys["curve_public"], keys["curve_secret"]).startswith(wire.block(1, "p-1"))
    assert retail.request(retail.message("plan", "coordinator.rest", plan(), category=4))["state"] == "delivered"


def rows(s):
    """Type, body and hash of all that the journal of the stopped broker holds."""
    with contextlib.closing(sqlite3.connect(os.path.join(s.broker.folder, "journal.db"))) as db:
        return {wire_type: (body, digest) for wire_type, body, digest in
                db.execute("select type, body, hash from message where type <> 24")}


def settled(s, **retention):
    """A plan and an order that alder has answered, and what is on the disk some seconds later."""
    s.broker.process.stop()
    s.broker.config["retention"] = retention
    s.broker.start()
    app, alder = s.app(), s.client("alder", "r3")
    sent = [app.message("plan", "alder", plan("p-secret")), app.message("dispatch", "alder", dispatch())]
    for message in sent:
        app.request(message)
        alder.answer(alder.receive(), "applied")
        app.receipt_for(message, state="applied")
    past(now() + 6000)  # the journal is swept every four seconds
    s.broker.process.stop()
    return app, sent, rows(s)


def a_body_is_erased_when_all_have_answered_and_its_hash_stays(s):
    _, (plan_sent, order), kept = settled(s)
    assert kept[wire.TYPES["plan"]] == (b"", plan_sent.hash)
    assert kept[wire.TYPES["dispatch"]] == (order.body, order.hash), "a live order may be referred to"
    with open(os.path.join(s.broker.folder, "journal.db"), "rb") as f:
        assert b"p-secret" not in f.read(), "and is overwritten"
    s.broker.start()
    app, alder = s.app(), s.client("alder", "r3")
    app.send(plan_sent)
    app.receipt_for(plan_sent, state="accepted")  # the same bytes again are known
    app.send(app.message("plan", "alder", plan(), id=plan_sent.id))
    assert app.receipt_for(plan_sent, state="refused")["reason"] == "replay"
    committed(alder)
    assert not alder._inbox


def a_category_that_is_to_be_kept_keeps_its_bodies(s):
    _, (plan_sent, _), kept = settled(s, operation=3600)
    assert kept[wire.TYPES["plan"]] == (plan_sent.body, plan_sent.hash)
    s.broker.start()


def an_order_or_a_receipt_is_never_sealed(s):
    app, alder = s.app(), s.client("alder", "r3")
    s.refused(app, app.message("dispatch", "alder", dispatch(), sealed=True), "not-supported")
    alder.send(alder.message("receipt", "coordinator.rest", b"x", sealed=True))
    s.audited(what="refused", type="receipt", reason="not-supported")


run()
