#!/usr/bin/python3
"""How a newcomer becomes a party and how keys change: the tool and the broker as processes, and a client that was written
from PROTOCOL.md."""
import contextlib
import json
import os
import select
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import yaml  # noqa: E402
import zmq  # noqa: E402

from stage import Client, Timeout, dispatch, now, opt, run  # noqa: E402
import erab_wire as wire  # noqa: E402

REJECTED = zmq.EVENT_HANDSHAKE_FAILED_AUTH


def erab(s, *words):
    """Runs the tool; (exit code, its JSON)."""
    done = subprocess.run([s.net.erab, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, json.loads(done.stdout.decode() or "{}")


def good(s, *words):
    code, answer = erab(s, *words)
    assert code == 0, (words, code, answer)
    return answer


def refused(s, *words, code=1):
    got, answer = erab(s, *words)
    assert got == code and answer["ok"] is False, (words, got, answer)
    return answer["error"]


def at(s, *words):
    return (*words, "--socket", s.broker.config["admin_socket"])


def path(s, name):
    return os.path.join(s.folder, name)


def restart(s):
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()
    s.broker.start()


def operators(s, *names, approvals=1):
    """Names people in the configuration and starts the broker anew."""
    s.broker.config["operators"] = [{"name": n, "sign_key": good(s, "operator", "new", n, path(s, n))["sign_key"]}
                                    for n in names]
    s.broker.config["enrolment"] = {"approvals": approvals}
    restart(s)


def invite(s, party="cedar", file="invitation", role="ra", **options):
    more = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]
    return good(s, *at(s, "party", "invite", party, path(s, file), "--role", role, "--firm", "cedar", "--operator",
                       path(s, "hana"), *more))


def enroll(s, file="invitation", key="cedar.key"):
    return good(s, "enroll", path(s, file), path(s, key))


def approve(s, party="cedar", who="hana"):
    return good(s, *at(s, "party", "approve", party, "--operator", path(s, who)))


def state(s, party="cedar"):
    return good(s, *at(s, "party", "show", party))["state"]


def keys(file):
    with open(file, encoding="utf-8") as f:
        fields = yaml.safe_load(f)
    return {k: bytes.fromhex(v) for k, v in fields.items() if k != "party" and isinstance(v, str) and len(v) in (64, 128)}


def seed_of(s, file="invitation"):
    with open(path(s, file), encoding="utf-8") as f:
        fields = dict(line.strip().split(": ", 1) for line in f if not line.startswith("#"))
    return bytes.fromhex(fields["seed_public"]), bytes.fromhex(fields["seed_secret"])


def client(s, file="cedar.key", party="cedar", bind=True):
    endpoint, server = s.broker.server("r3")
    k = keys(path(s, file))
    c = Client(endpoint, bytes.fromhex(server), k["curve_public"], k["curve_secret"], party, sign_secret=k["sign_secret"],
               broker=s.broker.owner)
    s.clients.append(c)
    if bind:
        c.bind(timeout=15)
    return c


def seeded(s, sign_secret=None, bind=True):
    endpoint, server = s.broker.server("r3")
    public, secret = seed_of(s)
    c = Client(endpoint, bytes.fromhex(server), public, secret, "cedar", sign_secret=sign_secret, broker=s.broker.owner)
    s.clients.append(c)
    if bind:
        c.bind()
    return c


def registration(k, party="cedar", kind="ra"):
    return wire.block(1, party) + wire.block(2, kind) + wire.block(12, k["curve_public"]) + wire.block(13, k["sign_public"])


def new_keys(s, name="cedar.key"):
    good(s, "key", "new", "cedar", path(s, name))
    return keys(path(s, name))


def until(condition, seconds=15):
    """The broker has no wake-up for us: asked again until the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never so"
        select.select([], [], [], 0.05)


def keep_rows(s, party, change, kind="party/"):
    """Changes what the journal keeps of a party, as the passing of time would; the broker must be down."""
    with contextlib.closing(sqlite3.connect(os.path.join(s.broker.folder, "journal.db"), isolation_level=None)) as db:
        (text,) = db.execute("select value from state where key = ?", (kind + party,)).fetchone()
        row = json.loads(text)
        change(row)
        db.execute("update state set value = ? where key = ?", (json.dumps(row).encode(), kind + party))


# ---- enrolment ----

def an_invited_newcomer_is_pending_then_approved_and_then_sends(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    assert state(s) == "invited"
    told = enroll(s)
    assert state(s) == "pending"
    cedar = client(s, bind=False)
    s.audited(what="connection", verdict="refused", reason="not-approved", peer="cedar")
    s.refused(app, app.message("dispatch", "cedar", dispatch()), "recipient-unknown")
    shown = good(s, *at(s, "party", "show", "cedar"))
    assert shown["fingerprint"] == told["fingerprint"]
    assert approve(s)["state"] == "active"
    cedar.bind(timeout=15)
    assert cedar.request(cedar.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert app.receive("opt").header["from"] == "cedar"
    order = app.message("dispatch", "cedar", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert cedar.receive("dispatch").hash == order.hash
    signed = s.audited(what="admin", act="party-approve", operator="hana", verdict="signed")
    assert json.loads(signed["statement"])["keys"] == told["fingerprint"]


def two_approvals_are_two_peoples(s):
    operators(s, "hana", "ken", approvals=2)
    invite(s)
    enroll(s)
    assert approve(s)["state"] == "pending"
    assert "another one is needed" in refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "hana")))
    client(s, bind=False)
    s.audited(what="connection", verdict="refused", reason="not-approved", peer="cedar")
    restart(s)
    assert good(s, *at(s, "party", "show", "cedar"))["approvals"] == ["hana"]
    assert approve(s, who="ken")["state"] == "active"
    client(s)


def a_stranger_approves_nothing(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    good(s, "operator", "new", "mallory", path(s, "mallory"))
    assert "not named" in refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "mallory")))
    good(s, "operator", "new", "hana", path(s, "false-hana"))
    assert "not that of" in refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "false-hana")))
    assert state(s) == "pending"


def an_approval_is_about_the_keys_that_were_seen(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    error = refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "hana"), "--fingerprint", "00" * 32))
    assert "fingerprint" in error and state(s) == "pending"


def a_denied_newcomer_stays_out_until_it_is_invited_anew(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    good(s, *at(s, "party", "deny", "cedar", "--operator", path(s, "hana")))
    cedar = client(s, bind=False)
    cedar.events(wire.COMMAND, until=REJECTED)
    s.audited(what="connection", verdict="refused", reason="denied", peer="cedar")
    assert "run 'erab enroll'" in refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "hana")))
    invite(s, file="again")
    enroll(s, file="again", key="again.key")
    approve(s)
    client(s, file="again.key")


def an_expired_invitation_is_refused(s):
    operators(s, "hana")
    invite(s)
    s.broker.process.stop()
    keep_rows(s, "cedar", lambda row: row.update(invited_until=now() - 1))
    s.broker.start()
    assert state(s) == "expired"
    seeded(s, bind=False).events(wire.COMMAND, until=REJECTED)
    s.audited(what="connection", verdict="refused", reason="invitation-expired", peer="cedar")
    assert "expired" in refused(s, "enroll", path(s, "invitation"), path(s, "cedar.key"))
    with open(path(s, "invitation"), encoding="utf-8") as f:
        text = f.read()
    with open(path(s, "invitation"), "w", encoding="utf-8") as f:
        f.writelines(f"expires_at_ms: {now() - 1}\n" if "expires" in line else line + "\n" for line in text.splitlines())
    assert "invitation-expired" in refused(s, "enroll", path(s, "invitation"), path(s, "cedar.key"))


def an_invitation_works_once(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    error = refused(s, "enroll", path(s, "invitation"), path(s, "second.key"))
    assert "ask for a new one" in error
    s.audited(what="connection", verdict="refused", reason="invitation-used", peer="cedar")
    shown = good(s, *at(s, "party", "show", "cedar"))
    assert shown["keys"][0]["curve_key"] == keys(path(s, "cedar.key"))["curve_public"].hex()


def a_second_registration_on_the_same_connection_is_refused(s):
    operators(s, "hana")
    invite(s)
    first, second = new_keys(s), new_keys(s, "second.key")
    c = seeded(s, first["sign_secret"])
    assert c.request(c.message("registration", "coordinator.rest", registration(first), category=5))["state"] == "delivered"
    c.sign_secret = second["sign_secret"]
    s.refused(c, c.message("registration", "coordinator.rest", registration(second), category=5), "invitation-used")


def a_seed_may_do_nothing_but_register(s):
    operators(s, "hana")
    invite(s)
    k = new_keys(s)
    c = seeded(s, k["sign_secret"])
    s.refused(c, c.message("opt", "coordinator.rest", opt()), "type-not-yours")
    other = c.message("registration", "coordinator.rest", registration(k), **{"from": "alder"})
    c.send(other)
    s.audited(what="refused", reason="from-not-yours", by="invitation")
    s.refused(c, c.message("registration", "coordinator.rest", registration(k), signed=False), "signature-missing")
    c.send(c.message("registration", "alder", registration(k)))
    s.audited(what="connection", verdict="cut", reason="recipient-unknown", peer="cedar")
    assert state(s) == "invited"


def a_registration_proves_its_key_and_brings_fresh_ones(s):
    operators(s, "hana")
    invite(s)
    k = new_keys(s)
    c = seeded(s, s.secrets("alder")["sign_secret"])
    s.refused(c, c.message("registration", "coordinator.rest", registration(k)), "signature-bad")
    taken = {"curve_public": s.secrets("birch")["curve_public"], "sign_public": k["sign_public"]}
    c.sign_secret = k["sign_secret"]
    s.refused(c, c.message("registration", "coordinator.rest", registration(taken)), "key-in-use")
    s.refused(c, c.message("registration", "coordinator.rest", registration(k, kind="tso")), "malformed")
    assert state(s) == "invited"


def what_was_enrolled_survives_a_kill(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    approve(s)
    invite(s, party="doug", file="doug-invitation")
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    assert state(s) == "active" and state(s, "doug") == "invited"
    cedar = client(s)
    app = s.app()
    cedar.request(cedar.message("opt", "coordinator.rest", opt()))
    assert app.receive("opt").header["from"] == "cedar"
    listed = good(s, *at(s, "party", "list"))["parties"]
    assert {p["party"]: p["state"] for p in listed if p["from"] == "enrolment"} == {"cedar": "active", "doug": "invited"}


def a_revoked_newcomer_stays_revoked_over_a_restart(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    approve(s)
    cedar = client(s)
    assert "signed statement" in refused(s, *at(s, "party", "revoke", "cedar"))
    good(s, *at(s, "party", "revoke", "cedar", "--operator", path(s, "hana")))
    s.audited(what="connection", verdict="cut", peer="cedar", reason="revoked")
    cedar.events(wire.COMMAND, until=REJECTED)
    restart(s)
    assert state(s) == "revoked"
    client(s, bind=False).events(wire.COMMAND, until=REJECTED)
    assert "revoked" in refused(s, *at(s, "party", "invite", "cedar", path(s, "x"), "--role", "ra", "--firm", "cedar",
                                       "--operator", path(s, "hana")))


def types_and_speaks_for_of_an_invitation_hold(s):
    operators(s, "hana")
    invite(s, kind="uplink", types="opt,receipt", speaks_for="cedar,birch")
    enroll(s)
    approve(s)
    cedar, app = client(s), s.app()
    assert cedar.request(cedar.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    s.refused(cedar, cedar.message("plan", "coordinator.rest", b""), "malformed")
    s.refused(cedar, cedar.message("capability", "coordinator.rest", wire.block(1, "g") + wire.real(2, 1.0) +
                                   wire.real(3, 1.0) + wire.number(4, now())), "type-not-yours")
    cedar.sign_secret = s.secrets("birch")["sign_secret"]
    cedar.request(cedar.message("opt", "coordinator.rest", opt("o-2"), **{"from": "birch"}))
    assert {app.receive("opt").header["from"] for _ in range(2)} == {"cedar", "birch"}


# ---- cards ----

def card(body):
    fields = wire.fields(body)
    out = {k: v for k, v in fields if k != 4}
    return {"party": out[1].decode(), "version": out[3], "withdrawn": bool(out.get(6)),
            "keys": [dict(wire.fields(v)) for k, v in fields if k == 4]}


def others_learn_the_newcomers_keys_from_signed_cards(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s)
    got = app.receive("party-card")
    assert wire.verify(got.header_bytes, got.body, got.signature, bytes.fromhex(s.net.keys.sign("coordinator.rest")))
    told = card(got.body)
    assert told["party"] == "cedar" and told["keys"][0][1] == keys(path(s, "cedar.key"))["sign_public"]
    cedar = client(s)
    learnt = card(cedar.receive("party-card").body)
    assert learnt["party"] == "coordinator.rest"
    assert learnt["keys"][0][1].hex() == s.net.keys.sign("coordinator.rest")
    good(s, *at(s, "party", "revoke", "cedar", "--operator", path(s, "hana")))
    gone = card(app.receive("party-card").body)
    assert gone["party"] == "cedar" and gone["withdrawn"] and gone["version"] >= told["version"]


def who_binds_later_hears_the_cards_then(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    approve(s)
    assert card(s.app().receive("party-card").body)["party"] == "cedar"
    restart(s)
    assert card(s.app().receive("party-card").body)["party"] == "cedar"


# ---- key rotation ----

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


# ---- the tool's manners ----

def wrong_use_says_the_way_out(s):
    assert "operators" in refused(s, *at(s, "party", "invite", "cedar", path(s, "i"), "--role", "ra", "--firm", "cedar",
                                         "--operator", s.net.keys.path("alder")))
    assert not os.path.exists(path(s, "i"))
    operators(s, "hana")
    hana = ("--operator", path(s, "hana"))
    refused(s, *at(s, "party", "approve", "cedar"), code=1)
    refused(s, *at(s, "party", "deny", "cedar"), code=2)
    refused(s, "party", "list", code=2)
    refused(s, "party", "show", "cedar", "--socket", path(s, "none"), code=3)
    assert "no such party" in refused(s, *at(s, "party", "show", "nobody"))
    assert "no such party" in refused(s, *at(s, "party", "deny", "nobody", *hana))
    assert "configuration" in refused(s, *at(s, "party", "invite", "alder", path(s, "i"), "--role", "ra", "--firm", "a", *hana))
    assert "configuration" in refused(s, *at(s, "party", "deny", "alder", *hana))
    assert "interface" in refused(s, *at(s, "party", "invite", "x", path(s, "i"), "--role", "device", "--firm", "a", *hana))
    assert "listener" in refused(s, *at(s, "party", "invite", "x", path(s, "i"), "--role", "tso", "--firm", "a", *hana))
    assert "--hours" in refused(s, *at(s, "party", "invite", "x", path(s, "i"), "--role", "ra", "--firm", "a", "--hours", "0",
                                       *hana), code=2)
    refused(s, *at(s, "party", "invite", "x", path(s, "i"), "--role", "queen", "--firm", "a", *hana), code=2)
    assert "types" in refused(s, *at(s, "party", "invite", "x", path(s, "i"), "--role", "ra", "--firm", "a", "--types", "song",
                                     *hana))
    assert "there is no such invitation" in refused(s, "enroll", path(s, "none"), path(s, "k"))
    invite(s)
    assert "never overwritten" in refused(s, *at(s, "party", "invite", "x", path(s, "invitation"), "--role", "ra", "--firm",
                                                 "a", *hana))
    os.chmod(path(s, "invitation"), 0o644)
    assert "chmod 600" in refused(s, "enroll", path(s, "invitation"), path(s, "k"))
    os.chmod(path(s, "invitation"), 0o600)
    assert "holds the keys of" in refused(s, "enroll", path(s, "invitation"), s.net.keys.path("alder"))


def a_newcomer_without_a_broker_is_told_so(s):
    operators(s, "hana")
    invite(s, endpoint="tcp://127.0.0.1:9")
    assert "did not answer" in refused(s, "enroll", path(s, "invitation"), path(s, "k"), code=3)
    assert os.path.exists(path(s, "k")), "the keys stay, for the next try"


# Tests are named by a sentence and take the stage alone.
run([v for k, v in list(globals().items()) if k.count("_") > 1 and callable(v) and v.__code__.co_argcount == 1])
