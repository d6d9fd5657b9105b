#!/usr/bin/python3
"""What the codec writes, read by lxml: names, namespaces, order, content. Usage: test_build.py BUILD_ALL

With ERAB_OADR_XSD set to the path of oadr_20b.xsd (not shipped: most of its parts state no licence) every message is
validated against the schema too."""
import os
import subprocess
import sys
import tempfile
import unittest

from lxml import etree

BUILD_ALL = os.path.abspath(sys.argv[1])
EI = "http://docs.oasis-open.org/ns/energyinterop/201110"
NS = {"oadr": "http://openadr.org/oadr-2.0b/2012/07", "ei": EI, "pyld": EI + "/payloads",
      "power": "http://docs.oasis-open.org/ns/emix/2011/06/power", "xcal": "urn:ietf:params:xml:ns:icalendar-2.0",
      "strm": "urn:ietf:params:xml:ns:icalendar-2.0:stream"}
KINDS = ["oadrQueryRegistration", "oadrCreatePartyRegistration", "oadrCanceledPartyRegistration", "oadrResponse",
         "oadrRequestEvent", "oadrCreatedEvent", "oadrRegisterReport", "oadrRegisteredReport", "oadrCreatedReport",
         "oadrUpdateReport", "oadrCanceledReport", "oadrPoll"]


def names(node):
    return [etree.QName(n).localname for n in node]


class Build(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([BUILD_ALL, folder], check=True)
            cls.docs = {f[:-4]: etree.parse(os.path.join(folder, f)) for f in os.listdir(folder)}

    def message(self, kind):
        return self.docs[kind].getroot()[0][0]

    def test_every_kind_of_a_ven_is_written(self):
        self.assertEqual(sorted(self.docs), sorted(KINDS))

    def test_each_is_one_message_in_an_envelope(self):
        for kind, doc in self.docs.items():
            root = doc.getroot()
            self.assertEqual(root.tag, "{%s}oadrPayload" % NS["oadr"])
            self.assertEqual([len(root), len(root[0])], [1, 1])
            self.assertEqual(root[0][0].tag, "{%s}%s" % (NS["oadr"], kind))
            self.assertEqual(root[0][0].get("{%s}schemaVersion" % EI), "2.0b")

    def test_registration_has_the_order_of_the_schema(self):
        m = self.message("oadrCreatePartyRegistration")
        self.assertEqual(names(m), ["requestID", "registrationID", "venID", "oadrProfileName", "oadrTransportName",
                                    "oadrReportOnly", "oadrXmlSignature", "oadrVenName", "oadrHttpPullModel"])
        self.assertEqual(m.findtext("oadr:oadrVenName", namespaces=NS), '"alder"')

    def test_event_answers_escape_and_keep_order(self):
        inner = self.message("oadrCreatedEvent").find("pyld:eiCreatedEvent", NS)
        self.assertEqual(names(inner), ["eiResponse", "eventResponses", "venID"])
        rows = inner.findall("ei:eventResponses/ei:eventResponse", NS)
        self.assertEqual(rows[0].findtext("ei:qualifiedEventID/ei:eventID", namespaces=NS), "ev <&> 1")
        self.assertEqual([r.findtext("ei:optType", namespaces=NS) for r in rows], ["optIn", "optOut"])
        self.assertEqual(names(rows[1]), ["responseCode", "responseDescription", "requestID", "qualifiedEventID", "optType"])

    def test_metadata_report_has_request_zero_and_a_duration(self):
        r = self.message("oadrRegisterReport").find("oadr:oadrReport", NS)
        self.assertEqual(names(r), ["duration", "oadrReportDescription", "reportRequestID", "reportSpecifierID",
                                    "reportName", "createdDateTime"])
        self.assertEqual(r.findtext("ei:reportRequestID", namespaces=NS), "0")
        self.assertEqual(r.findtext("ei:reportName", namespaces=NS), "METADATA_TELEMETRY_USAGE")
        self.assertEqual(names(r.find("oadr:oadrReportDescription/power:powerReal", NS)),
                         ["itemDescription", "itemUnits", "siScaleCode", "powerAttributes"])

    def test_values_of_a_report(self):
        r = self.message("oadrUpdateReport").find("oadr:oadrReport", NS)
        rows = r.findall("strm:intervals/ei:interval", NS)
        self.assertEqual([float(i.findtext(".//ei:value", namespaces=NS)) for i in rows], [-1500.5, 0])
        self.assertEqual(rows[0].findtext("xcal:dtstart/xcal:date-time", namespaces=NS), "2026-12-23T04:26:40.250Z")

    @unittest.skipUnless(os.environ.get("ERAB_OADR_XSD"), "no schema given")
    def test_everything_is_valid_against_the_schema(self):
        schema = etree.XMLSchema(etree.parse(os.environ["ERAB_OADR_XSD"]))
        for kind, doc in self.docs.items():
            self.assertTrue(schema.validate(doc), (kind, schema.error_log))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
