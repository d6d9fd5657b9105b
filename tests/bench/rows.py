"""The rows: what is measured, against whom, and what the bar and the aim are. Each function is one measurement, gives
one row or more, and takes its turns: ours and the peers in the same run, a fresh server each time."""
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import uuid

import servers

NATIONAL_PEAK = 8370  # messages a second

ROWS = {}


def row(name):
    def keep(function):
        ROWS[name] = function
        return function
    return keep


def middle(values):
    return statistics.median(values)


class Figures:
    """Of one system: the rounds of one figure."""

    def __init__(self, values):
        self.values = values
        self.median = middle(values)

    def spread(self):
        return [min(self.values), max(self.values)]


def make(name, unit, figures, bar, aim, bar_text, aim_text, over="bare", more=None):
    """A row; `bar` and `aim` take the medians and say whether ours meets them."""
    medians = {k: f.median for k, f in figures.items()}
    peers = {k: v for k, v in medians.items() if k != "ours"}
    meets = "aim" if aim(medians) and bar(medians) else "bar" if bar(medians) else "no"
    return {"name": name, "unit": unit, "ours": medians["ours"], "peers": peers,
            "ratio": medians["ours"] / peers[over] if over in peers and peers[over] else None,
            "ratio_to": over if over in peers else None, "bar": bar_text, "aim": aim_text, "meets": meets,
            "spread": {k: f.spread() for k, f in figures.items()}, "rounds": len(figures["ours"].values), **(more or {})}


def figures(results, key, scale=1.0):
    return {system: Figures([r[key] * scale for r in rounds]) for system, rounds in results.items()}


# ---- throughput ----

def flood(bench, systems, what, **settings):
    own = settings.pop("own", {})

    def once(server):
        return bench.load("flood", server, **{**settings, **own.get(server.name, {})})
    return bench.turns(systems, once, what)


@row("senders")
def senders(bench):
    n = bench.pick(400000, 40000)
    results = flood(bench, ("ours", "bare", "nats"), "200 senders", senders=200, messages=n, pack=1, window=2048)
    lost = sum(r["lost"] for r in results["ours"])
    return [
        make("200 senders, one message per packet", "msg/s", figures(results, "per_second"),
             lambda m: m["ours"] >= 0.7 * m["bare"] and m["ours"] > m["nats"] and m["ours"] >= 5 * NATIONAL_PEAK,
             lambda m: m["ours"] >= 0.9 * m["bare"], "0.7 x bare, above nats, 41,850", "0.9 x bare", more={"lost": lost}),
        make("broker CPU per routed message, 200 B unpacked", "us", figures(results, "cpu_us"),
             lambda m: m["ours"] <= m["bare"], lambda m: m["ours"] <= 0.8 * m["bare"], "bare", "0.8 x bare")]


@row("packed")
def packed(bench):
    big = {"messages": bench.pick(1000000, 200000), "window": 8192}
    results = flood(bench, ("ours", "bare", "nats", "mosquitto"), "1 to 1, packed", senders=1, pack=128, window=2048,
                    messages=bench.pick(380000, 100000),
                    own={"bare": big, "nats": big, "mosquitto": {"messages": bench.pick(300000, 60000), "window": 8192}})
    return [make("1 sender to 1 receiver, packed", "msg/s", figures(results, "per_second"),
                 lambda m: m["ours"] >= 0.5 * m["nats"] and m["ours"] >= 4 * m["mosquitto"],
                 lambda m: m["ours"] >= 1.2 * m["nats"], "0.5 x nats, 4 x mosquitto", "1.2 x nats", over="nats",
                 more={"lost": sum(r["lost"] for r in results["ours"])})]


@row("roundtrip")
def roundtrip(bench):
    n = bench.pick(10000, 2000)
    results = bench.turns(("ours", "bare", "nats", "mosquitto"), lambda s: bench.load("roundtrip", s, messages=n), "round trip")
    return [make(f"round trip of one message, idle, {p}", "us", figures(results, f"{p}_us"),
                 lambda m: m["ours"] <= m["nats"] and m["ours"] <= m["bare"],
                 lambda m: m["ours"] <= m["bare"] - 10, "nats and bare", "10 us below bare") for p in ("p50", "p99")]


@row("rate")
def rate(bench):
    seconds = bench.pick(6, 1)
    results = flood(bench, ("ours", "bare"), "3,400 msg/s", senders=200, rate=3400, messages=3400 * seconds)
    added = {"ours": Figures([(o["p99_us"] - b["p99_us"]) / 1000 for o, b in zip(results["ours"], results["bare"])])}
    return [make("added p99 over the bare ROUTER at 3,400 msg/s", "ms", added, lambda m: m["ours"] <= 1,
                 lambda m: m["ours"] <= 0.2, "1 ms", "0.2 ms",
                 more={"p99_us": {k: f.median for k, f in figures(results, "p99_us").items()}})]


@row("commands")
def commands(bench):
    peak = 5 * NATIONAL_PEAK
    results = flood(bench, ("ours", "bare", "nats", "mosquitto"), "commands in a flood", senders=200, rate=peak,
                    messages=peak * bench.pick(8, 1), own={n: {"window": 8192} for n in ("nats", "mosquitto")},
                    **{"commands-us": 10000})
    return [make("command p99 while telemetry floods at 5 x", "ms", figures(results, "command_p99_us", 0.001),
                 lambda m: m["ours"] <= 20, lambda m: m["ours"] <= 5, "20 ms", "5 ms",
                 more={"reached_per_second": {k: f.median for k, f in figures(results, "per_second").items()},
                       "p50_ms": {k: f.median for k, f in figures(results, "command_p50_us", 0.001).items()}})]


# ---- many peers ----

@row("fanout")
def fanout(bench):
    each = bench.pick(5, 3)
    results = bench.turns(("ours", "bare", "nats"), lambda s: bench.load("fanout", s, peers=1000, rounds=each),
                          "fan-out to 1,000", most=bench.pick(99, 1))
    return [make("one signed group dispatch to 1,000 live peers, all have it", "ms", figures(results, "p50_us", 0.001),
                 lambda m: m["ours"] <= 1.3 * m["bare"] and m["ours"] < m["nats"], lambda m: m["ours"] < m["bare"],
                 "1.3 x bare, below nats", "below bare")]


@row("memory")
def memory(bench):
    results = bench.turns(("ours", "bare", "nats", "mosquitto"), lambda s: bench.load("idle", s, peers=1000),
                          "idle peers", most=bench.pick(5, 1))
    return [make("memory per idle authenticated peer", "KB", figures(results, "bytes_per_peer", 1 / 1024),
                 lambda m: m["ours"] <= 8, lambda m: m["ours"] <= 2, "8 KB", "2 KB",
                 more={"connections_per_peer": {"ours": 2, "bare": 1, "nats": 1, "mosquitto": 1}})]


@row("cut")
def cut(bench):
    peers, cuts = bench.pick((1000, 1000), (200, 100))
    values, cpu = [], []
    for i in range(bench.pick(min(bench.rounds, 3), 1)):
        bench.say(f"cuts under churn, {i + 1}")
        out = bench.tool("../attack/cuts_under_churn", os.path.join(bench.source, "profiles/erab-1.2-draft.yaml"), str(peers),
                         str(cuts))
        values.append(float(re.search(r"by the clock, us: .*p99 ([0-9.]+)", out)[1]) / 1000)
        cpu.append(float(re.search(r"CPU of the loop, us: .*p99 ([0-9.]+)", out)[1]) / 1000)
    return [make(f"cut of a live peer among {peers:,} under load, p99; none wrong, none missed", "ms",
                 {"ours": Figures(values)}, lambda m: m["ours"] <= 2, lambda m: m["ours"] <= 0.2, "2 ms", "0.2 ms",
                 more={"cpu_p99_ms": middle(cpu), "cuts": cuts})]


# ---- what is kept ----

@row("journal")
def journal(bench):
    n = bench.pick(300000, 30000)
    rows = []
    for i in range(bench.rounds):
        bench.say(f"journal rows, {i + 1} of {bench.rounds}")
        rows.append(bench.json("journal_rows", journal_file(bench, "rows"), str(n), "3600")["per_second"])
    results = bench.turns(("nats", "mosquitto"), lambda s: bench.load("durable", s, messages=bench.pick(100000, 10000), pack=16,
                                                                      window=1024), "acknowledged writes")
    found = {"ours": Figures(rows), **figures(results, "per_second")}
    found["jetstream"] = found.pop("nats")
    return [make("journal rows fsynced", "rows/s", found, lambda m: m["ours"] >= 0.5 * m["jetstream"],
                 lambda m: m["ours"] > m["jetstream"], "0.5 x JetStream's file store", "above JetStream", over="jetstream")]


@row("durable")
def durable(bench):
    n = bench.pick(40000, 8000)
    results = bench.turns(("ours",), lambda s: bench.load("durable", s, messages=n, pack=16, window=1024), "signed orders")
    ceiling = [bench.json("load", "verify")["per_second"] for _ in range(bench.rounds)]
    found = {**figures(results, "per_second"), "verify ceiling": Figures(ceiling)}
    return [make("signed durable commands", "orders/s", found, lambda m: m["ours"] >= 0.7 * m["verify ceiling"],
                 lambda m: m["ours"] >= 0.9 * m["verify ceiling"], "0.7 x what one core verifies",
                 "0.9 x what one core verifies", over="verify ceiling", more={"cpu_us": middle([r["cpu_us"] for r in results["ours"]])})]


def journal_file(bench, name):
    folder = os.path.join(bench.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    return os.path.join(folder, "journal.db")


def restart_times(bench, records, rounds):
    """Seconds from the start of the process to ready, with so many records in its journal."""
    bench.say(f"a journal of {records:,} records")
    times = []
    server = servers.Ours(bench)
    try:
        server.write()
        bench.json("journal_rows", server.path("journal.db"), str(records), "86400")
        for i in range(rounds):
            bench.say(f"restart, {i + 1} of {rounds}")
            begin = time.monotonic()
            server.launch()
            times.append(time.monotonic() - begin)
            server.child.terminate()
            server.child.wait(120)
    finally:
        server.__exit__()
    return times


@row("restart")
def restart(bench):
    records = bench.pick(1000000, 50000)
    times = restart_times(bench, records, bench.rounds)
    return [make(f"restart with a journal of {records:,} records", "s", {"ours": Figures(times)}, lambda m: m["ours"] <= 5,
                 lambda m: m["ours"] <= 1, "5 s", "1 s")]


@row("policy")
def policy(bench):
    config = os.path.join(bench.source, "examples/policies/fifty_rules.yaml")
    bench.say("policy")
    out = [bench.json("policy_cost", config) for _ in range(bench.rounds)]
    return [make("policy, 50 rules, per message", "us", {"ours": Figures([r["order_us"] for r in out])},
                 lambda m: m["ours"] <= 10, lambda m: m["ours"] <= 1, "10 us", "1 us (cached)",
                 more={"telemetry_us": middle([r["telemetry_us"] for r in out])})]


@row("hang")
def hang(bench):
    """An adapter that hangs at an order: from its acceptance to the audit line after which nothing of it is taken."""
    at = os.path.join(bench.build, "tests")
    os.environ.update(ERAB_BUILD=bench.build, ERAB_MODULES=os.path.join(at, "fault"),
                      ERAB_ECHO=os.path.join(at, "unit/client/echo_adapter.so"))
    sys.path.insert(0, os.path.join(bench.source, "tests/support"))
    import fault_world  # needs python3-zmq, as the tests do

    seconds = []
    for i in range(bench.rounds):
        bench.say(f"a hanging adapter, round {i + 1} of {bench.rounds}")
        world = fault_world.World("hang")
        world.adapter("ready")
        order = world.order("alder")
        accepted = world.broker.wait_audit(lambda r: r["what"] == "message" and r["id"] == str(uuid.UUID(bytes=order.id)))
        hung = world.adapter("hung")
        seconds.append((hung["mono_ms"] - accepted["mono_ms"]) / 1000)
        world.adapter("started", after=hung["seq"])
        world.answered(order, "applied")
        world.close()
    return [make("hung adapter: order accepted to cut, liveness deadline 1 s", "s", {"ours": Figures(seconds)},
                 lambda m: m["ours"] <= 1.1, lambda m: m["ours"] <= 1, "1.1 s", "1 s")]
