"""A client of the broker in Python: stock libzmq through pyzmq, PyNaCl, and the bytes of erab_wire.py.

    with Client(endpoint, server_key, curve_public, curve_secret, party="example-ra", sign_secret=seed_and_key) as c:
        c.bind()                                            # Ping on both connections, answered by the broker
        m = c.message("opt", "example-ac.rest", body)       # header, body, signature
        c.send(m)
        receipt = c.receipt_for(m, timeout=5)               # {"state": "accepted", "reason": "none", ...}

Keys are raw bytes. Waiting is bounded everywhere; nothing here sleeps. Messages from others come out of receive().
"""
import collections
import time

import zmq
import zmq.utils.z85 as z85

import erab_wire as wire

Received = collections.namedtuple("Received", "group header body signature hash header_bytes")
Message = collections.namedtuple("Message", "id type header body signature hash")


class Timeout(Exception):
    """The broker said nothing in time."""


class Refused(Exception):
    """The broker refused; .receipt says why."""

    def __init__(self, receipt):
        super().__init__(f"{receipt['state']}: {receipt['reason']} {receipt.get('detail', '')}")
        self.receipt = receipt


def keypair():
    """A CURVE key pair as raw bytes (public, secret)."""
    public, secret = zmq.curve_keypair()
    return z85.decode(public), z85.decode(secret)


class Client:
    def __init__(self, endpoint, server_key, curve_public, curve_secret, party, sign_secret=None, broker="broker",
                 context=None, groups=(wire.COMMAND, wire.TELEMETRY)):
        self.party, self.broker, self.sign_secret = party, broker, sign_secret
        self._own_context = context is None
        self.context = context or zmq.Context()
        self._seq = collections.Counter()
        self._inbox = collections.deque(maxlen=100000)
        self._receipts = collections.deque(maxlen=100000)
        self._poller = zmq.Poller()
        self.sockets, self.monitors = {}, {}
        for group in groups:
            s = self.context.socket(zmq.DEALER)
            s.linger = 0
            s.ipv6 = True
            s.maxmsgsize = 65536
            s.reconnect_ivl, s.reconnect_ivl_max = 100, 5000
            s.heartbeat_ivl, s.heartbeat_timeout = 5000, 15000
            s.curve_serverkey = z85.encode(server_key)
            s.curve_publickey = z85.encode(curve_public)
            s.curve_secretkey = z85.encode(curve_secret)
            self.monitors[group] = s.get_monitor_socket()
            s.connect(endpoint)
            self.sockets[group] = s
            self._poller.register(s, zmq.POLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for s in self.sockets.values():
            s.disable_monitor()
            s.close(0)
        self.sockets = {}
        if self._own_context:
            self.context.term()

    # --- making messages ---

    def message(self, type_name, to, body, parent=None, category=1, lifetime_ms=60000, exercise=False, now_ms=None, signed=True,
                **fields):
        """A message ready to be sent. `parent` is a Message or Received, or (id, hash). `fields` go into the header
        as they are, also wrong ones: a test may say anything."""
        now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        number = wire.TYPES[type_name]
        lane = 0 if number < 10 else 1 if number < 30 else 2
        self._seq[to, lane] += 1
        header = {"id": wire.new_id(now_ms), "from": self.party, "to": to, "type": number, "issued_at_ms": now_ms,
                  "expires_at_ms": now_ms + lifetime_ms, "seq": self._seq[to, lane], "category": category, "exercise": exercise}
        if parent is not None:
            if isinstance(parent, Received):
                parent = (parent.header["id"], parent.hash)
            elif isinstance(parent, Message):
                parent = (parent.id, parent.hash)
            header["parent"] = parent
        header.update(fields)
        head = wire.encode_header(header)
        signature = wire.sign(head, body, self.sign_secret) if signed and self.sign_secret else b""
        return Message(header["id"], header["type"], head, body, signature, wire.envelope_hash(head, body))

    # --- sending ---

    def send(self, *messages, group=None):
        """One packet with all of them. The group follows from the first one's type, unless a test says otherwise."""
        if group is None:
            group = wire.COMMAND if messages[0].type < 30 else wire.TELEMETRY
        self.send_bytes(group, wire.packet(group, [wire.envelope(m.header, m.body, m.signature) for m in messages]))

    def send_bytes(self, group, data):
        """Any bytes as one frame."""
        if self.sockets[group].poll(5000, zmq.POLLOUT) == 0:
            raise Timeout("the socket takes nothing")
        self.sockets[group].send(data)

    def bind(self, timeout=5):
        """The first Ping on each connection; returns the fields of the broker's answers by group."""
        out = {}
        for group in self.sockets:
            ping = self.message("ping", self.broker, wire.number(1, 1) + wire.block(3, "erab_client.py"), lifetime_ms=5000, signed=False)
            self.send(ping, group=group)
            reply = self._wait(self._inbox, lambda r, g=group: r.group == g and r.header["type"] == wire.TYPES["ping"], timeout)
            out[group] = dict(wire.fields(reply.body))
            if out[group].get(2) != 1:
                raise ValueError("a Ping that is no reply")
        return out

    # --- receiving ---

    def _pump(self, timeout_ms):
        for s, _ in self._poller.poll(timeout_ms):
            for _ in range(1000):
                try:
                    frames = s.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                if len(frames) != 1:
                    raise ValueError("a message of several frames")
                group, envelopes = wire.read_packet(frames[0])
                if self.sockets.get(group) is not s:
                    raise ValueError("a packet of the other lane group")
                for header, body, signature in envelopes:
                    r = Received(group, wire.decode_header(header), body, signature, wire.envelope_hash(header, body), header)
                    (self._receipts if r.header["type"] == wire.TYPES["receipt"] else self._inbox).append(r)

    def _wait(self, queue, wanted, timeout):
        end = time.monotonic() + timeout
        while True:
            for i, r in enumerate(queue):
                if wanted(r):
                    del queue[i]
                    return r
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout()
            self._pump(max(1, int(left * 1000)))

    def receive(self, type_name=None, timeout=5):
        """The next message that is not a receipt, in order, or the next of a type."""
        return self._wait(self._inbox, lambda r: type_name is None or r.header["type"] == wire.TYPES[type_name], timeout)

    def receipt_for(self, message, timeout=5, state=None):
        """The next receipt about this message (or the next one in this state), as a dict."""
        about = message if isinstance(message, bytes) else message.id

        def wanted(r):
            seen = wire.decode_receipt(r.body)
            return seen.get("about") == about and (state is None or seen["state"] == state)

        return wire.decode_receipt(self._wait(self._receipts, wanted, timeout).body)

    def shed_receipt(self, timeout=5):
        """The next telemetry summary."""
        return wire.decode_receipt(self._wait(self._receipts, lambda r: "about" not in wire.decode_receipt(r.body), timeout).body)

    def request(self, message, timeout=5):
        """Sends and returns the first receipt; raises Refused."""
        self.send(message)
        receipt = self.receipt_for(message, timeout)
        if receipt["state"] in ("refused", "expired"):
            raise Refused(receipt)
        return receipt

    def answer(self, received, state, reason="none"):
        """The recipient's own receipt: 'delivered', 'applied', 'refused' or 'expired'."""
        number = next(n for n, s in wire.STATES.items() if s == state)
        body = wire.block(1, received.header["id"]) + wire.block(2, received.hash) + wire.number(3, number) + wire.block(4, reason)
        m = self.message("receipt", received.header["from"], body)
        self.send(m, group=received.group)
        return m

    def events(self, group, timeout=5, until=None):
        """Event numbers of the socket monitor, up to and with `until` (zmq.EVENT_...), or Timeout."""
        from zmq.utils.monitor import recv_monitor_message
        out, end = [], time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0 or not self.monitors[group].poll(max(1, int(left * 1000))):
                if until is None:
                    return out
                raise Timeout(f"events so far: {out}")
            out.append(int(recv_monitor_message(self.monitors[group])["event"]))
            if out[-1] == until:
                return out
