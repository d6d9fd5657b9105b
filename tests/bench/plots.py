"""How cost grows with the work: latency and CPU against rate, memory and fan-out against peers, restart against the length
of the journal. SVG and PNG of each."""
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import rows  # noqa: E402
import servers  # noqa: E402

RATES = (1000, 3400, 10000, 20000, 41850, 60000)
PEERS = (100, 1000, 4000)
RECORDS = (10000, 100000, 300000, 1000000)
STYLE = {"ours": ("#0b5d7a", "o-"), "bare": ("#888888", "s--"), "nats": ("#c46f00", "^--"), "mosquitto": ("#7a3b8f", "v--")}
LONG = {"ours": "this broker", "bare": "bare CURVE ROUTER", "nats": "nats-server", "mosquitto": "mosquitto"}


def plot(out, name, title, x_name, y_name, lines, logarithmic=True):
    figure, axes = plt.subplots(figsize=(6.4, 4.0))
    for system, points in lines.items():
        color, style = STYLE[system]
        axes.plot([p[0] for p in points], [p[1] for p in points], style, color=color, label=LONG[system])
    axes.set_xscale("log")
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    xs = sorted({p[0] for points in lines.values() for p in points})
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.minorticks_off()
    axes.set_title(title)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.grid(True, alpha=0.3)
    if len(lines) > 1:
        axes.legend()
    figure.tight_layout()
    paths = []
    for kind in ("svg", "png"):
        path = os.path.join(out, f"bench-{name}.{kind}")
        figure.savefig(path, dpi=120)
        paths.append(os.path.basename(path))
    plt.close(figure)
    return paths


def against_rate(bench, out):
    systems = ("ours", "bare", "nats", "mosquitto")
    p99, p50, cpu = ({s: [] for s in systems} for _ in range(3))
    for rate in RATES:
        bench.say(f"plot: {rate:,} msg/s")
        for system in systems:
            with servers.CLASSES[system](bench) as server:
                try:
                    r = bench.load("flood", server, senders=200, rate=rate, messages=rate * 3, window=2048)
                except servers.Failed as e:
                    bench.say(f"  {system} at {rate}: {e}")
                    continue
            if r["per_second"] < 0.95 * rate:
                continue  # it could not follow: its latency is the window's
            p50[system].append((rate, r["p50_us"]))
            p99[system].append((rate, r["p99_us"]))
            cpu[system].append((rate, r["cpu_us"]))
    text = "messages a second, 200 senders, 200 B"
    paths = plot(out, "latency-p50", "Latency, p50", text, "us", p50)
    paths += plot(out, "latency-p99", "Latency, p99", text, "us", p99)
    return paths + plot(out, "cpu", "CPU of the server for each message", text, "us", cpu, False), {"p50_us": p50, "p99_us": p99,
                                                                                                    "cpu_us": cpu}


def against_peers(bench, out):
    fan, memory = {s: [] for s in ("ours", "bare", "nats")}, {s: [] for s in ("ours", "bare", "nats")}
    for peers in PEERS:
        bench.say(f"plot: {peers:,} peers")
        for system in fan:
            try:
                if system == "ours":
                    servers.Ours.members = peers  # the group is all of them
                with servers.CLASSES[system](bench) as server:
                    fan[system].append((peers, bench.load("fanout", server, peers=peers, rounds=5)["p50_us"] / 1000))
                with servers.CLASSES[system](bench) as server:
                    memory[system].append((peers, bench.load("idle", server, peers=peers)["bytes_per_peer"] / 1024))
            except servers.Failed as e:
                bench.say(f"  {system} with {peers}: {e}")
            finally:
                servers.Ours.members = 1000
    paths = plot(out, "fanout", "One message to each peer: until the last one has it", "peers", "ms", fan)
    return paths + plot(out, "memory", "Memory of an idle peer", "peers", "KB", memory, False), {"fanout_ms": fan, "memory_kb": memory}


def against_records(bench, out):
    times = {"ours": []}
    for records in RECORDS:
        times["ours"].append((records, rows.middle(rows.restart_times(bench, records, 3))))
    return plot(out, "restart", "From start to ready", "records in the journal", "s", times), {"restart_s": times}


def draw(bench, out):
    files, points = [], {}
    for what in (against_rate, against_peers, against_records):
        more, found = what(bench, out)
        files += more
        points.update(found)
    return {"files": files, "points": points}
