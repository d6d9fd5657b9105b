"""Who gets in later: a newcomer that an operator approves, and a party whose keys follow others."""
import json
import os
import subprocess
import time

import yaml

import erab_wire as wire
from erab_client import Client
from network import Failed

OVERLAP_S = 12


def steps(story):
    """(the newcomer's and the first half of the rotation, what is to be looked at when the overlap is over)."""
    rest, path = story.rest, lambda name: os.path.join(story.folder, name)
    clients = []

    def tool(*words):
        done = subprocess.run([story.net.erab, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        answer = json.loads(done.stdout.decode() or "{}")
        if done.returncode != 0:
            raise Failed(f"erab {' '.join(words[:2])}: {answer.get('error')}")
        return answer

    def at(*words):
        return tool(*words, "--socket", rest.config["admin_socket"])

    def connect(party, file, bind=True):
        endpoint, server = rest.server("r3")
        with open(file, encoding="utf-8") as f:
            keys = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k in (
                "curve_public", "curve_secret", "sign_secret")}
        clients.append(Client(endpoint, bytes.fromhex(server), keys["curve_public"], keys["curve_secret"], party,
                              sign_secret=keys["sign_secret"], broker=rest.owner))
        if bind:
            clients[-1].bind(timeout=15)
        return clients[-1]

    def plan(client, name):
        """Sends the plan of the next half hour; it must be taken."""
        start = int(time.time() * 1000)
        slot = wire.number(1, start) + wire.number(2, start + 1800000) + wire.real(3, 10.0)
        body = wire.block(1, name) + wire.number(2, 1) + wire.block(5, slot)
        return client.request(client.message("plan", rest.owner, body), timeout=15)["state"]

    def close():
        while clients:
            clients.pop().close()

    def pending():
        at("party", "invite", "elm", path("elm.invitation"), "--role", "ra", "--firm", "elm", "--operator", story.operator)
        story.elm = tool("enroll", path("elm.invitation"), path("elm.key"))
        shown = at("party", "show", "elm")
        assert shown["state"] == "pending" and shown["fingerprint"] == story.elm["fingerprint"], shown
        connect("elm", path("elm.key"), bind=False)
        # The invitation's own key may have come back for a moment, too: that one was used.
        record = rest.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and r["peer"] == "elm" and
                                 r["reason"] == "not-approved")
        return f"audited: {record['reason']}; fingerprint {shown['fingerprint'][:16]}.."

    def approved():
        at("party", "approve", "elm", "--operator", story.operator, "--fingerprint", story.elm["fingerprint"])
        signed = rest.wait_audit(lambda r: r.get("act") == "party-approve" and r["verdict"] == "signed")
        elm = clients[-1]  # it was refused, and tries again by itself
        elm.bind(timeout=20)
        state = plan(elm, "elm-1")
        rest.wait_audit(lambda r: r["what"] == "message" and r.get("type") == "plan" and r["from"] == "elm")
        close()
        return f"signed by {signed['operator']}; Elm's Plan: {state}"

    def overlap():
        old, new = story.net.keys.path("dogwood"), path("dogwood-2.key")
        endpoint, server = rest.server("r3")
        tool("key", "rotate", old, new, "--endpoint", endpoint, "--server-key", server, "--hub", rest.owner, "--role", "ra",
             "--overlap", str(OVERLAP_S))
        said = [f"{word} key: {plan(connect('dogwood', file), 'dogwood-' + word)}" for word, file in (("new", new), ("old", old))]
        return ", ".join(said) + f" (overlap of {OVERLAP_S} s)"

    def after():
        print("              ... until the overlap is over and the connection of the old key is cut", flush=True)
        ended = rest.wait_audit(lambda r: r.get("reason") == "key-expired" and r.get("peer") == "dogwood", OVERLAP_S + 20)
        close()
        connect("dogwood", story.net.keys.path("dogwood"), bind=False)
        record = rest.wait_audit(lambda r: r["what"] == "connection" and r["verdict"] == "refused" and
                                 r["peer"] == "dogwood" and r["reason"] == "key-expired" and r["seq"] > ended["seq"])
        state = plan(connect("dogwood", path("dogwood-2.key")), "dogwood-3")
        close()
        return f"old key: {record['reason']}; new key: {state}"

    return ([("An invited newcomer (Elm) has enrolled: it is pending, and refused while it is", pending),
             ("An operator approves Elm's keys, and Elm's Plan is taken", approved),
             ("Dogwood's key is followed by another: both work in the overlap", overlap)],
            [("After the overlap Dogwood's old key is refused", after)])
