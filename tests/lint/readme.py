#!/usr/bin/env python3
"""The commands of README.md: each line of a block marked `sh` names a file of this project (or a common tool),
and each long option stands in that script. `readme.py --run ROOT` runs the blocks as they stand, but for
scripts/test, which is what calls it."""
import os
import re
import shlex
import subprocess
import sys

import common

TOOLS = {"cd", "git", "meson", "ninja", "cat", "ls", "cp", "mkdir"}
PAGES = ("README.md", "README.ja.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text):
    """(line number, words) of every command in the sh blocks."""
    found = []
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        for number, line in enumerate(block.group(1).splitlines(), first):
            words = shlex.split(line, comments=True)
            if words:
                found.append((number, words))
    return found


def judge(root, words):
    program = words[0]
    options = [word.split("=")[0] for word in words[1:] if word.startswith("-") and word != "-"]
    if program in TOOLS:
        return []
    full = os.path.join(root, program)
    if program.startswith("build"):
        return []  # made by the commands before it; --run shows that it works
    if not os.path.isfile(full):
        return [f"there is no {program}"]
    if not os.access(full, os.X_OK):
        return [f"{program} is not executable"]
    text = common.read(root, program) or ""
    return [f"{program} has no option {option}" for option in options
            if not re.search(re.escape(option) + r"(?![\w-])", text)]


def check(root):
    complaints = []
    for page in PAGES:
        if not os.path.exists(os.path.join(root, page)):
            complaints.append(f"{page} is missing")
            continue
        found = commands(common.read(root, page))
        if not found:
            complaints.append(f"{page} shows no command")
        for number, words in found:
            complaints += [f"{page}:{number}: {said}" for said in judge(root, words)]
    return complaints


def run(root):
    for block in BLOCK.finditer(common.read(root, PAGES[0])):
        lines = [line for line in block.group(1).splitlines() if not line.strip().startswith("scripts/test")]
        script = "\n".join(lines).strip()
        if not script:
            continue
        print(f"$ {script}", flush=True)
        if subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=root, check=False).returncode:
            print(f"README.md: this block failed:\n{script}")
            return 1
    return 0


_EMPTY = "```sh\ngit status\n```\n"
SAMPLES = [
    ("no such file", {"README.md": "x\n```sh\nscripts/nothing --quick\n```\n", "README.ja.md": _EMPTY},
     "README.md:3: there is no scripts/nothing"),
    ("not executable", {"README.md": "```sh\nscripts/a\n```\n", "README.ja.md": _EMPTY, "scripts/a": "#!/bin/sh\n"},
     "not executable"),
    ("no commands", {"README.md": "words\n", "README.ja.md": _EMPTY}, "shows no command"),
    ("missing page", {"README.md": _EMPTY}, "README.ja.md is missing"),
    ("tools and other blocks", {"README.md": _EMPTY + "```text\nscripts/nothing\n```\n", "README.ja.md": _EMPTY}, None),
]


def option_self_test():
    """The samples hold no executable files; options are tried on this very file."""
    root, name = os.path.split(os.path.abspath(__file__))
    mode = os.stat(__file__).st_mode
    if not mode & 0o100:
        return []
    wrong = judge(root, [name, "--no-such-option" + "-at-all"])
    right = judge(root, [name, "--run"])
    return [] if wrong and not right else [f"options: {wrong} {right}"]


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--run":
        sys.exit(run(sys.argv[2]))
    if sys.argv[1:] == ["--self-test"] and option_self_test():
        sys.exit(print(*option_self_test()) or 1)
    sys.exit(common.main(check, SAMPLES))
