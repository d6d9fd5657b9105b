#!/usr/bin/python3
"""Judges a run by what the parties' own logs say and by the configuration, and by nothing that the broker says of itself.

    checker.py CONFIG LOG...        prints what it found; exit code 1 when something is wrong

A log has one JSON object a line, "t" in it is CLOCK_MONOTONIC in nanoseconds, one clock for all of them:

    send     n, id, from, to, type, began, deadline    a message that its sender gave to its SDK, at `began`
    take     by, id, hash, from, to, type              a message that was handed to a recipient, which acts on it
    receipt  by, about, state, reason, local, members  what its sender was told; local: by its own SDK

    lost          ACCEPTED, and a recipient neither took it nor was its end told; or told EXPIRED before its deadline
    unanswered    never ACCEPTED, nor refused, nor expired: its sender knows nothing of it
    duplicated    taken twice by one recipient
    late          taken after its deadline
    misrouted     taken by whom it was not addressed to, or never sent like that
    out_of_order  taken after a later one of the same sender, recipient and lane

Telemetry may be shed: it is neither lost nor unanswered. Told EXPIRED or `internal` and taken nevertheless is counted
as `told_wrong`, and no fault: the recipient's answer was on its way when the time was over, or it was killed before it
could tell."""
import collections
import json
import sys

import yaml

# Between the SDK's look at the clock and the line in the log a process may wait for its turn.
SLACK_NS = 250_000_000
FAULTS = ("lost", "unanswered", "duplicated", "late", "misrouted", "out_of_order")
TELEMETRY = ("telemetry", "device-state")
CONTROL = ("plan", "opt", "result", "baseline", "schedule")
END = ("refused", "expired")


def lane(kind):
    return "telemetry" if kind in TELEMETRY else "control" if kind in CONTROL else "command"


def read(path):
    """The whole lines of a log; what a kill cut off at its end is none."""
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


class Verdict:
    def __init__(self):
        self.found = collections.defaultdict(list)
        self.counts = collections.Counter()

    def add(self, fault, text):
        self.found[fault].append(text)

    @property
    def wrong(self):
        return {fault: self.found[fault] for fault in FAULTS if self.found[fault]}

    def __str__(self):
        numbers = [f"{self.counts[k]} {k}" for k in ("sent", "taken", "expired", "refused", "told_wrong")]
        numbers += [f"{len(self.found[fault])} {fault.replace('_', ' ')}" for fault in FAULTS]
        lines = [", ".join(numbers)]
        for fault, texts in self.wrong.items():
            lines += [f"{fault}: {text}" for text in texts[:5]]
        return "\n  ".join(lines)


class Checker:
    def __init__(self, config, events):
        self.groups = {"@" + g["id"]: g["members"] for g in config.get("groups", [])}
        self.sends, self.receipts, self.takes = {}, collections.defaultdict(list), []
        self.verdict = Verdict()
        for e in events:
            if e["what"] == "send":
                self.sends[e["id"]] = e
            elif e["what"] == "receipt":
                self.receipts[e["about"]].append(e)
            elif e["what"] == "take":
                self.takes.append(e)

    def recipients(self, message):
        return self.groups.get(message["to"], [message["to"]])

    def name(self, m):
        return f"{m['type']} {m['id'][:13]} (number {m.get('n', '?')}) from {m['from']} to {m['to']}"

    # --- what was taken ---

    def check_takes(self):
        taken, last = {}, {}
        for e in sorted(self.takes, key=lambda e: e["t"]):
            m = self.sends.get(e["id"])
            if not m or any(m[k] != e[k] for k in ("from", "to", "type")) or e["by"] not in self.recipients(m):
                self.verdict.add("misrouted", f"{e['by']} took {self.name(e)}")
                continue
            if (e["id"], e["by"]) in taken:
                self.verdict.add("duplicated", f"{e['by']} took {self.name(m)} twice")
                continue
            taken[e["id"], e["by"]] = e
            if e["t"] > m["deadline"] + SLACK_NS:
                self.verdict.add("late", f"{e['by']} took {self.name(m)} {(e['t'] - m['deadline']) / 1e6:.0f} ms late")
            way = (m["from"], e["by"], lane(m["type"]))
            if way in last and m["began"] < last[way]["began"]:
                self.verdict.add("out_of_order", f"{e['by']} took {self.name(m)} after {self.name(last[way])}")
            last[way] = max(m, last.get(way, m), key=lambda x: x["began"])
        return taken

    # --- what was told ---

    def ends(self, m):
        """By recipient: when and how its sender was told that it does not get this one."""
        out = {}
        for r in self.receipts[m["id"]]:
            members = {party: (state, reason) for party, state, reason in r["members"]}
            for party in self.recipients(m):
                state, reason = members.get(party, (r["state"], r["reason"]))
                if state in END:
                    out.setdefault(party, (r["t"], state, reason, r["local"]))
        return out

    def check_message(self, m, taken):
        if lane(m["type"]) == "telemetry":
            return
        receipts, ends = self.receipts[m["id"]], self.ends(m)
        accepted = any(r["state"] in ("accepted", "delivered", "applied") for r in receipts)
        if not receipts:
            self.verdict.add("unanswered", self.name(m))
        for party in self.recipients(m):
            end = ends.get(party)
            if end:
                self.verdict.counts[end[1]] += 1
                self.verdict.counts["told_wrong"] += (m["id"], party) in taken
                if end[1] == "expired" and end[0] < m["deadline"] - SLACK_NS:
                    self.verdict.add("lost", f"{self.name(m)} was told to be expired before its time")
            elif accepted and (m["id"], party) not in taken:
                self.verdict.add("lost", f"{self.name(m)} for {party}")

    def run(self):
        taken = self.check_takes()
        for m in self.sends.values():
            self.check_message(m, taken)
        self.verdict.counts["sent"] = len(self.sends)
        self.verdict.counts["taken"] = len(taken)
        return self.verdict


def check(config, logs):
    with open(config, encoding="utf-8") as f:
        settings = yaml.safe_load(f)
    return Checker(settings, [e for path in logs for e in read(path)]).run()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    verdict = check(sys.argv[1], sys.argv[2:])
    print(verdict)
    sys.exit(1 if verdict.wrong else 0)


if __name__ == "__main__":
    main()
