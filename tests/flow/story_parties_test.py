"""The example parties of the demo, all running, against a hub that shares no code with them. The test itself plays
the transmission operator and the battery."""
import os
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT, PROGRAM = sys.argv.pop(1), sys.argv.pop(1)
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import foreign_hub  # noqa: E402

SCHEMAS = tempfile.TemporaryDirectory()
pb, orders, operation = foreign_hub.load_schemas(ROOT, SCHEMAS.name)
NAMES = ["tso", "acme.direct", "acme.rest", "alder", "birch", "cedar", "home-1", "battery-1", "retail"]
R5 = 1  # the second listener


class StoryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.party = {name: foreign_hub.Party(name, self.folder.name) for name in NAMES}
        self.hub = foreign_hub.Hub(pb)
        self.addCleanup(self.hub.close)
        self.hub.listen()
        self.hub.listen()
        self.hub.taken = {"tso", "battery-1"}
        self.processes, self.may_fail = [], []
        self.addCleanup(self.stop)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            self.assertIn(process.wait(timeout=20), (0, 1) if process in self.may_fail else (0,))

    def start(self, role, name, *options):
        endpoint, key = self.hub.endpoints[0]
        trust = [o for n in NAMES for o in ("--trust", f"{n}={self.party[n].sign_public.hex()}")]
        process = subprocess.Popen([PROGRAM, role, "--key", self.party[name].file, "--endpoint", endpoint,
                                    "--server-key", key, "--hub", foreign_hub.HUB, "--report-ms", "200",
                                    *trust, *options], stdout=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def start_all(self):
        endpoint, key = self.hub.endpoints[1]
        self.start("coordinator-direct", "acme.direct", "--up", "tso", "--member", "acme.rest")
        self.start("coordinator-rest", "acme.rest", "--up", "acme.direct", "--ra", "alder=400", "--ra", "birch=350",
                   "--ra", "cedar=250")
        self.start("aggregator", "alder", "--up", "acme.rest", "--home", "home-1", "--fleet", "399")
        self.start("aggregator", "birch", "--up", "acme.rest", "--fleet", "350")
        self.start("aggregator", "cedar", "--up", "acme.rest", "--fleet", "250")
        self.start("gateway", "home-1", "--up", "alder", "--device", "battery-1", "--r5-endpoint", endpoint,
                   "--r5-server-key", key)
        self.hub.until("all connected", lambda: len(self.hub.where) >= 14)

    def dispatch(self, kw=-1500.0, modification=0, milliseconds=60000):
        start = foreign_hub.now_ms()
        d = orders.Dispatch(order="day-1", modification=modification, mode=orders.DELTA, start_ms=start,
                            end_ms=start + milliseconds)
        d.slot.add(start_ms=start, end_ms=d.end_ms, target_kw=kw)
        return self.hub.inject("tso", "acme.direct", pb.DISPATCH, d, sign=self.party["tso"].sign)

    def one(self, sender, to, kind, cls, number=0):
        seen = self.hub.until(f"{sender} to {to}, type {kind}",
                              lambda: self.hub.find(sender, to, kind)[number:number + 1])[0]
        return seen, cls.FromString(seen.body)

    def follows(self, child, parent):
        self.assertEqual((child.header.parent.id, child.header.parent.hash), (parent.header.id, parent.hash))

    def test_an_order_reaches_the_battery_and_each_message_names_the_one_before(self):
        self.start_all()
        order = self.dispatch()
        direct, _ = self.one("acme.direct", "acme.rest", pb.DISPATCH, orders.Dispatch)
        self.follows(direct, order)
        for name, kw in (("alder", -600.0), ("birch", -525.0), ("cedar", -375.0)):
            seen, d = self.one("acme.rest", name, pb.DISPATCH, orders.Dispatch)
            self.follows(seen, direct)
            self.assertEqual(d.slot[0].target_kw, kw)
        alder, _ = self.one("acme.rest", "alder", pb.DISPATCH, orders.Dispatch)
        r4, command = self.one("alder", "home-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.follows(r4, alder)
        r5, command = self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.follows(r5, r4)
        self.assertEqual((command.action, command.power_w), (orders.DISCHARGE, 1500.0))
        self.hub.receipt("battery-1", "home-1", r5, pb.APPLIED, listener=R5)
        self.hub.until("the operator hears APPLIED", lambda: [
            s for s in self.hub.find("acme.direct", "tso", pb.RECEIPT)
            if pb.Receipt.FromString(s.body).state == pb.APPLIED and
            pb.Receipt.FromString(s.body).about == order.header.id])

    def power(self):
        t = operation.Telemetry()
        t.point.add(resource="battery-1", quantity=operation.POWER_KW, at_ms=foreign_hub.now_ms(), value=-1.5)
        self.hub.inject("battery-1", "home-1", pb.TELEMETRY, t, listener=R5)

    def reported(self):
        self.power()
        points = [operation.Telemetry.FromString(s.body).point[0] for s in
                  self.hub.find("acme.direct", "tso", pb.TELEMETRY)]
        return [p for p in points if abs(p.value + 1500.0) < 0.001 and p.members == 1000]

    def test_measured_values_of_home_and_fleets_add_up_at_the_operator(self):
        self.start_all()
        self.dispatch()
        self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.hub.until("-1,500 kW of 1,000 homes", self.reported)

    def test_a_higher_modification_replaces_and_a_lower_one_is_refused(self):
        self.start_all()
        self.dispatch(modification=1)
        self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        late = self.dispatch(modification=0)
        self.hub.until("superseded", lambda: [
            s for s in self.hub.find("acme.direct", "tso", pb.RECEIPT)
            if pb.Receipt.FromString(s.body).about == late.header.id and
            pb.Receipt.FromString(s.body).reason == "superseded"])
        self.dispatch(kw=-1000.0, modification=2)
        _, command = self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand, number=1)
        self.assertEqual(command.power_w, 1000.0)

    def test_a_cancel_restores_the_battery(self):
        self.start_all()
        order = self.dispatch()
        self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        cancel = orders.DispatchCancel(order="day-1", dispatch_id=order.header.id, modification=0)
        self.hub.inject("tso", "acme.direct", pb.DISPATCH_CANCEL, cancel, sign=self.party["tso"].sign)
        _, command = self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand, number=1)
        self.assertEqual(command.action, orders.RESTORE)

    def test_what_cedar_cannot_give_is_told_to_the_operator(self):
        self.hub.taken.add("cedar")
        self.start_all_but_cedar()
        self.dispatch()
        seen, _ = self.one("acme.rest", "cedar", pb.DISPATCH, orders.Dispatch)
        self.hub.receipt("cedar", "acme.rest", seen, pb.REFUSED, "breaker-open")
        _, capability = self.one("acme.direct", "tso", pb.CAPABILITY, operation.Capability)
        self.assertEqual((capability.lost_kw, capability.down_kw, capability.reason), (375.0, 1125.0, "breaker-open"))

    def start_all_but_cedar(self):
        self.start("coordinator-direct", "acme.direct", "--up", "tso", "--member", "acme.rest")
        self.start("coordinator-rest", "acme.rest", "--up", "acme.direct", "--ra", "alder=400", "--ra", "birch=350",
                   "--ra", "cedar=250")
        self.hub.until("both connected", lambda: len(self.hub.where) >= 4)

    def test_an_order_ends_with_a_result_for_the_operator(self):
        self.start_all()
        order = self.dispatch(milliseconds=3000)
        r5, _ = self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.hub.receipt("battery-1", "home-1", r5, pb.APPLIED, listener=R5)
        done = operation.Result(about=r5.header.id, outcome=operation.DONE, reason="none", achieved_kw=-1.5)
        self.hub.inject("battery-1", "home-1", pb.RESULT, done, sign=self.party["battery-1"].sign, parent=r5, listener=R5)
        seen, result = self.one("acme.direct", "tso", pb.RESULT, operation.Result)
        self.follows(seen, order)
        self.assertEqual((result.about, result.outcome, result.expected_kw), (order.header.id, operation.DONE, -1500.0))

    def test_an_exercise_stays_an_exercise_down_to_the_battery(self):
        self.start_all()
        make = self.hub.make

        def drill(*arguments, **named):
            _, seen = make(*arguments, **named)
            seen.header.exercise = True
            raw = seen.header.SerializeToString()
            envelope = pb.Envelope(header=raw, body=seen.body)
            envelope.signature = self.party["tso"].sign.sign(foreign_hub.signed_string(raw, seen.body)).signature
            return envelope, foreign_hub.Seen(seen.header, seen.body, raw)
        self.hub.make = drill
        self.dispatch()
        self.hub.make = make
        r5, _ = self.one("home-1", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.assertTrue(r5.header.exercise)

    def retailer(self):
        self.hub.taken |= {"acme.rest", "battery-1"}
        retail = self.start("retailer", "retail", "--up", "acme.rest", "--device", "battery-1", "--timeout-ms", "20000")
        self.may_fail.append(retail)
        self.one("retail", "battery-1", pb.DEVICE_COMMAND, orders.DeviceCommand)
        self.hub.until("its end", lambda: retail.poll() is not None)
        return retail.returncode

    def test_the_retailer_ends_well_when_its_command_was_refused(self):
        self.hub.refused[("retail", pb.DEVICE_COMMAND)] = "no-interface"
        self.assertEqual(self.retailer(), 0)

    def test_the_retailer_ends_badly_when_its_command_was_accepted(self):
        self.assertEqual(self.retailer(), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
