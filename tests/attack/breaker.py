#!/usr/bin/python3
"""An authenticated peer that floods, while the commands of the others go on."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import zmq  # noqa: E402

from stage import dispatch, opt, run, telemetry  # noqa: E402
import erab_wire as wire  # noqa: E402

HUB = "coordinator.rest"


def with_limit(s, per_second):
    """cedar's broker speaks for cedar and fir over one key; a link may carry so many messages a second."""
    s.broker.process.stop()
    s.broker.party("cedar", "ra", "cedar", kind="uplink", interfaces=["r3"], speaks_for=["cedar", "fir"])
    s.broker.party("fir", "ra", "fir", represented_by="cedar")
    s.broker.config["limits"] = {"link_messages_per_second": per_second}
    s.broker.start()


def flood(client, make, count, group=wire.COMMAND):
    """Sends until all is out or the connection takes no more."""
    for _ in range(count // 50):
        messages = [make() for _ in range(50)]
        data = wire.packet(group, [wire.envelope(m.header, m.body, m.signature) for m in messages])
        try:
            client.sockets[group].send(data, zmq.NOBLOCK)
        except zmq.Again:
            return


def of(s, peer, after):
    """What the audit log says of a party's messages after a record."""
    return [r for r in s.broker.audit() if r["seq"] > after["seq"] and r.get("from") == peer and r["what"] in ("message", "refused")]


def a_flooding_peer_is_cut_and_the_orders_of_others_pass(s):
    with_limit(s, 50)
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    flood(alder, lambda: alder.message("opt", HUB, opt()), 1000)
    for i in range(20):
        order = app.message("dispatch", "birch", dispatch(order=f"o-{i}"))
        assert app.request(order)["state"] == "accepted"
        got = birch.receive("dispatch")
        assert got.hash == order.hash
        birch.answer(got, "delivered")
        assert app.receipt_for(order, state="delivered")
    line = s.audited(what="breaker", state="open", peer="alder", cause="flood", by="broker")
    cuts = [r for r in s.broker.audit() if r["what"] == "connection" and r["verdict"] == "cut"]
    assert {(r["peer"], r["reason"]) for r in cuts} == {("alder", "breaker-open")} and len(cuts) == 2, cuts
    assert all(r["mono_ms"] == line["mono_ms"] for r in cuts)
    s.audited(what="connection", verdict="refused", peer="alder", reason="breaker-open")
    # What came before and was still on its way to the disk is refused; of the rest nothing is even looked at.
    after = of(s, "alder", line)
    assert {(r["what"], r["reason"]) for r in after} <= {("refused", "breaker-open")} and len(after) < 300, after


def a_flood_of_what_is_refused_counts_too(s):
    with_limit(s, 50)
    alder = s.client("alder", "r3")
    flood(alder, lambda: alder.message("opt", "nobody", os.urandom(100), **{"from": "birch"}), 1000)
    s.audited(what="breaker", state="open", peer="alder", cause="flood")
    assert [r for r in s.broker.audit() if r["what"] == "breaker" and r["peer"] == "birch"] == []


def a_flood_of_telemetry_counts_too(s):
    with_limit(s, 50)
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    flood(alder, lambda: alder.message("telemetry", HUB, telemetry(), category=2, signed=False), 1000, wire.TELEMETRY)
    s.audited(what="breaker", state="open", peer="alder", cause="flood")
    assert birch.request(birch.message("opt", HUB, opt()))["state"] == "delivered"


def one_party_behind_a_key_floods_and_the_key_stays_for_the_other(s):
    with_limit(s, 50)
    cedar = s.client("cedar", "r3")
    flood(cedar, lambda: cedar.message("opt", HUB, opt(), **{"from": "fir"}), 1000)
    line = s.audited(what="breaker", state="open", peer="fir", cause="flood")
    notice = cedar.receive("breaker-notice")
    assert notice.header["to"] == "fir"
    said = dict(wire.fields(notice.body))
    assert (said[2], said[3], said[4], said[5], said[7]) == (b"r3", b"fir", 1, 1, b"quota"), said
    assert cedar.request(cedar.message("opt", HUB, opt()))["state"] == "delivered"
    assert [r for r in s.broker.audit() if r["what"] == "connection" and r["verdict"] == "cut"] == []
    # Refused is what was on its way to the disk; the rest of the flood was dropped without an answer or a record each.
    after = [r for r in of(s, "fir", line)]
    assert {(r["what"], r["reason"]) for r in after} <= {("refused", "breaker-open")} and len(after) < 300, after
    assert s.broker.tool("breaker", "trip", "cedar", "r3", HUB)[0] == 0
    s.audited(what="connection", verdict="cut", peer="cedar", reason="breaker-open")


def a_link_that_was_flooded_is_tried_again_and_heals_when_it_is_quiet(s):
    with_limit(s, 50)
    alder = s.client("alder", "r3")
    flood(alder, lambda: alder.message("opt", HUB, opt()), 1000)
    s.audited(what="breaker", state="open", peer="alder", cause="flood")
    s.broker.wait_audit(lambda r: r["what"] == "breaker" and r["state"] == "half-open", timeout=30)
    again = s.client("alder", "r3", bind=False)
    again.bind(timeout=20)
    assert again.request(again.message("opt", HUB, opt()))["state"] == "delivered"


def an_operators_own_application_is_not_cut_for_sending_much(s):
    with_limit(s, 10)
    app = s.app()
    flood(app, lambda: app.message("dispatch", "birch", dispatch()), 200)
    order = app.message("dispatch", "birch", dispatch(order="last"))
    assert app.request(order, timeout=20)["state"] == "accepted"
    assert s.broker.tool("breaker", "list")[1]["links"] == []


run()
