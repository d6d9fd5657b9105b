#!/usr/bin/python3
"""What zsh or fish itself makes of its completion script. Without the shell: skipped."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ERAB, SHELL = sys.argv.pop(1), sys.argv.pop(1)
VERBS = json.loads(subprocess.run([ERAB, "help", "--json"], stdout=subprocess.PIPE, check=True).stdout)["verbs"]
NOUNS = {v["noun"] for v in VERBS}

# What the completion offers is printed; zsh itself would then take what begins with the last word.
ZSH = """
autoload -Uz compinit
compinit -C -u -d ./dump
source ./script
[[ $_comps[erab] == _erab ]] || exit 9
compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -rl -- "$@" }
_files() { print -rl -- *(N) }
words=(erab "$@")
CURRENT=$#words
_erab
"""


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        with open(os.path.join(cls.folder.name, "script"), "w", encoding="utf-8") as f:
            f.write(subprocess.run([ERAB, "completion", SHELL], stdout=subprocess.PIPE, check=True, text=True).stdout)
        for name in ("alder.key", "alder 2.key"):
            with open(os.path.join(cls.folder.name, name), "w", encoding="utf-8"):
                pass

    def complete(self, *words):
        """The completions of the last word."""
        if SHELL == "zsh":
            args = ["zsh", "-f", "-c", ZSH, "zsh", *words]
        else:
            args = ["fish", "--no-config", "-c", "source ./script; complete -C \"erab $argv\"", "--", *words]
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder.name, timeout=60,
                              check=False, env={**os.environ, "HOME": self.folder.name})
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        offered = {line.split("\t")[0].replace("\\ ", " ") for line in done.stdout.splitlines()}
        return {w for w in offered if w.startswith(words[-1])}

    def test_nouns_come_first(self):
        self.assertEqual(self.complete("") - {"--version", "--help"}, NOUNS)
        self.assertEqual(self.complete("br"), {"breaker"})

    def test_a_noun_is_followed_by_its_verbs(self):
        for noun in {v["noun"] for v in VERBS if v["verb"]}:
            self.assertEqual(self.complete(noun, ""), {v["verb"] for v in VERBS if v["noun"] == noun}, noun)
        self.assertEqual(self.complete("party", "ap"), {"approve"})
        self.assertEqual(self.complete("--socket", "x", "party", "ap"), {"approve"})

    def test_every_verb_has_its_options_and_no_other(self):
        for v in VERBS:
            words = [w for w in (v["noun"], v["verb"]) if w]
            self.assertEqual(self.complete(*words, "--") | {"--help"}, set(v["options"]) | {"--help"}, words)

    def test_values_are_completed(self):
        self.assertEqual(self.complete("party", "list", "--state", "p"), {"pending"})
        self.assertIn("ems-server", self.complete("party", "invite", "--role", "e"))
        self.assertEqual(self.complete("completion", "z"), {"zsh"})
        self.assertEqual(self.complete("help", "tr"), {"trace"})

    def test_files_stand_where_files_are_meant(self):
        self.assertEqual(self.complete("key", "show", "al"), {"alder.key", "alder 2.key"})
        self.assertEqual(self.complete("party", "approve", "x", "--operator", "al"), {"alder.key", "alder 2.key"})


if not shutil.which(SHELL):
    print(f"{SHELL} is not installed: skipped")
    sys.exit(77)
unittest.main()
