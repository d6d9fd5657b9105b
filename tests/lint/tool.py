#!/usr/bin/python3
"""docs/tool.md has every verb and option of the program, in its words, and no other. `tool.py ERAB --print` writes the two
tables as they must stand."""
import json
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/tool.md"


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def rows(told):
    verbs = [f"| `erab {cell(v['usage'])}` | {cell(v['help'])} |" for v in told["verbs"]]
    options = []
    for o in told["options"]:
        choices = f"; one of: {o['choices']}" if o["choices"] else ""
        options.append(f"| `{cell(' '.join(w for w in (o['name'], o['value']) if w))}` | {cell(o['help'] + choices)} |")
    return verbs, options


def judge(page, told):
    wanted = [row for table in rows(told) for row in table]
    there = re.findall(r"^\| `(?:erab |--).*\|$", page, re.M)
    bad = [f"docs/tool.md lacks: {row}" for row in wanted if row not in there]
    return bad + [f"docs/tool.md has what the program has not: {row}" for row in there if row not in wanted]


def self_test():
    told = {"verbs": [{"usage": "sing A|B\n  [C]", "help": "loud"}],
            "options": [{"name": "--low", "value": None, "choices": None, "help": "h"}]}
    good = "| `erab sing A\\|B [C]` | loud |\n| `--low` | h |\n"
    assert judge(good, told) == []
    assert "lacks: | `--low`" in judge(good.splitlines()[0], told)[0]
    assert "has not: | `erab dance`" in judge(good + "| `erab dance` | x |\n", told)[0]


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    told = json.loads(subprocess.run([sys.argv[1], "help", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    if "--print" in sys.argv:
        print("\n\n".join("\n".join(table) for table in rows(told)))
        return 0
    bad = judge(PAGE.read_text(encoding="utf-8"), told)
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
