#!/usr/bin/python3
"""What was learned at run time outlives a new configuration: enrolments, rotated keys, invitations."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from enrolment import approve, client, enroll, good, invite, operators, path, state  # noqa: E402
from reload import opened, party, reload  # noqa: E402
from stage import dispatch, opt, run  # noqa: E402


def change(s):
    """Any change, so that a new registry is made."""
    s.broker.party("elm", "ra", "elm", interfaces=["r3"])
    code, report = reload(s)
    assert code == 0, report
    return report


def an_enrolled_party_stays_connected_over_a_reload(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s)
    cedar = client(s)
    change(s)
    assert cedar.request(cedar.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    order = app.message("dispatch", "cedar", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert cedar.receive("dispatch").hash == order.hash
    assert opened(s, "cedar") >= 2 and not any(
        r["what"] == "connection" and r["verdict"] == "cut" and r["peer"] == "cedar" for r in s.broker.audit())
    client(s)


def an_invitation_holds_over_a_reload(s):
    operators(s, "hana")
    invite(s)
    change(s)
    assert state(s) == "invited"
    enroll(s)
    s.broker.config["parties"].remove(party(s, "elm"))
    assert reload(s)[0] == 0
    assert state(s) == "pending"
    approve(s)
    client(s)


def a_revoked_newcomer_stays_revoked_over_a_reload(s):
    operators(s, "hana")
    invite(s)
    enroll(s)
    approve(s)
    client(s)
    good(s, "party", "revoke", "cedar", "--socket", s.broker.config["admin_socket"], "--operator", path(s, "hana"))
    change(s)
    client(s, bind=False)
    s.audited(what="connection", verdict="refused", reason="revoked", peer="cedar")


def a_key_of_an_enrolled_party_is_not_given_to_another(s):
    operators(s, "hana")
    invite(s)
    told = enroll(s)
    approve(s)
    alder = party(s, "alder")
    kept = list(alder["curve_keys"])
    alder["curve_keys"] = [good(s, "key", "show", path(s, "cedar.key"))["curve_public"]]
    code, report = reload(s)
    assert code == 1 and "File exists" in report["errors"][0], (report, told)
    alder["curve_keys"] = kept
    change(s)


if __name__ == "__main__":
    run()
