#!/usr/bin/python3
"""Datagrams of a module: where they were declared and nowhere else, over IPv4 and IPv6; groups in a network that the test
makes itself."""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from fault_world import World, run, test  # noqa: E402

PORT = 23610
# A neighbour on the link: answers nothing, prints what comes, sends to the group what it is told to.
NEIGHBOUR = f"""
import socket, struct, sys, threading
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", {PORT}))
index = socket.if_nametoindex("eth0")
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, "ff02::1") + struct.pack("@I", index))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
def receive():
    while True:
        data, control, _, source = s.recvmsg(2000, 512)
        to = next(c[2][:16] for c in control if c[1] == socket.IPV6_PKTINFO)
        hops = next(struct.unpack("@i", c[2])[0] for c in control if c[1] == socket.IPV6_HOPLIMIT)
        print(source[0].split("%")[0], socket.inet_ntop(socket.AF_INET6, to), hops, data.decode(), flush=True)
threading.Thread(target=receive, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    to, text = line.split(" ", 1)
    s.sendto(text.strip().encode(), (to, {PORT}, 0, index))
"""


def sh(*words):
    subprocess.run(words, check=True)


def in_a_network_of_its_own():
    """This program again, in a network that has no other; a link to a neighbour in a second one."""
    if os.environ.get("ERAB_INSIDE") is None:
        wrap = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        if subprocess.run([*wrap, "ip", "link", "add", "v0", "type", "veth"], stderr=subprocess.DEVNULL, check=False).returncode:
            print("SKIPPED, NOT TESTED: no network namespaces with veth here", file=sys.stderr)
            sys.exit(77)
        sys.exit(subprocess.run([*wrap, sys.executable, *sys.argv], env={**os.environ, "ERAB_INSIDE": "1"}, check=False).returncode)
    sh("ip", "link", "set", "lo", "up")


class Neighbour:
    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"up\n"
        inside = ["nsenter", "-t", str(self.holder.pid), "-n"]
        sh("ip", "link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        for where, name, last in (([], "v0", 1), (inside, "eth0", 2)):
            sh(*where, "ip", "link", "set", name, "addrgenmode", "none")
            sh(*where, "ip", "link", "set", name, "up")
            sh(*where, "ip", "addr", "add", f"fd77::{last}/64", "dev", name, "nodad")
            sh(*where, "ip", "addr", "add", f"fe80::{last}/64", "dev", name, "nodad")
        self.program = subprocess.Popen([*inside, sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.program.stdout.readline() == "ready\n"

    def said(self):
        return self.program.stdout.readline().strip()

    def send(self, to, text):
        self.program.stdin.write(f"{to} {text}\n")
        self.program.stdin.flush()

    def close(self):
        for p in (self.program, self.holder):
            p.kill()
            p.wait()
        sh("ip", "link", "del", "v0")


@test
def datagrams_go_where_they_were_declared_and_nowhere_else():
    w = World("strays", interface="lo")
    w.said(r"bad: it has 127.0.0.1/8")
    assert w.adapter("incident")["detail"] == "datagram to 192.0.2.1 port 23610"
    index = socket.if_nametoindex("lo")
    w.said(rf"bad: from 127.0.0.1 at interface {index}: to a neighbour again")
    w.broker.process.pump()
    assert not [x for x in w.broker.process.lines if "to a group" in x or "to another port" in x]
    w.is_applied("alder")
    return w


@test
def ipv6_datagrams_go_where_they_were_declared_and_nowhere_else():
    w = World("strays6", interface="lo")
    assert w.said(r"bad: a group of the other family: (.*)")[1] == "Invalid argument"
    assert w.said(r"bad: no group: (.*)")[1] == "Invalid argument"
    w.said(r"bad: it has ::1/128")
    assert w.adapter("incident")["detail"] == "datagram to 2001:db8::1 port 23610"
    index = socket.if_nametoindex("lo")
    w.said(rf"bad: 6 from ::1 port 23610 at interface {index} for ::1: to itself")
    w.broker.process.pump()
    assert not [x for x in w.broker.process.lines if "to a stranger" in x or "to another" in x or "to a mapped" in x]
    w.is_applied("alder")
    return w


@test
def a_group_of_ipv6_goes_both_ways_on_its_own_link():
    neighbour = Neighbour()
    try:
        w = World("group6", interface="v0")
        w.said(r"erab-runner: bad: UDP port 23610 on v0, group ff02::1")
        w.said(r"bad: it has fe80::1/64")
        # With one hop, from the address of the same network, and nothing that was not declared.
        assert neighbour.said() == "fe80::1 ff02::1 1 to the group"
        assert neighbour.said() == "fe80::1 fe80::2 1 to a neighbour"
        assert neighbour.said() == "fd77::1 fd77::2 1 to a neighbour by its other address"
        index = socket.if_nametoindex("v0")
        neighbour.send("ff02::1", "hello all")
        w.said(rf"bad: 6 from fe80::2 port 23610 at interface {index} for ff02::1: hello all")
        neighbour.send("fe80::1", "hello you")
        w.said(rf"bad: 6 from fe80::2 port 23610 at interface {index} for fe80::1: hello you")
        assert w.adapter("incident")["detail"] == "datagram to 2001:db8::1 port 23610"
        w.is_applied("birch")
        w.is_applied("alder")
    finally:
        neighbour.close()
    return w


if __name__ == "__main__":
    in_a_network_of_its_own()
    run()
