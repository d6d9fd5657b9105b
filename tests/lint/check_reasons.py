"""docs/reason-codes.md explains each code of sdk/include/erab/reason.h once, with the same retry, and no other."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    header = (ROOT / "sdk/include/erab/reason.h").read_text(encoding="utf-8")
    text = (ROOT / "docs/reason-codes.md").read_text(encoding="utf-8")
    codes = {c: r == "1" for c, r in re.findall(r'X\(\w+, "([a-z-]+)", ([01])\)', header)}
    bad = [] if codes else ["no codes found in reason.h"]
    seen = set()
    for code, meaning, todo, retry in re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| (yes|no) \|$", text, re.M):
        if code in seen:
            bad.append(f"{code}: explained twice")
        seen.add(code)
        if code not in codes:
            bad.append(f"{code}: not in reason.h")
        elif codes[code] != (retry == "yes"):
            bad.append(f"{code}: retry is {retry} here and not in reason.h")
        if not meaning.strip() or not todo.strip():
            bad.append(f"{code}: an empty cell")
    bad += [f"{code}: not explained" for code in codes if code not in seen]
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
