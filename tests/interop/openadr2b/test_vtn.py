#!/usr/bin/python3
"""The OpenADR adapter against the witness VTN, over TLS. Usage: test_vtn.py HOST_PROGRAM MODULE STORY_VTN_DIRECTORY [TEST...]"""
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HOST, MODULE, STORY = (os.path.abspath(p) for p in sys.argv[1:4])
ACCEPTED, REFUSED = 2, 6
TIMEOUT = 20


class Vtn:
    def __init__(self, folder, certs, *more):
        self.path = os.path.join(folder, "control")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(STORY, "vtn.py"), "--cert", certs + "/vtn.pem", "--key", certs + "/vtn.key",
             "--ca", certs + "/ca.pem", "--ven", "VEN_1=" + certs + "/ven.pem", "--control", self.path, *more],
            stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]

    def ask(self, **q):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            s.settimeout(TIMEOUT + 5)
            s.sendall(json.dumps(q).encode() + b"\n")
            return json.loads(s.makefile().readline())

    def wait(self, kind, **q):
        answer = self.ask(do="wait", timeout_s=TIMEOUT, **{"for": kind}, **q)
        assert answer["ok"], (kind, q, self.ask(do="log"))
        return answer["entry"]

    def log(self, kind):
        return [e for e in self.ask(do="log")["log"] if e["kind"] == kind]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Ven:
    def __init__(self, store, certs, url, receipts=ACCEPTED, reason="none", **options):
        values = dict(vtn_url=url, ca_file=certs + "/ca.pem", cert_file=certs + "/ven.pem", key_file=certs + "/ven.key",
                      ven_name="alder", tso="tso.east", recipient="alder.direct", report_resource="all", **options)
        self.process = subprocess.Popen([HOST, MODULE, "openadr2b", store, "tso.east",
                                         *["%s=%s" % v for v in values.items()]],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines, self.seen = queue.Queue(), []
        self.say(do="receipts", state=receipts, reason=reason)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def say(self, **q):
        self.process.stdin.write(json.dumps(q) + "\n")
        self.process.stdin.flush()

    def next(self, event, **want):
        while True:
            line = self.lines.get(timeout=TIMEOUT)
            self.seen.append(line)
            if line["event"] == event and all(line.get(k) == v for k, v in want.items()):
                return line

    def stop(self):
        self.say(do="stop")
        self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode


class Interop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certs = tempfile.mkdtemp()
        subprocess.run([STORY + "/make_certs.sh", cls.certs, "ec", "ven", "other"], check=True, stderr=subprocess.DEVNULL)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = folder.name
        self.vtn = Vtn(self.store, self.certs)
        self.addCleanup(self.vtn.stop)

    def ven(self, **options):
        ven = Ven(self.store, self.certs, self.vtn.url, **options)

        def end():
            if ven.process.poll() is None:
                ven.process.kill()
                ven.process.communicate()
        self.addCleanup(end)
        return ven

    def event(self, **spec):
        return self.vtn.ask(do="event", **dict(dict(signal="LOAD_DISPATCH", type="setpoint", value=-1500, start_in_s=600,
                                                    duration_s=1800), **spec))["event"]

    def test_setpoint_becomes_a_dispatch_and_is_opted_in_after_the_receipt(self):
        ven = self.ven(product="tertiary-2")
        self.vtn.wait("registered")
        event = self.event(values=[-1500, -750.5], priority=1)
        sent = ven.next("publish", type="dispatch")
        body = sent["body"]
        self.assertEqual((sent["from"], sent["to"], sent["exercise"]), ("tso.east", "alder.direct", False))
        self.assertEqual((body["order"], body["modification"], body["mode"]), (event, 0, "SETPOINT"))
        self.assertEqual([s["target_kw"] for s in body["slot"]], [-1500, -750.5])
        self.assertEqual(body["slot"][0]["end_ms"], body["slot"][1]["start_ms"])
        self.assertEqual(body["end_ms"] - body["start_ms"], 1800000)
        self.assertEqual((body["product"], body["priority"]), ("tertiary-2", 1))
        self.assertEqual((body["origin"]["id"], body["origin"]["protocol"]), (event, "openadr-2.0b"))
        der = subprocess.run(["openssl", "x509", "-in", self.certs + "/vtn.pem", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        import hashlib
        self.assertEqual(body["origin"]["certificate_sha256"], hashlib.sha256(der).hexdigest())
        answer = self.vtn.wait("created-event", event=event)
        self.assertEqual((answer["opt"], answer["code"]), ("optIn", "200"))
        self.assertEqual(ven.stop(), 0)

    def test_refused_order_is_opted_out(self):
        self.ven(receipts=REFUSED, reason="policy-denied")
        event = self.event()
        answer = self.vtn.wait("created-event", event=event)
        self.assertEqual((answer["opt"], answer["code"]), ("optOut", "451"))

    def test_delta_and_unit_are_honoured(self):
        ven = self.ven()
        self.event(type="delta", value=-2500, unit="none")
        body = ven.next("publish", type="dispatch")["body"]
        self.assertEqual((body["mode"], body["slot"][0]["target_kw"]), ("DELTA", -2.5))

    def test_simple_becomes_a_level(self):
        ven = self.ven()
        self.event(signal="SIMPLE", type="level", value=2)
        body = ven.next("publish", type="dispatch")["body"]
        self.assertEqual((body["mode"], body["slot"][0]["level"]), ("LEVEL", 2))

    def test_modification_cancel_and_test_event(self):
        ven = self.ven()
        event = self.event(test=True)
        first = ven.next("publish", type="dispatch")
        self.assertTrue(first["exercise"])
        self.vtn.wait("created-event", event=event, modification=0)
        self.vtn.ask(do="modify", event=event, value=-900)
        second = ven.next("publish", type="dispatch")
        self.assertEqual((second["body"]["modification"], second["body"]["slot"][0]["target_kw"]), (1, -900))
        self.vtn.wait("created-event", event=event, modification=1)
        self.vtn.ask(do="cancel", event=event)
        cancel = ven.next("publish", type="dispatch-cancel")
        self.assertEqual((cancel["body"]["order"], cancel["body"]["modification"]), (event, 2))
        self.assertEqual(cancel["body"]["dispatch_id"], second["id"])
        self.assertNotEqual(cancel["body"].get("implied"), True)
        self.assertEqual(self.vtn.wait("created-event", event=event, modification=2)["opt"], "optIn")

    def test_missing_event_is_an_implied_cancel(self):
        ven = self.ven()
        event = self.event()
        self.vtn.wait("created-event", event=event)
        self.vtn.ask(do="drop", event=event)
        cancel = ven.next("publish", type="dispatch-cancel")
        self.assertEqual((cancel["body"]["order"], cancel["body"]["implied"]), (event, True))

    def test_unknown_signal_is_refused_with_460(self):
        self.ven()
        event = self.event(signal="ELECTRICITY_PRICE", type="price", value=30)
        answer = self.vtn.wait("created-event", event=event)
        self.assertEqual((answer["opt"], answer["code"]), ("optOut", "460"))

    def test_foreign_target_is_refused_with_462(self):
        self.ven()
        answer = self.vtn.wait("created-event", event=self.event(target_ven="VEN_2"))
        self.assertEqual((answer["opt"], answer["code"]), ("optOut", "462"))

    def test_open_ended_event_is_bounded_by_the_block(self):
        ven = self.ven(open_ended_block_s=1200)
        self.event(duration_s=0)
        body = ven.next("publish", type="dispatch")["body"]
        self.assertEqual((body["end_ms"] - body["start_ms"], body["slot"][0]["end_ms"]), (1200000, body["end_ms"]))

    def test_open_ended_event_is_refused_without_a_block(self):
        self.ven()
        answer = self.vtn.wait("created-event", event=self.event(duration_s=0))
        self.assertEqual((answer["opt"], answer["code"]), ("optOut", "454"))

    def test_response_never_is_not_answered(self):
        ven = self.ven()
        silent = self.event(response="never")
        ven.next("publish", type="dispatch")
        self.vtn.wait("created-event", event=self.event(value=-1))
        self.assertEqual([e for e in self.vtn.log("created-event") if e["event"] == silent], [])

    def test_opt_out_of_the_recipient_reaches_the_vtn(self):
        ven = self.ven()
        event = self.event()
        self.vtn.wait("created-event", event=event, opt="optIn")
        ven.say(**{"do": "opt", "order": event, "from": "alder.direct", "in": False})
        ven.next("complete", call=ven.next("call")["call"], state="applied")
        self.vtn.wait("created-event", event=event, opt="optOut")

    def test_telemetry_is_reported_and_applied_after_the_answer(self):
        ven = self.ven()
        ven.next("log", text="registered as VEN_1, poll every 1000 ms")
        self.vtn.wait("created-report")
        ven.say(do="telemetry", resource="all", kw=-12.25)
        self.assertEqual(ven.next("complete", call=ven.next("call")["call"])["state"], "applied")
        report = self.vtn.wait("report")
        self.assertEqual((report["name"], report["points"][0]["value"]), ("TELEMETRY_USAGE", -12.25))

    def test_restart_keeps_registration_and_events(self):
        ven = self.ven()
        event = self.event()
        first = ven.next("publish", type="dispatch")
        self.vtn.wait("created-event", event=event)
        self.assertEqual(ven.stop(), 0)
        self.vtn.ask(do="drop", event=event)
        again = self.ven()
        cancel = again.next("publish")
        self.assertEqual((cancel["type"], cancel["body"]["dispatch_id"]), ("dispatch-cancel", first["id"]))
        self.assertEqual([e["again"] for e in self.vtn.log("registered")], [False, True])

    def test_failures_of_the_vtn_are_retried_without_losing_the_answer(self):
        self.ven()
        self.vtn.wait("poll")
        self.vtn.ask(do="fail", times=2)
        event = self.event()
        self.assertEqual(self.vtn.wait("created-event", event=event)["opt"], "optIn")

    def test_reregistration_is_followed(self):
        self.ven()
        self.vtn.wait("poll")
        self.vtn.ask(do="reregister")
        self.vtn.wait("registered", count=2)
        self.assertEqual(self.vtn.log("response")[0]["code"], "200")

    def test_never_polls_faster_than_granted(self):
        self.ven()
        self.vtn.wait("poll", count=4)
        at = [e["at"] for e in self.vtn.log("poll")]
        # Arrival times; half a period of slack is for the machine, not for the adapter.
        self.assertGreater(at[3] - at[0], 2.5)

    def test_vtn_with_a_foreign_certificate_gets_nothing(self):
        foreign = tempfile.mkdtemp()
        subprocess.run([STORY + "/make_certs.sh", foreign, "rsa", "ven"], check=True, stderr=subprocess.DEVNULL)
        ven = subprocess.Popen([HOST, MODULE, "openadr2b", self.store, "tso.east", "vtn_url=" + self.vtn.url,
                                "ca_file=" + foreign + "/ca.pem", "cert_file=" + self.certs + "/ven.pem",
                                "key_file=" + self.certs + "/ven.key", "ven_name=x", "tso=tso.east", "recipient=ac",
                                "report_resource=all"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        before = len(self.vtn.ask(do="log")["log"])
        self.assertIn("oadrQueryRegistration", json.loads(ven.stdout.readline())["text"])
        ven.communicate('{"do":"stop"}\n', timeout=TIMEOUT)
        self.assertEqual(len(self.vtn.ask(do="log")["log"]), before)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
