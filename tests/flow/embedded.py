#!/usr/bin/python3
"""The broker inside other programs: three in one process in each way, the example, and what the library leaves alone."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
from stage import Client, Network, dispatch, yaml  # noqa: E402
from network import Process  # noqa: E402

SOURCE = os.path.dirname(os.path.dirname(HERE))
HOST, EXAMPLE, LIBRARY = (os.environ[f"ERAB_{name}"] for name in ("HOST", "EXAMPLE", "LIBRARY"))


def undefined_symbols():
    done = subprocess.run(["nm", "-D", "--undefined-only", LIBRARY], stdout=subprocess.PIPE, text=True, check=True)
    return {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}


SANITIZED = bool({"__asan_init", "__tsan_init"} & undefined_symbols())  # then the library holds more than ours


class Embedded(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="erab-embedded-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.net = Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)

    def client(self, broker, party, interface, speaks=None):
        endpoint, server_key = broker.server(interface)
        with open(self.net.keys.path(party), encoding="utf-8") as f:
            s = {k: bytes.fromhex(v) for k, v in yaml.safe_load(f).items() if k != "party"}
        c = Client(endpoint, bytes.fromhex(server_key), s["curve_public"], s["curve_secret"], speaks or party,
                   sign_secret=None if interface == "local" else s["sign_secret"], broker=broker.owner)
        self.addCleanup(c.close)
        c.bind()
        return c

    def three(self):
        """direct <- rest <- alder, each with an application of its own."""
        direct = self.net.broker("c.direct", "ac", "c")
        rest = self.net.broker("c.rest", "ac", "c")
        alder = self.net.broker("alder", "ra", "alder")
        direct.listen("internal")
        rest.listen("r3")
        for broker, role, firm in ((direct, "ac", "c"), (rest, "ac", "c"), (alder, "ra", "alder")):
            broker.party(broker.owner + ".app", role, firm, kind="local")
        direct.party("c.rest", "ac", "c", kind="uplink", interfaces=["internal"])
        rest.party("c.direct", "ac", "c", kind=None)
        rest.party("alder", "ra", "alder", kind="uplink", interfaces=["r3"])
        alder.party("c.rest", "ac", "c", kind=None)
        return direct, rest, alder

    def start(self, process, broker):
        broker.write()
        seen = len(process.lines)
        process.child.stdin.write(f"start {broker.path}\n".encode())
        process.child.stdin.flush()
        process.wait_line(f"{re.escape(broker.owner)} is ready$", after=seen)
        for line in process.lines[seen:]:
            match = re.search(r"erabd: (\w+) listens on (\S+)", line)
            if match:
                broker.ports[match[1]] = match[2]

    def three_in_one_process(self, mode):
        direct, rest, alder = self.three()
        process = Process("host", [HOST, "--mode", mode])
        self.addCleanup(process.stop)
        self.start(process, direct)
        rest.uplink(direct, "internal")
        self.start(process, rest)
        alder.uplink(rest, "r3")
        self.start(process, alder)
        apps = [self.client(b, b.owner + ".app", "local", speaks=b.owner) for b in (direct, rest, alder)]
        order = apps[1].message("dispatch", "alder", dispatch())
        self.assertEqual(apps[1].request(order)["state"], "accepted")
        self.assertEqual(apps[2].receive("dispatch", timeout=10).hash, order.hash)
        self.assertEqual([b.tool("health")[0] for b in (direct, rest, alder)], [0, 0, 0])
        # One of them ends; the others do not notice.
        process.child.stdin.write(b"stop c.direct\n")
        process.child.stdin.flush()
        direct.wait_audit(lambda r: r["what"] == "admin" and r.get("act") == "stop")
        order = apps[1].message("dispatch", "alder", dispatch(order="o-2"))
        self.assertEqual(apps[1].request(order)["state"], "accepted")
        self.assertEqual(apps[2].receive("dispatch", timeout=10).hash, order.hash)
        process.child.terminate()
        self.assertEqual(process.child.wait(20), 0)

    def test_three_brokers_in_one_process_each_in_its_thread(self):
        self.three_in_one_process("thread")

    def test_three_brokers_in_one_loop(self):
        self.three_in_one_process("loop")

    def test_three_brokers_step_by_step(self):
        self.three_in_one_process("step")

    def test_a_start_that_fails_leaves_the_host_alive(self):
        (direct, _, _) = self.three()
        direct.config["listeners"][0]["key_file"] = "/nowhere/key"
        direct.write()
        for mode in ("thread", "loop", "step"):
            done = subprocess.run([HOST, "--mode", mode, "-c", direct.path], stdin=subprocess.DEVNULL, timeout=30,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("/nowhere/key", done.stderr)
            self.assertFalse(os.path.exists(direct.config["admin_socket"]))

    def test_the_example_serves_and_ends_in_order(self):
        (direct, _, _) = self.three()
        direct.write()
        process = Process("embed", [EXAMPLE, direct.path])
        self.addCleanup(process.stop)
        process.wait_line("the broker of c.direct is up")
        self.assertEqual(direct.tool("health")[0], 0)
        process.child.terminate()
        self.assertEqual(process.child.wait(20), 0)
        with open(os.path.join(SOURCE, "examples/embed/main.c"), encoding="utf-8") as f:
            self.assertLess(len(f.readlines()), 80)

    def test_erabd_checks_and_exits(self):
        (direct, _, _) = self.three()
        direct.write()
        erabd = self.net.erabd

        def run(*args):
            done = subprocess.run([erabd, *args], capture_output=True, text=True, timeout=30)
            return done.returncode, done.stdout, done.stderr

        self.assertEqual(run("-t", "-c", direct.path), (0, f"{direct.path}: good\n", ""))
        self.assertEqual(sorted(os.listdir(direct.folder)), ["erabd.yaml"])  # it only looks
        direct.config["polices"] = direct.config.pop("policies")
        direct.config["owner"]["role"] = "acc"
        direct.write()
        code, out, err = run("-t", "-c", direct.path)
        self.assertEqual((code, out), (1, ""))
        lines = err.splitlines()
        self.assertTrue(all(re.match(re.escape(direct.path) + r":\d+:\d+: ", line) for line in lines), lines)
        self.assertTrue(any("did you mean 'policies'" in line for line in lines), lines)
        self.assertTrue(any("did you mean 'ac'" in line for line in lines), lines)
        self.assertEqual(run("-c", direct.path)[0], 1)
        self.assertEqual(run("-t", "-c", "/nowhere")[0], 1)
        self.assertEqual(run("-t")[0], 2)
        self.assertEqual(run("-x")[0], 2)

    @unittest.skipIf(SANITIZED, "a build with a sanitizer")
    def test_the_example_builds_against_the_installed_library(self):
        build = os.environ["ERAB_BUILD"]
        subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", self.folder], check=True,
                       stdout=subprocess.DEVNULL)
        (pc,) = [d for d, _, names in os.walk(self.folder) if "liberab-broker.pc" in names]
        env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": self.folder,
               "PKG_CONFIG_PATH": pc}
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "liberab-broker"], env=env, check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertIn("-lerab-broker", flags)
        program = os.path.join(self.folder, "embed")
        subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program,
                        os.path.join(SOURCE, "examples/embed/main.c"), *flags], check=True)
        done = subprocess.run([program], env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(pc)}, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"usage", done.stderr)

    def test_the_library_does_not_touch_what_is_the_hosts(self):
        used = undefined_symbols()
        foreign = {"exit", "_exit", "_Exit", "quick_exit", "abort", "signal", "sigaction", "stdout", "stderr", "stdin",
                   "printf", "puts", "putchar", "perror", "umask", "setrlimit", "prctl", "chdir", "setenv", "setlocale",
                   "system", "atexit", "uv_default_loop", "uv_signal_start"}
        self.assertTrue({"uv_run", "sodium_init"} <= used)  # or this looks at the wrong file
        self.assertEqual(used & foreign, set())

    @unittest.skipIf(SANITIZED, "a build with a sanitizer")
    def test_the_library_keeps_nothing_between_brokers(self):
        table = subprocess.run(["objdump", "-t", LIBRARY], stdout=subprocess.PIPE, text=True, check=True).stdout
        kept = set(re.findall(r" O (?:\.data|\.bss)\t\w+ +(?:\.\w+ )?(\w+)", table))
        self.assertIn(" O .rodata", table)
        self.assertEqual({name for name in kept if not name.startswith(("completed", "__dso", "__TMC"))}, set())


unittest.main()
