"""A home's network: a bridge here, the battery and a foreign controller in network namespaces of their own."""
import json
import os
import subprocess
import sys
import time

from network import Failed, Process


def enter_namespace():
    """Runs this program again in a network namespace of its own; "" when it is in one, else why it cannot."""
    if os.environ.get("ERAB_STORY_NAMESPACE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return ""
    command = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run(command + ["true"], stderr=subprocess.DEVNULL).returncode != 0:
        return "network namespaces need root or user namespaces (unshare -rn)"
    os.environ["ERAB_STORY_NAMESPACE"] = "1"
    os.execvp(command[0], command + [sys.executable, *sys.argv])


def no_runner():
    """"" where modules can run, else why not: their sandbox is made of user namespaces."""
    ways = [["unshare", "-rn", "true"]] + ([["unshare", "-n", "true"]] if os.geteuid() == 0 else [])
    made = any(subprocess.run(way, stderr=subprocess.DEVNULL, check=False).returncode == 0 for way in ways)
    return "" if made else "modules run in user namespaces, and this system allows none"


class Home:
    interface = "br0"
    battery_address = "10.77.0.2"

    def __init__(self, devices):
        self.devices = devices
        self.holders = []
        if not os.path.isdir(os.path.join(devices, "node_modules")):
            raise Failed("the npm packages of examples/story/devices are missing: run scripts/demo without --quick")
        run = lambda *a: subprocess.run(a, check=True)  # noqa: E731
        run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        for i, name in enumerate(("battery", "witness")):
            holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec cat"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
            assert holder.stdout.readline() == b"up\n"
            self.holders.append(holder)
            inside = ["nsenter", "-t", str(holder.pid), "-n"]
            setattr(self, name, inside)
            run("ip", "link", "add", f"veth{i}", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
            run("ip", "link", "set", f"veth{i}", "master", "br0", "up")
            run(*inside, "ip", "link", "set", "lo", "up")
            run(*inside, "ip", "addr", "add", f"10.77.0.{2 + i}/24", "dev", "eth0")
            run(*inside, "ip", "link", "set", "eth0", "up")
            run(*inside, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        self.process = Process("battery", [*self.battery, "node", os.path.join(devices, "battery.js"), "--address",
                                           self.battery_address, "--ramp-ms", "500"])

    def say(self, line):
        """To the battery's operator panel: "lie on", "refuse off" ..."""
        self.process.child.stdin.write(line.encode() + b"\n")
        self.process.child.stdin.flush()

    def ask(self):
        """What a foreign controller reads from the battery: set, does, watts, soc."""
        done = subprocess.run([*self.witness, "node", os.path.join(self.devices, "ask.js"), "--address", "10.77.0.3",
                               "--battery", self.battery_address],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        if done.returncode != 0:
            raise Failed("ask.js: " + done.stderr.decode()[-300:])
        return json.loads(done.stdout.decode().strip().splitlines()[-1])

    def asked(self):
        """Every Set of its mode that the battery's own log tells of, in order."""
        return [e["da"] for e in self.process.events() if e["event"] == "asked"]

    def wait_battery(self, test, timeout=40):
        end = time.monotonic() + timeout
        while True:
            state = self.ask()
            if test(state):
                return state
            if time.monotonic() > end:
                raise Failed(f"the battery's state did not come: {state}")

    def stop(self):
        self.process.stop()
        for holder in self.holders:
            holder.stdin.close()
            holder.wait()
