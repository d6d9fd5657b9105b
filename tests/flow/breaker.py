#!/usr/bin/python3
"""The availability breaker of a link, from the outside: what an operator does, and what opens and heals it by itself."""
import json
import os
import select
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import Timeout, dispatch, opt, run  # noqa: E402

HUB = "coordinator.rest"
LINK = ("alder", "r3", HUB)


def links(s):
    code, got = s.broker.tool("breaker", "list")
    assert code == 0, got
    return {(x["party"], x["interface"], x["peer"]): x for x in got["links"]}


def breaker_lines(s, **wanted):
    return [r for r in s.broker.audit() if r["what"] == "breaker" and all(r.get(k) == v for k, v in wanted.items())]


def restart(s, **limits):
    s.broker.process.stop()
    s.broker.config["limits"] = limits
    s.broker.start()


def every_link_is_closed_at_first(s):
    code, got = s.broker.tool("breaker", "list")
    assert (code, got) == (0, {"ok": True, "open": 0, "links": []}), got


def a_trip_stops_one_link_and_close_lets_it_on(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    code, got = s.broker.tool("breaker", "trip", *LINK, "odd switching")
    assert (code, got["already"]) == (0, False), got
    assert links(s)[HUB, "r3", "alder"]["state"] == "open"
    line = s.audited(what="breaker", state="open", party=HUB, peer="alder", cause="operator", by="operator",
                     note="odd switching")
    cuts = [r for r in s.broker.audit() if r["what"] == "connection" and r["verdict"] == "cut"]
    assert [(r["peer"], r["reason"]) for r in cuts] == [("alder", "breaker-open")] * 2, cuts
    assert all(r["seq"] > line["seq"] and r["mono_ms"] == line["mono_ms"] for r in cuts)
    s.refused(app, app.message("dispatch", "alder", dispatch()), "breaker-open")
    order = app.message("dispatch", "birch", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert birch.receive("dispatch").hash == order.hash
    s.audited(what="connection", verdict="refused", peer="alder", reason="breaker-open")
    code, got = s.broker.tool("breaker", "close", *LINK)
    assert (code, got["already"]) == (0, False), got
    alder.bind(timeout=20)  # it came back by itself
    assert alder.request(alder.message("opt", HUB, opt()))["state"] == "delivered"


def a_copy_of_what_was_refused_is_refused_when_the_link_is_closed_again(s):
    app = s.app()
    s.broker.tool("breaker", "trip", *LINK)
    order = app.message("dispatch", "alder", dispatch())
    s.refused(app, order, "breaker-open")
    s.broker.tool("breaker", "close", *LINK)
    app.send(order)  # a sender that has not heard the answer yet
    assert app.receipt_for(order)["reason"] == "breaker-open"
    assert app.request(app.message("dispatch", "alder", dispatch()))["state"] == "accepted"


def what_waits_is_dropped_and_its_sender_told(s):
    app = s.app()
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}")) for i in range(5)]
    others = [app.message("dispatch", "birch", dispatch(order=f"o-{i}")) for i in range(5)]
    for order in orders + others:
        assert app.request(order)["state"] == "accepted"
    assert s.broker.tool("breaker", "trip", *LINK)[0] == 0
    for order in orders:
        told = app.receipt_for(order)
        assert (told["state"], told["reason"]) == ("refused", "breaker-open"), told
    app.send(orders[0])  # the same bytes again: the same answer
    assert app.receipt_for(orders[0])["reason"] == "breaker-open"
    s.broker.tool("breaker", "close", *LINK)
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    assert [birch.receive("dispatch").hash for _ in others] == [o.hash for o in others]
    try:
        alder.receive("dispatch", timeout=1)
        raise AssertionError("a dropped order was sent")
    except Timeout:
        pass


def a_group_goes_on_without_the_open_link(s):
    app, birch = s.app(), s.client("birch", "r3")
    s.broker.tool("breaker", "trip", *LINK)
    order = app.message("dispatch", "@all-ra", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert birch.receive("dispatch").hash == order.hash
    s.audited(what="link-refused", to="alder", reason="breaker-open")


def a_member_of_a_group_whose_link_opens_later_is_told_with_the_others(s):
    app, birch = s.app(), s.client("birch", "r3")
    order = app.message("dispatch", "@all-ra", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert s.broker.tool("breaker", "trip", *LINK)[0] == 0
    got = birch.receive("dispatch")
    assert got.hash == order.hash
    birch.answer(got, "applied")
    while True:
        told = app.receipt_for(order)
        if told["state"] == "applied":
            break
    assert told["members"] == [("alder", "refused", "breaker-open")], told
    s.broker.tool("breaker", "close", *LINK)
    alder = s.client("alder", "r3")
    try:
        alder.receive("dispatch", timeout=1)
        raise AssertionError("a dropped order was sent")
    except Timeout:
        pass


def what_is_told_of_a_trip_survives_a_kill(s):
    app, birch = s.app(), s.client("birch", "r3")
    order = app.message("dispatch", "alder", dispatch())
    assert app.request(order)["state"] == "accepted"
    app.close()
    s.clients.remove(app)
    assert s.broker.tool("breaker", "trip", *LINK)[0] == 0
    assert birch.request(birch.message("opt", HUB, opt()))["state"] == "delivered"  # so all before it is on the disk
    s.broker.process.child.kill()
    s.broker.process.child.wait()
    s.broker.start()
    assert links(s)[HUB, "r3", "alder"]["state"] == "open"
    again = s.app()
    told = again.receipt_for(order)
    assert (told["state"], told["reason"]) == ("refused", "breaker-open"), told


def an_operators_trip_survives_a_restart_and_so_does_its_close(s):
    s.broker.tool("breaker", "trip", *LINK, "kept")
    restart(s)
    assert links(s)[HUB, "r3", "alder"]["note"] == "kept"
    s.audited(what="breaker", state="open", peer="alder", by="restored")
    s.client("alder", "r3", bind=False)
    s.audited(what="connection", verdict="refused", peer="alder", reason="breaker-open")
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch()), "breaker-open")
    s.broker.tool("breaker", "close", *LINK)
    restart(s)
    assert links(s) == {}


def an_order_in_the_journal_of_a_tripped_link_is_not_sent_after_a_restart(s):
    app = s.app()
    order = app.message("dispatch", "alder", dispatch())
    app.request(order)
    s.broker.tool("breaker", "trip", *LINK)
    restart(s)
    s.broker.tool("breaker", "close", *LINK)
    alder = s.client("alder", "r3")
    try:
        alder.receive("dispatch", timeout=1)
        raise AssertionError("a dropped order was sent")
    except Timeout:
        pass


def trip_and_close_say_when_it_was_so_already(s):
    assert s.broker.tool("breaker", "close", *LINK)[1]["already"] is True
    s.broker.tool("breaker", "trip", *LINK)
    assert s.broker.tool("breaker", "trip", HUB, "r3", "alder")[1]["already"] is True  # the other way round is the same
    assert len(breaker_lines(s, state="open")) == 1


def bad_words_are_refused_and_change_nothing(s):
    bad = [(("nobody", "r3", HUB), "no link on this interface"), (("alder", "r4", HUB), "no link on this interface"),
           (("alder", "r3", "birch"), "no link on this interface"), (("alder", "r3", "alder"), "no link on this interface"),
           (("alder", "r9", HUB), "interface: one of"), (("Alder!", "r3", HUB), "party: a party id"),
           (("alder", "r3", "-"), "peer: a party id"), ((*LINK, "x" * 121), "note: at most 120")]
    for words, said in bad:
        code, got = s.broker.tool("breaker", "trip", *words)
        assert code == 1 and said in got["error"], (words, got)
    assert links(s) == {} and breaker_lines(s) == []


def requests_of_other_forms_are_refused(s):
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(10)
        c.connect(s.broker.config["admin_socket"])
        file = c.makefile("rw")
        for request in ({"verb": "breaker-trip"}, {"verb": "breaker-trip", "party": 1, "interface": [], "peer": {}},
                        {"verb": "breaker-close", "party": "alder"}, {"verb": "breaker-list", "after": 7},
                        {"verb": "breaker-list", "after": {"interface": "r3", "a": "x" * 200, "b": "y"}}):
            file.write(json.dumps(request) + "\n")
            file.flush()
            assert json.loads(file.readline())["ok"] is False, request


def orders_that_nobody_answers_open_the_link_and_one_that_is_answered_heals_it(s):
    app = s.app()
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}"), lifetime_ms=1500) for i in range(5)]
    for order in orders:
        assert app.request(order)["state"] == "accepted"
    opened = s.audited(what="breaker", state="open", peer="alder", cause="time-outs", by="broker")
    assert opened["retry_in_ms"] == 10000
    s.refused(app, app.message("dispatch", "alder", dispatch(order="o-9")), "breaker-open")
    s.audited(what="breaker", state="half-open", peer="alder")
    alder = s.client("alder", "r3", bind=False)
    alder.bind(timeout=20)
    probe = app.message("dispatch", "alder", dispatch(order="probe"))
    assert app.request(probe)["state"] == "accepted"
    s.refused(app, app.message("dispatch", "alder", dispatch(order="second")), "breaker-open")
    got = alder.receive("dispatch")
    assert got.hash == probe.hash
    alder.answer(got, "delivered")
    s.audited(what="breaker", state="closed", peer="alder", by="broker")
    assert app.request(app.message("dispatch", "alder", dispatch(order="third")))["state"] == "accepted"


def peers_that_connect_again_and_again_are_stopped(s):
    s.client("birch", "r3")
    for _ in range(40):
        alder = s.client("alder", "r3", bind=False)
        try:
            alder.bind(timeout=1)
        except Timeout:
            break
        alder.close()
        s.clients.remove(alder)
    s.audited(what="breaker", state="open", peer="alder", cause="flapping")
    assert set(links(s)) == {(HUB, "r3", "alder")}


def an_uplink_is_cut_and_dials_again_only_when_its_link_may_be_tried(s):
    b = s.net.broker("alder", "ra", "alder")
    b.party(HUB, "ac", "example-coordinator", kind=None)
    b.uplink(s.broker, "r3")
    b.start()

    def bound():
        return {p["lanes"] for p in b.tool("health")[1]["peers"] if p["bound"]} == {1, 2}

    def until(what):
        for _ in range(400):
            if what():
                return
            select.select([], [], [], 0.05)
        raise AssertionError("never so")
    until(bound)
    assert b.tool("breaker", "trip", *LINK)[0] == 0
    line = b.wait_audit(lambda r: r["what"] == "breaker" and r["state"] == "open")
    cuts = [r for r in b.audit() if r["what"] == "connection" and r["verdict"] == "cut"]
    assert [(r["peer"], r["reason"], r["mono_ms"]) for r in cuts] == [(HUB, "breaker-open", line["mono_ms"])] * 2, cuts
    b.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and r["reason"] == "breaker-open")
    assert not b.tool("health")[1]["peers"]
    assert b.tool("breaker", "close", *LINK)[0] == 0
    until(bound)


def the_list_comes_in_pages(s):
    names = [f"ra{i:03}" for i in range(150)]
    for name in names:
        s.broker.party(name, "ra", name, interfaces=["r3"])
    restart(s)
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.broker.config["admin_socket"])
        file = c.makefile("rw")
        for name in names:
            file.write(json.dumps({"verb": "breaker-trip", "party": name, "interface": "r3", "peer": HUB}) + "\n")
            file.flush()
            assert json.loads(file.readline())["ok"] is True
    code, got = s.broker.tool("breaker", "list")
    assert code == 0 and got["open"] == 150
    assert [x["peer"] for x in got["links"]] == names


run()
