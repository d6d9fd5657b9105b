#!/usr/bin/python3
"""A vendor's policy in the runner: its votes count, and whatever it does wrong is a refusal and nothing more.
argv: the module tests/support/vendor_policy.c."""
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import stage  # noqa: E402
from stage import cancel, dispatch, opt, plan, yaml  # noqa: E402

MODULE = os.path.abspath(sys.argv.pop(1))
stage.Stage.policies = ["r2", "r3", {"name": "vendor", "module": MODULE, "types": ["dispatch"],
                                     "options": {"detail": "not on our batteries"}}]


def order(app, what):
    return app.message("dispatch", "alder", dispatch(order=what))


def starts(s):
    return sum(r.get("what") == "admin" and r.get("object") == "vendor" and r["verdict"] == "started"
               for r in s.broker.audit())


def until_asked(s, app):
    """Orders pass again: the process is there, also after it had to be started anew."""
    for _ in range(8):
        before = starts(s)
        try:
            app.request(order(app, "allow"))
            return
        except stage.Refused as refusal:
            if "not running" in str(refusal) or "ended" in str(refusal):
                s.broker.wait_audit(lambda r: starts(s) > before)
    raise AssertionError("the policy never came back")


def the_rest_goes_on(s, app):
    """What it is not asked about passes while it is gone: another type, another interface."""
    alder, retail = s.client("alder", "r3"), s.client("retail", "r2")
    assert alder.request(alder.message("opt", "coordinator.rest", opt()))["state"] == "delivered"
    assert retail.request(retail.message("plan", "coordinator.rest", plan()))["state"] == "delivered"


def refused(s, app, what, reason):
    message = order(app, what)
    app.send(message)
    receipt = app.receipt_for(message, timeout=20)
    assert (receipt["state"], receipt["reason"]) == ("refused", reason), receipt
    return receipt


def checked(s, options):
    """What erabd -t and erab config check say of the vendor's options, and where the option stands."""
    path = os.path.join(s.folder, "checked.yaml")
    policies = [p if isinstance(p, str) else {**p, "options": options} for p in s.broker.config["policies"]]
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump({**s.broker.config, "policies": policies}, f)
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    places = {k: next((i, line.index(k) + 1, line.index(f"{k}: ") + len(k) + 3)
                      for i, line in enumerate(lines, 1) if f"{k}: " in line) for k in options}
    said = []
    for words in ([s.net.erabd, "-t", "-c", path], [s.net.erab, "config", "check", path]):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        said.append((done.returncode, done.stderr.replace(path, "F").splitlines()))
    assert said[0] == said[1], said
    return said[0], places


def a_check_that_crashes_or_hangs_is_told_and_holds_nobody_up(s):
    for how, told in (("crash", "its runner refused it or crashed"), ("hang", "it did not answer in time")):
        (code, lines), _ = checked(s, {"detail": f"{how} at the check"})
        assert code == 0 and len(lines) == 1 and "policy 'vendor': its options were not looked at" in lines[0], (how, lines)
        assert told in lines[0], lines


def wrong_options_are_told_with_their_line(s):
    said, _ = checked(s, {"detail": "d", "slow_ms": 30})
    assert said == (0, []), said
    said, at = checked(s, {"detial": "d", "slow_ms": "soon"})
    assert said == (1, [f"F:{at['detial'][0]}:{at['detial'][1]}: policy 'vendor': option detial: unknown; did you mean 'detail'?",
                        f"F:{at['slow_ms'][0]}:{at['slow_ms'][2]}: policy 'vendor': option slow_ms: must be a whole number"]), said
    said, at = checked(s, {"detail": "d", "slow_ms": 60001})  # what only its own check knows
    assert said == (1, [f"F:{at['slow_ms'][0]}:{at['slow_ms'][2]}: policy 'vendor': more than a minute is no vote; "
                        "give at most 60000"]), said


def its_refusal_comes_with_its_reason(s):
    app = s.app()
    until_asked(s, app)
    receipt = refused(s, app, "deny", "declined")
    assert (receipt["section"], receipt["detail"]) == ("3.6.3", "not on our batteries"), receipt
    s.audited(what="verdict", policy="vendor", reason="declined", section="3.6.3", detail="not on our batteries")


def it_may_vote_later(s):
    app, alder = s.app(), s.client("alder", "r3")
    until_asked(s, app)
    message = order(app, "later")
    app.send(message)
    app.send(message)  # the same bytes again while it waits: taken once
    assert app.receipt_for(message)["state"] == "accepted"
    got = [alder.receive("dispatch"), alder.receive("dispatch")]
    assert [g.body for g in got].count(message.body) == 1
    try:
        extra = alder.receive("dispatch", timeout=1)
        assert extra.id != message.id, "delivered twice"
    except stage.Timeout:
        pass


def one_that_never_votes_misses_its_deadline(s):
    app = s.app()
    until_asked(s, app)
    refused(s, app, "silent", "policy-deadline")
    until_asked(s, app)


def one_that_crashes_is_started_again(s):
    app = s.app()
    until_asked(s, app)
    refused(s, app, "crash", "policy-deadline")
    s.audited(what="admin", act="policy", object="vendor", verdict="ended; is started again")
    the_rest_goes_on(s, app)
    until_asked(s, app)


def one_that_hangs_is_killed_and_started_again(s):
    app = s.app()
    until_asked(s, app)
    for _ in range(3):
        refused(s, app, "hang", "policy-deadline")
    s.audited(what="admin", act="policy", object="vendor", verdict="is silent; killed")
    the_rest_goes_on(s, app)
    until_asked(s, app)


def one_that_sends_garbage_is_killed(s):
    app = s.app()
    until_asked(s, app)
    refused(s, app, "garbage", "policy-deadline")
    s.audited(what="admin", act="policy", object="vendor", verdict="answered what is no answer; killed")
    until_asked(s, app)


def a_vote_that_is_none_denies(s):
    app = s.app()
    until_asked(s, app)
    refused(s, app, "no-vote", "policy-denied")


def it_cannot_vote_for_calls_that_are_not_its_own(s):
    app = s.app()
    until_asked(s, app)
    refused(s, app, "foreign", "policy-denied")


def it_has_no_network_no_files_and_no_children(s):
    app = s.app()
    until_asked(s, app)
    assert refused(s, app, "doors", "declined")["detail"] == "every door is shut"


def a_broker_that_stops_waits_for_no_vote(s):
    app = s.app()
    until_asked(s, app)
    app.send(order(app, "silent"))
    app.send(order(app, "later"))


def restarted_with(s, **change):
    s.broker.process.stop()
    policies = s.broker.config["policies"]
    s.broker.config["policies"] = [*policies[:2], {**policies[2], **change}]
    s.broker.start()
    return s.app()


def what_is_cancelled_while_it_waits_does_not_pass(s):
    app = restarted_with(s, deadline_ms=20000, options={"slow_ms": 2000})
    until_asked(s, app)
    message = order(app, "later")
    app.send(message)
    assert app.request(app.message("dispatch-cancel", "alder", cancel("later", message.id)))["state"] == "accepted"
    receipt = app.receipt_for(message, timeout=20)
    assert (receipt["state"], receipt["reason"]) == ("refused", "cancelled"), receipt


def what_waits_when_its_link_is_tripped_does_not_pass(s):
    app = restarted_with(s, deadline_ms=20000, options={"slow_ms": 2000})
    until_asked(s, app)
    message = order(app, "later")
    app.send(message)
    assert s.broker.tool("breaker", "trip", "alder", "r3", "coordinator.rest")[0] == 0
    assert not [r for r in s.broker.audit() if r.get("id") == message.id.hex()], "it was judged too early"
    receipt = app.receipt_for(message, timeout=20)
    assert (receipt["state"], receipt["reason"]) == ("refused", "breaker-open"), receipt
    assert "stored" not in receipt.get("detail", ""), "it went to the disk first"


def a_burst_is_judged_whole(s):
    app = restarted_with(s, deadline_ms=20000)
    until_asked(s, app)
    messages = [order(app, "allow") for _ in range(600)]
    for message in messages:
        app.send(message)
    assert {app.receipt_for(m, timeout=30)["state"] for m in messages} == {"accepted"}


def module_is_refused(s, reason):
    """Before a process is started for it: in the audit with its reason, and what it would have judged is denied."""
    record = s.broker.wait_audit(lambda r: r.get("act") == "policy" and r["verdict"] == "refused")
    assert (record["object"], record["reason"]) == ("vendor", reason), record
    assert record["module"] == s.broker.config["policies"][2]["module"], record
    app = s.app()
    refused(s, app, "allow", "policy-deadline")
    the_rest_goes_on(s, app)


def changed(s, change):
    """The broker anew, with its vendor's module changed before."""
    s.broker.process.stop()
    change(s.broker.config["policies"][2]["module"])
    s.broker.start()


def a_module_that_others_may_write_judges_nothing(s):
    changed(s, lambda module: os.chmod(module, 0o666))
    module_is_refused(s, "module-file")


def an_unsigned_module_judges_nothing_until_it_is_signed(s):
    changed(s, lambda module: os.remove(module + ".sig"))
    module_is_refused(s, "signature-missing")
    before = starts(s)
    s.net.sign(s.broker.config["policies"][2]["module"])
    s.broker.wait_audit(lambda r: starts(s) > before)
    until_asked(s, s.clients[0])


def a_module_of_a_foreign_signer_judges_nothing(s):
    changed(s, lambda module: s.net.sign(module, "somebody"))
    module_is_refused(s, "signer-unknown")


def a_changed_module_judges_nothing(s):
    def change(module):
        with open(module, "ab") as f:
            f.write(b"\0")
    changed(s, change)
    module_is_refused(s, "signature-bad")


def one_that_asks_for_more_than_ingress_is_refused_at_load(s):
    s.broker.process.stop()
    entry = s.broker.config["policies"][2]
    s.broker.config["policies"][2] = {**entry, "name": "everywhere", "instance": "vendor"}
    s.broker.start()
    s.broker.process.wait_line(r"everywhere asks for stages that have no wait")
    s.audited(what="admin", act="policy", object="vendor", verdict="ended; is started again")
    refused(s, s.app(), "allow", "policy-deadline")
    the_rest_goes_on(s, s.clients[0])


def the_runner_itself_refuses_an_unknown_signer(s):
    module, signers = s.broker.config["policies"][2]["module"], s.broker.config["modules"]["signers"]
    for keys, refusal in ((["01" * 32], "signer-unknown"), ([], "signer-unknown"), (signers, None)):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(json.dumps({"instance": "vendor", "module": module, "policy": "vendor", "options": {},
                              "signers": keys}).encode())
        runner = subprocess.Popen([os.path.join(os.environ["ERAB_BUILD"], "runner/erab-runner"), "--policy-fd",
                                   str(theirs.fileno())], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        theirs.close()
        if refusal is None:
            ours.shutdown(socket.SHUT_WR)  # nothing is asked: it ends by itself, and well
        said = runner.communicate(timeout=30)[1]
        ours.close()
        assert runner.returncode == (1 if refusal else 0) and (refusal or "") in said, (runner.returncode, said)


if __name__ == "__main__":
    stage.run()
