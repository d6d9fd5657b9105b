#!/usr/bin/python3
"""Plants each bug of tests/sim/bugs in a copy of the tree, builds the simulation of it and runs seeds until a rule is
broken. A bug that no seed finds fails the test: the simulation is to find such things.

usage: planted.py SOURCE FOLDER [--seeds N] [BUG ...]"""
import argparse
import glob
import os
import shutil
import subprocess
import sys

SKIPPED = {".git", "node_modules", "__pycache__"}


def run(args, folder):
    done = subprocess.run(args, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def copy_tree(source, folder):
    shutil.rmtree(folder, ignore_errors=True)

    def ignored(at, names):
        builds = [n for n in names if os.path.exists(os.path.join(at, n, "meson-private"))]
        return builds + [n for n in names if n in SKIPPED]

    shutil.copytree(source, folder, ignore=ignored, symlinks=True)


def build(folder):
    code, text = run(["ninja", "-C", "build", "tests/sim/sim"], folder)
    if code:
        sys.exit("planted: the simulation does not build:\n" + text[-3000:])


def first_line(patch):
    with open(patch, encoding="utf-8") as f:
        return f.readline().strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("folder", help="where the copy is made; removed first")
    parser.add_argument("--seeds", type=int, default=2000, help="seeds tried for each bug (2000)")
    parser.add_argument("bugs", nargs="*", help="names without .patch; all when none is named")
    args = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    patches = sorted(glob.glob(os.path.join(here, "bugs", "*.patch")))
    if args.bugs:
        patches = [p for p in patches if os.path.basename(p)[:-6] in args.bugs]
    if not patches:
        sys.exit("planted: no such bug")
    copy_tree(args.source, args.folder)
    code, text = run(["meson", "setup", "build"], args.folder)
    if code:
        sys.exit("planted: meson:\n" + text[-3000:])
    missed = 0
    for patch in patches:
        name = os.path.basename(patch)[:-6]
        code, text = run(["patch", "-p1", "-i", patch], args.folder)
        if code:
            sys.exit(f"planted: {name}: the patch does not apply any more:\n{text}")
        build(args.folder)
        code, text = run(["build/tests/sim/sim", "--seeds", str(args.seeds)], args.folder)
        found = code == 1 and "seed" in text
        lines = [line for line in text.splitlines() if line.startswith("seed ")]
        print(f"{'found ' if found else 'MISSED'} {name}: {first_line(patch)}", flush=True)
        print(f"       {(lines[0] if lines else text[-300:])[:200]}", flush=True)
        missed += not found
        run(["patch", "-R", "-p1", "-i", patch], args.folder)
    print(f"{len(patches) - missed} of {len(patches)} planted bugs found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
