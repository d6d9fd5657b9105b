"""Length of C functions by universal-ctags: over 90 lines is refused; over 70 must stand in
tests/lint/allow/functions.txt, which must hold nothing else."""
import json
import os
import subprocess
import sys

import common

LISTED = 70
REFUSED = 90


def lengths(root):
    """{(path, function): lines}"""
    paths = common.walk(root, (".c", ".h"))
    if not paths:
        return {}
    run = subprocess.run(["ctags", "--options=NONE", "-L", "-", "--languages=C", "--map-C=+.h", "--kinds-C=f",
                          "--fields=+ne", "--output-format=json", "-f", "-"],
                         input="\n".join(paths), cwd=root, capture_output=True, text=True, check=True)
    found = {}
    for line in run.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            found[(tag["path"], tag["name"])] = tag["end"] - tag["line"] + 1
    return found


def check(root):
    complaints = []
    listed = {}
    for (path, name), lines in sorted(lengths(root).items()):
        said = f"{path}: {name}() has {lines} lines"
        if lines > REFUSED:
            complaints.append(f"{said}; the most is {REFUSED}")
        elif lines > LISTED:
            listed[f"{path.replace(os.sep, '/')}:{name}"] = said
    return complaints + common.compare_allowed(root, "functions.txt", listed)


def _function(lines):
    return "int f(void)\n{\n" + "    g();\n" * (lines - 3) + "}\n"


SAMPLES = [
    ("70 lines", {"a.c": _function(70)}, None),
    ("71 lines", {"a.c": _function(71)}, "f() has 71 lines (not in"),
    ("listed", {"a.c": _function(90), "tests/lint/allow/functions.txt": "# why\na.c:f\n"}, None),
    ("91 lines, though listed", {"a.c": _function(91), "tests/lint/allow/functions.txt": "a.c:f\n"}, "the most is 90"),
    ("listed for nothing", {"a.c": _function(9), "tests/lint/allow/functions.txt": "a.c:f\n"}, "no longer over"),
]

if __name__ == "__main__":
    sys.exit(common.main(check, SAMPLES))
