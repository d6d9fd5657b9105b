#!/usr/bin/python3
"""What bash completes, by its own completion machinery; the scripts of the other shells by their words (and by the shells
themselves in completion_shell.py)."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ERAB = sys.argv.pop(1)
VERBS = json.loads(subprocess.run([ERAB, "help", "--json"], stdout=subprocess.PIPE, check=True).stdout)["verbs"]


def script(shell):
    return subprocess.run([ERAB, "completion", shell], stdout=subprocess.PIPE, check=True, text=True).stdout


class Completion(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        with open(os.path.join(self.folder.name, "erab.bash"), "w", encoding="utf-8") as f:
            f.write(script("bash"))
        for name in ("alder.key", "alder 2.key"):
            with open(os.path.join(self.folder.name, name), "w", encoding="utf-8"):
                pass

    def complete(self, *words):
        """The completions of the last word, as bash has them."""
        ask = ("source ./erab.bash; complete -p erab > /dev/null || exit 9; COMP_WORDS=(erab \"$@\"); COMP_CWORD=$#; "
               "COMPREPLY=(); _erab; printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "--norc", "-euc", ask, "bash", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, cwd=self.folder.name, timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [line for line in done.stdout.splitlines() if line]

    def test_nouns_come_first(self):
        self.assertEqual(set(self.complete("")), {v["noun"] for v in VERBS} | {"--version", "--help"})
        self.assertEqual(self.complete("br"), ["breaker"])

    def test_a_noun_is_followed_by_its_verbs(self):
        for noun in {v["noun"] for v in VERBS if v["verb"]}:
            self.assertEqual(set(self.complete(noun, "")), {v["verb"] for v in VERBS if v["noun"] == noun})
        self.assertEqual(self.complete("party", "ap"), ["approve"])
        self.assertEqual(self.complete("--socket", "x", "party", "ap"), ["approve"])

    def test_every_verb_has_its_options_and_no_other(self):
        for v in VERBS:
            words = [w for w in (v["noun"], v["verb"]) if w]
            self.assertEqual(set(self.complete(*words, "--")), set(v["options"]) | {"--help"}, words)

    def test_values_are_completed(self):
        self.assertEqual(set(self.complete("party", "list", "--state", "p")), {"pending"})
        self.assertIn("ems-server", self.complete("party", "invite", "--role", "e"))
        self.assertEqual(self.complete("completion", "z"), ["zsh"])
        self.assertEqual(self.complete("help", "tr"), ["trace"])

    def test_files_stand_where_files_are_meant(self):
        self.assertEqual(set(self.complete("key", "show", "al")), {"alder.key", "alder 2.key"})
        self.assertEqual(set(self.complete("party", "approve", "x", "--operator", "al")), {"alder.key", "alder 2.key"})

    def test_the_other_shells_have_every_verb_and_option(self):
        for shell in ("zsh", "fish"):
            text = script(shell)
            for v in VERBS:
                for word in [v["noun"], v["verb"] or "", *[o.lstrip("-") for o in v["options"]]]:
                    self.assertIn(word, text)


unittest.main()
