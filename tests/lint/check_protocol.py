"""The tables printed in schemas/PROTOCOL.md are those of the profile. `--write` prints them anew."""
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "schemas" / "PROTOCOL.md"
PROFILE = ROOT / "profiles" / "erab-1.2-draft.yaml"


def rows(profile):
    def words(v):
        return ", ".join(v)

    yield "pairs", ["roles", "interface", "section", "one firm"], [
        [words(p["roles"]), p["interface"], p["section"], "yes" if p.get("one_firm") else ""] for p in profile["pairs"]]
    yield "originators", ["role", "interface"], [[o["role"], o["interface"]] for o in profile["originators"]]
    yield "flows", ["interface", "types", "from", "to", "sender's id ends", "signed"], [
        [f["interface"], words(f["types"]), words(f["from"]), words(f["to"]), f.get("from_id_ends", ""),
         "yes" if f["signed"] else "no"] for f in profile["flows"]]


def table(head, body):
    lines = ["| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head)] + body]
    return "\n".join(re.sub(r" {2,}", " ", line) for line in lines)


def main():
    text = PROTOCOL.read_text(encoding="utf-8")
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    bad = 0
    for name, head, body in rows(profile):
        pattern = re.compile(r"(<!-- table: %s -->\n)(.*?)(<!-- end -->)" % name, re.S)
        found = pattern.search(text)
        wanted = table(head, body) + "\n"
        if not found:
            print(f"PROTOCOL.md has no table {name}")
            bad = 1
        elif found.group(2) != wanted:
            if "--write" in sys.argv:
                text = text[:found.start(2)] + wanted + text[found.end(2):]
            else:
                print(f"table {name} of PROTOCOL.md differs from {PROFILE.name}; run {sys.argv[0]} --write")
                bad = 1
    if "--write" in sys.argv:
        PROTOCOL.write_text(text, encoding="utf-8")
    return bad


sys.exit(main())
