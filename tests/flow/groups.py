#!/usr/bin/python3
"""Groups and parties that are enrolled at run time: named in the configuration before they are there, or approved into one."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from enrolment import at, client, enroll, good, invite, operators, path, refused, restart, state  # noqa: E402
from stage import dispatch, run  # noqa: E402
import erab_wire as wire  # noqa: E402


def approve(s, *groups, who="hana"):
    return good(s, *at(s, "party", "approve", "cedar", "--operator", path(s, who),
                       *(("--group", ",".join(groups)) if groups else ())))


def group(s, name="all-ra"):
    return next(g for g in s.broker.config["groups"] if g["id"] == name)


def name_cedar(s):
    """In the group's configuration, before it is a party."""
    group(s)["members"] = ["alder", "birch", "cedar"]
    group(s)["enrolled"] = True


def to_group(s, app, name="all-ra"):
    order = app.message("dispatch", "@" + name, dispatch())
    return order, app.request(order)


def cedar_is_reached(s, app):
    """By what is sent to the group, after a restart, too."""
    cedar = client(s)
    order, first = to_group(s, app)
    assert first["members"] == [] and cedar.receive("dispatch").hash == order.hash
    restart(s)
    app, cedar = s.app(), client(s)
    order, first = to_group(s, app)
    assert first["members"] == []
    while cedar.receive("dispatch", timeout=10).hash != order.hash:
        pass


def reload(s):
    s.broker.write()
    return s.broker.tool("config", "reload")


def a_member_that_is_not_there_yet_is_refused_with_its_reason(s):
    name_cedar(s)
    operators(s, "hana")
    app, alder = s.app(), s.client("alder", "r3")
    order, first = to_group(s, app)
    assert (first["state"], first["members"]) == ("accepted", [("cedar", "refused", "recipient-unknown")]), first
    assert alder.receive("dispatch").hash == order.hash
    invite(s)
    enroll(s)
    assert to_group(s, app)[1]["members"] == [("cedar", "refused", "recipient-unknown")], "registered is not approved"
    approve(s)
    cedar_is_reached(s, app)


def what_is_said_of_an_absent_member_survives_a_kill(s):
    name_cedar(s)
    operators(s, "hana")
    app, alder = s.app(), s.client("alder", "r3")
    order, _ = to_group(s, app)
    alder.answer(alder.receive("dispatch"), "applied")
    app.receipt_for(order, timeout=10)
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    members = dict((m[0], m[1:]) for m in s.app().receipt_for(order, timeout=10)["members"])
    assert members["cedar"] == ("refused", "recipient-unknown") and members["alder"][0] == "applied", members


def a_newcomer_is_approved_into_a_group(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s, "all-ra")
    shown = good(s, *at(s, "party", "show", "cedar"))
    assert (shown["state"], shown["groups"]) == ("active", ["all-ra"])
    signed = s.audited(what="admin", act="party-approve", operator="hana", verdict="signed")
    assert json.loads(signed["statement"])["groups"] == ["all-ra"], "it is part of what the operator signs"
    cedar_is_reached(s, app)


def a_reload_keeps_its_place_and_each_member_has_it_once(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s, "all-ra")
    cedar = client(s)
    name_cedar(s)
    code, report = reload(s)
    assert code == 0, report
    order, first = to_group(s, app)
    assert first["members"] == [] and cedar.receive("dispatch").hash == order.hash
    kept = group(s)
    s.broker.config["groups"] = [{"id": "others", "owner": "coordinator.rest", "members": ["birch"]}]
    assert reload(s)[0] == 0
    s.refused(app, app.message("dispatch", "@all-ra", dispatch()), "group-unknown")
    kept["members"] = ["birch"]
    del kept["enrolled"]
    s.broker.config["groups"].append(kept)
    assert reload(s)[0] == 0
    order, first = to_group(s, app)
    assert first["members"] == [] and cedar.receive("dispatch").hash == order.hash
    assert not [r for r in cedar._inbox if r.header["type"] == wire.TYPES["dispatch"]], "once, however it came into the group"


def who_was_not_approved_into_it_gets_nothing_of_it(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s)
    cedar = client(s)
    assert "groups" not in good(s, *at(s, "party", "show", "cedar"))
    to_group(s, app)
    direct = app.message("dispatch", "cedar", dispatch())
    app.request(direct)
    assert cedar.receive("dispatch").hash == direct.hash


def a_revoked_member_is_refused(s):
    operators(s, "hana")
    app = s.app()
    invite(s)
    enroll(s)
    approve(s, "all-ra")
    good(s, *at(s, "party", "revoke", "cedar", "--operator", path(s, "hana")))
    assert to_group(s, app)[1]["members"] == [("cedar", "refused", "breaker-open")]


def two_people_approve_the_same_groups(s):
    operators(s, "hana", "ken", approvals=2)
    app = s.app()
    invite(s)
    enroll(s)
    approve(s, "all-ra")
    assert to_group(s, app)[1]["members"] == [], "one approval is none"
    for groups in ((), ("--group", "all-ra,other")):
        error = refused(s, *at(s, "party", "approve", "cedar", "--operator", path(s, "ken"), *groups))
        assert "other groups" in error or "no such group" in error, error
    assert state(s) == "pending"
    approve(s, "all-ra", who="ken")
    assert state(s) == "active"
    order, _ = to_group(s, app)
    cedar = client(s)
    assert cedar.receive("dispatch", timeout=10).hash == order.hash


def a_group_that_cannot_be_is_refused(s):
    s.broker.config["groups"].append({"id": "of-retail", "owner": "retail", "members": ["alder"]})
    s.broker.config["groups"].append({"id": "of-birch", "owner": "birch", "members": ["alder"]})
    operators(s, "hana")
    invite(s)
    enroll(s)
    hana = ("--operator", path(s, "hana"))
    assert "no such group" in refused(s, *at(s, "party", "approve", "cedar", *hana, "--group", "nobody"))
    assert "no interface" in refused(s, *at(s, "party", "approve", "cedar", *hana, "--group", "of-birch"))
    assert "at most 8" in refused(s, *at(s, "party", "approve", "cedar", *hana, "--group", ",".join(["all-ra"] * 9)))
    assert state(s) == "pending"
    assert good(s, *at(s, "party", "approve", "cedar", *hana, "--group", "of-retail,all-ra"))["state"] == "active"


def the_check_of_a_configuration_notes_who_is_not_there(s):
    name_cedar(s)
    s.broker.write()
    answer = good(s, "config", "check", s.broker.path)
    assert answer["ok"] and len(answer["notes"]) == 1 and "'cedar' is not under 'parties'" in answer["notes"][0], answer
    done = subprocess.run([s.net.erabd, "-t", "-c", s.broker.path], capture_output=True, text=True)
    assert done.returncode == 0 and "'cedar' is not under 'parties'" in done.stderr, done
    del group(s)["enrolled"]
    s.broker.write()
    done = subprocess.run([s.net.erab, "config", "check", s.broker.path, "--json"], capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and "enrolled: true" in answer["errors"][0] and "notes" not in answer, answer
    code, report = reload(s)
    assert code == 1 and "no party 'cedar'" in report["errors"][0], report


def who_is_only_named_is_no_party(s):
    name_cedar(s)
    operators(s, "hana")
    assert "cedar" not in [p["party"] for p in good(s, *at(s, "party", "list"))["parties"]]
    assert "no such party" in refused(s, *at(s, "party", "show", "cedar"))
    app = s.app()
    s.refused(app, app.message("dispatch", "cedar", dispatch()), "recipient-unknown")


run()
