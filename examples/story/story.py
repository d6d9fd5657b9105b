"""The cast of the story and the order that goes through it: four brokers, their parties, a foreign VTN, a battery."""
import glob
import json
import os
import socket
import subprocess

from network import Failed, Network, Process

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
FIRM = "example-coordinator"


class Control:
    """The witness VTN's control socket: what the operator's desk would do."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def __call__(self, **request):
        self.file.write(json.dumps(request) + "\n")
        self.file.flush()
        return json.loads(self.file.readline())


class Story:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.fleet = dict(zip(("alder", "birch", "cedar"), args.fleet))
        self.net = Network(folder, args.build, SOURCE)
        self.processes = {}
        self.homes = self.guests = None
        self.program = os.path.join(args.build, "examples/story/erab-story")

    def module(self, name):
        found = glob.glob(os.path.join(self.args.build, "adapters", name, "*.so"))
        if len(found) != 1:
            raise Failed(f"the module {name} is not built")
        return found[0]

    # ---- the cast ----

    def start_vtn(self):
        certs = os.path.join(self.folder, "certs")
        subprocess.run([os.path.join(HERE, "vtn/make_certs.sh"), certs, "ec", "ven"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        control = os.path.join(self.folder, "vtn.sock")
        vtn = Process("witness VTN", ["/usr/bin/python3", "-u", os.path.join(HERE, "vtn/vtn.py"),
                                      "--listen", "127.0.0.1:0", "--cert", certs + "/vtn.pem", "--key", certs + "/vtn.key",
                                      "--ca", certs + "/ca.pem", "--ven", f"VEN_COORDINATOR={certs}/ven.pem",
                                      "--control", control])
        self.processes["vtn"] = vtn
        self.vtn_url = vtn.wait_event(lambda e: "url" in e)["url"]
        self.vtn = Control(control)
        self.certs = certs

    def start_direct(self):
        b = self.net.broker("coordinator.direct", "ac", FIRM)
        b.listen("internal")
        b.party("tso", "tso", "example-tso", represented_by="r1")
        b.party("coordinator.rest", "ac", FIRM, kind="uplink", interfaces=["internal"])
        b.party("direct.app", "ac", FIRM, kind="local")
        b.adapter("r1", self.module("openadr2b"), "openadr2b", ["tso"], {
            "vtn_url": self.vtn_url, "ca_file": self.certs + "/ca.pem", "cert_file": self.certs + "/ven.pem",
            "key_file": self.certs + "/ven.key", "vtn_id": "VTN_EXAMPLE", "ven_name": "coordinator",
            "tso": "tso", "recipient": "coordinator.direct", "product": "tertiary-2",
            "report_resource": "coordinator"})
        self.direct = b.start()

    def start_rest(self):
        b = self.net.broker("coordinator.rest", "ac", FIRM)
        b.listen("r2")
        b.listen("r3")
        b.party("coordinator.direct", "ac", FIRM, kind=None)
        b.party("rest.app", "ac", FIRM, kind="local")
        b.party("alder", "ra", "alder", kind="uplink", interfaces=["r3"])
        b.party("birch", "ra", "birch", interfaces=["r3"])
        b.party("cedar", "ra", "cedar", interfaces=["r3"])
        b.party("dogwood", "ra", "dogwood", interfaces=["r3"])
        b.party("retail", "retailer", "example-retail", interfaces=["r2"])
        b.config["heads"] = {"every": 20, "to": ["alder"]}
        self.operator = os.path.join(self.folder, "hana.operator")
        made = subprocess.run([self.net.erab, "operator", "new", "hana", self.operator, "--json"], check=True,
                              stdout=subprocess.PIPE)
        b.config["operators"] = [{"name": "hana", "sign_key": json.loads(made.stdout)["sign_key"]}]
        b.uplink(self.direct, "internal")
        self.rest = b.start()

    def start_alder(self):
        b = self.net.broker("alder", "ra", "alder")
        b.listen("r4")
        b.party("coordinator.rest", "ac", FIRM, kind=None)
        b.party("alder.app", "ra", "alder", kind="local")
        b.party("h0001.gw", "gateway", "home-1", kind="uplink", interfaces=["r4"])
        b.uplink(self.rest, "r3")
        self.alder = b.start()

    def start_home(self):
        """The home has a broker of its own: what its battery measures is open to nobody on the way to its gateway."""
        b = self.net.broker("h0001.gw", "gateway", "home-1")
        b.party("alder", "ra", "alder", kind=None)
        b.party("h0001.app", "gateway", "home-1", kind="local")
        b.uplink(self.alder, "r4")
        if self.homes:
            b.party("h0001.battery", "device", "home-1", represented_by="homes")
            b.adapter("homes", self.module("echonet_lite"), "echonet_lite", ["h0001.battery"], {
                "interface": self.homes.interface, "gateway": "h0001.gw", "poll_s": 1, "timeout_ms": 700, "verify_ms": 4000,
                "devices": f"h0001.battery=027D01@{self.homes.battery_address}"})
        self.home = b.start()

    def party(self, name, role, broker, interface, extra=(), key=None, local_as=None):
        endpoint, server_key = broker.server(interface)
        keys = self.net.keys
        args = [self.program, role, "--key", keys.path(key or name), "--endpoint", endpoint, "--server-key", server_key,
                "--hub", broker.owner, "--report-ms", "1000"]
        if local_as:
            args += ["--as", local_as, "--local"]
        for other in ("tso", "coordinator.direct", "coordinator.rest", "alder", "birch", "cedar", "dogwood", "retail", "h0001.gw",
                      "h0001.battery"):
            signer = {"tso": "coordinator.direct.r1", "h0001.battery": "h0001.gw.homes"}.get(other, other)
            args += ["--trust", f"{other}={keys.sign(signer)}"]
        self.processes[name] = Process(name, args + list(extra))
        return self.processes[name]

    def start_parties(self):
        weights = [f"{ra}={homes}" for ra, homes in self.fleet.items()]
        self.party("direct.app", "coordinator-direct", self.direct, "local",
                   ["--up", "tso", "--member", "coordinator.rest=1", "--resource", "coordinator"], local_as="coordinator.direct")
        self.party("rest.app", "coordinator-rest", self.rest, "local",
                   ["--up", "coordinator.direct"] + [a for w in weights for a in ("--ra", w)],
                   local_as="coordinator.rest")
        homes = ["--home", "h0001.gw=1"] if self.homes else []
        self.party("alder.app", "aggregator", self.alder, "local",
                   ["--up", "coordinator.rest", "--fleet", str(max(0, self.fleet["alder"] - len(homes) // 2)), *homes],
                   local_as="alder")
        for ra in ("birch", "cedar"):
            self.party(ra, "aggregator", self.rest, "r3", ["--up", "coordinator.rest", "--fleet", str(self.fleet[ra])])
        self.party("h0001.app", "gateway", self.home, "local", ["--up", "alder", "--device", "h0001.battery"],
                   local_as="h0001.gw")
        for name in ("direct.app", "rest.app", "alder.app", "birch", "cedar", "h0001.app"):
            self.processes[name].wait_event(lambda e: e.get("event") == "connected")

    # ---- the steps ----

    def registered(self):
        answer = self.vtn(do="wait", **{"for": "registered"}, timeout_s=30)
        self.direct.process.pump()
        assert answer.get("ok"), self.direct.process.lines[-5:]
        return "by HTTP pull over TLS with a client certificate"

    def order(self):
        answer = self.vtn(do="event", signal="LOAD_DISPATCH", type="delta", value=-float(self.args.order), start_in_s=0,
                          duration_s=1800, unit="k")
        self.event = answer["event"]
        opt = self.vtn(do="wait", **{"for": "created-event"}, event=self.event, opt="optIn", timeout_s=30)
        assert opt.get("ok"), opt
        total = sum(self.fleet.values())
        shares = {}
        for ra in self.fleet:
            split = self.processes["rest.app"].wait_event(lambda e: e.get("event") == "split" and e.get("member") == ra)
            shares[ra] = split["kw"]
            expected = -self.args.order * self.fleet[ra] / total
            assert abs(split["kw"] - expected) < 0.0011, f"{ra} got {split['kw']} kW, {expected} expected"
        assert abs(sum(shares.values()) + self.args.order) < 1e-6, shares
        return ", ".join(f"{ra} {kw:g} kW" for ra, kw in shares.items())

    def discharging(self):
        share = round(1000 * self.args.order / sum(self.fleet.values()))  # W of one home
        state = self.homes.wait_battery(lambda s: s["does"] == "discharge" and s["watts"] == -share)
        return f"a foreign controller read discharge, {state['watts']} W"

    def report(self):
        """Reports until one tells the ordered power within 2 %."""
        wanted, last = -float(self.args.order), None
        for count in range(1, 31):
            answer = self.vtn(do="wait", **{"for": "report"}, count=count, timeout_s=20)
            assert answer.get("ok"), f"no report; the last one told {last} kW"
            last = answer["entry"]["points"][-1]["value"]
            if abs(last - wanted) > 0.02 * abs(wanted):
                continue
            if self.homes:  # the battery's own values are part of the sum
                self.processes["alder.app"].wait_event(lambda e: e.get("event") == "telemetry" and e["silent"] == 0)
            return f"{last:g} kW in TELEMETRY_USAGE, {wanted:g} kW ordered"
        raise Failed(f"the last of 30 reports told {last} kW, {wanted:g} kW ordered")

    def cancel(self):
        self.vtn(do="cancel", event=self.event)
        self.alder.wait_audit(lambda r: r.get("type") == "dispatch-cancel" and r["what"] == "message", 30)
        if self.homes:
            self.homes.wait_battery(lambda s: s["does"] == "auto")
            return "the battery is back in automatic mode"
        return ""

    def bad_device(self, word, reason):
        """An order of 8 s while the battery misbehaves; the Results up to the transmission operator say so."""
        self.homes.say(word + " on")
        event = self.vtn(do="event", signal="LOAD_DISPATCH", type="delta", value=-float(self.args.order), start_in_s=0,
                         duration_s=8, unit="k")["event"]
        print(f"              ... an order of 8 s with a battery that does this: {word}", flush=True)
        result = self.processes["alder.app"].wait_event(
            lambda e: e.get("event") == "result" and event in e["order"], timeout=40)
        self.homes.say(word + " off")
        assert result["outcome"] != "done" and result["reason"] == reason, result
        self.direct.wait_audit(lambda r: r["what"] == "message" and r.get("type") == "result" and r["to"] == "tso" and
                               r["time_ms"] >= result["at_ms"])
        return f"outcome {result['outcome']}, reason {result['reason']}"

    def retail(self):
        retail = self.party("retail", "retailer", self.rest, "r2", ["--up", "coordinator.rest", "--device", "alder"])
        retail.wait_event(lambda e: e.get("event") == "receipt" and e.get("state") in ("accepted", "delivered"))
        refused = retail.wait_event(lambda e: e.get("event") == "receipt" and e.get("state") == "refused")
        self.rest.wait_audit(lambda r: r["what"] == "refused" and r.get("type") == "device-command" and
                             r.get("from") == "retail")
        return f"reason {refused['code']}"

    def revoke(self):
        code, answer = self.rest.tool("party", "revoke", "birch", "--operator", self.operator)
        assert code == 0, answer
        self.rest.wait_audit(lambda r: r["what"] == "connection" and r.get("verdict") == "cut" and r["peer"] == "birch")
        self.rest.wait_audit(lambda r: r["what"] == "connection" and r.get("verdict") == "refused" and
                             r["reason"] == "revoked")
        code, health = self.rest.tool("health")
        peers = {p["peer"] for p in health["peers"] if p["bound"]}
        assert "birch" not in peers and {"alder", "cedar"} <= peers, peers
        return "others stay: " + ", ".join(sorted(peers))

    def audit(self):
        brokers = self.net.brokers + self.guests.net.brokers
        for b in brokers:
            b.process.stop()
            b.process = None
        for b in brokers:
            done = subprocess.run([self.net.erab, "audit", "verify", b.config["audit"]], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            assert done.returncode == 0, done.stdout.decode()
        return f"{len(brokers)} logs"

    def altered(self):
        path = os.path.join(self.folder, "altered.jsonl")
        data = bytearray(open(self.rest.config["audit"], "rb").read())
        at = data.index(b"coordinator.direct", len(data) // 2)
        data[at] ^= 1
        with open(path, "wb") as f:
            f.write(data)
        done = subprocess.run([self.net.erab, "audit", "verify", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 1, done
        return done.stdout.decode().strip().splitlines()[0]

    def truncated(self):
        """Alder holds heads of the coordinator's log, so a tail that is gone is missed."""
        heads = [r for r in self.alder.audit() if r["what"] == "peer-head" and r["of"] == "coordinator.rest"]
        assert heads, "alder has no head of coordinator.rest"
        path = os.path.join(self.folder, "truncated.jsonl")
        with open(self.rest.config["audit"], encoding="utf-8") as f:
            lines = f.readlines()
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(lines[:heads[-1]["head_seq"] - 1])
        alone = subprocess.run([self.net.erab, "audit", "verify", path], stdout=subprocess.PIPE)
        assert alone.returncode == 0, "without heads a cut tail cannot be seen"
        done = subprocess.run([self.net.erab, "audit", "verify", path, "--heads", self.alder.config["audit"]],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 1, done
        return done.stdout.decode().strip().splitlines()[0]

    def trace(self):
        dispatch = next(r for r in self.direct.audit() if r["what"] == "message" and r.get("type") == "dispatch" and
                        r["from"] == "tso")
        logs = [b.config["audit"] for b in self.net.brokers]
        done = subprocess.run([self.net.erab, "trace", dispatch["id"], *logs], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        text = done.stdout.decode()
        assert done.returncode == 0, text
        if self.homes:
            assert "h0001.battery" in text, text
        # The way down and the measured values back, without the path of the folder.
        lines = [line.replace(self.folder + "/", "") for line in text.strip().splitlines()]
        shown = [line for line in lines if " receipt " not in line and " opt " not in line]
        return "\n              ".join(shown[:16])

    def stop(self):
        if self.guests:
            self.guests.stop()
        for process in self.processes.values():
            process.stop()
        self.net.stop()
        if self.homes:
            self.homes.stop()
