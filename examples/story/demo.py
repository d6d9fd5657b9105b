#!/usr/bin/python3
"""The story, as an acceptance test: real brokers, a real battery protocol, a VTN that shares no code with us.
Run by scripts/demo. One sentence and PASS, FAIL or SKIP a step; the last line counts them."""
import argparse
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(SOURCE, "tests", "support"))
import home  # noqa: E402
from guests import Guests  # noqa: E402
from story import Story  # noqa: E402


class Counter:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.began = time.monotonic()

    def say(self, verdict, sentence, detail=""):
        took = time.monotonic() - self.began
        print(f"{verdict:4}  {took:5.1f}s  {sentence}" + (f"\n              {detail}" if detail else ""), flush=True)

    def step(self, sentence, run):
        try:
            detail = run()
        except Exception as problem:  # noqa: BLE001 whatever went wrong, the step failed
            self.failed += 1
            self.say("FAIL", sentence, f"{type(problem).__name__}: {problem}")
            return False
        self.passed += 1
        self.say("PASS", sentence, detail or "")
        return True

    def skip(self, sentence, why):
        self.skipped += 1
        self.say("SKIP", sentence, why)

    def close(self):
        line = f"{self.passed} passed, {self.failed} failed"
        print(line + (f", {self.skipped} skipped" if self.skipped else ""))
        return 0 if self.failed == 0 and self.passed else 1


def begins(story, count):
    """The cast, who gets in and who does not; what is left to be looked at later, or None."""
    ok = count.step("A VTN that shares no code with us, four brokers and their parties start", lambda: (
        story.start_vtn(), story.start_direct(), story.start_rest(), story.start_alder(), story.start_home(),
        story.start_parties()) and None)
    if not ok:
        return None
    import attacks
    import newcomers
    first, later = newcomers.steps(story)
    for sentence, run in attacks.steps(story) + first:
        count.step(sentence, run)
    count.step("Example Retail's Plan passes on R2, its DeviceCommand is refused", story.retail)
    return later


def order(story):
    """An order's whole life, R1 isolated in the middle of it; then what a battery may do wrong. Each with why it
    cannot be shown here, if so."""
    import outages
    no_module, no_home = story.no_runner, story.no_runner or story.no_homes
    bad = [(f"A battery told to misbehave ({word}) is named in the Result", lambda w=word, r=reason: story.bad_device(w, r), no_home)
           for word, reason in (("refuse", "device-refused"), ("silent", "device-silent"), ("lie", "device-deviates"))]
    return [
        ("The coordinator's direct part registers with the transmission operator (OpenADR 2.0b)", story.registered, no_module),
        (f"An order of -{story.args.order:g} kW comes in on R1 and is split by fleet", story.order, no_module),
        ("The battery in the home really discharges", story.discharging, no_home),
        ("Telemetry returns as an OpenADR report", story.report, no_module),
        ("R1 is isolated by one command: it is shut at once, R3 to R5 go on", lambda: outages.isolated(story), no_module),
        ("R1 is joined again", lambda: outages.joined(story), no_module),
        ("A cancel ends the order down to the home", story.cancel, no_module),
        ("The coordinator's and an aggregator's broker are killed in the middle of a fan-out: the battery is told once",
         lambda: outages.killed(story), no_home),
        *bad,
        ("A hung adapter is noticed, its links are cut, and it is started again", lambda: outages.hung(story), no_module)]


def steps(story, count):
    later = begins(story, count)
    if later is None:
        return
    beside, left = story.guests.begin(not story.no_runner)
    for i, (sentence, run, missing) in enumerate(order(story)):
        if missing:
            count.skip(sentence, missing)
        elif not count.step(sentence, run) and i < 2:
            break  # without an order there is nothing to follow
    for sentence in left:
        count.skip(sentence, story.no_runner)
    for sentence, run in beside + later:
        count.step(sentence, run)
    count.step("A revoked aggregator is cut while connected, the others are not disturbed", story.revoke)
    count.step("The audit logs of all brokers verify", story.audit)
    count.step("One altered byte in an audit log is found", story.altered)
    count.step("A truncated audit log is found by the heads that the other firm holds", story.truncated)
    sentence = "The order can be traced from R1 to R5, over the logs of all firms"
    if story.no_runner:
        count.skip(sentence, story.no_runner)
    else:
        count.step(sentence, story.trace)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--order", type=float, default=1500)
    parser.add_argument("--fleet", default="400,350,250", type=lambda t: [int(n) for n in t.split(",")])
    parser.add_argument("--keep")
    args = parser.parse_args()
    if len(args.fleet) != 3 or min(args.fleet) < 1 or args.order <= 0:
        parser.error("--fleet takes three numbers of homes, --order a positive number of kW")
    args.build = os.path.abspath(args.build)
    why = home.enter_namespace()
    folder = args.keep or tempfile.mkdtemp(prefix="erab-demo-")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    count = Counter()
    story = Story(args, os.path.abspath(folder))
    try:
        story.no_homes = why
        story.no_runner = home.no_runner()
        story.guests = Guests(args.build, SOURCE, os.path.join(story.folder, "guests"))
        if not why:
            story.homes = home.Home(os.path.join(HERE, "devices"))
        steps(story, count)
    finally:
        story.stop()
        if not args.keep and count.failed == 0:
            shutil.rmtree(folder)
        elif count.failed:
            print(f"keys, configurations and logs are kept in {folder}")
    sys.exit(count.close())


if __name__ == "__main__":
    main()
