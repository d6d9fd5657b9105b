#!/usr/bin/python3
"""Keys that follow others: of a party, of a listener, of a broker's owner, with an overlap."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from enrolment import (REJECTED, approve, at, card, client, enroll, good, invite, keep_rows, keys, new_keys,  # noqa: E402
                       operators, path, refused, restart)
from stage import Client, dispatch, now, opt, run  # noqa: E402
from network import Process  # noqa: E402
import erab_wire as wire  # noqa: E402


def rotate(s, old, new, overlap, role="ra"):
    endpoint, server = s.broker.server("r3")
    return ("key", "rotate", old, path(s, new), "--endpoint", endpoint, "--server-key", server, "--hub", s.broker.owner,
            "--role", role, "--overlap", str(overlap))


def both_keys_hold_during_the_overlap_and_the_old_is_refused_after(s):
    app = s.app()
    good(s, *rotate(s, s.net.keys.path("alder"), "alder-2.key", 86400))
    old, new = s.client("alder", "r3"), client(s, "alder-2.key", "alder")
    assert new.request(new.message("opt", "coordinator.rest", opt("o-1")))["state"] == "delivered"
    app.receive("opt")
    old = s.client("alder", "r3")
    assert old.request(old.message("opt", "coordinator.rest", opt("o-2")))["state"] == "delivered"
    app.receive("opt")
    restart(s)  # in the overlap: both hold still
    old = s.client("alder", "r3")
    assert old.request(old.message("opt", "coordinator.rest", opt("o-3")))["state"] == "delivered"
    new = client(s, "alder-2.key", "alder")
    assert new.request(new.message("opt", "coordinator.rest", opt("o-4")))["state"] == "delivered"
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()
    keep_rows(s, "alder", lambda row: row["keys"][0].update(until=now() - 1))
    s.broker.start()
    s.client("alder", "r3", bind=False).events(wire.COMMAND, until=REJECTED)
    s.audited(what="connection", verdict="refused", reason="key-expired", peer="alder")
    new = client(s, "alder-2.key", "alder")
    assert new.request(new.message("opt", "coordinator.rest", opt("o-5")))["state"] == "delivered"
    stale = new.message("opt", "coordinator.rest", opt("o-6"))
    stale = stale._replace(signature=wire.sign(stale.header, stale.body, s.secrets("alder")["sign_secret"]))
    s.refused(new, stale, "signature-bad")


def a_connection_of_the_old_key_is_cut_when_the_overlap_ends(s):
    s.client("alder", "r3")
    good(s, *rotate(s, s.net.keys.path("alder"), "alder-2.key", 3))
    s.client("alder", "r3", bind=False)
    s.audited(what="connection", reason="key-expired", peer="alder")
    new = client(s, "alder-2.key", "alder")
    assert new.request(new.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def an_enrolled_party_rotates_twice_and_others_hear_of_it(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    approve(s)
    app = s.app()
    first = card(app.receive("party-card").body)
    good(s, *rotate(s, path(s, "cedar.key"), "cedar-2.key", 86400))
    second = card(app.receive("party-card").body)
    assert [k[1] for k in second["keys"]] == [keys(path(s, f))["sign_public"] for f in ("cedar.key", "cedar-2.key")]
    assert second["version"] > first["version"]
    good(s, *rotate(s, path(s, "cedar-2.key"), "cedar-3.key", 86400))
    client(s, "cedar-3.key")
    client(s, "cedar.key")


def over(s, server_key, bind=True):
    """alder, who believes this server key."""
    k = s.secrets("alder")
    c = Client(s.broker.ports["r3"], server_key, k["curve_public"], k["curve_secret"], "alder", sign_secret=k["sign_secret"],
               broker=s.broker.owner)
    s.clients.append(c)
    if bind:
        c.bind(timeout=15)
    return c


def a_listeners_key_is_replaced_with_an_overlap(s):
    operators(s, "hana")
    alder, hana = s.client("alder", "r3"), ("--operator", path(s, "hana"))
    new = bytes.fromhex(good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), *hana, "--overlap", "86400"))["server_key"])
    old = bytes.fromhex(s.broker.server("r3")[1])
    got = alder.receive("party-card")
    assert wire.verify(got.header_bytes, got.body, got.signature, bytes.fromhex(s.net.keys.sign("coordinator.rest")))
    assert card(got.body)["party"] == "coordinator.rest" and [k[2] for k in card(got.body)["keys"]] == [old, new]
    assert "already" in refused(s, *at(s, "key", "rotate", "r3", path(s, "r3-3.key"), *hana))
    over(s, new)
    over(s, old)
    restart(s)
    over(s, old)
    over(s, new)
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()
    keep_rows(s, "r3", lambda row: row.update(old_until=now() - 1), "server-key/")
    s.broker.start()
    over(s, new)
    over(s, old, bind=False)
    s.audited(what="connection", verdict="refused", reason="bad-box")


def a_listeners_key_ends_while_the_broker_runs(s):
    operators(s, "hana")
    new = bytes.fromhex(good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"), "--overlap",
                                    "2"))["server_key"])
    s.audited(what="admin", act="key-retired", object="r3")
    over(s, bytes.fromhex(s.broker.server("r3")[1]), bind=False)
    s.audited(what="connection", verdict="refused", reason="bad-box")
    over(s, new)


def a_server_key_is_an_operators_and_a_good_files(s):
    operators(s, "hana")
    hana = ("--operator", path(s, "hana"))
    refused(s, *at(s, "key", "rotate", "r3", path(s, "new.key")), code=2)
    assert "no such listener" in refused(s, *at(s, "key", "rotate", "r4", path(s, "new.key"), *hana))
    assert "in use" in refused(s, *at(s, "key", "rotate", "r3", s.net.keys.path("coordinator.rest.r3"), *hana))
    os.chmod(path(s, "new.key"), 0o640)
    assert "chmod 600" in refused(s, *at(s, "key", "rotate", "r3", path(s, "new.key"), *hana))
    refused(s, *at(s, "key", "rotate", "r3", path(s, "new.key"), *hana, "--overlap", "never"), code=2)


def the_sdk_follows_a_listeners_new_key(s):
    operators(s, "hana")
    endpoint, server = s.broker.server("r3")
    alder = Process("alder", [os.path.join(s.net.build, "examples", "story", "erab-story"), "aggregator", "--key",
                              s.net.keys.path("alder"), "--endpoint", endpoint, "--server-key", server, "--hub", s.broker.owner,
                              "--up", s.broker.owner, "--fleet", "1", "--trust",
                              f"{s.broker.owner}={s.net.keys.sign(s.broker.owner)}"])
    try:
        s.audited(what="connection", verdict="opened", peer="alder")
        good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"), "--overlap", "2"))
        s.audited(what="admin", act="key-retired", object="r3")
        ended = s.audited(what="admin", act="key-retired")["seq"]
        restart(s)
        s.broker.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "opened" and r["peer"] == "alder" and
                            r["seq"] > ended, timeout=30)
    finally:
        alder.stop()


def an_isolated_listener_is_joined_with_the_keys_that_hold(s):
    operators(s, "hana")
    old = bytes.fromhex(s.broker.server("r3")[1])
    good(s, *at(s, "isolate", "r3"))
    new = bytes.fromhex(good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"),
                                    "--overlap", "4"))["server_key"])
    good(s, *at(s, "join", "r3"))
    over(s, old)
    over(s, new)
    s.audited(what="admin", act="key-retired", object="r3")
    good(s, *at(s, "isolate", "r3"))
    good(s, *at(s, "join", "r3"))
    over(s, new)
    over(s, old, bind=False)
    s.audited(what="connection", verdict="refused", reason="bad-box")


def an_interface_isolated_in_an_overlap_survives_a_restart(s):
    operators(s, "hana")
    new = bytes.fromhex(good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"),
                                    "--overlap", "86400"))["server_key"])
    good(s, *at(s, "isolate", "r3"))
    restart(s)
    good(s, *at(s, "join", "r3"))
    over(s, new)


def an_isolated_uplink_follows_when_it_is_joined(s):
    hub, below = two_brokers(s)
    passes(s, below, "o-1")
    good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"), "--overlap", "4"))
    below.wait_audit(lambda r: r.get("act") == "key-rotate" and r.get("object") == hub.owner and r["verdict"] == "active")
    socket = below.config["admin_socket"]
    good(s, "key", "rotate", "owner", path(s, "cedar-2.key"), "--operator", path(s, "hana"), "--overlap", "4", "--socket", socket)
    s.audited(what="admin", act="key-rotate", object="cedar", verdict="active")
    good(s, "isolate", "r3", "--socket", socket)
    below.wait_audit(lambda r: r.get("act") == "key-retired" and r.get("object") == "owner")
    s.audited(what="admin", act="key-retired", object="r3")
    good(s, "join", "r3", "--socket", socket)
    below.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "opened" and r["peer"] == hub.owner and
                     r["mono_ms"] > last_join(below))


def an_isolated_interface_takes_no_invitation(s):
    operators(s, "hana")
    good(s, *at(s, "isolate", "r3"))
    assert "erab join" in refused(s, *at(s, "party", "invite", "cedar", path(s, "invitation"), "--role", "ra", "--firm",
                                            "cedar", "--operator", path(s, "hana")))


def a_file_that_the_operator_chose_since_counts(s):
    operators(s, "hana")
    good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"), "--overlap", "86400"))
    good(s, *at(s, "key", "rotate", "owner", path(s, "owner-2.key"), "--operator", path(s, "hana"), "--overlap", "86400"))
    os.remove(path(s, "r3-2.key"))
    os.remove(path(s, "owner-2.key"))
    for at_, file in (s.broker.config["listeners"][1], "r3-3.key"), (s.broker.config["owner"], "owner-3.key"):
        good(s, "key", "new", "coordinator.rest", path(s, file))
        at_["key_file"] = path(s, file)
    restart(s)
    over(s, keys(path(s, "r3-3.key"))["curve_public"])
    over(s, bytes.fromhex(s.broker.server("r3")[1]), bind=False)
    s.audited(what="connection", verdict="refused", reason="bad-box")


def last_join(broker):
    return max(r["mono_ms"] for r in broker.audit() if r.get("act") == "join")


def a_newer_file_in_the_configuration_ends_the_matter(s):
    operators(s, "hana")
    new = bytes.fromhex(good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana")))["server_key"])
    os.rename(path(s, "r3-2.key"), path(s, "r3-3.key"))
    s.broker.config["listeners"][1]["key_file"] = path(s, "r3-3.key")
    restart(s)
    over(s, new)
    over(s, bytes.fromhex(s.broker.server("r3")[1]), bind=False)
    s.audited(what="connection", verdict="refused", reason="bad-box")


def the_owners_key_is_replaced_with_an_overlap(s):
    operators(s, "hana")
    alder, app = s.client("alder", "r3"), s.app()
    old = s.net.keys.sign("coordinator.rest")
    good(s, *at(s, "key", "rotate", "owner", path(s, "owner-2.key"), "--operator", path(s, "hana"), "--overlap", "3"))
    got = alder.receive("party-card")
    new = keys(path(s, "owner-2.key"))["sign_public"]
    assert wire.verify(got.header_bytes, got.body, got.signature, bytes.fromhex(old))
    assert [k[1] for k in card(got.body)["keys"]] == [bytes.fromhex(old), new]
    s.audited(what="admin", act="key-retired", object="owner")
    app.request(app.message("dispatch", "alder", dispatch()))
    order = alder.receive("dispatch")
    assert wire.verify(order.header_bytes, order.body, order.signature, new)
    restart(s)
    alder, app = s.client("alder", "r3"), s.app()
    order = app.message("dispatch", "alder", dispatch("o-2"))
    assert app.request(order)["state"] == "accepted"
    order = alder._wait(alder._inbox, lambda r: r.hash == order.hash, 10)
    assert wire.verify(order.header_bytes, order.body, order.signature, new)


def two_brokers(s):
    """cedar has a broker of its own, which dials the coordinator's."""
    hub = s.broker
    hub.party("cedar", "ra", "cedar", kind="uplink", interfaces=["r3"])
    operators(s, "hana")
    below = s.net.broker("cedar", "ra", "cedar")
    below.config["operators"] = hub.config["operators"]
    below.config["parties"].append({"id": hub.owner, "role": "ac", "firm": "example-coordinator",
                                    "sign_keys": [s.net.keys.sign(hub.owner)]})
    below.party("cedar.app", "ra", "cedar", kind="local")
    below.uplink(hub, "r3")
    below.start()
    return hub, below


def passes(s, below, order):
    """An order of the hub's application reaches the application below."""
    app = s.app()
    endpoint, server = below.server("local")
    k = s.secrets("cedar.app")
    taker = Client(endpoint, bytes.fromhex(server), k["curve_public"], k["curve_secret"], "cedar", broker="cedar")
    s.clients.append(taker)
    taker.bind()
    message = app.message("dispatch", "cedar", dispatch(order))
    assert app.request(message)["state"] == "accepted"
    assert taker._wait(taker._inbox, lambda r: r.hash == message.hash, 20)


def an_uplink_follows_its_hubs_new_server_key(s):
    hub, below = two_brokers(s)
    passes(s, below, "o-1")
    good(s, *at(s, "key", "rotate", "r3", path(s, "r3-2.key"), "--operator", path(s, "hana"), "--overlap", "5"))
    below.wait_audit(lambda r: r.get("act") == "key-rotate" and r.get("object") == hub.owner and r["verdict"] == "active")
    s.audited(what="admin", act="key-retired", object="r3")
    below.process.stop()
    below.start()  # its configuration names the old server key
    passes(s, below, "o-2")


def a_broker_announces_its_owners_new_keys_to_its_hub(s):
    hub, below = two_brokers(s)
    passes(s, below, "o-1")
    good(s, "key", "rotate", "owner", path(s, "cedar-2.key"), "--operator", path(s, "hana"), "--overlap", "5", "--socket",
         below.config["admin_socket"])
    s.audited(what="admin", act="key-rotate", object="cedar", verdict="active")
    below.wait_audit(lambda r: r.get("act") == "key-retired" and r.get("object") == "owner")
    s.audited(what="connection", reason="key-expired", peer="cedar")  # the hub cuts what came with the old one
    passes(s, below, "o-2")


def a_device_announces_its_next_keys_on_r5(s):
    home = s.net.broker("home", "gateway", "home")
    home.listen("r5")
    home.party("charger", "device", "home", interfaces=["r5"])
    home.start()
    endpoint, server = home.server("r5")
    good(s, "key", "rotate", s.net.keys.path("charger"), path(s, "charger-2.key"), "--endpoint", endpoint, "--server-key", server,
         "--hub", "home", "--role", "device", "--overlap", "60")
    home.wait_audit(lambda r: r.get("act") == "key-rotate" and r.get("object") == "charger" and r["verdict"] == "active")


def a_card_that_tells_nothing_new_changes_nothing(s):
    alder = s.client("alder", "r3")
    one = wire.block(1, s.secrets("alder")["sign_public"]) + wire.number(3, 0) + wire.number(4, 1 << 62)
    body = wire.block(1, "alder") + wire.number(2, 3) + wire.number(3, 1) + wire.block(4, one)
    assert alder.request(alder.message("party-card", "coordinator.rest", body, category=5))["state"] == "delivered"
    assert "keys" in good(s, *at(s, "party", "show", "alder"))
    assert not [r for r in s.broker.audit() if r.get("act") == "key-rotate"]


def nobody_announces_keys_for_another(s):
    alder = s.client("alder", "r3")
    k = new_keys(s, "new.key")
    a, b = s.secrets("alder"), s.secrets("birch")

    def announce(party, old, new, until=None):
        one = (wire.block(1, old["sign_public"]) + wire.block(2, old["curve_public"]) + wire.number(3, 0) +
               wire.number(4, until or now() + 60000))
        two = wire.block(1, new["sign_public"]) + wire.block(2, new["curve_public"]) + wire.number(3, now()) + wire.number(4, 1 << 62)
        return wire.block(1, party) + wire.number(2, 3) + wire.number(3, 1) + wire.block(4, one) + wire.block(4, two)

    def send(body, reason):
        s.refused(alder, alder.message("party-card", "coordinator.rest", body, category=5), reason)

    send(announce("birch", b, k), "from-not-yours")
    send(announce("alder", k, k), "key-expired")
    send(announce("alder", a, {**k, "curve_public": b["curve_public"]}), "key-in-use")
    send(announce("alder", a, k, until=now() - 1), "lifetime")
    send(announce("alder", a, {**k, "curve_public": bytes(32)}), "malformed")


# Tests are named by a sentence and take the stage alone.
run()
