"""The tool erab: what each verb prints and its exit code."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ERAB = sys.argv.pop(1)


def run(*words):
    done = subprocess.run([ERAB, *words], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_key_new_makes_a_private_file_and_show_prints_no_secret(self):
        code, out, _ = run("key", "new", "alder", self.path("k"), "--json")
        self.assertEqual(code, 0)
        self.assertEqual(os.stat(self.path("k")).st_mode & 0o777, 0o600)
        code, shown, _ = run("key", "show", self.path("k"), "--json")
        self.assertEqual((code, json.loads(shown)), (0, json.loads(out)))
        with open(self.path("k")) as file:
            for line in file:
                if "secret" in line:
                    self.assertNotIn(line.split()[1], shown)

    def test_key_new_never_overwrites(self):
        run("key", "new", "alder", self.path("k"))
        self.assertEqual(run("key", "new", "alder", self.path("k"))[0], 1)

    def policy_test(self, cases, *words):
        here = os.path.dirname(os.path.abspath(__file__))
        example = os.path.join(here, "../../../examples/policies/fifty_rules.yaml")
        with open(self.path("t"), "w") as file:
            json.dump({"configuration": example, "profile": os.path.join(here, "../../../profiles/erab-1.2-draft.yaml"),
                       "cases": cases}, file)
        return run("policy", "test", self.path("t"), *words)

    CHARGE = {"name": "charge", "from": "gateway-01", "to": "battery-01", "type": "device-command",
              "body": {"action": "charge", "power_w": 1000, "start_ms": "now", "end_ms": "now+1h"}}

    def test_policy_test_explains_every_vote(self):
        code, out, _ = self.policy_test([{**self.CHARGE, "expect": "allow"}], "--json")
        answer = json.loads(out)
        self.assertEqual((code, answer["ok"], answer["failed"]), (0, True, 0))
        result = answer["results"][0]
        self.assertEqual((result["verdict"], result["by"], result["section"]), ("allow", "r5", "3.6.5"))
        self.assertEqual([v["policy"] for v in result["votes"]], ["r2", "r3", "r4", "r5", "privacy", "quota", "safety"])
        self.assertEqual(result["votes"][3]["section"], "3.6.5")

    def test_policy_test_fails_when_an_expectation_is_not_met(self):
        code, out, _ = self.policy_test([{**self.CHARGE, "expect": "deny"}])
        self.assertEqual(code, 1)
        self.assertIn("FAIL", out)
        self.assertIn("expected: expect deny", out)
        self.assertEqual(self.policy_test([{**self.CHARGE, "expect": "allow", "section": "3.1"}])[0], 1)

    def test_policy_test_tells_what_it_cannot_read(self):
        for change, what in (({"from": "nobody"}, "needs a party"), ({"type": "x"}, "a message type"),
                             ({"expekt": "deny"}, "'expekt' is not known"), ({"reason": "x"}, "no reason code"),
                             ({"body": {"action": "charge", "wat": 1}}, "is no field of DeviceCommand"),
                             ({"body": {"action": "charge"}}, "start_ms is needed"),
                             ({"body": {"action": "leap", "start_ms": 1, "end_ms": 2}}, "'leap' is not taken")):
            code, _, err = self.policy_test([{**self.CHARGE, **change}])
            self.assertEqual(code, 1, what)
            self.assertIn(what, err)
            self.assertRegex(err, r"^\S+:\d+:\d+: ")
        self.assertEqual(self.policy_test([])[0], 1)

    def test_policy_list_prints_the_options(self):
        code, out, _ = run("policy", "list", "--json")
        self.assertEqual(code, 0)
        names = {p["name"]: [o["name"] for o in p["options"]] for p in json.loads(out)["policies"]}
        self.assertEqual(list(names), ["r1", "r2", "r3", "r4", "r5", "info", "quota", "safety", "privacy",
                                       "access"])
        self.assertIn("rules", names["quota"])

    def test_config_check_tells_every_fault_with_its_place(self):
        with open(self.path("c"), "w") as file:
            file.write("profil: /p\nowner: {party: A}\n")
        code, out, _ = run("config", "check", self.path("c"), "--json")
        self.assertEqual(code, 1)
        errors = json.loads(out)["errors"]
        self.assertTrue(any(e.endswith(":1:1: 'profil' is not known here; did you mean 'profile'?") for e in errors))
        self.assertTrue(any(":2:16: party: " in e for e in errors))

    def test_audit_verify_refuses_what_is_no_log(self):
        with open(self.path("a"), "w") as file:
            file.write("{}\n")
        code, out, _ = run("audit", "verify", self.path("a"), "--json")
        self.assertEqual((code, json.loads(out)["bad_record"]), (1, 1))

    def test_plugin_sign_and_check_tell_what_is_no_module(self):
        with open(self.path("m.so"), "w") as file:
            file.write("no module")
        run("key", "new", "signer", self.path("k"))
        code, out, _ = run("plugin", "sign", self.path("m.so"), self.path("k"), "--json")
        self.assertEqual(code, 1)
        self.assertIn("m.so: is no ELF file", json.loads(out)["error"])
        self.assertFalse(os.path.exists(self.path("m.so.sig")))
        code, out, _ = run("plugin", "check", self.path("m.so"), "--json")
        self.assertEqual((code, json.loads(out)["failed"]), (1, 1))
        self.assertEqual(run("plugin", "check", self.path("none.so"))[0], 1)
        self.assertEqual(run("plugin", "check", self.path("m.so"), "noequals")[0], 2)
        self.assertEqual(run("plugin", "list", self.path("none.yaml"))[0], 1)
        self.assertEqual(run("plugin", "list")[0], 2)

    def test_an_absent_broker_is_exit_code_3(self):
        self.assertEqual(run("health", self.path("none"))[0], 3)
        self.assertEqual(run("party", "revoke", "birch", "--socket", self.path("none"), "--json")[0], 3)
        self.assertEqual(run("breaker", "list", "--socket", self.path("none"), "--json")[0], 3)
        self.assertEqual(run("breaker", "trip", "a", "r3", "b", "why", "--socket", self.path("none"))[0], 3)

    def test_operator_new_prints_the_lines_of_the_configuration(self):
        code, out, _ = run("operator", "new", "hana", self.path("hana"))
        lines = out.splitlines()
        self.assertEqual((code, lines[0]), (0, "operators:"))
        self.assertRegex(lines[1], r"^  - \{name: hana, sign_key: [0-9a-f]{64}\}$")
        self.assertEqual(os.stat(self.path("hana")).st_mode & 0o777, 0o600)
        self.assertEqual(run("operator", "new", "Hana", self.path("x"))[0], 1)

    def test_every_verb_of_parties_says_what_it_needs(self):
        for words in (["party", "list"], ["party", "show", "x"], ["party", "approve", "x"], ["party", "deny", "x"],
                      ["party", "invite", "x", self.path("i")], ["key", "rotate", "a", "b"], ["enroll", "a"], ["enroll"],
                      ["party", "invite", "x", self.path("i"), "--socket", "s"], ["operator", "new", "x"]):
            code, _, error = run(*words)
            self.assertEqual(code, 2, words)
            self.assertTrue(error.startswith(("erab: ", "usage: erab ")), error)

    def test_parties_of_an_absent_broker_are_exit_code_3(self):
        run("operator", "new", "hana", self.path("hana"))
        tail = ["--socket", self.path("none"), "--json"]
        hana = ["--operator", self.path("hana")]
        for words in (["list"], ["show", "x"], ["approve", "x", *hana], ["deny", "x", *hana], ["revoke", "x", *hana],
                      ["invite", "x", self.path("i"), "--role", "ra", "--firm", "f", *hana]):
            code, out, _ = run("party", *words, *tail)
            self.assertEqual((code, json.loads(out)["ok"]), (3, False), words)

    def test_wrong_use_is_exit_code_2_and_help_0(self):
        self.assertEqual(run("nonsense")[0], 2)
        self.assertEqual(run("key", "new")[0], 2)
        self.assertEqual(run("health", "x", "--nonsense")[0], 2)
        self.assertEqual(run("party", "revoke", "birch")[0], 2)
        self.assertEqual(run("breaker", "list")[0], 2)
        self.assertEqual(run("breaker", "trip", "alder", "r3", "--socket", "x")[0], 2)
        self.assertEqual(run("breaker", "close", "alder", "r3", "birch")[0], 2)
        self.assertEqual(run("breaker", "trip", b"\xff", "r3", "birch", "--socket", "x")[0], 2)
        self.assertEqual(run("--help")[0], 0)
        self.assertEqual(run("party", "--help")[0], 0)

    def test_what_is_not_known_is_answered_with_what_is_nearest(self):
        for words, nearest in ((["healht", "x"], "did you mean 'health'?"), (["brake", "list"], "did you mean 'breaker'?"),
                               (["party", "aprove", "x"], "did you mean 'party approve'?"),
                               (["party", "list", "--sokcet", "x"], "did you mean --socket?"),
                               (["party"], "party needs one of: invite list show approve deny revoke"),
                               (["help", "partys"], "did you mean 'party'?"),
                               (["party", "list", "--endpoint", "x"], "party list takes no --endpoint; it takes: --json --help"),
                               (["send", "alder", "dispach"], "did you mean 'dispatch'?")):
            code, out, err = run(*words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(nearest, err)
            code, out, err = run(*words, "--json")
            self.assertEqual((code, err, json.loads(out)["ok"]), (2, "", False), words)
            self.assertIn(nearest, json.loads(out)["error"])

    def test_options_stand_anywhere_and_once(self):
        self.assertEqual(run("--socket=" + self.path("none"), "party", "list")[0], 3)
        self.assertEqual(run("party", "--socket", self.path("none"), "list")[0], 3)
        for words, error in ((["party", "list", "--socket"], "--socket needs a value: --socket SOCKET"),
                             (["party", "list", "--socket="], "--socket needs a value"),
                             (["party", "list", "--socket", "a", "--socket", "b"], "--socket is given twice"),
                             (["party", "list", "--json=yes"], "--json takes no value")):
            code, _, err = run(*words)
            self.assertEqual(code, 2)
            self.assertIn(error, err)
        code, _, err = run("key", "new", "--", "--alder", self.path("k"))
        self.assertEqual(code, 1)
        self.assertIn("not a party id", err)


unittest.main()
