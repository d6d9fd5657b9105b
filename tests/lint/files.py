"""No source file has over 500 lines but those in tests/lint/allow/files.txt, which must hold nothing else."""
import os
import sys

import common

LIMIT = 500
SUFFIXES = (".c", ".h", ".py", ".sh", ".js", ".proto", "meson.build")


def check(root):
    found = {}
    for path in common.walk(root):
        if not (path.endswith(SUFFIXES) or path.split(os.sep)[0] == "scripts"):
            continue
        lines = (common.read(root, path) or "").count("\n")
        if lines > LIMIT:
            found[path.replace(os.sep, "/")] = f"{path}: {lines} lines, the most is {LIMIT}"
    return common.compare_allowed(root, "files.txt", found)


SAMPLES = [
    ("500 lines", {"broker/a.c": "\n" * 500, "docs/a.md": "\n" * 900}, None),
    ("501 lines", {"broker/a.c": "\n" * 501}, "501 lines"),
    ("a script", {"scripts/x": "\n" * 501}, "501 lines"),
    ("listed", {"a.py": "\n" * 600, "tests/lint/allow/files.txt": "a.py  # data\n"}, None),
    ("listed for nothing", {"a.py": "\n", "tests/lint/allow/files.txt": "a.py\n"}, "no longer over"),
]

if __name__ == "__main__":
    sys.exit(common.main(check, SAMPLES))
