#!/usr/bin/python3
"""Whether a bench.json has its shape. `check_json.py FILE` checks one; without a file it tries itself."""
import copy
import json
import sys

ROW = {"name": str, "unit": str, "ours": (int, float), "peers": dict, "ratio": (int, float, type(None)), "bar": str, "aim": str,
       "meets": str, "spread": dict, "rounds": int}
MACHINE = {"cores": int, "cpu": str, "kernel": str, "versions": dict, "load_at_start": list}


def fields(what, value, shape):
    if not isinstance(value, dict):
        return [f"{what} is no object"]
    out = [f"{what} has no {k}" for k in shape if k not in value]
    return out + [f"{what}: {k} is of the wrong kind" for k, kind in shape.items()
                  if k in value and (not isinstance(value[k], kind) or isinstance(value[k], bool))]


def of_row(r):
    out = fields("a row", r, ROW)
    if out:
        return out
    name = r["name"]
    if r["meets"] not in ("aim", "bar", "no"):
        out.append(f"{name}: meets is {r['meets']}")
    out += [f"{name}: {k} is no number" for k, v in r["peers"].items() if not isinstance(v, (int, float))]
    if out:
        return out
    for k in ("ours", *r["peers"]):
        low_high = r["spread"].get(k)
        value = r["ours"] if k == "ours" else r["peers"][k]
        if not isinstance(low_high, list) or len(low_high) != 2 or not low_high[0] <= value <= low_high[1]:
            out.append(f"{name}: the spread of {k} does not hold its median")
    return out


def complaints(report):
    out = fields("the report", report, {"machine": dict, "rows": list, "failed": list, "rounds": int})
    if out:
        return out
    out = fields("machine", report["machine"], MACHINE)
    names = [r.get("name") for r in report["rows"] if isinstance(r, dict)]
    out += [f"two rows are called {n}" for n in sorted(set(names), key=str) if names.count(n) > 1]
    for r in report["rows"]:
        out += of_row(r)
    return out


GOOD = {"machine": {"cores": 2, "cpu": "x", "kernel": "6", "versions": {}, "load_at_start": [0.1, 0.1, 0.1]}, "rounds": 5,
        "failed": [], "rows": [{"name": "a", "unit": "us", "ours": 1.0, "peers": {"bare": 2}, "ratio": 0.5, "bar": "b", "aim": "c",
                                "meets": "bar", "spread": {"ours": [0.9, 1.2], "bare": [2, 2]}, "rounds": 5}]}


def try_itself():
    def change(path, value):
        report = copy.deepcopy(GOOD)
        at = report
        for k in path[:-1]:
            at = at[k]
        if value is None:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        return report

    bad = [change(["rows"], None), change(["machine", "cores"], None), change(["rows", 0, "ours"], "1"),
           change(["rows", 0, "meets"], "yes"), change(["rows", 0, "peers", "bare"], "2"), change(["rows", 0, "spread", "ours"], [2, 3]),
           change(["rows"], GOOD["rows"] * 2), change(["rows", 0, "bar"], None)]
    wrong = [complaints(GOOD)] if complaints(GOOD) else []
    wrong += [f"number {i} passes" for i, report in enumerate(bad) if not complaints(report)]
    print("\n".join(map(str, wrong)) or "good")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(try_itself())
    with open(sys.argv[1], encoding="utf-8") as f:
        found = complaints(json.load(f))
    print("\n".join(found) or "good")
    sys.exit(1 if found else 0)
