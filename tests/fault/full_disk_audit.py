#!/usr/bin/python3
"""The same disk, with the audit log on it, too: what an operator has who keeps all in one folder."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import full_disk  # noqa: E402
from full_disk import Small  # noqa: E402
from stage import Refused, dispatch  # noqa: E402


class SmallAll(Small):
    audit_too = True

    def records(self):
        with open(os.path.join(self.state, "audit.jsonl"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def it_goes_on_by_itself_and_no_decision_is_missing(s):
    app = s.app()
    s.client("alder", "r3")
    assert app.request(app.message("dispatch", "alder", dispatch(order="before")))["state"] == "accepted"
    s.fill()
    for name in ("alder", "birch"):  # until there is no room for a record either
        s.broker.tool("breaker", "trip", name, "r3", "coordinator.rest", "x" * 120)
    assert s.broker.tool("party", "revoke", "birch")[0] == 1
    s.until(lambda: not s.ready())
    try:
        assert app.request(app.message("dispatch", "alder", dispatch(order="full")))["state"] != "accepted"
    except Refused as refused:
        assert refused.receipt["reason"] in ("storage", "not-ready"), refused.receipt
    s.empty()
    s.until(s.ready)
    s.until(lambda: s.broker.tool("breaker", "close", "alder", "r3", "coordinator.rest")[0] == 0)
    alder = s.client("alder", "r3")
    assert app.request(app.message("dispatch", "alder", dispatch(order="after")))["state"] == "accepted"
    assert alder.receive("dispatch")
    records = s.records()
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert [r["object"] for r in records if r.get("act") == "party-revoke" and r["verdict"] == "done"] == ["birch"], records
    assert [r["lost"] for r in records if r["what"] == "resumed"] in ([0], [0, 0]), records


if __name__ == "__main__":
    full_disk.run(make=SmallAll)
