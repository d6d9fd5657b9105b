"""Texts that must not stand in the project: paths of one machine, marks of unfinished work, hosts of package
registries, and claims that nobody can make. The patterns are written so that this file does not match itself."""
import re
import sys

import common

FORBIDDEN = [
    (re.compile(r"(?<![\w.])/wor" r"k/"), "a path of one machine"),
    (re.compile(r"\.\./share" r"d\b"), "a path outside of the project"),
    (re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"), "a mark of unfinished work"),
    (re.compile(r"registry\." r"npm|npmjs\." r"(org|com)|\bdeb\." r"debian|proxy\." r"golang|\bpypi\." r"org"),
     "a host of a package registry"),
    (re.compile(r"\b(is|are|fully|makes you)\s+(certi" r"fied|compli" r"ant)\b", re.IGNORECASE),
     "a claim; say: helps to implement and evidence the guideline"),
]


def check(root):
    complaints = []
    for path in common.walk(root):
        text = common.read(root, path)
        if text is None:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            complaints += [f"{path}:{number}: {why}" for pattern, why in FORBIDDEN if pattern.search(line)]
    return complaints


SAMPLES = [
    ("path", {"a.c": 'open("/wor' 'k/x");'}, "a.c:1: a path of one machine"),
    ("outside", {"docs/a.md": "see ../share" "d/x"}, "outside of the project"),
    ("mark", {"a.c": "\n/* TO" "DO: more */"}, "a.c:2: a mark"),
    ("mark in python", {"a.py": "# FIX" "ME\n"}, "a mark"),
    ("template of mkstemp", {"a.c": 'mkstemp("a-XXXX' 'XX");'}, None),
    ("registry", {"package-lock.json": '"resolved": "https://registry.' 'npmjs' '.org/x"'}, "registry"),
    ("claim", {"README.md": "The broker is compli" "ant."}, "a claim"),
    ("a fine text", {"README.md": "framework/x and network/workers\n"}, None),
]

if __name__ == "__main__":
    sys.exit(common.main(check, SAMPLES))
