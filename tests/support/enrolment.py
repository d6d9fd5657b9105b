"""What the flow tests of enrolment and of key changes share: the tool, a newcomer, the journal's rows."""
import json
import os
import subprocess

import yaml
import zmq

from stage import Client, now
import erab_wire as wire
import journal

REJECTED = zmq.EVENT_HANDSHAKE_FAILED_AUTH


def erab(s, *words):
    """Runs the tool; (exit code, its JSON)."""
    done = subprocess.run([s.net.erab, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, json.loads(done.stdout.decode() or "{}")


def good(s, *words):
    code, answer = erab(s, *words)
    assert code == 0, (words, code, answer)
    return answer


def refused(s, *words, code=1):
    got, answer = erab(s, *words)
    assert got == code and answer["ok"] is False, (words, got, answer)
    return answer["error"]


def at(s, *words):
    return (*words, "--socket", s.broker.config["admin_socket"])


def path(s, name):
    return os.path.join(s.folder, name)


def restart(s):
    for c in s.clients:
        c.close()
    s.clients = []
    s.broker.process.stop()
    s.broker.start()


def operators(s, *names, approvals=1):
    """Names people in the configuration and starts the broker anew."""
    s.broker.config["operators"] = [{"name": n, "sign_key": good(s, "operator", "new", n, path(s, n))["sign_key"]}
                                    for n in names]
    s.broker.config["enrolment"] = {"approvals": approvals}
    restart(s)


def invite(s, party="cedar", file="invitation", role="ra", **options):
    more = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]
    return good(s, *at(s, "party", "invite", party, path(s, file), "--role", role, "--firm", "cedar", "--operator",
                       path(s, "hana"), *more))


def enroll(s, file="invitation", key="cedar.key"):
    return good(s, "enroll", path(s, file), path(s, key))


def approve(s, party="cedar", who="hana"):
    return good(s, *at(s, "party", "approve", party, "--operator", path(s, who)))


def state(s, party="cedar"):
    return good(s, *at(s, "party", "show", party))["state"]


def keys(file):
    with open(file, encoding="utf-8") as f:
        fields = yaml.safe_load(f)
    return {k: bytes.fromhex(v) for k, v in fields.items() if k != "party" and isinstance(v, str) and len(v) in (64, 128)}


def seed_of(s, file="invitation"):
    with open(path(s, file), encoding="utf-8") as f:
        fields = dict(line.strip().split(": ", 1) for line in f if not line.startswith("#"))
    return bytes.fromhex(fields["seed_public"]), bytes.fromhex(fields["seed_secret"])


def client(s, file="cedar.key", party="cedar", bind=True):
    endpoint, server = s.broker.server("r3")
    k = keys(path(s, file))
    c = Client(endpoint, bytes.fromhex(server), k["curve_public"], k["curve_secret"], party, sign_secret=k["sign_secret"],
               broker=s.broker.owner)
    s.clients.append(c)
    if bind:
        c.bind(timeout=15)
    return c


def seeded(s, sign_secret=None, bind=True):
    endpoint, server = s.broker.server("r3")
    public, secret = seed_of(s)
    c = Client(endpoint, bytes.fromhex(server), public, secret, "cedar", sign_secret=sign_secret, broker=s.broker.owner)
    s.clients.append(c)
    if bind:
        c.bind()
    return c


def registration(k, party="cedar", kind="ra"):
    return wire.block(1, party) + wire.block(2, kind) + wire.block(12, k["curve_public"]) + wire.block(13, k["sign_public"])


def new_keys(s, name="cedar.key"):
    good(s, "key", "new", "cedar", path(s, name))
    return keys(path(s, name))


def keep_rows(s, party, change, kind="party/"):
    """Changes what the journal keeps of a party, as the passing of time would; the broker must be down."""
    at = os.path.join(s.broker.folder, "journal.db")
    row = json.loads(journal.state(at, kind + party))
    change(row)
    journal.set_state(at, kind + party, json.dumps(row).encode())


def card(body):
    fields = wire.fields(body)
    out = {k: v for k, v in fields if k != 4}
    return {"party": out[1].decode(), "version": out[3], "withdrawn": bool(out.get(6)),
            "keys": [dict(wire.fields(v)) for k, v in fields if k == 4]}
