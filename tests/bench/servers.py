"""The four systems that are measured, each started fresh on loopback and ended by its process: our broker, a bare CURVE
ROUTER, nats-server and mosquitto (both with mutual TLS). Nothing of them outlives a run."""
import os
import shutil
import socket
import subprocess
import time


class Failed(Exception):
    """Something could not be started or measured; the text says what."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificates(folder):
    """A CA and one certificate for each side, made here and now."""
    os.makedirs(folder, mode=0o700)

    def openssl(*words):
        done = subprocess.run(["openssl", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise Failed("openssl: " + done.stdout.decode(errors="replace"))

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=bench CA")
    with open(os.path.join(folder, "names"), "w", encoding="utf-8") as f:
        f.write("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name in ("server", "client"):
        openssl("req", *new_key, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=bench " + name)
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", name + ".pem")
    return folder


class Server:
    """A process; `secret` and `port` are what the generators need to connect."""

    name = ""

    def __init__(self, bench):
        self.bench = bench
        self.folder = os.path.join(bench.folder, self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, mode=0o700)
        self.child = None
        self.port = 0
        self.secret = ""

    def path(self, name):
        return os.path.join(self.folder, name)

    def spawn(self, *words):
        with open(self.path("log"), "wb") as log:
            self.child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for(self, test, what):
        end = time.monotonic() + 60
        while True:
            found = test()
            if found:
                return found
            if self.child.poll() is not None or time.monotonic() > end:
                raise Failed(f"{self.name} is not {what}: {self.log()[-500:]}")
            time.sleep(0.002)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ours(Server):
    name = "ours"
    members = 1000

    def start(self):
        self.write()
        self.launch()

    def write(self):
        profile = os.path.join(self.bench.source, "profiles/erab-1.2-draft.yaml")
        out = self.bench.tool("load", "config", self.folder, profile, str(self.members))
        self.secret = out.strip()

    def launch(self):
        self.spawn(os.path.join(self.bench.build, "broker/erabd"), "-c", self.path("erabd.yaml"))
        self.wait_for(lambda: "is ready" in self.log(), "ready")
        self.port = int(self.log().split("tcp://127.0.0.1:")[1].split()[0])


class Bare(Server):
    name = "bare"

    def start(self):
        self.spawn(os.path.join(self.bench.build, "tests/bench/bare_router"))
        line = self.wait_for(lambda: self.log().endswith("\n") and self.log(), "ready")
        _, port, self.secret = line.split()
        self.port = int(port)


class Nats(Server):
    name = "nats"

    def start(self):
        self.port, self.secret = free_port(), self.bench.certificates
        with open(self.path("nats.conf"), "w", encoding="utf-8") as f:
            f.write(f"""listen: "127.0.0.1:{self.port}"
max_connections: 20000
write_deadline: "30s"
tls {{ cert_file: "{self.secret}/server.pem", key_file: "{self.secret}/server.key", ca_file: "{self.secret}/ca.pem", verify: true }}
jetstream {{ store_dir: "{self.folder}/store", max_file_store: 4294967296 }}
""")
        self.spawn("nats-server", "-c", self.path("nats.conf"))
        self.wait_for(self.listens, "listening")


class Mosquitto(Server):
    name = "mosquitto"

    def start(self):
        self.port, self.secret = free_port(), self.bench.certificates
        with open(self.path("mosquitto.conf"), "w", encoding="utf-8") as f:
            f.write(f"""user {"root" if os.geteuid() == 0 else ""}
listener {self.port} 127.0.0.1
allow_anonymous true
cafile {self.secret}/ca.pem
certfile {self.secret}/server.pem
keyfile {self.secret}/server.key
require_certificate true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
persistence true
persistence_location {self.folder}/
""".replace("user \n", ""))
        self.spawn("mosquitto", "-c", self.path("mosquitto.conf"))
        self.wait_for(self.listens, "listening")


CLASSES = {c.name: c for c in (Ours, Bare, Nats, Mosquitto)}
