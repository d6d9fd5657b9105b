#!/usr/bin/python3
"""What a hostile or broken peer tries, each refused with its reason and audited."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import zmq  # noqa: E402

from stage import Client, dispatch, keypair, opt, run, telemetry  # noqa: E402
import erab_wire as wire  # noqa: E402


def an_unknown_key_does_not_get_in(s):
    endpoint, server = s.broker.server("r3")
    public, secret = keypair()
    c = Client(endpoint, bytes.fromhex(server), public, secret, "alder", broker="coordinator.rest")
    s.clients.append(c)
    s.audited(what="connection", verdict="refused", reason="unknown-key", key=public.hex())


def a_peer_without_curve_does_not_get_in(s):
    endpoint, _ = s.broker.server("r3")
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(endpoint)
    s.audited(what="connection", verdict="refused", reason="wrong-mechanism")
    plain.close(0)
    context.term()


def a_key_of_r2_does_not_get_in_on_r3(s):
    s.client("retail", "r3", bind=False)
    s.audited(what="connection", verdict="refused", reason="wrong-interface", peer="retail")


def an_application_key_does_not_get_in_from_the_network(s):
    s.client("rest.app", "r3", bind=False)
    s.audited(what="connection", verdict="refused", reason="wrong-interface", peer="rest.app")


def nobody_speaks_for_another(s):
    alder = s.client("alder", "r3")
    alder.send(alder.message("opt", "coordinator.rest", opt(), **{"from": "birch"}))
    s.audited(what="refused", reason="from-not-yours", by="alder")


def an_unsigned_message_that_must_be_signed_is_refused(s):
    alder = s.client("alder", "r3")
    s.refused(alder, alder.message("opt", "coordinator.rest", opt(), signed=False), "signature-missing")


def a_flipped_bit_breaks_the_signature(s):
    alder = s.client("alder", "r3")
    good = alder.message("opt", "coordinator.rest", opt("o-1"))
    s.refused(alder, good._replace(body=opt("o-2")), "signature-bad")


def another_partys_signature_is_no_signature(s):
    alder = s.client("alder", "r3")
    alder.sign_secret = s.secrets("birch")["sign_secret"]
    s.refused(alder, alder.message("opt", "coordinator.rest", opt()), "signature-bad")


def the_same_id_with_other_bytes_is_a_replay(s):
    alder = s.client("alder", "r3")
    first = alder.message("opt", "coordinator.rest", opt("o-1"))
    alder.request(first)
    s.refused(alder, alder.message("opt", "coordinator.rest", opt("o-2"), id=first.id), "replay")


def an_aggregator_gives_no_orders_upwards(s):
    alder = s.client("alder", "r3")
    s.refused(alder, alder.message("dispatch", "coordinator.rest", dispatch()), "flow-refused")


def two_aggregators_may_not_talk(s):
    alder = s.client("alder", "r3")
    s.refused(alder, alder.message("opt", "birch", opt()), "no-interface")


def a_parent_that_was_never_taken_is_refused(s):
    app = s.app()
    s.refused(app, app.message("dispatch", "alder", dispatch(), parent=(wire.new_id(), bytes(32))), "parent-unknown")


def an_unknown_recipient_is_refused(s):
    alder = s.client("alder", "r3")
    s.refused(alder, alder.message("opt", "nobody", opt()), "recipient-unknown")


def a_body_that_cannot_be_read_is_refused(s):
    alder = s.client("alder", "r3")
    for body in (b"", b"\xff" * 40, opt() + wire.number(1, 1), opt() + wire.number(99, 1), wire.number(1, 77)):
        s.refused(alder, alder.message("opt", "coordinator.rest", body), "malformed")


def bytes_that_are_no_packet_cut_the_connection(s):
    alder = s.client("alder", "r3")
    alder.send_bytes(wire.COMMAND, b"\x00garbage")
    s.audited(what="connection", verdict="cut", peer="alder", reason="malformed")


def a_message_before_the_first_ping_cuts_the_connection(s):
    alder = s.client("alder", "r3", bind=False)
    alder.send(alder.message("opt", "coordinator.rest", opt()))
    s.audited(what="connection", verdict="cut", peer="alder", reason="not-bound")


def telemetry_on_the_command_connection_cuts_it(s):
    alder = s.client("alder", "r3")
    alder.send(alder.message("telemetry", "coordinator.rest", telemetry(), category=2, signed=False), group=wire.COMMAND)
    s.audited(what="connection", verdict="cut", peer="alder", reason="wrong-lane")


def several_frames_in_one_message_cut_the_connection(s):
    alder = s.client("alder", "r3")
    alder.sockets[wire.COMMAND].send_multipart([b"a", b"b"])
    s.audited(what="connection", verdict="closed", peer="alder", reason="bad-frame")


def a_flood_of_garbage_leaves_the_broker_as_it_was(s):
    def memory():
        with open(f"/proc/{s.broker.process.child.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * 4096
    alder, birch = s.client("alder", "r3"), s.client("birch", "r3")
    bad = [alder.message("opt", "coordinator.rest", os.urandom(200)) for _ in range(200)]
    for m in bad:
        alder.send(m)
    alder.receipt_for(bad[-1], timeout=20)
    before = memory()
    for _ in range(10):
        more = [alder.message("opt", "coordinator.rest", os.urandom(200)) for _ in range(200)]
        for m in more:
            alder.send(m)
        alder.receipt_for(more[-1], timeout=20)
    with open(s.net.erabd, "rb") as f:
        keeps_freed_memory = b"__asan_init" in f.read()  # AddressSanitizer's quarantine
    assert keeps_freed_memory or memory() - before < 4 << 20, f"grew by {memory() - before} bytes"
    assert birch.request(birch.message("opt", "coordinator.rest", opt()))["state"] == "delivered"


run()
