#!/usr/bin/python3
"""Nobody fills the broker's disk or log by being refused, and no text from outside breaks a line of either."""
import collections
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import zmq  # noqa: E402

from stage import dispatch, opt, run  # noqa: E402
import erab_wire as wire  # noqa: E402

HUB = "coordinator.rest"
ONE_BY_ONE = 20


def spread(s, what, **wanted):
    """The most records of a kind within one second of the log, their number, and how many "more" tells of."""
    records = [r for r in s.broker.audit() if all(r.get(k) == v for k, v in wanted.items())]
    written = [r for r in records if r["what"] == what]
    told = sum(r["records"] for r in s.broker.audit() if r["what"] == "more" and r["of"] == what and
               all(r.get(k) == v for k, v in wanted.items()))
    return written, told


def a_flood_of_refused_messages_is_counted_and_each_is_answered(s):
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    bad = [alder.message("opt", "nobody", opt()) for _ in range(1500)]
    for i in range(0, len(bad), 50):
        alder.send_bytes(wire.COMMAND, wire.packet(wire.COMMAND, [wire.envelope(m.header, m.body, m.signature) for m in bad[i:i + 50]]))
    for m in bad:
        assert alder.receipt_for(m, timeout=20)["reason"] == "recipient-unknown"
    s.broker.wait_audit(lambda r: r["what"] == "more" and r["peer"] == "alder")
    s.refused(birch, birch.message("opt", "nobody", opt()), "recipient-unknown")
    s.broker.process.stop()
    mine = [r for r in s.broker.audit() if r["what"] == "refused" and r["by"] == "alder"]
    _, told = spread(s, "refused", peer="alder", reason="recipient-unknown", verdict="refused")
    assert len(mine) + told == 1500, (len(mine), told)
    seconds = {r["mono_ms"] // 1000 for r in mine}
    assert len(mine) <= ONE_BY_ONE * (len(seconds) + 1) and len(mine) < 1500, (len(mine), seconds)
    s.broker.start()


def who_floods_and_reads_no_answer_costs_a_few_lines(s):
    s.broker.process.stop()
    s.broker.config["limits"] = {"link_messages_per_second": 0}  # no breaker helps
    s.broker.start()
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    packets = []
    for _ in range(60):
        bad = [alder.message("opt", "nobody", opt()) for _ in range(50)]
        packets.append(wire.packet(wire.COMMAND, [wire.envelope(m.header, m.body, m.signature) for m in bad]))
    sent = 0
    for i in range(2000):  # the same ids again: a refusal is not remembered, each is judged and answered anew
        if not alder.sockets[wire.COMMAND].poll(2000, zmq.POLLOUT):
            break
        alder.sockets[wire.COMMAND].send(packets[i % len(packets)])
        sent += 50
    assert sent >= 50000, sent
    assert birch.request(birch.message("opt", HUB, opt()), timeout=30)["state"] == "delivered"
    s.broker.process.stop()
    records = s.broker.audit()
    counted = sum(r["records"] for r in records if r["what"] == "more" and r["of"] == "refused")
    refused = [r for r in records if r["what"] == "refused"]
    assert len(refused) + counted >= 1000, (len(refused), counted)
    for what in ("refused", "link-refused"):
        by_second = collections.Counter(r["mono_ms"] // 1000 for r in records if r["what"] == what)
        assert not by_second or max(by_second.values()) <= 2 * ONE_BY_ONE, (what, by_second)
    assert os.path.getsize(s.broker.config["audit"]) < 4 << 20
    print(f"        {sent} sent, {len(refused)} lines, {counted} counted,",
          sum(r["records"] for r in records if r["what"] == "more" and r["of"] == "link-refused"), "receipts had no room")
    s.broker.start()


def accepted_orders_are_always_written_one_by_one(s):
    app = s.app()
    orders = [app.message("dispatch", "birch", dispatch(order=f"o-{i}")) for i in range(200)]
    for m in orders:
        app.send(m)
    for m in orders:
        assert app.receipt_for(m, timeout=20)["state"] == "accepted"
    s.broker.process.stop()  # the line of the last may come after its receipt
    written = collections.Counter(r["id"] for r in s.broker.audit() if r["what"] == "message" and r["type"] == "dispatch")
    assert len(written) == 200 and set(written.values()) == {1}, len(written)
    s.broker.start()


def a_flood_of_connections_is_counted(s):
    host, port = s.broker.ports["r3"].removeprefix("tcp://").rsplit(":", 1)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
    def stranger():
        try:
            c = socket.create_connection((host, int(port)), timeout=10)
            c.sendall(greeting)
            return c
        except ConnectionError:  # too many at once from one address: it was not even looked at
            return None
    for _ in range(60):
        for c in [c for c in [stranger() for _ in range(10)] if c]:
            try:
                while c.recv(4096):  # until the broker closes
                    pass
            except ConnectionError:
                pass
            c.close()
    # The listener itself tells of a few and counts the rest; what it tells of is counted again.
    s.broker.wait_audit(lambda r: r["what"] == "more" or (r["what"] == "connection" and "more" in r["detail"]))
    s.broker.process.stop()
    records = [r for r in s.broker.audit() if r["what"] == "connection"]
    by_second = collections.Counter(r["mono_ms"] // 1000 for r in records)
    # A second of the count and one of the clock overlap in two.
    assert max(by_second.values()) <= 2 * (ONE_BY_ONE + 2), by_second
    s.broker.start()
    alder = s.client("alder", "r3")
    assert alder.request(alder.message("opt", HUB, opt()))["state"] == "delivered"


NASTY = ["a\nb", 'a"},{"seq":1', "\x1b]0;owned\x07\x1b[2J", "\u009b31m", "\x7f", "\x00", "\u2028", "x" * 3000,
         "../../etc/passwd", "%n%s%s", "\u202egnp"]


def lines_are_plain(s):
    """Every byte of the audit log and of what erabd printed; the log is one JSON object a line."""
    with open(s.broker.config["audit"], "rb") as f:
        log = f.read()
    for line in log.splitlines():
        assert isinstance(json.loads(line), dict)
    assert not set(log) - set(range(32, 127)) - {10}
    for line in s.broker.process.lines:
        assert all(c.isprintable() for c in line), line


def verified(s):
    assert subprocess.run([s.net.erab, "audit", "verify", s.broker.config["audit"]], stdout=subprocess.DEVNULL).returncode == 0


def ids_and_texts_from_outside_break_no_line(s):
    s.broker.process.stop()
    names = [f"n-{i}" for i in range(3 * len(NASTY))]  # one each: who is cut again and again meets its breaker
    for name in names:
        s.broker.party(name, "ra", name, interfaces=["r3"])
    s.broker.start()
    for text, name in zip(NASTY, names):
        c = s.client(name, "r3")
        c.send(c.message("opt", text, opt()))
        s.broker.wait_audit(lambda r: name in (r.get("by"), r.get("peer")) and r.get("verdict") in ("refused", "cut"))
        c.close()
    for text, name in zip(NASTY, names[len(NASTY):]):
        c = s.client(name, "r3")
        c.send(c.message("opt", HUB, opt(), **{"from": text}))
        s.broker.wait_audit(lambda r: name in (r.get("by"), r.get("peer")) and r.get("verdict") in ("refused", "cut"))
        c.close()
    for text, name in zip(NASTY, names[2 * len(NASTY):]):
        c = s.client(name, "r3")
        m = c.message("opt", HUB, opt(text))
        c.send(m)
        c.receipt_for(m)
        body = wire.block(1, m.id) + wire.block(2, m.hash) + wire.number(3, 5) + wire.block(4, text) + wire.block(5, text)
        c.send(c.message("receipt", HUB, body))
        c.close()
    alder = s.client("alder", "r3")
    for raw in (b"\xff\xfe\n", b"\xc3(", b"\xed\xa0\x80", b"\xc2\x9b31m"):
        m = alder.message("opt", HUB, wire.number(1, 1) + wire.block(2, raw))
        alder.send(m)
        alder.receipt_for(m)
    lines_are_plain(s)
    verified(s)


def words_of_a_client_to_the_admin_socket_break_no_line(s):
    for text in NASTY:
        if "\0" in text:
            continue
        s.broker.tool("party", "revoke", text)
        s.broker.tool("breaker", "trip", text, "r3", HUB)
        s.broker.tool("breaker", "trip", "alder", "r3", HUB, "--note", text)
    lines_are_plain(s)
    verified(s)


def a_file_name_and_keys_of_a_configuration_break_no_line(s):
    path = os.path.join(s.folder, "bad\n\x1b[2J\u009b.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write('"own\\ner\\e[31m": 1\n"par\\u009bties": "x\\ty"\n? "a\\nb"\n: "\\a"\nowner: {party: "al\\nder", role: "\\e[2J"}\n')
    done = subprocess.run([s.net.erabd, "-t", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1
    text = done.stderr.decode()
    assert text and all(c.isprintable() for line in text.split("\n") for c in line), text


run()
