#!/usr/bin/python3
"""What operators sign while the disk is full is not told to be done: approvals, invitations, a listener's next key."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import full_disk  # noqa: E402
from full_disk import Small  # noqa: E402
import enrolment  # noqa: E402
from enrolment import at, good, path, refused  # noqa: E402


class SmallWithOperators(Small):
    def prepare(self):
        self.broker.config["operators"] = [{"name": n, "sign_key": good(self, "operator", "new", n, path(self, n))["sign_key"]}
                                           for n in ("hana", "ken")]
        self.broker.config["enrolment"] = {"approvals": 2}

    def signed(self, *words):
        return *at(self, *words), "--operator", path(self, "hana")


def what_a_full_disk_did_not_keep_is_not_told_to_be_done(s):
    enrolment.invite(s)
    enrolment.enroll(s)
    rotation = s.signed("key", "rotate", "r3", path(s, "r3-2.key"), "--overlap", "600")
    s.fill()
    assert "journal" in refused(s, *s.signed("party", "approve", "cedar"))
    s.until(lambda: good(s, *at(s, "party", "show", "cedar"))["approvals"] == [])
    s.empty()
    s.until(s.ready)
    s.fill()
    assert "journal" in refused(s, *rotation)
    s.empty()
    s.until(s.ready)
    s.fill()
    assert "journal" in refused(s, *s.signed("party", "invite", "dogwood", path(s, "invitation-2"), "--role", "ra", "--firm", "d"))
    s.empty()
    s.until(s.ready)
    assert good(s, *rotation)["interface"] == "r3"
    s.audited(what="admin", act="key-rotate", verdict="done")
    assert good(s, *s.signed("party", "approve", "cedar"))["approvals"] == 1
    assert good(s, *at(s, "party", "show", "cedar"))["approvals"] == ["hana"]


if __name__ == "__main__":
    full_disk.run(make=SmallWithOperators)
