"""A broker with operators, one adapter that runs and one that may not, for the tests of the tool."""
import copy
import json
import os
import select
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../support"))
from stage import SOURCE, Stage  # noqa: E402

ECHO = sys.argv[1]


class ToolStage(Stage):
    def __init__(self):
        super().__init__()
        b = self.broker
        b.process.stop()
        b.party("dev", "ra", "home", represented_by="echo")
        b.party("dev-2", "ra", "home", represented_by="unsigned")
        b.adapter("echo", ECHO, "echo", ["dev"], {})
        module = os.path.join(b.folder, "unsigned.so")
        with open(ECHO, "rb") as f, open(module, "wb") as out:
            out.write(f.read())
        b.config["adapters"].append({**copy.deepcopy(b.config["adapters"][0]), "instance": "unsigned", "module": module, "parties": ["dev-2"],
                                     "key_file": self.net.keys.path(f"{b.owner}.unsigned")})
        b.config["operators"] = []
        for name in ("hana", "ken"):
            code, out, _ = self.run("operator", "new", name, self.path(name), "--json")
            assert code == 0
            b.config["operators"].append({"name": name, "sign_key": json.loads(out)["sign_key"]})
        b.config["enrolment"] = {"approvals": 1}
        b.start()
        self.socket = b.config["admin_socket"]
        self.until(lambda: self.health()["adapters"]["not_running"] == ["unsigned"])
        self.until(lambda: [p["bound"] for p in self.health()["peers"]] == [True, True])

    def path(self, name):
        return os.path.join(self.folder, name)

    def health(self):
        return json.loads(self.run("health", self.broker.config["admin_socket"], "--json")[1])

    def until(self, done, timeout=20):
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, (done, self.health())
            select.select([], [], [], 0.02)

    def run(self, *words):
        done = subprocess.run([self.net.erab, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def way(self, party, interface):
        """How `send` and `watch` reach the broker as this party."""
        endpoint, key = self.broker.server(interface)
        return ["--identity", self.net.keys.path(party), "--endpoint", endpoint, "--server-key", key, "--hub",
                self.broker.owner]

    def trust(self):
        return ["--trust", f"{self.broker.owner}={self.net.keys.sign(self.broker.owner)}"]

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)


def nobody():
    """An endpoint where nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"


ORDER = ["order=o-1", "modification=0", "mode=delta", "start_ms=now", "end_ms=now+10m",
         "slot=[{start_ms: now, end_ms: now+10m, target_kw: -100}]"]
__all__ = ["ECHO", "HERE", "ORDER", "SOURCE", "ToolStage", "nobody"]
