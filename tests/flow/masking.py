#!/usr/bin/python3
"""What an adapter tells is masked before it is signed, by the table that the policy `privacy` judges by: over a broker,
from the adapter's process to the gateway's application. argv: the module examples/adapter_template."""
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../support"))
import stage  # noqa: E402
from stage import wire  # noqa: E402

TEMPLATE = os.path.abspath(sys.argv.pop(1))
KIND, SERIAL = 2, 6  # fields of Registration


class Home(stage.Stage):
    """A gateway's broker; its device is the template adapter's, its application takes what the device tells."""

    def __init__(self):  # noqa: super() makes another scene
        self.folder = tempfile.mkdtemp(prefix="erab-masking-")
        self.net = stage.Network(self.folder, os.environ["ERAB_BUILD"], SOURCE)
        self.clients = []
        b = self.broker = self.net.broker("h1.gateway", "gateway", "home-1")
        b.listen("r4")
        b.party("h1.app", "gateway", "home-1", kind="local")
        b.party("h1.device", "device", "home-1", represented_by="template")
        b.adapter("template", TEMPLATE, "template", ["h1.device"], {"gateway": "h1.gateway", "report_s": 1})
        b.config["policies"] = ["r5", "privacy"]

    def started(self, **options):
        self.broker.config["adapters"][0]["options"].update(options)
        self.broker.start()
        return self.client("h1.app", "local", speaks="h1.gateway")


def registration(app):
    got = app.receive("registration", timeout=20)
    assert got.signature and got.header["from"] == "h1.device", got
    return dict(wire.fields(got.body))


def a_serial_number_arrives_where_it_may(s):
    app = s.started()
    body = registration(app)
    assert body[KIND] == b"storage-battery" and body[SERIAL] == b"T-0001", body
    app.receive("telemetry", timeout=20)


def a_serial_number_is_masked_where_it_may_not_go_and_the_rest_arrives(s):
    app = s.started(masked_for="r3")
    body = registration(app)
    assert body[KIND] == b"storage-battery" and SERIAL not in body, body
    # A measured value of one home cannot be left out of its message: the whole message stays here.
    s.broker.process.wait_line(r"telemetry is not sent: its \w+ may not be told")
    assert not [r for r in s.broker.audit() if r.get("reason") == "category-refused"]


def unmasked_the_broker_would_refuse_it(s):
    """The same table on the other side: what the mask takes out is what the policy names."""
    s.broker.config["policies"] = ["r5", {"name": "privacy", "options": {"r5": ["operation", "security", "sensor-group"]}}]
    s.started()
    record = s.audited(what="verdict", policy="privacy", reason="category-refused")
    assert "Registration.serial" in record["detail"], record


if __name__ == "__main__":
    stage.run(make=Home)
