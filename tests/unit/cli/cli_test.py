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

    def test_wrong_use_is_exit_code_2_and_help_0(self):
        self.assertEqual(run("nonsense")[0], 2)
        self.assertEqual(run("key", "new")[0], 2)
        self.assertEqual(run("health", "x", "--nonsense")[0], 2)
        self.assertEqual(run("party", "revoke", "birch")[0], 2)
        self.assertEqual(run("--help")[0], 0)


unittest.main()
