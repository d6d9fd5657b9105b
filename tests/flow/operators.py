#!/usr/bin/python3
"""What operators sign: who may decide, that a statement counts once, and what stays of it."""
import hashlib
import json
import os
import socket
import sys

import nacl.bindings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from enrolment import at, good, keys, operators, path, refused, restart  # noqa: E402
from stage import now, run  # noqa: E402

LINK = ("alder", "r3", "coordinator.rest")


def state(s):
    return [(x["peer"], x["state"]) for x in good(s, *at(s, "breaker", "list"))["links"]]


last_ms = [0]


def later():
    """A person does not sign twice in one millisecond."""
    last_ms[0] = max(last_ms[0] + 1, now())
    return last_ms[0]


def signed(s, act, who="hana", at_ms=None, hub="coordinator.rest", key=None, **members):
    """Made without the tool: what is signed is what stands here."""
    text = json.dumps({"act": act, "hub": hub, "operator": who, "at_ms": at_ms or later(), **members})
    words = hashlib.blake2b(b"erab.v1.operator-statement\0" + text.encode(), digest_size=64).digest()
    signature = nacl.bindings.crypto_sign(words, keys(path(s, key or who))["sign_secret"])[:64]
    return {"verb": act, "statement": text, "signature": signature.hex()}


def ask(s, request):
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.broker.config["admin_socket"])
        file = c.makefile("rw")
        file.write(json.dumps(request) + "\n")
        file.flush()
        return json.loads(file.readline())


def link(party="alder", interface="r3", peer="coordinator.rest"):
    return {"party": party, "interface": interface, "peer": peer}


def where_operators_are_named_one_of_them_signs_a_trip_and_a_close(s):
    operators(s, "hana")
    hana = ["--operator", path(s, "hana")]
    assert "signed statement" in refused(s, *at(s, "breaker", "trip", *LINK))
    assert state(s) == []
    assert good(s, *at(s, "breaker", "trip", *LINK, "odd at night", *hana))["already"] is False
    assert state(s) == [("alder", "open")]
    line = s.audited(what="admin", act="breaker-trip", operator="hana", verdict="done", object=" ".join(LINK))
    said = json.loads(line["statement"])
    assert (said["party"], said["interface"], said["peer"], said["note"]) == (*LINK, "odd at night"), said
    words = hashlib.blake2b(b"erab.v1.operator-statement\0" + line["statement"].encode(), digest_size=64).digest()
    nacl.bindings.crypto_sign_open(bytes.fromhex(line["signature"]) + words,
                                   bytes.fromhex(s.broker.config["operators"][0]["sign_key"]))
    assert "signed statement" in refused(s, *at(s, "breaker", "close", *LINK))
    assert state(s) == [("alder", "open")]
    good(s, *at(s, "breaker", "close", *LINK, *hana))
    assert state(s) == []
    s.audited(what="admin", act="breaker-close", operator="hana", verdict="asked")
    s.audited(what="admin", act="breaker-close", verdict="done")


def without_named_operators_whoever_may_use_the_socket_decides(s):
    good(s, "operator", "new", "hana", path(s, "hana"))
    assert "names no operators" in refused(s, *at(s, "breaker", "trip", *LINK, "--operator", path(s, "hana")))
    good(s, *at(s, "breaker", "trip", *LINK))
    assert state(s) == [("alder", "open")]


def a_stranger_stops_no_link(s):
    operators(s, "hana")
    good(s, "operator", "new", "mallory", path(s, "mallory"))
    assert "not named" in refused(s, *at(s, "breaker", "trip", *LINK, "--operator", path(s, "mallory")))
    assert "not that of" in ask(s, signed(s, "breaker-trip", key="mallory", **link()))["error"]
    assert state(s) == []


def a_statement_counts_once_also_after_a_kill(s):
    operators(s, "hana", "ken")
    trip = signed(s, "breaker-trip", **link())
    assert ask(s, trip)["ok"] is True
    close = signed(s, "breaker-close", **link())
    assert ask(s, close)["ok"] is True
    assert "was taken before" in ask(s, trip)["error"]
    assert "was taken before" in ask(s, close)["error"]
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    assert "was taken before" in ask(s, trip)["error"]
    assert state(s) == []
    s.audited(what="admin", act="breaker-trip", verdict="refused")
    assert ask(s, signed(s, "breaker-trip", who="ken", at_ms=now() - 60000, **link()))["ok"] is True, "each has a count of their own"


def an_older_statement_of_an_operator_is_not_taken_after_a_newer_one(s):
    operators(s, "hana")
    older = signed(s, "breaker-trip", at_ms=now() - 1000, **link())
    assert ask(s, signed(s, "party-revoke", party="birch"))["ok"] is True
    assert "was taken before" in ask(s, older)["error"]
    assert state(s) == []


def a_statement_is_about_one_act_one_broker_and_one_link(s):
    operators(s, "hana")
    trip = signed(s, "breaker-trip", **link("birch"))
    for request, said in (({**trip, "verb": "breaker-close"}, "another act"),
                          ({**trip, "party": "alder", "statement": trip["statement"].replace("birch", "alder")}, "not that of"),
                          (signed(s, "breaker-trip", hub="maple", **link()), "another broker"),
                          (signed(s, "breaker-trip", at_ms=now() - 2 * 86400000, **link()), "older than a day"),
                          (signed(s, "breaker-trip", at_ms=now() + 60000, **link()), "from the future"),
                          (signed(s, "breaker-trip", party="alder"), "interface"),
                          (signed(s, "breaker-trip", **link(interface="r9")), "interface"),
                          (signed(s, "breaker-trip", **link("Alder!")), "party")):
        answer = ask(s, request)
        assert answer["ok"] is False and said in answer["error"], (request, answer)
    assert state(s) == []
    # Members beside the statement are nobody's word.
    assert ask(s, {**signed(s, "breaker-trip", **link("birch")), **link("alder")})["party"] == "birch"
    assert state(s) == [("birch", "open")]


def marks_of_operators_whose_statements_are_too_old_are_forgotten(s):
    operators(s, "hana")
    assert ask(s, signed(s, "breaker-trip", at_ms=now() - 86390000, **link()))["ok"] is True
    restart(s)
    assert ask(s, signed(s, "breaker-close", **link()))["ok"] is True


run()
