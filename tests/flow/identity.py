#!/usr/bin/python3
"""How a newcomer becomes a party: the tool and the broker as processes, and a client that was written from PROTOCOL.md."""
import hashlib
import json
import os
import subprocess
import sys

import nacl.bindings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from reload import reload  # noqa: E402
from enrolment import (REJECTED, approve, at, card, client, enroll, good, invite, keep_rows, keys, new_keys,  # noqa: E402
                       operators, path, refused, registration, restart, seeded, state)
from stage import dispatch, now, opt, plan, run  # noqa: E402
import erab_wire as wire  # noqa: E402


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
    k = keys(path(s, "cedar.key"))
    digest = hashlib.blake2b(b"erab.v1.party-keys\0" + k["curve_public"] + k["sign_public"], digest_size=32)
    assert shown["fingerprint"] == told["fingerprint"] == digest.hexdigest()
    assert approve(s)["state"] == "active"
    cedar.bind(timeout=15)
    assert cedar.request(cedar.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert app.receive("opt").header["from"] == "cedar"
    order = app.message("dispatch", "cedar", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert cedar.receive("dispatch").hash == order.hash
    signed = s.audited(what="admin", act="party-approve", operator="hana", verdict="signed")
    assert json.loads(signed["statement"])["keys"] == told["fingerprint"]
    words = hashlib.blake2b(b"erab.v1.operator-statement\0" + signed["statement"].encode(), digest_size=64).digest()
    nacl.bindings.crypto_sign_open(bytes.fromhex(signed["signature"]) + words,
                                   bytes.fromhex(s.broker.config["operators"][0]["sign_key"]))


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


def who_is_no_operator_any_more_has_approved_nothing(s):
    operators(s, "hana", "ken", "mio", approvals=2)
    invite(s)
    enroll(s)
    assert approve(s, who="ken")["state"] == "pending"
    s.broker.config["operators"] = [o for o in s.broker.config["operators"] if o["name"] != "ken"]
    assert reload(s)[0] == 0
    answer = approve(s)
    assert (answer["state"], answer["approvals"]) == ("pending", 1), answer
    assert good(s, *at(s, "party", "show", "cedar"))["approvals"] == ["hana"]
    assert approve(s, who="mio")["state"] == "active"


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


def a_seed_that_is_being_answered_is_put_off_on_its_other_connections(s):
    operators(s, "hana")
    invite(s)
    first = new_keys(s)
    c = seeded(s, first["sign_secret"])
    assert c.request(c.message("registration", "coordinator.rest", registration(first), category=5))["state"] == "delivered"
    seeded(s, bind=False)
    s.audited(what="connection", verdict="refused", reason="invitation-used", detail="key put off")


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


def a_replaced_invitation_is_worth_nothing_on_an_open_connection(s):
    operators(s, "hana")
    invite(s)
    k = new_keys(s)
    c = seeded(s, k["sign_secret"])
    invite(s, file="newer")
    c.send(c.message("registration", "coordinator.rest", registration(k)))
    s.audited(what="connection", verdict="cut", reason="invitation-used", peer="cedar")
    assert state(s) == "invited"
    enroll(s, file="newer", key="newer.key")


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


# ---- who speaks for whom ----

def represented(s):
    """maple has no keys: an adapter speaks and signs for it."""
    s.broker.party("maple-adapter", "retailer", "maple", kind="adapter", speaks_for=["maple"], types=["plan", "receipt"])
    s.broker.party("maple", "retailer", "maple", represented_by="maple-adapter")
    restart(s)
    c = s.client("maple-adapter", "local", speaks="maple")
    c.sign_secret = s.secrets("maple-adapter")["sign_secret"]
    return c


def an_adapter_signs_for_the_party_that_it_represents(s):
    c, app = represented(s), s.app()
    assert c.request(c.message("plan", "coordinator.rest", plan()))["state"] == "delivered"
    assert app.receive("plan").header["from"] == "maple"


def a_represented_party_has_no_other_signer(s):
    c = represented(s)
    c.sign_secret = s.secrets("alder")["sign_secret"]
    s.refused(c, c.message("plan", "coordinator.rest", plan()), "signature-bad")


def an_adapter_says_what_it_may_for_whom_it_may(s):
    c = represented(s)
    s.refused(c, c.message("dispatch", "coordinator.rest", dispatch()), "type-not-yours")
    c.send(c.message("plan", "coordinator.rest", plan(), **{"from": "retail"}))
    s.audited(what="refused", reason="from-not-yours", by="maple-adapter")
    c.send(c.message("plan", "coordinator.rest", plan(), **{"from": "maple-adapter"}))
    s.audited(what="refused", reason="from-not-yours", by="maple-adapter")


def revoking_who_is_represented_leaves_its_adapter(s):
    c = represented(s)
    good(s, *at(s, "party", "revoke", "maple"))
    s.refused(c, c.message("plan", "coordinator.rest", plan()), "revoked")


# ---- cards ----

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


# ---- the tool's manners ----

def what_people_read_of_parties(s):
    operators(s, "hana", "ken", approvals=2)
    invite(s)
    enroll(s)
    approve(s)

    def text(*words):
        done = subprocess.run([s.net.erab, *at(s, "party", *words)], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    assert [line.split() for line in text("list").splitlines()] == [
        ["coordinator.rest", "ac", "example-coordinator", "active", "configuration"],
        ["rest.app", "ac", "example-coordinator", "active", "configuration"],
        ["alder", "ra", "alder", "active", "configuration"],
        ["birch", "ra", "birch", "active", "configuration"],
        ["retail", "retailer", "example-retail", "active", "configuration"],
        ["cedar", "ra", "cedar", "pending", "enrolment"]]
    assert text("list", "--state", "pending").split()[0] == "cedar"
    shown = dict(line.split(": ", 1) for line in text("show", "cedar").splitlines())
    k = keys(path(s, "cedar.key"))
    assert json.loads(shown["keys"]) == [{"curve_key": k["curve_public"].hex(), "sign_key": k["sign_public"].hex()}]
    del shown["keys"], shown["fingerprint"], shown["seed"], shown["invited_until_ms"]
    assert shown == {"party": "cedar", "role": "ra", "firm": "cedar", "state": "pending", "from": "enrolment",
                     "connected": "false", "busy": "false", "represented_by": "", "approvals": '["hana"]',
                     "approvals_needed": "2"}


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
run()
