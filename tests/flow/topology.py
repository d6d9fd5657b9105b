#!/usr/bin/python3
"""`erab topology check` on the configurations of three brokers, and one interface isolated between running ones."""
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "examples", "story"))
from network import Network  # noqa: E402


class Topology(unittest.TestCase):
    """direct (r1, internal) <- rest (r3) <- alder (r4)."""

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="erab-topology-")
        self.addCleanup(shutil.rmtree, folder)
        self.net = net = Network(folder, os.environ["ERAB_BUILD"], SOURCE)
        direct = self.direct = net.broker("c.direct", "ac", "c")
        rest = self.rest = net.broker("c.rest", "ac", "c")
        alder = self.alder = net.broker("alder", "ra", "alder")
        for port, (broker, interface) in enumerate([(direct, "r1"), (direct, "internal"), (rest, "r3"), (alder, "r4")]):
            broker.listen(interface)
            broker.ports[interface] = broker.config["listeners"][-1]["endpoint"] = f"tcp://{net.address}:{40001 + port}"
        direct.party("grid", "tso", "grid", interfaces=["r1"])
        direct.party("c.rest", "ac", "c", kind="uplink", interfaces=["internal"])
        rest.party("c.direct", "ac", "c", kind=None)
        rest.party("alder", "ra", "alder", kind="uplink", interfaces=["r3"])
        alder.party("c.rest", "ac", "c", kind=None)
        alder.party("home", "gateway", "home", interfaces=["r4"])
        rest.uplink(direct, "internal")
        alder.uplink(rest, "r3")
        rest.config["groups"] = [{"id": "all", "owner": "c.rest", "members": ["alder"]}]

    def check(self, *brokers):
        for broker in brokers:
            broker.write()
        done = subprocess.run([self.net.erab, "topology", "check", *[b.path for b in brokers], "--json"],
                              stdout=subprocess.PIPE, timeout=60)
        return done.returncode, json.loads(done.stdout)["errors"]

    def all(self):
        return self.check(self.direct, self.rest, self.alder)

    def refused(self, *texts):
        code, errors = self.all()
        self.assertEqual(code, 1)
        for text in texts:
            self.assertTrue(any(text in e for e in errors), f"{text!r} is not in {errors}")
        self.assertTrue(all(e.split(":")[1].isdigit() for e in errors), errors)
        return errors

    def test_what_fits_is_good(self):
        self.assertEqual(self.all(), (0, []))

    def test_an_uplink_whose_other_end_is_missing(self):
        code, errors = self.check(self.rest, self.alder)
        self.assertEqual(code, 1)
        self.assertTrue(any("uplink to 'c.direct': none of these files" in e for e in errors), errors)

    def test_another_server_key_names_both_ends(self):
        self.alder.config["uplinks"][0]["server_key"] = self.net.keys.curve("c.direct.r1")
        (error,) = self.refused("server_key is not the key of its listener")
        self.assertIn(self.alder.path + ":", error)
        self.assertIn(self.rest.path + ":", error)

    def test_an_endpoint_where_nobody_listens(self):
        here = f"tcp://{self.net.address}"
        self.alder.config["uplinks"][0]["endpoint"] = f"{here}:40009"
        self.refused(f"it does not listen on {here}:40009; its r3 listener is {here}:40003")

    def test_the_dialler_is_not_listed(self):
        self.rest.config["parties"].pop()
        self.rest.config["groups"] = []
        self.refused("'alder' is not among its parties")

    def test_an_old_key_of_the_dialler(self):
        self.rest.config["parties"][-1]["curve_keys"] = [self.net.keys.curve("alder.old")]
        self.rest.config["parties"][-1]["sign_keys"] = [self.net.keys.sign("alder.old")]
        self.refused("curve_keys of 'alder' hold another key", "sign_keys of 'alder' hold another key")

    def test_interfaces_that_leave_the_pairs_out(self):
        self.rest.config["parties"][-1]["attachment"]["interfaces"] = ["r2"]
        self.refused("'alder' dials for r3")

    def test_a_pair_without_an_interface(self):
        self.alder.config["owner"]["role"] = self.alder.config["parties"][0]["role"] = "tso"
        self.rest.config["parties"][-1]["role"] = "tso"
        self.refused("it belongs to the direct part")

    def test_two_firms_have_no_internal_interface(self):
        for entry in (self.rest.config["owner"], self.rest.config["parties"][0], self.direct.config["parties"][-1],
                      self.alder.config["parties"][1]):
            entry["firm"] = "d"
        self.refused("ac and ac of two firms have no interface")

    def test_the_direct_part_serves_nothing_but_r1(self):
        self.direct.config["parties"].append(copy.deepcopy(self.rest.config["parties"][-1]))
        self.refused("'alder' is a ra: it belongs to the rest part")

    def test_a_rest_part_without_its_uplink(self):
        self.rest.config["uplinks"] = []
        self.refused("it has no uplink to the direct part 'c.direct'")

    def test_one_broker_for_r1_and_r3(self):
        self.direct.listen("r3")
        code, errors = self.check(self.direct)
        self.assertEqual(code, 1)
        self.assertTrue(any("does not serve r3" in e for e in errors), errors)

    def test_a_group_with_a_member_that_nothing_leads_to(self):
        self.rest.party("birch", "ra", "birch", kind=None)
        self.rest.config["groups"][0]["members"].append("birch")
        self.refused("nothing leads to its member 'birch'")

    def test_a_dangling_represented_party(self):
        self.alder.party("battery", "device", "home", represented_by="home")
        self.refused("'battery' is represented by 'home', which does not speak for it")

    def test_one_party_in_two_roles(self):
        self.direct.party("alder", "ra", "elsewhere", kind=None)
        self.refused("'alder' has another role or firm in")

    def test_keys_from_the_configuration_serve_where_key_files_cannot_be_read(self):
        for broker in (self.direct, self.rest, self.alder):
            name = broker.owner
            self.net.keys.new(name)
            broker.config["owner"].update(curve_key=self.net.keys.curve(name), sign_key=self.net.keys.sign(name),
                                          key_file="/nowhere/key")
            for listener in broker.config["listeners"]:
                listener.update(curve_key=self.net.keys.curve(f"{name}.{listener['interface']}"), key_file="/nowhere/key")
        self.assertEqual(self.all(), (0, []))
        del self.rest.config["listeners"][0]["curve_key"]
        self.refused("the key of this listener cannot be read here")

    def test_uplinks_of_an_isolated_interface_close_and_come_back(self):
        for broker in (self.direct, self.rest, self.alder):
            broker.config["listeners"] = [{**g, "endpoint": f"tcp://{self.net.address}:0"} for g in broker.config["listeners"]]
        self.addCleanup(self.net.stop)
        self.direct.start()
        self.rest.config["uplinks"] = []
        self.rest.uplink(self.direct, "internal")
        self.rest.start()
        self.alder.config["uplinks"] = []
        self.alder.uplink(self.rest, "r3")
        self.alder.start()
        up = {"what": "connection", "verdict": "opened", "peer": "alder"}
        self.rest.wait_audit(lambda r: up.items() <= r.items())
        self.assertEqual(self.all(), (0, []))
        self.assertEqual(self.alder.tool("isolate", "r3")[0], 0)
        self.rest.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "closed" and r["peer"] == "alder")
        seen = max(r["seq"] for r in self.rest.audit())
        self.assertEqual(self.alder.tool("join", "r3")[0], 0)
        self.rest.wait_audit(lambda r: r["seq"] > seen and up.items() <= r.items())


unittest.main()
