"""Modules at a running broker: unsigned, changed, of a foreign signer, of another ABI; each is refused with its reason
in the audit, and the broker goes on. argv: folder with the modules echo_adapter.so and bad_wrong_major.so, each."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "tests", "support"))

import stage  # noqa: E402
from network import Network  # noqa: E402

ECHO, WRONG_ABI = sys.argv.pop(1), sys.argv.pop(1)
USER = 65533  # anybody but root


class Stage:
    """An aggregator's broker with one adapter."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="erab-modules-")
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        b = self.broker = self.net.broker("alder", "ra", "alder")
        b.listen("r4")
        b.party("h1.device", "device", "home-1", represented_by="echo")
        b.adapter("echo", ECHO, "echo", ["h1.device"], {})
        self.module = b.config["adapters"][0]["module"]

    def of_another_user(self):
        """All but the module now belongs to a user who is not root; how erabd is started as that user."""
        for path, _, files in os.walk(self.folder):
            os.chown(path, USER, USER)
            for name in files:
                if not name.startswith(os.path.basename(self.module)):
                    os.chown(os.path.join(path, name), USER, USER)
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]

    def refused(self, reason):
        record = self.broker.wait_audit(lambda r: r["what"] == "admin" and r.get("verdict") == "refused")
        assert (record["act"], record["object"]) == ("adapter", "echo"), record
        assert (record["reason"], record["module"]) == (reason, self.module), record
        assert not [r for r in self.broker.audit() if r.get("act") == "adapter" and r["verdict"] == "started"]
        assert self.broker.tool("health")[0] == 0

    def started(self):
        self.broker.wait_audit(lambda r: r.get("act") == "adapter" and r["verdict"] == "started")
        self.broker.process.wait_line(r"echo: connected to the broker")

    def listed(self):
        done = subprocess.run([self.net.erab, "plugin", "list", self.broker.path, "--json"], stdout=subprocess.PIPE,
                              check=False, text=True)
        return done.returncode, json.loads(done.stdout)["modules"][0]

    def close(self):
        codes = self.net.stop()
        shutil.rmtree(self.folder)
        assert set(codes.values()) <= {0}, codes


def children(pid):
    """Of all threads: the broker may have one of its own."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            found += [int(child) for child in f.read().split()]
    return found


def a_signed_module_is_started_and_listed(s):
    s.broker.start()
    s.started()
    code, row = s.listed()
    assert (code, row["state"], row["abi"]) == (0, "good", "0.1"), row
    assert row["signer"] == s.net.keys.sign("module-signer")
    assert [(c["kind"], c["name"], c["version"]) for c in row["content"]] == [("adapter", "echo", "1")], row


def an_unsigned_module_is_refused_until_it_is_signed(s):
    os.remove(s.module + ".sig")
    s.broker.start()
    s.refused("signature-missing")
    code, row = s.listed()
    assert (code, row["state"], row["content"]) == (1, "signature-missing", []), row
    s.net.sign(s.module)
    s.started()


def a_changed_module_is_refused(s):
    with open(s.module, "ab") as f:
        f.write(b"\0")
    s.broker.start()
    s.refused("signature-bad")


def a_module_of_a_foreign_signer_is_refused(s):
    s.net.sign(s.module, "somebody")
    s.broker.start()
    s.refused("signer-unknown")


def a_module_of_another_abi_is_refused(s):
    shutil.copyfile(WRONG_ABI, s.module)
    s.broker.start()
    s.refused("module-abi")


def a_module_that_is_no_module_is_refused(s):
    with open(s.module, "wb") as f:
        f.write(b"#!/bin/sh\n")
    s.broker.start()
    s.refused("module-file")


def a_module_changed_while_it_runs_is_not_started_again(s):
    s.broker.start()
    s.started()
    with open(s.module + ".new", "wb") as f, open(s.module, "rb") as old:
        f.write(old.read() + b"\0")
    os.chmod(s.module + ".new", 0o755)
    os.rename(s.module + ".new", s.module)
    pid = s.broker.process.child.pid
    (runner,) = children(pid)
    os.kill(runner, signal.SIGKILL)
    record = s.broker.wait_audit(lambda r: r.get("act") == "adapter" and r["verdict"] == "refused")
    assert record["reason"] == "signature-bad", record
    assert s.broker.tool("health")[0] == 0


def a_module_of_root_is_loaded_by_a_broker_of_another_user(s):
    if os.geteuid() != 0:
        print("NOT TESTED: only root can start a broker as another user")
        return
    prefix = s.of_another_user()
    s.broker.write()
    os.chown(s.broker.path, USER, USER)
    s.broker.start(prefix)
    s.started()


def adapters_without_signers_are_no_configuration(s):
    del s.broker.config["modules"]
    s.broker.write()
    done = subprocess.run([s.net.erab, "config", "check", s.broker.path], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "modules: {signers: [KEY]}" in done.stderr, done.stderr


stage.run(make=Stage)
