#!/usr/bin/python3
"""CPU cost of a HELLO flood for the broker's own transport and for libzmq's ROUTER, in one run. argv: the program
linked with either, and how many connections [2000]."""
import subprocess
import sys

ours_program, router_program = sys.argv[1:3]
number = sys.argv[3] if len(sys.argv) > 3 else "2000"


def run(program):
    told = subprocess.run([program, number], check=True, capture_output=True, text=True).stdout
    return [float(word) for word in told.split()]


rows = [(run(ours_program), run(router_program)) for _ in range(3)]  # in turns, so that both meet the same machine
ours, router = ([min(column) for column in zip(*side)] for side in zip(*rows))
print(f"{number} connections each, CPU of the server in microseconds a connection, the best of 3")
print(f"{'':34}{'ours':>8}{'ROUTER':>8}{'ratio':>7}")
for name, i in (("greeting only", 0), ("HELLO answered with WELCOME", 1)):
    print(f"{name:34}{ours[i]:8.1f}{router[i]:8.1f}{ours[i] / router[i]:7.2f}")
print(f"{'over the limit of the source':34}{ours[2]:8.1f}{'-':>8}{'-':>7}")
print(f"one core answers {1e6 / ours[1]:.0f} HELLOs a second (ROUTER {1e6 / router[1]:.0f})")
