"""Keys, configurations and processes of the story's brokers: what an operator would do by hand with
`erab key new`, an editor and a service manager. Used by demo.py and by the flow tests."""
import json
import os
import re
import select
import shlex
import shutil
import subprocess
import time

import yaml


def loopback():
    """An address of loopback that no other process's brokers listen on: one that restarts finds its port free, whatever
    runs beside it."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255}"


class Failed(Exception):
    """A process did not do what it should; the text says which and what it printed."""


class Process:
    """A child whose output lines are kept; never waited for by sleeping, always by its lines."""

    def __init__(self, name, args, merge=True, env=None):
        self.name = name
        self.lines = []
        self.rest = b""
        self.child = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                                      stderr=subprocess.STDOUT if merge else None)
        os.set_blocking(self.child.stdout.fileno(), False)

    def pump(self):
        try:
            data = os.read(self.child.stdout.fileno(), 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.lines += [line.decode("utf-8", "replace") for line in lines]
        return True

    def wait_line(self, pattern, timeout=20, after=0):
        """The first match in the lines from `after` on."""
        end = time.monotonic() + timeout
        seen, open_ = after, True
        while True:
            for i in range(seen, len(self.lines)):
                match = re.search(pattern, self.lines[i])
                if match:
                    return match
            seen = len(self.lines)
            left = end - time.monotonic()
            if not open_ or left <= 0:
                raise Failed(f"{self.name}: no line with {pattern!r}; it printed:\n  " + "\n  ".join(self.lines[-12:]))
            select.select([self.child.stdout], [], [], min(left, 1.0))
            open_ = self.pump()

    def events(self):
        """The JSON lines so far."""
        self.pump()
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def wait_event(self, test, timeout=20):
        """The first JSON line for which test(event) is true."""
        end = time.monotonic() + timeout
        seen, open_ = 0, True
        while True:
            for line in self.lines[seen:]:
                if line.startswith("{"):
                    event = json.loads(line)
                    if test(event):
                        return event
            seen = len(self.lines)
            left = end - time.monotonic()
            if not open_ or left <= 0:
                raise Failed(f"{self.name}: the awaited event did not come; it printed:\n  " + "\n  ".join(self.lines[-12:]))
            select.select([self.child.stdout], [], [], min(left, 1.0))
            open_ = self.pump()

    def stop(self, timeout=20):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        while self.pump():
            pass
        self.child.stdout.close()
        self.child.stdin.close()
        return self.child.returncode


class Keys:
    """Key files made by the tool; only their public halves are read here."""

    def __init__(self, folder, erab):
        self.folder = folder
        self.erab = erab
        self.known = {}

    def new(self, party):
        if party not in self.known:
            path = os.path.join(self.folder, party + ".key")
            subprocess.run([self.erab, "key", "new", party, path], check=True, stdout=subprocess.DEVNULL)
            shown = subprocess.run([self.erab, "key", "show", path, "--json"], check=True, stdout=subprocess.PIPE)
            self.known[party] = {"path": path, **json.loads(shown.stdout)}
        return self.known[party]

    def path(self, party):
        return self.new(party)["path"]

    def curve(self, party):
        return self.new(party)["curve_public"]

    def sign(self, party):
        return self.new(party)["sign_public"]


class Broker:
    """One erabd: its configuration, its process."""

    def __init__(self, network, owner, role, firm):
        self.network = network
        self.owner = owner
        self.folder = os.path.join(network.folder, owner)
        os.makedirs(self.folder, mode=0o700)
        keys = network.keys
        self.config = {
            "owner": {"party": owner, "role": role, "firm": firm, "key_file": keys.path(owner)},
            "profile": os.path.join(network.source, "profiles/erab-1.2-draft.yaml"),
            "state_dir": self.folder,
            "audit": os.path.join(self.folder, "audit.jsonl"),
            "admin_socket": os.path.join(self.folder, "admin.sock"),
            "local": {"endpoint": "ipc://" + os.path.join(self.folder, "local.sock"),
                      "key_file": keys.path(owner + ".local")},
            "listeners": [],
            "parties": [{"id": owner, "role": role, "firm": firm}],
            "policies": ["r1", "r2", "r3", "r4", "r5"],
        }
        self.process = None
        self.ports = {}

    def listen(self, interface):
        name = f"{self.owner}.{interface}"
        self.config["listeners"].append({"interface": interface, "endpoint": f"tcp://{self.network.address}:0",
                                         "key_file": self.network.keys.path(name)})

    def party(self, party, role, firm, kind="self", represented_by=None, **attachment):
        keys = self.network.keys
        entry = {"id": party, "role": role, "firm": firm}
        if represented_by:
            entry["represented_by"] = represented_by
        elif kind:
            entry["curve_keys"] = [keys.curve(party)]
            entry["attachment"] = {"kind": kind, **attachment}
        if kind != "local" and not represented_by:
            entry["sign_keys"] = [keys.sign(party)]
        self.config["parties"].append(entry)

    def uplink(self, other, interface):
        """To another broker of this network that runs already."""
        self.config.setdefault("uplinks", []).append(
            {"party": other.owner, "endpoint": other.ports[interface],
             "server_key": self.network.keys.curve(f"{other.owner}.{interface}")})

    def module(self, module):
        """A copy of the module, signed with the key of this network's module signer."""
        copy = os.path.join(self.folder, os.path.basename(module))
        if not os.path.exists(copy):
            shutil.copyfile(module, copy)
            os.chmod(copy, 0o755)
            self.network.sign(copy)
        self.config["modules"] = {"signers": [self.network.keys.sign("module-signer")]}
        return copy

    def adapter(self, instance, module, name, parties, options):
        self.config.setdefault("adapters", []).append(
            {"instance": instance, "module": self.module(module), "name": name, "parties": parties,
             "options": options, "key_file": self.network.keys.path(f"{self.owner}.{instance}")})

    def write(self):
        self.path = os.path.join(self.folder, "erabd.yaml")
        with open(self.path, "w", encoding="utf-8") as f:
            yaml.safe_dump(self.config, f, sort_keys=False)

    def start(self, prefix=()):
        self.write()
        self.process = Process(f"erabd of {self.owner}", [*prefix, *self.network.command, "-c", self.path])
        self.process.wait_line(r"is ready$")
        for line in self.process.lines:
            match = re.search(r"erabd: (\w+) listens on (\S+)", line)
            if match:
                self.ports[match[1]] = match[2]
        for listener in self.config["listeners"]:  # a restart takes the same ports
            listener["endpoint"] = self.ports[listener["interface"]]
        return self

    def server(self, interface):
        """Endpoint and server key, as a client needs them."""
        return self.ports[interface], self.network.keys.curve(f"{self.owner}.{interface}")

    def audit(self):
        with open(self.config["audit"], encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def wait_audit(self, test, timeout=15):
        """The first audit record for which test(record) is true. The log has no wake-up of its own, so it is
        read again until the time is over."""
        end = time.monotonic() + timeout
        while True:
            for record in self.audit():
                if test(record):
                    return record
            if time.monotonic() > end:
                raise Failed(f"audit of {self.owner}: the awaited record did not come; last:\n  " +
                             "\n  ".join(json.dumps(r) for r in self.audit()[-8:]))
            select.select([], [], [], 0.05)

    def tool(self, *args):
        """Runs erab against this broker's admin socket; (exit code, answer)."""
        where = [self.config["admin_socket"]] if args[0] == "health" else ["--socket", self.config["admin_socket"]]
        done = subprocess.run([self.network.erab, *args, *where, "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text = done.stdout.decode() or "{}"
        return done.returncode, json.loads(text)


class Network:
    def __init__(self, folder, build, source):
        self.folder = folder
        self.build = build
        self.source = source
        self.address = loopback()
        self.erab = os.path.join(build, "cli/erab")
        self.erabd = os.path.join(build, "broker/erabd")
        # Any other host of the broker that takes -c FILE.
        self.command = shlex.split(os.environ.get("ERAB_ERABD", "")) or [self.erabd]
        keys = os.path.join(folder, "keys")
        os.makedirs(keys, mode=0o700)
        self.keys = Keys(keys, self.erab)
        self.brokers = []

    def broker(self, owner, role, firm):
        self.brokers.append(Broker(self, owner, role, firm))
        return self.brokers[-1]

    def sign(self, module, signer="module-signer"):
        subprocess.run([self.erab, "plugin", "sign", module, self.keys.path(signer)], check=True,
                       stdout=subprocess.DEVNULL)

    def stop(self):
        """Stops all brokers; the exit codes by owner."""
        return {b.owner: b.process.stop() for b in reversed(self.brokers) if b.process}
