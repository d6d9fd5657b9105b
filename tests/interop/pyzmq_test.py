"""A stock libzmq client (python3-zmq) against the broker's transport, over tcp and ipc."""
import os
import subprocess
import sys
import tempfile
import unittest

import zmq
import zmq.utils.z85 as z85

SERVER = sys.argv.pop(1)
WAIT_MS = 5000


class Server:
    def __init__(self, endpoint, *arguments):
        self.process = subprocess.Popen([SERVER, endpoint, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.endpoint, key = self.process.stdout.readline().split()
        self.key = z85.encode(bytes.fromhex(key))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0


class PyzmqTest(unittest.TestCase):
    def setUp(self):
        self.context = zmq.Context()
        self.public, self.secret = zmq.curve_keypair()

    def tearDown(self):
        self.context.destroy(linger=0)

    def dealer(self, server, identity=None):
        s = self.context.socket(zmq.DEALER)
        s.curve_serverkey, s.curve_publickey, s.curve_secretkey = server.key, self.public, self.secret
        s.heartbeat_ivl, s.heartbeat_timeout = 100, 1000
        s.reconnect_ivl = 20
        s.ipv6 = True
        s.rcvtimeo = s.sndtimeo = WAIT_MS
        if identity:
            s.identity = identity
        monitor = s.get_monitor_socket()
        monitor.rcvtimeo = WAIT_MS
        s.connect(server.endpoint)
        return s, monitor

    def await_event(self, monitor, wanted):
        while True:
            event, _ = monitor.recv_multipart()
            if int.from_bytes(event[:2], sys.byteorder) == wanted:
                return int.from_bytes(event[2:6], sys.byteorder)

    def echo(self, endpoint):
        with Server(endpoint) as server:
            s, _ = self.dealer(server)
            for size in (1, 200, 222, 223, 8192, 65503):
                body = os.urandom(size)
                s.send(body)
                self.assertEqual(s.recv(), body)

    def test_echo_of_every_size_over_tcp(self):
        self.echo('tcp://127.0.0.1:0')

    def test_echo_of_every_size_over_ipv6(self):
        self.echo('tcp://[::1]:0')

    def test_echo_of_every_size_over_ipc(self):
        with tempfile.TemporaryDirectory() as folder:
            self.echo(f'ipc://{folder}/socket')

    def test_a_thousand_messages_keep_their_order(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, _ = self.dealer(server)
            for i in range(1000):
                s.send(str(i).encode())
            self.assertEqual([int(s.recv()) for _ in range(1000)], list(range(1000)))

    def test_largest_packet_from_the_server_arrives(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, _ = self.dealer(server)
            s.send(b'big')
            self.assertEqual(len(s.recv()), 65503)

    def test_too_large_message_ends_the_connection(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, monitor = self.dealer(server)
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            s.send(bytes(65504))
            self.await_event(monitor, zmq.EVENT_DISCONNECTED)

    def test_multipart_message_ends_the_connection(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, monitor = self.dealer(server)
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            s.send_multipart([b'a', b'b'])
            self.await_event(monitor, zmq.EVENT_DISCONNECTED)

    def test_cut_client_returns_by_itself(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, monitor = self.dealer(server)
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            s.send(b'cut')
            self.await_event(monitor, zmq.EVENT_DISCONNECTED)
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            s.send(b'again')
            self.assertEqual(s.recv(), b'again')

    def test_put_off_client_returns_by_itself(self):
        with Server('tcp://127.0.0.1:0', '--put-off', '2') as server:
            s, _ = self.dealer(server)
            s.send(b'later')
            self.assertEqual(s.recv(), b'later')

    def test_unknown_key_gets_error_400(self):
        with Server('tcp://127.0.0.1:0', '11' * 32) as server:
            _, monitor = self.dealer(server)
            self.assertEqual(self.await_event(monitor, zmq.EVENT_HANDSHAKE_FAILED_AUTH), 400)

    def test_known_key_is_admitted(self):
        with Server('tcp://127.0.0.1:0', z85.decode(self.public).hex()) as server:
            s, _ = self.dealer(server)
            s.send(b'known')
            self.assertEqual(s.recv(), b'known')

    def test_identity_is_refused(self):
        with Server('tcp://127.0.0.1:0') as server:
            _, monitor = self.dealer(server, identity=b'me')
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)

    def test_idle_client_with_short_heartbeats_stays(self):
        with Server('tcp://127.0.0.1:0') as server:
            s, monitor = self.dealer(server)
            self.await_event(monitor, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            monitor.rcvtimeo = 2500  # more than twice the time-out of the heartbeats
            with self.assertRaises(zmq.Again):
                self.await_event(monitor, zmq.EVENT_DISCONNECTED)


if __name__ == '__main__':
    unittest.main(verbosity=2)
