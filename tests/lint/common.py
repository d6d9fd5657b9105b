"""What the lints share: walking the tree, stripping C, allow-lists, and the self-test of each lint.

A lint is a module with check(root) -> list of complaints, and SAMPLES: small trees with the text that the
complaint must contain, or None where the tree is fine. The self-test writes each tree to a temporary folder
and runs check() on it, so that a lint that cannot turn red does not pass."""
import os
import re
import sys
import tempfile

SKIPPED = {".git", "node_modules", "__pycache__", "subprojects"}
ALLOW_DIR = os.path.join("tests", "lint", "allow")


def walk(root, suffixes=None, under=None):
    """Paths of the source files relative to root, sorted, without build folders and their logs."""
    found = []
    top = os.path.join(root, under) if under else root
    for folder, folders, names in os.walk(top):
        at_top = os.path.samefile(folder, root) if os.path.exists(folder) else False
        folders[:] = sorted(f for f in folders
                            if f not in SKIPPED and not (at_top and f.startswith("build")))
        for name in sorted(names):
            if name in SKIPPED or (suffixes and not name.endswith(suffixes)):
                continue
            if at_top and name.startswith("build") and name.endswith(".log"):
                continue
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                found.append(os.path.relpath(path, root))
    return found


def read(root, path):
    """The text of a file; None when it is not text."""
    with open(os.path.join(root, path), "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    return data.decode("utf-8", errors="replace")


_C_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def strip_c(text):
    """C without comments and with empty literals; line numbers stay."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] * 2
        return " " + "\n" * token.count("\n")
    return _C_TOKEN.sub(blank, text)


def allowed(root, name):
    """Entries of an allow-list: one a line, '#' begins a comment."""
    path = os.path.join(ALLOW_DIR, name)
    if not os.path.exists(os.path.join(root, path)):
        return set()
    lines = (line.split("#")[0].strip() for line in read(root, path).splitlines())
    return {line for line in lines if line}


def compare_allowed(root, name, found):
    """An allow-list must be exact: complaints for what is not in it and for what is no longer needed."""
    entries = allowed(root, name)
    listed = os.path.join(ALLOW_DIR, name)
    complaints = [f"{found[key]} (not in {listed})" for key in sorted(found) if key not in entries]
    complaints += [f"{listed}: {key} is no longer over the limit; take it off the list"
                   for key in sorted(entries - set(found))]
    return complaints


def self_test(check, samples):
    complaints = []
    for title, tree, expected in samples:
        with tempfile.TemporaryDirectory() as root:
            for path, text in tree.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text)
            got = check(root)
        if expected is None and got:
            complaints.append(f"{title}: should be fine, but: {got}")
        if expected is not None and not any(expected in line for line in got):
            complaints.append(f"{title}: nothing said {expected!r}, only {got}")
    return complaints


def main(check, samples):
    """`lint.py ROOT` or `lint.py --self-test`. Exit code 1 with one complaint a line."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} ROOT | --self-test", file=sys.stderr)
        return 2
    got = self_test(check, samples) if sys.argv[1] == "--self-test" else check(sys.argv[1])
    for line in got:
        print(line)
    return 1 if got else 0
