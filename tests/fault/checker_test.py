#!/usr/bin/python3
"""The checker of the fault tests on logs that are wrong in one way each: it must find just that."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checker import Checker  # noqa: E402

CONFIG = {"parties": [{"id": p} for p in ("hub", "alder", "birch")],
          "groups": [{"id": "all", "owner": "hub", "members": ["alder", "birch"]}]}
SECOND = 1_000_000_000


class Run:
    """Two good orders to alder, one to all, a plan and telemetry; a case spoils it."""

    def __init__(self):
        self.events, self.n, self.at = [], 0, SECOND
        self.first, self.second = self.order("alder"), self.order("alder")
        self.all = self.order("@all")
        for m in (self.first, self.second):
            self.take(m, "alder")
            self.told(m, "accepted")
        for who in ("alder", "birch"):
            self.take(self.all, who)
        self.told(self.all, "accepted")
        self.order("hub", sender="birch", kind="telemetry")

    def tick(self):
        self.at += SECOND // 100
        return self.at

    def order(self, to, sender="hub", kind="dispatch"):
        self.n += 1
        m = {"what": "send", "t": self.tick(), "n": self.n, "id": f"{self.n:032x}", "from": sender, "to": to, "type": kind,
             "began": self.at, "deadline": self.at + 10 * SECOND}
        self.events.append(m)
        return m

    def take(self, m, by, at=None, **other):
        e = {"what": "take", "t": at or self.tick(), "by": by, **{k: m[k] for k in ("id", "from", "to", "type")}, **other}
        self.events.append(e)
        return e

    def told(self, m, state, at=None, members=(), local=False, reason="none"):
        self.events.append({"what": "receipt", "t": at or self.tick(), "by": m["from"], "about": m["id"], "state": state,
                            "reason": reason, "local": local, "members": list(members)})


def a_good_run(r):
    return None


def accepted_and_never_taken(r):
    r.told(r.order("birch"), "accepted")
    return "lost"


def a_member_that_got_nothing(r):
    m = r.order("@all")
    r.told(m, "accepted")
    r.take(m, "alder")
    return "lost"


def expired_before_its_time(r):
    m = r.order("birch")
    r.told(m, "accepted")
    r.told(m, "expired", at=m["deadline"] - 3 * SECOND)
    return "lost"


def no_word_about_an_order(r):
    r.order("birch")
    return "unanswered"


def taken_twice(r):
    r.take(r.first, "alder", at=r.first["t"] + 1)
    return "duplicated"


def taken_after_its_deadline(r):
    r.take(m := r.order("birch"), "birch", at=m["deadline"] + SECOND)
    r.told(m, "accepted")
    return "late"


def taken_by_another(r):
    m = r.order("birch")
    r.told(m, "refused", reason="breaker-open")
    r.take(m, "alder")
    return "misrouted"


def taken_and_never_sent(r):
    r.take({**r.first, "id": "f" * 32}, "alder")
    return "misrouted"


def taken_with_another_sender(r):
    r.take(r.all, "alder", **{"from": "birch"})
    return "misrouted"


def taken_after_a_later_one(r):
    first, second = r.order("birch"), r.order("birch")
    for m in (second, first):
        r.take(m, "birch")
        r.told(m, "accepted")
    return "out_of_order"


def of_a_group_after_a_later_one(r):
    first, second = r.order("@all"), r.order("birch")
    r.take(first, "alder")
    for m in (second, first):
        r.take(m, "birch")
        r.told(m, "accepted")
    return "out_of_order"


def another_lane_may_overtake(r):
    plan, order = r.order("birch", kind="plan"), r.order("birch")
    for m in (order, plan):
        r.take(m, "birch")
        r.told(m, "accepted")
    return None


def told_its_end(r):
    m = r.order("birch")
    r.told(m, "accepted")
    r.told(m, "expired", at=m["deadline"] + 1)
    n = r.order("@all")
    r.told(n, "accepted")
    r.take(n, "alder")
    r.told(n, "applied", members=[["birch", "refused", "superseded"]])
    return None


def main():
    cases = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None) and
             v.__code__.co_varnames[:1] == ("r",)]
    failed = 0
    for case in cases:
        run = Run()
        wanted = case(run)
        found = set(Checker(CONFIG, run.events).run().wrong)
        good = found == ({wanted} if wanted else set())
        failed += not good
        print(f"{'ok     ' if good else 'FAILED '} {case.__name__}: {sorted(found) or 'nothing'}")
    sys.exit(1 if failed or len(cases) < 14 else 0)


if __name__ == "__main__":
    main()
