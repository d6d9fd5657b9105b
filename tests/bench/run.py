#!/usr/bin/python3
"""Runs the rows in turn, writes bench.json and the plots, prints the table. Called by scripts/bench."""
import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import check_json  # noqa: E402
import rows  # noqa: E402
import servers  # noqa: E402


class Bench:
    def __init__(self, options):
        self.source = os.path.dirname(os.path.dirname(HERE))
        self.build = os.path.abspath(options.build)
        self.quick = options.quick
        self.rounds = options.rounds or (2 if options.quick else 5)
        self.began = time.monotonic()
        self.folder = os.path.join(self.build, "bench-run")  # on the disk that the build is on, never in memory
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        self.certificates = servers.certificates(os.path.join(self.folder, "certificates"))

    def pick(self, full, quick):
        return quick if self.quick else full

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.0f}s] {text}", flush=True)

    def tool(self, name, *words):
        done = subprocess.run([os.path.join(self.build, "tests/bench", name), *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
        if done.returncode:
            raise servers.Failed(f"{os.path.basename(name)} {' '.join(words)[:200]}: "
                                 f"{done.stderr.decode(errors='replace').strip()} {done.stdout.decode(errors='replace')[-300:]}")
        return done.stdout.decode()

    def json(self, name, *words):
        return json.loads(self.tool(name, *words))

    def load(self, mode, server, **settings):
        words = [f"{k}={v}" for k, v in settings.items()]
        return self.json("load", mode, server.name, str(server.port), server.secret, str(server.child.pid), *words)

    def turns(self, systems, once, what, most=99):
        """Every system once in each round, each time a fresh server; who begins changes from round to round."""
        results = {s: [] for s in systems}
        rounds = min(self.rounds, most)
        for i in range(rounds):
            self.say(f"{what}, round {i + 1} of {rounds}")
            turn = i % len(systems)
            for system in systems[turn:] + systems[:turn]:
                with servers.CLASSES[system](self) as server:
                    results[system].append(once(server))
        return results


def first_line(*words):
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        return done.stdout.decode(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown"


def machine(bench):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                if line.startswith("model name")), platform.machine())
    return {"cores": len(os.sched_getaffinity(0)), "cpu": cpu, "kernel": platform.release(),
            "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            "file_system": first_line("findmnt", "-no", "FSTYPE", "-T", bench.folder),
            "load_at_start": list(os.getloadavg()), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": first_line("git", "-C", bench.source, "rev-parse", "--short", "HEAD"),
            "versions": {"erabd": first_line(os.path.join(bench.build, "broker/erabd"), "--version"),
                         "nats-server": first_line("nats-server", "--version"),
                         "mosquitto": first_line("mosquitto", "-h"), "openssl": first_line("openssl", "version"),
                         "libzmq": first_line("dpkg-query", "-Wf", "${Version}", "libzmq5"),
                         "compiler": first_line("cc", "--version")}}


def number(v):
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}"


def table(found):
    head = ("row", "unit", "ours (min..max)", "peers", "ratio", "bar", "meets")
    lines = [head]
    for r in found:
        low, high = r["spread"]["ours"]
        lines.append((r["name"], r["unit"], f"{number(r['ours'])} ({number(low)}..{number(high)})",
                      ", ".join(f"{k} {number(v)}" for k, v in r["peers"].items()) or "-",
                      f"{r['ratio']:.2f}" if r["ratio"] is not None else "-", r["bar"], r["meets"]))
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines[1:]))


def measure(bench, names):
    found, failed = [], []
    for name in names:
        try:
            for r in rows.ROWS[name](bench):
                found.append(r)
                bench.say(f"  {r['name']}: {number(r['ours'])} {r['unit']}, bar {r['bar']}: {r['meets']}")
        except (servers.Failed, OSError, KeyError, ValueError, TypeError, subprocess.SubprocessError) as e:
            failed.append({"row": name, "error": f"{type(e).__name__}: {e}"})
            bench.say(f"  {name} could not be measured: {e}")
    return found, failed


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("--build", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plots", action="store_true")
    options = parser.parse_args()
    options.names = options.rows.split(",") if options.rows else list(rows.ROWS)
    unknown = [n for n in options.names if n not in rows.ROWS]
    if unknown or (options.rounds is not None and not 1 <= options.rounds <= 100):
        print(f"scripts/bench: rows are {', '.join(rows.ROWS)}; rounds are 1 to 100", file=sys.stderr)
        sys.exit(2)
    return options


def write(path, report):
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    os.replace(path + ".new", path)


def main():
    options = parse()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bench = Bench(options)
    facts = machine(bench)
    found, failed = measure(bench, options.names)
    facts["load_at_end"] = list(os.getloadavg())
    report = {"machine": facts, "quick": bench.quick, "rounds": bench.rounds, "rows": found, "failed": failed}
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "bench.json")
    write(path, report)
    if options.plots:  # they take as long again: what is measured is safe by now
        import plots  # needs matplotlib
        try:
            report["plots"] = plots.draw(bench, options.out)
        except (servers.Failed, OSError, subprocess.SubprocessError) as e:
            failed.append({"row": "plots", "error": str(e)})
            bench.say(f"  plots: {e}")
        write(path, report)
    complaints = check_json.complaints(report)
    shutil.rmtree(bench.folder, ignore_errors=True)
    print(f"\n{facts['cores']} cores, {facts['cpu']}, Linux {facts['kernel']}, load at start {facts['load_at_start'][0]:.2f}\n")
    print(table(found))
    print(f"\n{path}: {len(found)} rows, {sum(r['meets'] != 'no' for r in found)} meet their bar, {len(failed)} not measured")
    for line in complaints:
        print("bench.json: " + line, file=sys.stderr)
    sys.exit(1 if failed or complaints else 0)


if __name__ == "__main__":
    main()
