#!/usr/bin/python3
"""An OpenADR 2.0b VTN (pull, simple HTTP) for the example and the tests: what stands in for a grid operator.

It speaks TLS with a mandatory client certificate; the certificate's SHA-256 names the VEN. It is a witness: it
shares nothing with the adapter it talks to, and it checks order and content of what it receives.

    vtn.py --listen 127.0.0.1:0 --cert vtn.pem --key vtn.key --ca ca.pem --ven VEN_ID=ven.pem --control SOCKET

The first line on stdout is {"url": ...}. The control socket takes one JSON object a line and answers each with one:
    {"do":"event","signal":"LOAD_DISPATCH","type":"setpoint","value":-1500,"start_in_s":60,"duration_s":1800}
        further: "values" [..] (equal intervals), "test", "unit" ("k" or "none"), "response" (always|never),
        "resource", "priority", "product" -> {"event": id}
    {"do":"modify","event":id, ...the same fields} {"do":"cancel","event":id} {"do":"drop","event":id}
    {"do":"wait","for":"registered|created-event|report|poll","event":id,"opt":"optIn","modification":0,
     "count":n,"timeout_s":10} -> {"ok": true, ...}
    {"do":"reregister"} {"do":"fail","times":n} (HTTP 503) {"do":"log"} {"do":"quit"}
"""
import argparse
import hashlib
import json
import os
import socketserver
import ssl
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lxml import etree

OADR = "http://openadr.org/oadr-2.0b/2012/07"
EI = "http://docs.oasis-open.org/ns/energyinterop/201110"
PYLD = EI + "/payloads"
EMIX = "http://docs.oasis-open.org/ns/emix/2011/06"
POWER = EMIX + "/power"
SCALE = EMIX + "/siscale"
XCAL = "urn:ietf:params:xml:ns:icalendar-2.0"
STRM = XCAL + ":stream"
NS = {"oadr": OADR, "ei": EI, "pyld": PYLD, "emix": EMIX, "power": POWER, "scale": SCALE, "xcal": XCAL, "strm": STRM}
BODY_MAX = 256 * 1024


def tag(name):
    prefix, local = name.split(":")
    return "{%s}%s" % (NS[prefix], local)


def E(name, *content):
    node = etree.Element(tag(name), nsmap=NS)
    for item in content:
        if item is None:
            continue
        if isinstance(item, str):
            node.text = item
        else:
            node.append(item)
    return node


def stamp(t):
    return t.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds):
    return "PT%dS" % seconds


def text(node, path, default=None):
    found = node.findtext("/".join(tag(p) for p in path.split("/")))
    return default if found is None else found.strip()


class Refused(Exception):
    """An application answer other than 200."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code, self.why = code, why


class Event:
    def __init__(self, spec):
        self.id = "ev-" + uuid.uuid4().hex[:12]
        self.modification = 0
        self.cancelled = False
        self.fill(spec)

    def fill(self, spec):
        self.spec = dict(getattr(self, "spec", {}), **spec)
        if "start_in_s" in spec or not hasattr(self, "start"):
            t = datetime.now(timezone.utc) + timedelta(seconds=self.spec.get("start_in_s", 60))
            self.start = t.replace(microsecond=0)

    def status(self):
        if self.cancelled:
            return "cancelled"
        now, length = datetime.now(timezone.utc), self.spec.get("duration_s", 1800)
        if now < self.start:
            return "far"
        return "completed" if length and now >= self.start + timedelta(seconds=length) else "active"

    def item(self):
        unit = self.spec.get("unit")
        if unit is None or self.spec.get("signal", "LOAD_DISPATCH") != "LOAD_DISPATCH":
            return None
        return E("power:powerReal", E("power:itemDescription", "RealPower"), E("power:itemUnits", "W"),
                 E("scale:siScaleCode", unit),
                 E("power:powerAttributes", E("power:hertz", "50"), E("power:voltage", "200"), E("power:ac", "true")))

    def xml(self, ven):
        s = self.spec
        length = s.get("duration_s", 1800)
        values = s.get("values", [s.get("value", 0)])
        intervals = E("strm:intervals")
        for i, value in enumerate(values):
            intervals.append(E("ei:interval", E("xcal:duration", E("xcal:duration", duration(length // len(values)))),
                               E("xcal:uid", E("xcal:text", str(i))),
                               E("ei:signalPayload", E("ei:payloadFloat", E("ei:value", str(float(value)))))))
        target = E("ei:eiTarget")
        if s.get("resource"):
            target.append(E("ei:resourceID", s["resource"]))
        target.append(E("ei:venID", s.get("target_ven", ven)))
        descriptor = E("ei:eventDescriptor", E("ei:eventID", self.id), E("ei:modificationNumber", str(self.modification)),
                       E("ei:priority", str(s.get("priority", 0))),
                       E("ei:eiMarketContext", E("emix:marketContext", s.get("market", "http://grid.example/balancing"))),
                       E("ei:createdDateTime", stamp(datetime.now(timezone.utc))), E("ei:eventStatus", self.status()),
                       E("ei:testEvent", "true" if s.get("test") else "false"))
        period = E("ei:eiActivePeriod",
                   E("xcal:properties", E("xcal:dtstart", E("xcal:date-time", stamp(self.start))),
                     E("xcal:duration", E("xcal:duration", duration(length)))), E("xcal:components"))
        signal = E("ei:eiEventSignal", intervals, E("ei:signalName", s.get("signal", "LOAD_DISPATCH")),
                   E("ei:signalType", s.get("type", "setpoint")), E("ei:signalID", "sig-" + self.id), self.item())
        return E("oadr:oadrEvent", E("ei:eiEvent", descriptor, period, E("ei:eiEventSignals", signal), target),
                 E("oadr:oadrResponseRequired", s.get("response", "always")))


class Vtn:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Condition()
        self.fingerprints = {}
        for item in args.ven:
            ven, path = item.split("=", 1)
            with open(path) as f:
                der = ssl.PEM_cert_to_DER_cert(f.read())
            self.fingerprints[hashlib.sha256(der).hexdigest()] = ven
        self.registrations = {}   # venID -> registrationID
        self.queues = {}          # venID -> messages to be fetched
        self.report_requests = {} # reportRequestID -> venID
        self.events = []
        self.log = []
        self.fail = 0

    # --- answers -----------------------------------------------------------------------------------------

    def response(self, request_id, code="200", why="OK"):
        return E("ei:eiResponse", E("ei:responseCode", code), E("ei:responseDescription", why),
                 E("pyld:requestID", request_id or ""))

    def plain(self, ven, request_id="", code="200", why="OK"):
        return E("oadr:oadrResponse", self.response(request_id, code, why), E("ei:venID", ven))

    def distribute(self, ven, request_id=""):
        node = E("oadr:oadrDistributeEvent", self.response(request_id), E("pyld:requestID", uuid.uuid4().hex),
                 E("ei:vtnID", self.args.vtn_id))
        for event in self.events:
            node.append(event.xml(ven))
        return node

    def registered(self, ven, request_id, known):
        profile = E("oadr:oadrProfile", E("oadr:oadrProfileName", "2.0b"),
                    E("oadr:oadrTransports", E("oadr:oadrTransport", E("oadr:oadrTransportName", "simpleHttp"))))
        return E("oadr:oadrCreatedPartyRegistration", self.response(request_id),
                 E("ei:registrationID", self.registrations[ven]) if known else None,
                 E("ei:venID", ven) if known else None, E("ei:vtnID", self.args.vtn_id),
                 E("oadr:oadrProfiles", profile),
                 E("oadr:oadrRequestedOadrPollFreq", E("xcal:duration", duration(self.args.poll))))

    def note(self, ven, kind, **fields):
        self.log.append(dict(ven=ven, kind=kind, at=time.time(), **fields))
        self.lock.notify_all()

    def check_ven(self, node, ven):
        said = text(node, "ei:venID", "")
        if said != ven:
            raise Refused("463", "venID %r does not belong to this certificate" % said)
        if ven not in self.registrations:
            raise Refused("463", "not registered")

    # --- services ----------------------------------------------------------------------------------------

    def handle(self, service, node, ven):
        """The answer to one message; None is an empty body."""
        name = etree.QName(node).localname
        method = getattr(self, "on_" + name, None)
        if method is None or service not in method.__doc__.split():
            return self.plain(ven, text(node, "pyld:requestID", ""), "459", "%s at %s" % (name, service))
        try:
            return method(node, ven)
        except Refused as e:
            self.note(ven, "refused", message=name, code=e.code, why=e.why)
            return self.plain(ven, text(node, "pyld:requestID", ""), e.code, e.why)

    def on_oadrQueryRegistration(self, node, ven):
        """EiRegisterParty"""
        self.note(ven, "query")
        return self.registered(ven, text(node, "pyld:requestID"), ven in self.registrations)

    def on_oadrCreatePartyRegistration(self, node, ven):
        """EiRegisterParty"""
        for path, want in (("oadr:oadrProfileName", "2.0b"), ("oadr:oadrTransportName", "simpleHttp"),
                           ("oadr:oadrHttpPullModel", "true")):
            if text(node, path) != want:
                raise Refused("459", "%s is not %s" % (path, want))
        known = text(node, "ei:registrationID")
        if known is not None and known != self.registrations.get(ven):
            raise Refused("452", "unknown registrationID")
        self.registrations.setdefault(ven, "reg-" + uuid.uuid4().hex[:8])
        self.note(ven, "registered", again=known is not None, registration=self.registrations[ven],
                  name=text(node, "oadr:oadrVenName"))
        return self.registered(ven, text(node, "pyld:requestID"), True)

    def on_oadrRegisterReport(self, node, ven):
        """EiReport"""
        self.check_ven(node, ven)
        answer = E("oadr:oadrRegisteredReport", self.response(text(node, "pyld:requestID")))
        for report in node.findall(tag("oadr:oadrReport")):
            if text(report, "ei:reportRequestID") != "0" or text(report, "xcal:duration/xcal:duration") is None:
                raise Refused("459", "reportRequestID is not 0 or no duration")
            if text(report, "ei:reportName") != "METADATA_TELEMETRY_USAGE":
                raise Refused("461", "report name")
            request = "rr-" + uuid.uuid4().hex[:8]
            self.report_requests = {k: v for k, v in self.report_requests.items() if v != ven}
            self.report_requests[request] = ven
            specifier = E("ei:reportSpecifier", E("ei:reportSpecifierID", text(report, "ei:reportSpecifierID")),
                          E("xcal:granularity", E("xcal:duration", duration(self.args.granularity))),
                          E("ei:reportBackDuration", E("xcal:duration", duration(self.args.report_back))))
            rids = []
            for d in report.findall(tag("oadr:oadrReportDescription")):
                rids.append(text(d, "ei:rID"))
                specifier.append(E("ei:specifierPayload", E("ei:rID", rids[-1]),
                                   E("ei:readingType", text(d, "ei:readingType"))))
            answer.append(E("oadr:oadrReportRequest", E("ei:reportRequestID", request), specifier))
            self.note(ven, "report-registered", request=request, rids=rids)
        answer.append(E("ei:venID", ven))
        return answer

    def on_oadrCreatedReport(self, node, ven):
        """EiReport"""
        self.check_ven(node, ven)
        pending = [n.text for n in node.iter(tag("ei:reportRequestID"))]
        self.note(ven, "created-report", pending=pending)
        return self.plain(ven)

    def on_oadrUpdateReport(self, node, ven):
        """EiReport"""
        self.check_ven(node, ven)
        for report in node.findall(tag("oadr:oadrReport")):
            request = text(report, "ei:reportRequestID")
            if self.report_requests.get(request) != ven:
                raise Refused("452", "unknown reportRequestID %s" % request)
            points = []
            for interval in report.iter(tag("ei:interval")):
                at = text(interval, "xcal:dtstart/xcal:date-time")
                for payload in interval.findall(tag("oadr:oadrReportPayload")):
                    points.append({"rid": text(payload, "ei:rID"), "at": at,
                                   "value": float(text(payload, "ei:payloadFloat/ei:value"))})
            self.note(ven, "report", request=request, name=text(report, "ei:reportName"), points=points)
        return E("oadr:oadrUpdatedReport", self.response(text(node, "pyld:requestID")), E("ei:venID", ven))

    def on_oadrRequestEvent(self, node, ven):
        """EiEvent"""
        inner = node.find(tag("pyld:eiRequestEvent"))
        self.check_ven(inner, ven)
        self.note(ven, "request-event")
        return self.distribute(ven, text(inner, "pyld:requestID"))

    def on_oadrCreatedEvent(self, node, ven):
        """EiEvent"""
        inner = node.find(tag("pyld:eiCreatedEvent"))
        self.check_ven(inner, ven)
        overall = text(inner, "ei:eiResponse/ei:responseCode")
        for r in inner.iter(tag("ei:eventResponse")):
            event, number = text(r, "ei:qualifiedEventID/ei:eventID"), text(r, "ei:qualifiedEventID/ei:modificationNumber")
            self.note(ven, "created-event", event=event, modification=int(number), opt=text(r, "ei:optType"),
                      code=text(r, "ei:responseCode"), overall=overall)
        return self.plain(ven)

    def on_oadrResponse(self, node, ven):
        """EiRegisterParty EiEvent EiReport"""
        self.note(ven, "response", code=text(node, "ei:eiResponse/ei:responseCode"))
        return None

    def on_oadrPoll(self, node, ven):
        """OadrPoll"""
        self.check_ven(node, ven)
        self.note(ven, "poll")
        queue = self.queues.setdefault(ven, [])
        if not queue:
            return self.plain(ven)
        kind = queue.pop(0)
        if kind == "events":
            return self.distribute(ven)
        return E("oadr:oadrRequestReregistration", E("ei:venID", ven))

    # --- control -----------------------------------------------------------------------------------------

    def push_events(self):
        for ven in self.fingerprints.values():
            queue = self.queues.setdefault(ven, [])
            if "events" not in queue:
                queue.append("events")

    def find(self, event):
        for e in self.events:
            if e.id == event:
                return e
        raise KeyError("no event " + str(event))

    def matches(self, q, entry):
        if entry["kind"] != q["for"]:
            return False
        return all(entry.get(k) == q[k] for k in ("event", "opt", "modification", "code", "ven") if k in q)

    def wait(self, q):
        until = time.monotonic() + q.get("timeout_s", 10)
        while True:
            found = [e for e in self.log[q.get("since", 0):] if self.matches(q, e)]
            if len(found) >= q.get("count", 1):
                return {"ok": True, "entry": found[-1], "count": len(found)}
            left = until - time.monotonic()
            if left <= 0:
                return {"ok": False, "count": len(found)}
            self.lock.wait(left)

    def control(self, q):
        do = q.pop("do")
        if do == "wait":
            return self.wait(q)
        if do == "log":
            return {"ok": True, "log": self.log}
        if do == "quit":
            os._exit(0)
        if do == "fail":
            self.fail = q.get("times", 1)
        elif do == "reregister":
            for ven in self.fingerprints.values():
                self.queues.setdefault(ven, []).append("reregister")
        elif do == "event":
            self.events.append(Event(q))
            self.push_events()
            return {"ok": True, "event": self.events[-1].id}
        elif do in ("modify", "cancel"):
            event = self.find(q.pop("event"))
            event.modification += 1
            event.cancelled = event.cancelled or do == "cancel"
            event.fill(q)
            self.push_events()
        elif do == "drop":
            self.events.remove(self.find(q["event"]))
            self.push_events()
        else:
            return {"ok": False, "error": "unknown: " + str(do)}
        return {"ok": True}


def parse(body):
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(body, parser)
    if root.tag != tag("oadr:oadrPayload") or root.getroottree().docinfo.doctype:
        raise ValueError("not an oadrPayload")
    objects = root.findall(tag("oadr:oadrSignedObject"))
    if len(objects) != 1 or len(objects[0]) != 1:
        raise ValueError("not exactly one message")
    message = objects[0][0]
    if message.get(tag("ei:schemaVersion")) != "2.0b":
        raise ValueError("schemaVersion")
    return message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *args):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        vtn = self.server.vtn
        size = int(self.headers.get("Content-Length", "-1"))
        if size < 0 or size > BODY_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(size)
        fingerprint = hashlib.sha256(self.connection.getpeercert(binary_form=True)).hexdigest()
        ven = vtn.fingerprints.get(fingerprint)
        prefix = vtn.args.base + "/OpenADR2/Simple/2.0b/"
        service = self.path[len(prefix):] if self.path.startswith(prefix) else ""
        if service not in ("EiRegisterParty", "EiEvent", "EiReport", "OadrPoll"):
            return self.answer(404)
        if self.headers.get("Content-Type", "").split(";")[0] != "application/xml" or ven is None:
            return self.answer(403 if ven is None else 415)
        try:
            message = parse(body)
        except (ValueError, etree.XMLSyntaxError) as e:
            with vtn.lock:
                vtn.note(ven, "bad-xml", why=str(e))
            return self.answer(400)
        with vtn.lock:
            if vtn.fail > 0:
                vtn.fail -= 1
                vtn.note(ven, "failed")
                return self.answer(503)
            node = vtn.handle(service, message, ven)
        if node is None:
            return self.answer(200)
        node.set(tag("ei:schemaVersion"), "2.0b")
        self.answer(200, etree.tostring(E("oadr:oadrPayload", E("oadr:oadrSignedObject", node)),
                                        xml_declaration=True, encoding="utf-8"))


class Control(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                with self.server.vtn.lock:
                    answer = self.server.vtn.control(json.loads(line))
            except (ValueError, KeyError, TypeError) as e:
                answer = {"ok": False, "error": repr(e)}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class ControlServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class TlsServer(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        # The handshake is made in the connection's own thread: a silent client holds up nobody else.
        request.settimeout(10)
        try:
            secure = self.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            return
        try:
            self.RequestHandlerClass(secure, client_address, self)
        except (ssl.SSLError, OSError):
            pass
        finally:
            secure.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--listen", default="127.0.0.1:0")
    p.add_argument("--base", default="")
    p.add_argument("--cert", required=True)
    p.add_argument("--key", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--ven", action="append", required=True, metavar="VENID=CERT.PEM")
    p.add_argument("--vtn-id", default="VTN_EXAMPLE")
    p.add_argument("--poll", type=int, default=1, help="seconds")
    p.add_argument("--granularity", type=int, default=1, help="seconds")
    p.add_argument("--report-back", type=int, default=1, help="seconds")
    p.add_argument("--control", required=True, help="path of the Unix socket")
    args = p.parse_args()
    vtn = Vtn(args)
    host, port = args.listen.rsplit(":", 1)
    server = TlsServer((host, int(port)), Handler)
    server.vtn = vtn
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.minimum_version = ssl.TLSVersion.TLSv1_2
    server.context.load_cert_chain(args.cert, args.key)
    server.context.load_verify_locations(args.ca)
    server.context.verify_mode = ssl.CERT_REQUIRED
    if os.path.exists(args.control):
        os.unlink(args.control)
    control = ControlServer(args.control, Control)
    control.vtn = vtn
    threading.Thread(target=control.serve_forever, daemon=True).start()
    print(json.dumps({"url": "https://%s:%d%s" % (host, server.server_address[1], args.base)}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
