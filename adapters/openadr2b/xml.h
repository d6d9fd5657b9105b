/* Bounded XML reading for the OpenADR codec: what libxml2 is allowed to do with bytes from outside, and small
 * strict accessors on the tree it makes. Pure: no I/O, no clock, no globals. */
#ifndef ERABI_OPENADR2B_XML_H
#define ERABI_OPENADR2B_XML_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ERABI_OADR_DOC_MAX   (256u * 1024u)
#define ERABI_OADR_DEPTH_MAX 32
#define ERABI_OADR_NODES_MAX 20000

#define OADR_NS  "http://openadr.org/oadr-2.0b/2012/07"
#define EI_NS    "http://docs.oasis-open.org/ns/energyinterop/201110"
#define PYLD_NS  "http://docs.oasis-open.org/ns/energyinterop/201110/payloads"
#define EMIX_NS  "http://docs.oasis-open.org/ns/emix/2011/06"
#define POWER_NS "http://docs.oasis-open.org/ns/emix/2011/06/power"
#define SCALE_NS "http://docs.oasis-open.org/ns/emix/2011/06/siscale"
#define XCAL_NS  "urn:ietf:params:xml:ns:icalendar-2.0"
#define STRM_NS  "urn:ietf:params:xml:ns:icalendar-2.0:stream"
#define DS_NS    "http://www.w3.org/2000/09/xmldsig#"

/* A place in a document with a sticky fault, like the byte cursor: a parser reads a whole layout and checks
 * `bad` once. */
struct erabi_xml {
    bool bad;
};

/* 0 with *out owned by the caller (xmlFreeDoc), -ENOMEM, or -EBADMSG: not well formed, over a limit, or with
 * a document type (so no entity is ever declared, loaded or expanded). */
int erabi_xml_read(const void *data, size_t size, xmlDoc **out);

/* The only child element of that name; NULL when there is none. Two of them are a fault. */
xmlNode *erabi_xml_child(struct erabi_xml *x, const xmlNode *parent, const char *ns, const char *name);
/* The same, none being a fault too. With parent NULL: NULL, and x stays as it is. */
xmlNode *erabi_xml_need(struct erabi_xml *x, const xmlNode *parent, const char *ns, const char *name);
/* Iteration over the element children of that name: NULL `after` begins. */
xmlNode *erabi_xml_next(const xmlNode *parent, const xmlNode *after, const char *ns, const char *name);
bool erabi_xml_is(const xmlNode *node, const char *ns, const char *name);

/* Text of an element, outer blanks removed. NULL node: "". Too long, or with elements inside: a fault. */
void erabi_xml_text(struct erabi_xml *x, const xmlNode *node, char *out, size_t size);
bool erabi_xml_text_is(const xmlNode *node, const char *text);
uint32_t erabi_xml_u32(struct erabi_xml *x, const xmlNode *node);
double erabi_xml_float(struct erabi_xml *x, const xmlNode *node);
/* xs:dateTime in UTC with Z; milliseconds since 1970. */
uint64_t erabi_xml_time(struct erabi_xml *x, const xmlNode *node);
/* xs:duration without years and months, not negative, at most 366 days; milliseconds. */
uint64_t erabi_xml_duration(struct erabi_xml *x, const xmlNode *node);

/* The same on texts: 0 or -EINVAL. */
int erabi_oadr_time_parse(const char *text, uint64_t *ms);
int erabi_oadr_duration_parse(const char *text, uint64_t *ms);
int erabi_oadr_float_parse(const char *text, double *value);
void erabi_oadr_time_text(uint64_t ms, char out[32]);
void erabi_oadr_float_text(double value, char out[32]);

#endif
