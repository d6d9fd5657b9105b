#!/usr/bin/python3
"""A journal that is older than what was committed, or that is not what was written: refused at the start, or commands stop;
and what a person's acceptance of an older one closes."""
import json
import os
import shutil
import sqlite3
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
import stage  # noqa: E402
from stage import Failed, Refused, dispatch, telemetry  # noqa: E402


def journal(s):
    return os.path.join(s.broker.folder, "journal.db")


def files(s):
    return [journal(s) + end for end in ("", "-wal", ".head")]


def stop(s):
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()


def keep(s, names):
    """Copies of these files, taken while the broker is down."""
    to = os.path.join(s.folder, "kept")
    shutil.rmtree(to, ignore_errors=True)
    os.mkdir(to)
    for name in names:
        if os.path.exists(name):
            shutil.copy2(name, to)
    return to


def put_back(s, kept, names):
    for name in names:
        there = os.path.join(kept, os.path.basename(name))
        if os.path.exists(there):
            shutil.copy2(there, name)
        elif os.path.exists(name):
            os.unlink(name)


def tool(s, *words, env=None):
    done = subprocess.run([s.net.erab, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def does_not_start(s, words):
    try:
        s.broker.start()
    except Failed as failed:
        assert words in str(failed), failed
    else:
        raise AssertionError("it started")
    s.broker.process.child.wait(20)
    s.broker.process = None


def one_order(s, order):
    """An order that alder takes; as it was sent."""
    alder, app = s.client("alder", "r3"), s.app()
    m = app.message("dispatch", "alder", dispatch(order=order))
    assert app.request(m)["state"] == "accepted"
    while (got := alder.receive("dispatch")).header["id"] != m.id:
        pass
    alder.answer(got, "delivered")
    app.receipt_for(m, state="delivered")
    return m


def after_the_copy(s):
    """A waiting order before it; then an order, a revocation and a trip that the copy does not know."""
    app = s.app()
    assert app.request(app.message("dispatch", "alder", dispatch(order="waits")))["state"] == "accepted"
    stop(s)
    kept = keep(s, files(s))
    s.broker.start()
    later = one_order(s, "later")
    assert s.broker.tool("party", "revoke", "birch")[0] == 0
    assert s.broker.tool("breaker", "trip", "retail", "r2", "coordinator.rest", "odd")[0] == 0
    stop(s)
    return kept, later


def accepted(s, later, env=None):
    """The copy, accepted: nothing that it forgot can do harm."""
    code, said = tool(s, "journal", "accept-restore", journal(s), s.broker.config["audit"], env=env)
    assert code == 0, said
    assert (said[0]["expired"], said[0]["revoked"], said[0]["tripped"]) == (1, 1, 1), said
    s.broker.start()
    health = s.broker.tool("health")[1]
    assert health["ready"] and {"r2", "r3"} <= set(health["isolated"]), health
    s.audited(what="outbox", verdict="expired")  # the order that waited: told, not sent
    assert s.broker.tool("join", "r3")[0] == 0
    alder, app = s.client("alder", "r3"), s.app()
    app.send(later)
    assert app.receipt_for(later)["state"] == "refused"  # its mark is lost, its time is over
    parties = s.broker.tool("party", "list")[1]["parties"]
    assert [p["party"] for p in parties if p["state"] == "revoked"] == ["birch"], parties
    links = s.broker.tool("breaker", "list")[1]["links"]
    assert [(x["state"], x["by_operator"]) for x in links if "retail" in (x["party"], x["peer"])] == [("open", True)], links
    stop(s)
    s.broker.start()  # from here on it is a usual one


def a_copy_of_the_database_alone_is_refused_and_may_be_accepted(s):
    kept, later = after_the_copy(s)
    put_back(s, kept, files(s)[:2])
    does_not_start(s, "is older than what was committed last")
    code, said = tool(s, "journal", "check", journal(s))
    assert code == 1 and "older" in said[0]["findings"][0], said
    accepted(s, later)


def accepted_on_a_machine_whose_clock_is_behind_it_forgets_no_less(s):
    kept, later = after_the_copy(s)
    put_back(s, kept, files(s)[:2])
    behind = os.path.join(s.folder, "behind")
    with open(behind, "w", encoding="utf-8") as file:
        file.write("-3600000")
    accepted(s, later, {"LD_PRELOAD": os.environ["ERAB_SHIFTED_CLOCK_LIBRARY"], "ERAB_SHIFTED_CLOCK": behind,
                        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})


def a_copy_of_everything_is_refused_by_the_audit_log_and_may_be_accepted(s):
    kept, later = after_the_copy(s)
    put_back(s, kept, files(s))
    assert tool(s, "journal", "check", journal(s))[0] == 0
    does_not_start(s, "the audit log knows")
    accepted(s, later)


def a_backup_is_made_while_it_runs_and_refused_as_it_is(s):
    one_order(s, "o-1")
    copy = os.path.join(s.folder, "copy.db")
    code, said = s.broker.tool("journal", "backup", copy)
    assert code == 0, said
    assert s.broker.tool("journal", "backup", copy)[0] == 1  # never in the place of another
    code, said = tool(s, "journal", "check", copy)
    assert code == 0 and said[0]["kind"] == "backup" and said[0]["rows"] > 0, said
    stop(s)
    shutil.copy(copy, journal(s))
    for name in files(s)[1:]:
        if os.path.exists(name):
            os.unlink(name)
    does_not_start(s, "is a backup")
    assert tool(s, "journal", "accept-restore", journal(s), s.broker.config["audit"])[0] == 0
    s.broker.start()


def logs_that_cannot_be_believed_are_not_taken(s):
    """Each of these would have forgotten the revocation without a word."""
    kept, _ = after_the_copy(s)
    put_back(s, kept, files(s)[:2])
    log = s.broker.config["audit"]
    with open(log, encoding="utf-8") as file:
        lines = file.readlines()
    changed = os.path.join(s.folder, "changed.jsonl")
    with open(changed, "w", encoding="utf-8") as file:
        file.writelines(line.replace('"party-revoke"', '"party-revokf"') for line in lines)
    for wrong in (changed, s.net.keys.path("alder"), s.folder, "/dev/null", "/proc/self/mem"):
        code, said = tool(s, "journal", "accept-restore", journal(s), wrong)
        assert code == 1 and wrong in said[0]["error"], (wrong, said)
    assert tool(s, "journal", "stat", journal(s))[1][0]["kind"] == "live"
    s.broker.process = None  # it was stopped above


def a_torn_log_and_the_one_after_it_are_taken_together(s):
    kept, _ = after_the_copy(s)
    log = s.broker.config["audit"]
    older = os.path.join(s.folder, "older.jsonl")
    os.rename(log, older)
    with open(older, "ab") as file:
        file.write(b'{"seq":')
    s.broker.start()
    assert s.broker.tool("breaker", "close", "retail", "r2", "coordinator.rest")[0] == 0
    assert s.broker.tool("party", "revoke", "alder")[0] == 0
    stop(s)
    put_back(s, kept, files(s)[:2])
    code, said = tool(s, "journal", "accept-restore", journal(s), older, log)
    assert code == 0 and (said[0]["revoked"], said[0]["tripped"], said[0]["torn"]) == (2, 0, 1), said
    s.broker.start()
    parties = s.broker.tool("party", "list")[1]["parties"]
    assert sorted(p["party"] for p in parties if p["state"] == "revoked") == ["alder", "birch"], parties


def an_empty_journal_is_refused_where_the_audit_log_knows_another(s):
    stop(s)
    for name in files(s):
        if os.path.exists(name):
            os.unlink(name)
    does_not_start(s, "not the one that the audit log tells of")


def a_changed_row_stops_commands_and_telemetry_goes_on(s):
    app = s.app()
    m = app.message("dispatch", "birch", dispatch(order="changed"))
    assert app.request(m)["state"] == "accepted"
    stop(s)
    db = sqlite3.connect(journal(s), isolation_level=None)
    db.execute("update outbox set recipient = 'alder'")  # of as many bytes as a flipped bit would leave
    db.close()
    code, said = tool(s, "journal", "check", journal(s))
    assert code == 1 and "table outbox, row 1: does not match its hash" in said[0]["findings"][0], said
    s.broker.start()
    assert any("table outbox, row 1" in line and "journal.db" in line for line in s.broker.process.lines)
    code, said = s.broker.tool("health")
    assert code == 1 and said["not_ready_because"] == "journal-damaged", said
    alder, app = s.client("alder", "r3"), s.app()
    try:
        app.request(app.message("dispatch", "alder", dispatch(order="after")))
        raise AssertionError("it was taken")
    except Refused as refused:
        assert refused.receipt["reason"] == "not-ready", refused.receipt
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry()))
    app.receive("telemetry")
    assert not [r for r in s.broker.audit() if r["what"] == "message" and r["type"] == "dispatch" and r["to"] == "alder"]


def who_may_come_in_damaged_means_no_start(s):
    assert s.broker.tool("party", "revoke", "birch")[0] == 0
    stop(s)
    db = sqlite3.connect(journal(s), isolation_level=None)
    db.execute("update revocation set party = 'birci'")
    db.close()
    does_not_start(s, "table revocation, row birci: does not match its hash")


if __name__ == "__main__":
    stage.run()
