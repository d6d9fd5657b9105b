"""What fails or is shut while the rest goes on: a hung adapter, an isolated interface."""
import os
import signal

from network import Failed


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(n) for n in f.read().split()]


def hung(story):
    """Stops the sandboxed half of the OpenADR adapter, as an endless loop in it would."""
    direct = story.direct
    runners = children(direct.process.child.pid)
    if len(runners) != 1 or len(children(runners[0])) != 1:
        raise Failed(f"one runner with one other half expected, there are {runners}")
    last = direct.audit()[-1]["seq"]
    since = len(story.vtn(do="log")["log"])
    os.kill(children(runners[0])[0], signal.SIGSTOP)

    def adapter(verdict, after):
        return direct.wait_audit(lambda r: r.get("act") == "adapter" and r["object"] == "r1" and r["verdict"] == verdict and
                                 r["seq"] > after, 30)

    noticed = adapter("hung", last)
    cut = direct.wait_audit(lambda r: r["what"] == "connection" and r["peer"] == "r1" and r["verdict"] == "cut" and
                            r["seq"] > noticed["seq"])
    ended = adapter("ended", cut["seq"])
    ready = adapter("ready", ended["seq"])
    polls = story.vtn(do="wait", **{"for": "poll"}, since=since, timeout_s=30)
    assert polls.get("ok"), "the VTN is not polled again"
    return (f"audited: hung, links cut ({cut['reason']}), ended, ready {ready['mono_ms'] - noticed['mono_ms']} ms after it "
            "was noticed; the VTN is polled again")


def told(story, name, after, test=lambda e: True):
    """The first telemetry event of this party that passes the test, after the first `after` of them."""
    process = story.processes[name]

    def wanted(_):
        return any(map(test, [e for e in process.events() if e["event"] == "telemetry"][after:]))

    process.wait_event(wanted)
    return next(filter(test, [e for e in process.events() if e["event"] == "telemetry"][after:]))


def count_of(story, name):
    return sum(e["event"] == "telemetry" for e in story.processes[name].events())


def isolated(story):
    """While an order runs. R1 is shut; values still climb from the home to the coordinator's rest."""
    direct = story.direct
    code, answer = direct.tool("isolate", "r1")
    assert code == 0 and answer["isolated"] == ["r1"], answer
    decided = direct.wait_audit(lambda r: r.get("act") == "isolate" and r["object"] == "r1")
    before = {name: count_of(story, name) for name in ("alder.app", "rest.app")}
    refused = direct.wait_audit(lambda r: r["seq"] > decided["seq"] and r.get("reason") == "breaker-open" and
                                r["what"] in ("refused", "telemetry-shed"))
    assert refused.get("to", "tso") == "tso", refused
    below = told(story, "alder.app", before["alder.app"] + 1, lambda e: e["silent"] == 0)
    above = told(story, "rest.app", before["rest.app"] + 1)
    text = f"on R1: {refused['reason']}; Alder still reports {below['kw']:g} kW, all aggregators {above['kw']:g} kW"
    if story.homes:
        state = story.homes.wait_battery(lambda s: s["does"] == "discharge")
        text += f"; the battery goes on ({state['does']}, {state['watts']} W)"
    health = direct.tool("health")[1]
    assert health["isolated"] == ["r1"] and any(p["bound"] and p["interface"] == "internal" for p in health["peers"]), health
    return text


def joined(story):
    since = len(story.vtn(do="log")["log"])
    code, answer = story.direct.tool("join", "r1")
    assert code == 0 and answer["isolated"] == [], answer
    entry = story.vtn(do="wait", **{"for": "report"}, since=since, count=2, timeout_s=30)
    assert entry.get("ok"), "no report after the interface was joined again"
    return f"reports come again: {entry['entry']['points'][-1]['value']:g} kW"


def restart(broker):
    """As a power cut does it, and as systemd answers: no goodbye, the same state folder."""
    broker.process.child.kill()
    broker.process.stop()
    broker.start()


def killed(story):
    """An order on whose way down the coordinator's broker is killed, and then the aggregator's, each in the middle of its
    fan-out; the battery's own log says how often it was told."""
    before, last = len(story.homes.asked()), story.alder.audit()[-1]["seq"]
    event = story.vtn(do="event", signal="LOAD_DISPATCH", type="delta", value=-float(story.args.order), start_in_s=0,
                      duration_s=1800, unit="k")["event"]
    story.processes["rest.app"].wait_event(lambda e: e.get("event") == "split" and event in e.get("order", ""))
    restart(story.rest)
    story.alder.wait_audit(lambda r: r["seq"] > last and r["what"] == "message" and r.get("type") == "dispatch", 40)
    restart(story.alder)
    share = round(1000 * story.args.order / sum(story.fleet.values()))
    story.homes.wait_battery(lambda s: s["does"] == "discharge" and s["watts"] == -share)
    opt = story.vtn(do="wait", **{"for": "created-event"}, event=event, opt="optIn", timeout_s=40)
    assert opt.get("ok"), opt
    story.vtn(do="cancel", event=event)
    story.homes.wait_battery(lambda s: s["does"] == "auto")
    told = story.homes.asked()[before:]
    assert told == ["43", "46"], f"the battery was told {told}, 43 (discharge) and 46 (automatic) expected, once each"
    return (f"{story.rest.owner} and {story.alder.owner} were killed and started again; the battery's own log: one Set to "
            f"discharge ({share} W), one back to automatic")
