#!/usr/bin/python3
"""Sends ECHONET Lite datagrams with any source address: forge_udp.py SOURCE TARGET HEX [COUNT]."""
import socket
import struct
import sys

source, target, payload = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
count = int(sys.argv[4]) if len(sys.argv) > 4 else 1
udp = struct.pack("!HHHH", 3610, 3610, 8 + len(payload), 0) + payload
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0, socket.inet_aton(source),
                 socket.inet_aton(target))
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
    for _ in range(count):
        s.sendto(ip + udp, (target, 0))
