#!/usr/bin/python3
"""Exit codes 1, 2 and 3 of every verb (0 is in the goldens), and that each says what is wrong, as text and as JSON."""
import json
import os
import subprocess
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tool_stage import ORDER, ToolStage, nobody  # noqa: E402

OFFLINE = {"help", "completion", "policy list"}  # nothing there can be refused
NO_BROKER = OFFLINE | {"key new", "key show", "operator new", "config check", "topology check", "audit verify", "trace",
                       "policy test", "plugin list", "plugin check", "plugin sign", "journal stat", "journal check",
                       "journal export", "journal accept-restore"}


def refused(s):
    """Of each verb a use that is right in form and refused."""
    at, hana = ["--socket", s.socket], ["--operator", s.path("hana")]
    none, text = s.path("none"), s.write("text", "hello\n")
    endpoint, key = s.broker.server("r3")
    rotate = ["--endpoint", endpoint, "--server-key", key, "--hub", s.broker.owner, "--role", "ra"]
    broken = s.write("broken.yaml", "owner: 1\n")
    return {
        "key new": ["key", "new", "Alder", none],
        "key show": ["key", "show", none],
        "key rotate": ["key", "rotate", none, none, *rotate],
        "operator new": ["operator", "new", "Hana", none],
        "enroll": ["enroll", text, none],
        "config check": ["config", "check", broken],
        "config reload": ["config", "reload", *at],
        "topology check": ["topology", "check", broken],
        "isolate": ["isolate", "r9", *at],
        "join": ["join", "r9", *at],
        "journal stat": ["journal", "stat", none],
        "journal check": ["journal", "check", text],
        "journal export": ["journal", "export", os.path.join(s.broker.folder, "journal.db")],  # in use
        "journal backup": ["journal", "backup", text, *at],
        "journal accept-restore": ["journal", "accept-restore", text, none],
        "audit verify": ["audit", "verify", none],
        "trace": ["trace", "0" * 36, s.broker.config["audit"]],
        "policy test": ["policy", "test", broken],
        "plugin list": ["plugin", "list", s.broker.path],
        "plugin check": ["plugin", "check", text],
        "plugin sign": ["plugin", "sign", text, s.net.keys.path("module-signer")],
        "party invite": ["party", "invite", "alder", none, "--role", "ra", "--firm", "f", *hana, *at],
        "party list": None,  # a broker that answers always has its list
        "party show": ["party", "show", "stranger", *at],
        "party approve": ["party", "approve", "alder", *hana, *at],
        "party deny": ["party", "deny", "alder", *hana, *at],
        "party revoke": ["party", "revoke", "stranger", *hana, *at],
        "breaker list": None,  # as well
        "breaker trip": ["breaker", "trip", "alder", "r3", "birch", *hana, *at],
        "breaker close": ["breaker", "close", "alder", "r9", "birch", *hana, *at],
        "clock show": None,  # as well
        "clock accept": ["clock", "accept", "--operator", s.net.keys.path("alder"), *at],
        "clock reject": ["clock", "reject", "--operator", s.net.keys.path("alder"), *at],
        "health": None,  # a broker that is not ready is in the goldens
        "send": ["send", "stranger", "dispatch", *ORDER, *s.way("rest.app", "local")],
        "watch": ["watch", *s.way("retail", "r3"), "--timeout", "20"],  # its key has no business on this listener
    }


def misused():
    """Of each verb words that are wrong in form, beside what every verb refuses."""
    way = ["--identity", "x", "--endpoint", "tcp://127.0.0.1:1", "--server-key", "00" * 32, "--hub", "h"]
    return [["key", "rotate", "a", "b"], ["key", "rotate", "r3", "f", "--socket", "s", "--overlap", "0"],
            ["party", "list"], ["party", "list", "--state", "gone", "--socket", "s"], ["party", "invite", "x", "f", "--role", "queen", "--firm", "f", "--socket", "s"],
            ["party", "invite", "x", "f", "--role", "ra", "--firm", "f", "--socket", "s", "--hours", "0"],
            ["config", "reload"], ["journal", "backup", "x"], ["journal", "backup", "x", "y", "--socket", "s"], ["isolate", "r1"], ["join", "r1"], ["breaker", "list"], ["clock", "show"], ["clock", "accept"],
            ["clock", "reject"], ["clock", "reject", "--lower", "--socket", "s"],
            ["audit", "verify", "x", "--key", "abc"], ["plugin", "check", __file__, "no-equals"], ["completion", "tcsh"],
            ["help", "me"], ["send", "x", "dispatch"], ["watch"], ["send", "X!", "dispatch", *way],
            ["send", "x", "song", *way], ["send", "x", "opt", "--category", "secret", *way],
            ["send", "x", "opt", "--expires", "0", *way], ["send", "x", "opt", "--until", "dawn", *way],
            ["send", "x", "telemetry", "--until", "applied", *way], ["send", "x", "opt", "--parent", "1:2", *way],
            ["send", "x", "opt", "--seal-to", "12", *way], ["send", "x", "opt", "--trust", "a", *way],
            ["watch", "--count", "0", *way], ["watch", "--timeout", "soon", *way], ["watch", "--types", "opt,song", *way],
            ["watch", "--take", "opt,song", *way], ["watch", "--take", "opt", *way]]


def bodies(s):
    """What a body may not be, with words of the answer."""
    way = s.way("rest.app", "local")
    both = s.write("body", "order: o\n")
    return [(["decision=opt-in", "--body", both], "not by both"), (["decision"], "FIELD=VALUE"), (["=1"], "FIELD=VALUE"),
            ([], "decision is needed"), (["decision=perhaps"], "'perhaps' is not taken"),
            (["decision=opt-in", "song=1"], "is no field of Opt"), (["decision=opt-in", "start_ms=never"], "now+90s"),
            (["--body", s.path("none")], "none: "), (["--body", s.write("l", "- 1\n")], "fields of a Opt are needed"),
            (["--body", s.write("a", "decision: &a opt-in\n")], "anchors"), (["decision=opt-in", "reason=" + "x" * 20000], "16 KiB"),
            ], way


def unreachable(s):
    none, gone, hana = ["--socket", s.path("none")], nobody(), ["--operator", s.path("hana")]
    key = s.broker.server("r3")[1]
    way = ["--identity", s.net.keys.path("alder"), "--endpoint", gone, "--server-key", key, "--hub", s.broker.owner]
    s.run("party", "invite", "cedar", s.path("cedar.invitation"), "--role", "ra", "--firm", "c", *hana, "--socket", s.socket,
          "--endpoint", gone)
    return {
        "key rotate": ["key", "rotate", s.net.keys.path("alder"), s.path("a2"), *way[2:], "--role", "ra"],
        "enroll": ["enroll", s.path("cedar.invitation"), s.path("cedar.key")],
        "config reload": ["config", "reload", *none], "isolate": ["isolate", "r1", *none], "join": ["join", "r1", *none],
        "health": ["health", s.path("none")],
        "clock show": ["clock", "show", *none], "clock accept": ["clock", "accept", *hana, *none],
        "clock reject": ["clock", "reject", *hana, *none],
        "journal backup": ["journal", "backup", s.path("copy"), *none],
        "party invite": ["party", "invite", "x", s.path("i"), "--role", "ra", "--firm", "f", *hana, *none],
        "party list": ["party", "list", *none], "party show": ["party", "show", "x", *none],
        "party approve": ["party", "approve", "x", *hana, *none], "party deny": ["party", "deny", "x", *hana, *none],
        "party revoke": ["party", "revoke", "x", *hana, *none], "breaker list": ["breaker", "list", *none],
        "breaker trip": ["breaker", "trip", "a", "r3", "b", *none], "breaker close": ["breaker", "close", "a", "r3", "b", *hana, *none],
        "send": ["send", "alder", "dispatch", *ORDER, *way, "--expires", "1"], "watch": ["watch", *way, "--timeout", "1"],
    }


def told(s, words, code, text=""):
    """The same as text and as JSON: all of them at once, for some wait long for nobody."""
    return [(form, words, code, text,
             subprocess.Popen([s.net.erab, *words, *form], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            for form in ([], ["--json"])]


def right(form, words, code, text, process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (words, form, process.returncode, out, err)
    if form:
        last = json.loads(out.splitlines()[-1])
        assert last["ok"] is False and not err, (words, out, err)
        said = json.dumps(last, ensure_ascii=False)
        assert code == 1 or last["error"], (words, out)
    else:
        said = out + err
        assert said.strip(), words
        assert code == 1 or err.startswith(("erab: ", "usage: ")), (words, err)
        assert "?  " not in err, (words, err)  # a line's end that was taken for something to hide
    assert text in said, (words, said)


def cut_short(s):
    """What cannot be written is not done, whatever became of the rest."""
    for words in (["party", "list", "--socket", s.socket], ["help"], ["--version"], ["policy", "list", "--json"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([s.net.erab, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "No space left" in done.stderr, (words, done)


def all_of(s):
    cut_short(s)
    with open(s.broker.path, "a", encoding="utf-8") as f:
        f.write("wat: 1\n")  # so that a reload is refused
    names = {" ".join(w for w in (v["noun"], v["verb"]) if w): v for v in json.loads(s.run("help", "--json")[1])["verbs"]}
    ones, threes = refused(s), unreachable(s)
    assert set(ones) | OFFLINE == set(names), set(ones) ^ set(names)
    assert set(threes) | NO_BROKER == set(names), set(threes) ^ set(names)
    checks = [c for words in ones.values() if words for c in told(s, words, 1)]
    checks += [c for words in threes.values() for c in told(s, words, 3)]
    for c in checks:
        right(*c)
    for name, v in names.items():
        words = [name.split()[0], *name.split()[1:], *["x"] * v["least_words"]]
        wrong = [words + ["--nonsense"], words + ["x"] * (v["most_words"] - v["least_words"] + 1)]
        wrong += [words[:-1]] if v["least_words"] else []
        for c in [c for w in wrong for c in told(s, w, 2)]:
            right(*c)
    for c in [c for w in misused() for c in told(s, w, 2)]:
        right(*c)
    more, way = bodies(s)
    for c in [c for w, text in more for c in told(s, ["send", "alder", "opt", *w, *way], 2, text)]:
        right(*c)
    print(f"{len(ones)} verbs refused, {len(threes)} without a broker, {len(names)} misused, {len(more)} bodies")


def main():
    s = ToolStage()
    try:
        all_of(s)
    except Exception:  # noqa: BLE001 any failure is a failed test
        traceback.print_exc(file=sys.stdout)
        s.net.stop()
        sys.exit(1)
    s.close()


main()
