#!/usr/bin/python3
"""A configuration that changes while the broker runs, and interfaces that are closed as a whole."""
import copy
import hashlib
import os
import signal
import socket
import sys

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from stage import Timeout, dispatch, opt, run  # noqa: E402


def write(s):
    """The configuration with the listeners that it was started with: port 0 stays port 0."""
    with open(s.broker.path, encoding="utf-8") as f:
        listeners = yaml.safe_load(f)["listeners"]
    now, s.broker.config["listeners"] = s.broker.config["listeners"], listeners
    s.broker.write()
    s.broker.config["listeners"] = now


def reload(s):
    write(s)
    return s.broker.tool("config", "reload")


def party(s, name):
    return next(p for p in s.broker.config["parties"] if p["id"] == name)


def connected(s):
    return {(p["peer"], p["lanes"]) for p in s.broker.tool("health")[1]["peers"] if p["bound"]}


def opened(s, name):
    return sum(1 for r in s.broker.audit() if r["what"] == "connection" and r["verdict"] == "opened" and r["peer"] == name)


def a_new_party_is_let_in_and_the_others_stay(s):
    app, alder = s.app(), s.client("alder", "r3")
    s.broker.party("cedar", "ra", "cedar", interfaces=["r3"])
    code, report = reload(s)
    assert code == 0 and {"where": "parties.cedar", "how": "added", "from": "", "to": ""} in report["changes"], report
    cedar = s.client("cedar", "r3")
    order = app.message("dispatch", "cedar", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert cedar.receive("dispatch").hash == order.hash
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert opened(s, "alder") == 2, "the connections of before"
    s.audited(what="config", verdict="done")
    s.audited(what="config-change", where="parties.cedar", how="added")


def a_removed_party_is_cut_and_what_waits_for_it_is_told(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    order = app.message("dispatch", "birch", dispatch())
    app.request(order)
    birch.receive("dispatch")
    s.broker.config["parties"].remove(party(s, "birch"))
    s.broker.config["groups"][0]["members"].remove("birch")
    code, report = reload(s)
    assert code == 0, report
    assert [(c["where"], c["how"]) for c in report["changes"]] == [
        ("parties.birch", "removed"), ("groups.all-ra.members", "changed"), ("links.birch", "removed")], report
    s.audited(what="connection", verdict="cut", peer="birch")
    refused = app.receipt_for(order, state="refused")
    assert refused["reason"] == "recipient-unknown", refused
    s.refused(app, app.message("dispatch", "birch", dispatch()), "recipient-unknown")
    assert connected(s) == {("alder", 1), ("alder", 2), ("rest.app", 1), ("rest.app", 2)}


def a_party_that_comes_back_is_served_again(s):
    app = s.app()
    before = copy.deepcopy(s.broker.config)
    s.broker.config["parties"].remove(party(s, "birch"))
    s.broker.config["groups"] = []
    assert reload(s)[0] == 0
    s.broker.config = before
    assert reload(s)[0] == 0
    birch = s.client("birch", "r3")
    order = app.message("dispatch", "birch", dispatch())
    app.request(order)
    assert birch.receive("dispatch").hash == order.hash


def a_changed_key_is_cut_and_what_waits_goes_to_the_new_one(s):
    app, alder, birch = s.app(), s.client("alder", "r3"), s.client("birch", "r3")
    old, new = s.net.keys.curve("birch"), s.net.keys.curve("birch.next")
    party(s, "birch")["curve_keys"] = [new]
    code, report = reload(s)
    assert code == 0
    assert report["changes"] == [{"where": "parties.birch.curve_keys", "how": "changed", "from": old[:8] + "..",
                                  "to": new[:8] + ".."}], report
    s.audited(what="connection", verdict="cut", peer="birch")
    order = app.message("dispatch", "birch", dispatch())
    assert app.request(order)["state"] == "accepted"
    again = s.client("birch.next", "r3", speaks="birch")
    assert again.receive("dispatch").hash == order.hash
    assert ("alder", 1) in connected(s)
    s.client("birch", "r3", bind=False)
    s.audited(what="connection", verdict="refused", reason="unknown-key", key=old)


def a_revoked_party_stays_revoked_under_a_new_key(s):
    app = s.app()
    assert s.broker.tool("party", "revoke", "birch")[0] == 0
    party(s, "birch")["curve_keys"] = [s.net.keys.curve("birch.next")]
    assert reload(s)[0] == 0
    s.refused(app, app.message("dispatch", "birch", dispatch()), "breaker-open")
    s.client("birch.next", "r3", bind=False)
    s.audited(what="connection", verdict="refused", reason="revoked", key=s.net.keys.curve("birch.next"))


def a_party_revoked_before_it_was_named_stays_revoked(s):
    assert s.broker.tool("party", "revoke", "birch")[0] == 0
    assert s.broker.tool("health")[0] == 0  # the journal has taken it before this answer or at the stop
    s.broker.process.stop()
    birch = party(s, "birch")
    s.broker.config["parties"].remove(birch)
    s.broker.config["groups"] = []
    s.broker.start()
    s.broker.config["parties"].append(birch)
    assert reload(s)[0] == 0
    app = s.app()
    s.refused(app, app.message("dispatch", "birch", dispatch()), "breaker-open")


def a_bad_file_changes_nothing_and_every_fault_is_told(s):
    alder = s.client("alder", "r3")
    kept = copy.deepcopy(s.broker.config)
    s.broker.config["polices"] = ["r3"]
    party(s, "birch")["role"] = "acc"
    code, report = reload(s)
    assert code == 1 and report["state"] == "refused", report
    assert any("did you mean 'policies'" in e for e in report["errors"]), report
    assert any("'acc' is not one of them" in e for e in report["errors"]), report
    s.audited(what="config", verdict="refused")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    s.broker.config = kept
    assert reload(s)[0] == 0


def what_cannot_change_is_refused_by_name(s):
    alder = s.client("alder", "r3")
    s.broker.config["listeners"][0]["endpoint"] = "tcp://127.0.0.1:1"
    s.broker.config["limits"] = {"journal_queue": 100, "connections": 100}
    party(s, "birch")["firm"] = "another"
    s.broker.write()
    code, report = s.broker.tool("config", "reload")
    errors = "\n".join(report["errors"])
    assert code == 1 and "listeners.1.endpoint: cannot change while the broker runs" in errors, report
    assert "limits.journal_queue: cannot change" in errors and "connections" not in errors, report
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert not any(r["what"] == "config-change" for r in s.broker.audit())


def a_hangup_reloads_as_the_tool_does(s):
    s.broker.config["groups"][0]["members"].remove("birch")
    write(s)
    seen = len(s.broker.process.lines)
    s.broker.process.child.send_signal(signal.SIGHUP)
    s.broker.process.wait_line("read again: 1 changes", after=seen)
    s.audited(what="config-change", where="groups.all-ra.members")
    app, alder = s.app(), s.client("alder", "r3")
    birch = s.client("birch", "r3")
    app.request(app.message("dispatch", "@all-ra", dispatch()))
    alder.receive("dispatch")
    try:
        birch.receive("dispatch", timeout=1)
        raise AssertionError("birch is no member any more")
    except Timeout:
        pass


def a_policy_taken_out_refuses_from_the_next_message_on(s):
    retail, alder = s.client("retail", "r2"), s.client("alder", "r3")
    s.broker.config["policies"] = ["r3"]
    assert reload(s)[0] == 0
    s.refused(retail, retail.message("dispatch", "coordinator.rest", dispatch()), "policy-silent")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def a_policy_with_other_options_judges_the_next_message_on_the_same_connections(s):
    app = s.app()
    s.client("alder", "r3")
    assert app.request(app.message("dispatch", "alder", dispatch(order="before", kw=-100.0)))["state"] == "accepted"
    policies = s.broker.config["policies"]
    s.broker.config["policies"] = policies + [{"name": "safety", "options": {"rules": ["type=dispatch max_kw=50 min_kw=-50"]}}]
    code, report = reload(s)
    assert code == 0, report
    s.refused(app, app.message("dispatch", "alder", dispatch(order="after", kw=-100.0)), "out-of-range")
    assert app.request(app.message("dispatch", "alder", dispatch(order="small", kw=-10.0)))["state"] == "accepted"
    assert opened(s, "alder") == 2 and opened(s, "rest.app") == 2, "the connections of before"
    s.broker.config["policies"] = policies + [{"name": "safety", "options": {"rules": ["type=dispatch max_kw=lots"]}}]
    code, report = reload(s)
    assert code == 1 and any("lots" in e for e in report["errors"]), report
    s.refused(app, app.message("dispatch", "alder", dispatch(order="still", kw=-100.0)), "out-of-range")


def reloads_under_load_lose_nothing(s):
    app, alder = s.app(), s.client("alder", "r3")
    orders = [app.message("dispatch", "alder", dispatch(order=f"o-{i}")) for i in range(200)]
    for i, order in enumerate(orders):
        app.send(order)
        if i % 40 == 0:  # the group changes to and fro
            members = s.broker.config["groups"][0]["members"]
            members.remove("birch") if "birch" in members else members.append("birch")
            assert reload(s)[0] == 0
    assert [alder.receive("dispatch", timeout=10).hash for _ in orders] == [o.hash for o in orders]
    assert all(app.receipt_for(o, timeout=10)["state"] == "accepted" for o in orders)


def applied(app, name):
    order = app.message("dispatch", "dev", dispatch(order=name))
    app.send(order)
    return app.receipt_for(order, state="applied", timeout=15)


def adapters_go_on_and_learn_withdrawn_keys_by_a_restart(s):
    s.broker.process.stop()
    s.broker.party("dev", "ra", "home", represented_by="echo")
    s.broker.adapter("echo", os.environ["ERAB_ECHO"], "echo", ["dev"], {})
    s.broker.start()

    def runs(times):
        s.broker.wait_audit(lambda r: r["what"] == "connection" and opened(s, "echo") >= 2 * times, timeout=20)

    runs(1)
    app = s.app()
    applied(app, "o-1")
    s.broker.party("cedar", "ra", "cedar", interfaces=["r3"])
    assert reload(s)[0] == 0
    applied(app, "o-2")
    assert opened(s, "echo") == 2
    party(s, "alder")["sign_keys"] = [s.net.keys.sign("alder.next")]
    assert reload(s)[0] == 0
    s.audited(what="admin", act="adapter", object="echo", verdict="ended")
    runs(2)
    applied(app, "o-3")
    # An adapter carries several interfaces on one connection: only the isolated one is refused, and it stays up.
    assert s.broker.tool("isolate", "r3")[0] == 0
    s.refused(app, app.message("dispatch", "dev", dispatch(order="o-4")), "breaker-open")
    assert s.broker.tool("join", "r3")[0] == 0
    applied(app, "o-5")
    assert opened(s, "echo") == 4


def an_isolated_interface_is_closed_at_once_and_the_others_go_on(s):
    app, alder, retail = s.app(), s.client("alder", "r3"), s.client("retail", "r2")
    waiting = app.message("dispatch", "birch", dispatch())
    app.request(waiting)
    code, answer = s.broker.tool("isolate", "r3")
    assert code == 0 and answer["isolated"] == ["r3"] and answer["already"] is False, answer
    cut = s.audited(what="connection", verdict="cut", peer="alder", reason="breaker-open")
    decided = s.audited(what="admin", act="isolate", object="r3")
    assert decided["seq"] < cut["seq"]
    assert app.receipt_for(waiting, state="refused")["reason"] == "breaker-open"
    s.refused(app, app.message("dispatch", "alder", dispatch()), "breaker-open")
    assert retail.request(retail.message("dispatch", "coordinator.rest", dispatch()))["state"] == "delivered"
    health = s.broker.tool("health")[1]
    assert health["isolated"] == ["r3"] and "r3" not in {g["interface"] for g in health["listeners"]}
    host, port = s.broker.ports["r3"].removeprefix("tcp://").rsplit(":", 1)
    with socket.socket() as c:
        assert c.connect_ex((host, int(port))) != 0, "nobody listens there"
    assert s.broker.tool("isolate", "r3")[1]["already"] is True
    return app, alder


def an_isolated_interface_can_be_joined_again(s):
    app, alder = an_isolated_interface_is_closed_at_once_and_the_others_go_on(s)
    code, answer = s.broker.tool("join", "r3")
    assert code == 0 and answer["isolated"] == [], answer
    alder.close()
    again = s.client("alder", "r3")
    order = app.message("dispatch", "alder", dispatch())
    assert app.request(order)["state"] == "accepted"
    assert again.receive("dispatch").hash == order.hash


def isolation_lasts_over_a_restart_and_a_reload(s):
    assert s.broker.tool("isolate", "r3")[0] == 0
    assert reload(s)[0] == 0
    assert s.broker.tool("health")[1]["isolated"] == ["r3"]
    s.broker.process.stop()
    s.broker.config["listeners"] = [{**g} for g in s.broker.config["listeners"]]
    s.broker.start()
    assert not any("r3 listens on" in line for line in s.broker.process.lines)
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch()), "breaker-open")
    assert s.broker.tool("join", "r3")[0] == 0
    alder = s.client("alder", "r3")
    app.request(app.message("dispatch", "alder", dispatch()))
    alder.receive("dispatch")


def an_isolation_that_was_answered_survives_a_kill(s):
    assert s.broker.tool("isolate", "r2")[0] == 0
    s.broker.process.child.kill()
    s.broker.process.stop()
    s.broker.start()
    assert s.broker.tool("health")[1]["isolated"] == ["r2"]


def other_contents_of_the_profile_are_told_and_count(s):
    with open(s.broker.config["profile"], encoding="utf-8") as f:
        profile = yaml.safe_load(f)
    own = os.path.join(s.broker.folder, "profile.yaml")
    for kept in (profile["flows"], [r for r in profile["flows"] if r["interface"] != "r2"]):
        with open(own, "w", encoding="utf-8") as f:
            yaml.safe_dump({**profile, "flows": kept}, f)
        s.broker.config["profile"] = own
        code, report = reload(s)
        assert code == 0, report
        assert any((c["where"], c["how"]) == ("profile", "other contents") for c in report["changes"]), report
    retail, alder = s.client("retail", "r2"), s.client("alder", "r3")
    s.refused(retail, retail.message("dispatch", "coordinator.rest", dispatch()), "flow-refused")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


def the_log_says_which_configuration_it_began_with(s):
    started = s.audited(what="config", verdict="start")
    with open(s.broker.path, "rb") as f:
        assert started["file_hash"] == hashlib.blake2b(f.read(), digest_size=32).hexdigest()


def what_is_no_interface_cannot_be_isolated(s):
    code, answer = s.broker.tool("isolate", "r9")
    assert code == 1 and "r1 r2 r3" in answer["error"], answer


if __name__ == "__main__":
    run()
