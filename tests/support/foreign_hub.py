"""A hub written without our code: python3-zmq, python3-nacl and the schemas. It forwards every message to the party
that it names on the same listener, answers ACCEPTED, and keeps what it saw. It has no rules; for tests of clients and
example parties."""
import os
import struct
import subprocess
import sys
import time

import nacl.hash
import nacl.encoding
import nacl.signing
import zmq
import zmq.utils.z85 as z85

HUB = "hub"


def load_schemas(source, into):
    """Makes the Python classes of schemas/ in the folder `into` and imports them."""
    names = ["envelope", "orders", "operation", "identity", "compliance"]
    subprocess.run(["protoc", f"-I{source}/schemas", f"--python_out={into}"] +
                   [f"{source}/schemas/erab/v1/{n}.proto" for n in names], check=True)
    sys.path.insert(0, into)
    from erab.v1 import envelope_pb2, orders_pb2, operation_pb2
    return envelope_pb2, orders_pb2, operation_pb2


def signed_string(header, body):
    return (b"erab.v1.envelope\0" + struct.pack(">I", len(header)) + header +
            struct.pack(">I", len(body)) + body)


def digest(header, body):
    return nacl.hash.blake2b(signed_string(header, body), encoder=nacl.encoding.RawEncoder)


def now_ms():
    return int(time.time() * 1000)


def new_id():
    raw = bytearray(struct.pack(">Q", now_ms())[2:] + os.urandom(10))
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return bytes(raw)


class Party:
    """Keys of a party, and the file that erab_identity_load reads."""

    def __init__(self, name, folder):
        self.name = name
        public, secret = zmq.curve_keypair()
        self.sign = nacl.signing.SigningKey.generate()
        self.sign_public = bytes(self.sign.verify_key)
        self.file = os.path.join(folder, name + ".key")
        fields = {"party": name, "curve_public": z85.decode(public).hex(), "curve_secret": z85.decode(secret).hex(),
                  "sign_public": self.sign_public.hex(), "sign_secret": (bytes(self.sign) + self.sign_public).hex()}
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{key}: {value}\n" for key, value in fields.items())


class Seen:
    """One message that passed: who, what, and its parts as sent."""

    def __init__(self, header, body, raw_header):
        self.header, self.body, self.raw_header = header, body, raw_header
        self.hash = digest(raw_header, body)


class Hub:
    def __init__(self, envelope):
        self.pb = envelope
        self.context = zmq.Context()
        self.poller = zmq.Poller()
        self.endpoints = []
        self.sockets = []
        self.where = {}    # (listener, party, lane group) -> (socket, routing id)
        self.waiting = []  # ((listener, party, lane group), envelope) for who is not here yet
        self.seen = []
        self.taken = set()  # parties that the test plays itself
        self.refused = {}   # (sender, type) -> reason with which the hub refuses
        self.seq = 0

    def listen(self):
        public, secret = zmq.curve_keypair()
        router = self.context.socket(zmq.ROUTER)
        router.curve_server, router.curve_secretkey, router.curve_publickey = True, secret, public
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        self.poller.register(router, zmq.POLLIN)
        self.sockets.append(router)
        self.endpoints.append((f"tcp://127.0.0.1:{port}", z85.decode(public).hex()))

    def close(self):
        self.context.destroy(linger=0)

    def make(self, sender, to, kind, body, parent=None, sign=None, category=1, reply_about=None):
        self.seq += 1
        header = self.pb.Header(id=new_id(), to=to, type=kind, issued_at_ms=now_ms(), expires_at_ms=now_ms() + 30000,
                                seq=self.seq, category=category)
        setattr(header, "from", sender)
        if parent:
            header.parent.id, header.parent.hash = parent.header.id, parent.hash
        raw, packed = header.SerializeToString(), body.SerializeToString()
        envelope = self.pb.Envelope(header=raw, body=packed)
        if sign:
            envelope.signature = sign.sign(signed_string(raw, packed)).signature
        return envelope, Seen(header, packed, raw)

    def put(self, envelope, to, group, listener=0):
        place = self.where.get((listener, to, group))
        if not place:
            self.waiting.append(((listener, to, group), envelope))
            return
        socket, routing = place
        socket.send_multipart([routing, self.pb.Packet(lane_group=group, envelope=[envelope]).SerializeToString()])

    def receipt(self, sender, to, about, state, reason="none", listener=0):
        body = self.pb.Receipt(about=about.header.id, about_hash=about.hash, state=state, reason=reason)
        self.put(self.make(sender, to, self.pb.RECEIPT, body)[0], to, 1, listener)

    def inject(self, sender, to, kind, body, sign=None, parent=None, listener=0):
        """A message of a party that the test plays."""
        envelope, seen = self.make(sender, to, kind, body, parent, sign)
        self.put(envelope, to, 2 if kind >= 30 else 1, listener)
        self.seen.append(seen)
        return seen

    def _bind(self, socket, routing, key):
        self.where[key] = (socket, routing)
        _, sender, group = key
        ping = self.pb.Ping(protocol=1, reply=True, ready=True)
        envelope = self.make(HUB, sender, self.pb.PING, ping)[0]
        socket.send_multipart([routing, self.pb.Packet(lane_group=group, envelope=[envelope]).SerializeToString()])
        due = [envelope for where, envelope in self.waiting if where == key]
        self.waiting = [w for w in self.waiting if w[0] != key]
        for waiting in due:
            self.put(waiting, sender, group, key[0])

    def _take(self, socket, routing, group, envelope):
        header = self.pb.Header.FromString(envelope.header)
        sender = getattr(header, "from")
        listener = self.sockets.index(socket)
        if header.type == self.pb.PING:
            self._bind(socket, routing, (listener, sender, group))
            return
        seen = Seen(header, envelope.body, envelope.header)
        self.seen.append(seen)
        if (sender, header.type) in self.refused:
            self.receipt(HUB, sender, seen, self.pb.REFUSED, self.refused[(sender, header.type)], listener)
            return
        if header.type not in (self.pb.RECEIPT, self.pb.TELEMETRY, self.pb.DEVICE_STATE):
            self.receipt(HUB, sender, seen, self.pb.ACCEPTED, listener=listener)
        if header.to not in self.taken and header.to != HUB:
            self.put(envelope, header.to, group, listener)

    def step(self, milliseconds):
        for socket, _ in self.poller.poll(milliseconds):
            routing, packet = socket.recv_multipart()
            packet = self.pb.Packet.FromString(packet)
            for envelope in packet.envelope:
                self._take(socket, routing, packet.lane_group, envelope)

    def until(self, what, condition, seconds=30):
        """Runs until the condition holds and returns what it gave; an AssertionError after the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = condition()
            if got:
                return got
            self.step(100)
        raise AssertionError(f"never seen: {what}")

    def find(self, sender, to, kind):
        return [s for s in self.seen if (getattr(s.header, "from"), s.header.to, s.header.type) == (sender, to, kind)]
