#!/usr/bin/python3
"""What every verb of the tool prints, as text and as JSON, against the files of golden/. With --rewrite they are written
anew: look at the difference before it is committed."""
import copy
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import socket

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tool_stage import HERE, ORDER, SOURCE, ToolStage  # noqa: E402

REWRITE = "--rewrite" in sys.argv
GOLDEN = os.path.join(HERE, "golden")
BODY = """order: o-2
modification: 0
mode: setpoint
start_ms: now
end_ms: now+10m
slot:
  - {start_ms: now, end_ms: now+10m, target_kw: 50}
"""
POLICY_CASES = """configuration: {source}/examples/policies/fifty_rules.yaml
profile: {source}/profiles/erab-1.2-draft.yaml
cases:
  - {{name: within the limit, from: gateway-01, to: battery-01, type: device-command, expect: allow,
     body: {{action: discharge, power_w: 1250, start_ms: now, end_ms: now+30m}}}}
  - {{name: beyond it, from: gateway-01, to: battery-01, type: device-command, expect: deny, section: "3.3",
     body: {{action: discharge, power_w: 1300, start_ms: now+1h, end_ms: now+2h}}}}
"""
NOT_READY = {"ok": True, "owner": "maple", "ready": False, "not_ready_because": "storage", "connections": 0, "packets_in": 0,
             "packets_out": 0, "refused": 0, "listeners": [], "peers": [], "isolated": ["r1", "r2"], "breakers_open": 2,
             "adapters": {"all": 3, "not_running": ["a", "b"]}, "policies": {"all": 1, "not_running": ["p"]}}


class Goldens:
    def __init__(self, stage):
        self.s = stage
        self.failed, self.seen, self.form = [], set(), "text"

    def steady(self, text):
        """Without what differs from run to run."""
        for what, name in ((self.s.folder, "FOLDER"), (SOURCE, "SOURCE")):
            text = text.replace(what, name)
        for pattern, name in ((r"\b[0-9a-f]{128}\b", "SIGNATURE"), (r"\b[0-9a-f]{64}\b", "KEY"),
                              (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "ID"),
                              (r"\b[0-9a-f]{32}\b", "LOG"), (r"\b127\.\d+\.\d+\.\d+:\d+", "127.0.0.1:PORT"),
                              (r'(?<="seq": )\d+', "NUMBER"), (r"\b1[6-9]\d{11}\b", "TIME"), (r'\b0\.1\.\d+\b', "VERSION"),
                              (r'("(?:connections|packets_in|packets_out|refused|for_s|retry_in_s|records|heads|witnessed|ahead_ms'
                               r'|serial)": )-?\d+', r"\1N"),
                              (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"),
                              (r"connections: \d+; packets: \d+ in, \d+ out, \d+ refused", "connections: N; packets: N"),
                              (r"\d+ (records|heads|confirmed)", r"N \1"), (r"\+\d+ +(\d)", r"+N \1"),
                              (r"(operator) +\d+ +\d+( +\d)", r"\1 N N\2")):
            text = re.sub(pattern, name, text)
        return text

    def shape(self, code, out, err):
        if self.form == "json":
            lines = []
            for line in out.splitlines():
                value = json.loads(line)  # one object a line, whatever happens
                assert isinstance(value, dict), line
                value.get("peers", []).sort(key=lambda p: (p["peer"], p["lanes"]))
                lines.append(json.dumps(value, indent=1, ensure_ascii=False))
            out = "\n".join(lines)
            if lines and "event" not in value:
                assert value["ok"] is (code == 0) or "ready" in value, (code, value)
        peers = sorted(line for line in out.splitlines() if line.startswith("peer: "))
        out = "\n".join(peers.pop(0) if line.startswith("peer: ") else line for line in out.splitlines())
        text = f"exit {code}\n{out}\n"
        return self.steady(text + (f"--- stderr\n{err}" if err else ""))

    def compare(self, name, code, out, err):
        self.seen.add((name, self.form))
        path = os.path.join(GOLDEN, f"{name}.{'json' if self.form == 'json' else 'txt'}")
        now = self.shape(code, out, err)
        if REWRITE:
            with open(path, "w", encoding="utf-8") as f:
                f.write(now)
            return
        was = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                was = f.read()
        if was != now:
            self.failed.append(os.path.basename(path))
            print("".join(difflib.unified_diff(was.splitlines(True), now.splitlines(True), path, "now")))

    def __call__(self, name, *words):
        code, out, err = self.s.run(*words, *(["--json"] if self.form == "json" else []))
        self.compare(name, code, out, err)
        return out


def offline(g, s, n):
    g("version", "--version")
    g("help", "help")
    g("help_noun", "help", "party")
    for shell in ("bash", "zsh", "fish"):
        g(f"completion_{shell}", "completion", shell)
    g("key_new", "key", "new", "cedar", s.path(f"k{n}"))
    g("key_new_there", "key", "new", "cedar", s.path(f"k{n}"))
    g("key_show", "key", "show", s.path(f"k{n}"))
    g("operator_new", "operator", "new", "taro", s.path(f"taro{n}"))
    g("config_check", "config", "check", s.broker.path)
    g("config_check_bad", "config", "check", s.write("bad.yaml", "profil: /p\nowner: {party: A}\n"))
    bad = copy.deepcopy(s.broker.config)
    bad["adapters"][0]["options"] = {"refus": "true", "refuse": "maybe"}
    g("config_check_options", "config", "check", s.write("options.yaml", json.dumps(bad, indent=1)))
    g("topology_check", "topology", "check", s.broker.path)
    g("policy_list", "policy", "list")
    g("policy_test", "policy", "test", s.write("cases.yaml", POLICY_CASES.format(source=SOURCE)))
    old = os.path.join(SOURCE, "tests/unit/journal/fixtures/version_1.journal")
    shutil.copy(old, s.path("journal.db"))
    g("journal_check_older", "journal", "check", s.path("journal.db"))
    g("journal_accept-restore", "journal", "accept-restore", s.path("journal.db"), s.write("audit", ""))
    g("journal_stat", "journal", "stat", s.path("journal.db"))
    g("journal_check", "journal", "check", s.path("journal.db"))
    g("journal_export", "journal", "export", s.path("journal.db"))
    g("journal_backup", "journal", "backup", s.path("journal.db"), s.path(f"copy{n}"))
    with open(s.path("journal.db"), "r+b") as f:
        f.seek(f.read().index(b"body of 2"))
        f.write(b"lady")
    g("journal_check_damaged", "journal", "check", s.path("journal.db"))
    module = s.broker.config["adapters"][0]["module"]
    g("plugin_list", "plugin", "list", s.broker.path)
    g("plugin_check", "plugin", "check", module)
    g("plugin_sign", "plugin", "sign", module, s.net.keys.path("module-signer"))


def not_ready(g, s):
    """A broker that says so: the tool's words for it."""
    path = s.path("not-ready.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def answer():
        with server.accept()[0] as c:
            while not c.recv(4096).endswith(b"\n"):
                pass
            c.sendall(json.dumps(NOT_READY).encode() + b"\n")

    thread = threading.Thread(target=answer)
    thread.start()
    g("health_not_ready", "health", path)
    thread.join()
    server.close()
    os.unlink(path)


def running(g, s):
    at, hana = ["--socket", s.socket], ["--operator", s.path("hana")]
    g("journal_backup_running", "journal", "backup", s.path(f"copy-{g.form}"), *at)
    g("health", "health", s.socket)
    not_ready(g, s)
    g("breaker_trip", "breaker", "trip", "alder", "r3", "coordinator.rest", "odd at night", *hana, *at)
    g("breaker_list", "breaker", "list", *at)
    g("breaker_close", "breaker", "close", "alder", "r3", "coordinator.rest", *hana, *at)
    g("breaker_list_none", "breaker", "list", *at)
    for verb in ("show", "accept", "reject"):
        g(f"clock_{verb}", "clock", verb, *([] if verb == "show" else hana), *at)
    g("isolate", "isolate", "r2", *at)
    g("isolate_unknown", "isolate", "r9", *at)
    g("join", "join", "r2", *at)
    groups = s.broker.config["groups"]
    s.broker.config["groups"] = groups + [{"id": "alone", "owner": "coordinator.rest", "members": ["alder"]}]
    s.broker.write()
    g("config_reload", "config", "reload", *at)
    s.broker.config["groups"] = groups + [{"id": "alone", "owner": "coordinator.rest", "members": ["nobody"]}]
    s.broker.write()
    g("config_reload_bad", "config", "reload", *at)
    s.broker.config["groups"] = groups
    s.broker.write()
    s.run("config", "reload", *at)


def parties(g, s, who, other):
    at, hana = ["--socket", s.socket], ["--operator", s.path("hana")]
    more = ["--role", "ra", "--firm", "newcomer", *hana, *at]
    g("party_invite", "party", "invite", who, s.path(f"{who}.invitation"), *more)
    g("enroll", "enroll", s.path(f"{who}.invitation"), s.path(f"{who}.key"))
    g("party_approve", "party", "approve", who, *hana, *at)
    g("party_approve_again", "party", "approve", who, *hana, *at)
    s.run("party", "invite", other, s.path(f"{other}.invitation"), *more)
    g("party_list", "party", "list", *at)
    g("party_deny", "party", "deny", other, *hana, *at)
    g("party_show", "party", "show", who, *at)
    endpoint, key = s.broker.server("r3")
    g("key_rotate", "key", "rotate", s.path(f"{who}.key"), s.path(f"{who}-2.key"), "--endpoint", endpoint, "--server-key", key,
      "--hub", s.broker.owner, "--role", "ra", "--overlap", "3600")
    g("party_revoke", "party", "revoke", who, *hana, *at)


def messages(g, s):
    json_too = ["--json"] if g.form == "json" else []
    body = s.write("body.yaml", BODY)
    local = [w for w in s.way("rest.app", "local")]
    watch = subprocess.Popen([s.net.erab, "watch", *s.way("alder", "r3"), *s.trust(), "--count", "1", "--timeout", "60",
                              *json_too], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = watch.stdout.readline()
    g("send", "send", "alder", "dispatch", "--body", body, "--until", "delivered", "--trust",
      f"alder={s.net.keys.sign('alder')}", *local)
    out, err = watch.communicate(timeout=60)
    g.compare("watch", watch.returncode, first + out, err)
    applied = g("send_applied", "send", "dev", "dispatch", *ORDER, "--exercise", "--trust",
                f"dev={s.net.keys.sign('coordinator.rest.echo')}", *local)
    g("send_refused", "send", "nobody", "dispatch", *ORDER, *local)
    g("send_telemetry", "send", "coordinator.rest", "telemetry", "--category", "sensor-group",
      "point=[{resource: fleet, quantity: power-kw, at_ms: now, value: -1.5}]", *s.way("birch", "r3"))
    g("watch_timeout", "watch", *s.way("birch", "r3"), "--count", "1", "--timeout", "6")
    message = re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21,22}", applied)[0]
    g("trace", "trace", message, s.broker.config["audit"])
    g("audit_verify", "audit", "verify", s.broker.config["audit"], "--key", s.net.keys.sign("coordinator.rest"))


def main():
    s = ToolStage()
    g = Goldens(s)
    for form, who, other in (("text", "cedar", "doug"), ("json", "cedar-j", "doug-j")):
        g.form = form
        offline(g, s, form)
        running(g, s)
        parties(g, s, who, other)
        messages(g, s)
    g.form = "text"
    at = ["--operator", s.path("hana"), "--socket", s.socket, "--overlap", "3600"]
    g("key_rotate_listener", "key", "rotate", "r2", s.path("r2-2.key"), *at)
    g.form = "json"
    g("key_rotate_listener", "key", "rotate", "r3", s.path("r3-2.key"), *at)
    verbs = json.loads(s.run("help", "--json")[1])["verbs"]
    for v in verbs:
        name = "_".join(w for w in (v["noun"], v["verb"]) if w)
        for form in ("text", "json"):
            if not any(seen == name or seen.startswith(name + "_") for seen, f in g.seen if f == form):
                g.failed.append(f"{name}: no golden as {form}")
    files = {f"{n}.{'json' if f == 'json' else 'txt'}" for n, f in g.seen}
    g.failed += [f"{f}: is no golden of any step" for f in sorted(set(os.listdir(GOLDEN)) - files)]
    s.close()
    print(f"{len(g.seen)} outputs of {len(verbs)} verbs, {len(g.failed)} differ: {' '.join(g.failed)}")
    sys.exit(1 if g.failed else 0)


main()
