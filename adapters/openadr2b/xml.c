#include "xml.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DURATION_MAX_MS (366ull * 86400u * 1000u)

/* What one parse has seen; hangs on the parser context. */
struct guard {
    unsigned nodes;
    bool refused;
};

static void refuse(void *ctx)
{
    xmlParserCtxt *parser = ctx;
    struct guard *g = parser->_private;
    g->refused = true;
    xmlStopParser(parser);
}

static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *public_id, const xmlChar *system_id)
{
    refuse(ctx);
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_ns,
                     const xmlChar **ns, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
    xmlParserCtxt *parser = ctx;
    struct guard *g = parser->_private;
    if (g->refused)
        return;
    /* Attributes and namespaces are nodes too. */
    g->nodes += 1u + (unsigned)n_ns + (unsigned)n_attributes;
    if (parser->nodeNr >= ERABI_OADR_DEPTH_MAX || g->nodes > ERABI_OADR_NODES_MAX) {
        refuse(ctx);
        return;
    }
    xmlSAX2StartElementNs(ctx, name, prefix, uri, n_ns, ns, n_attributes, n_defaulted, attributes);
}

int erabi_xml_read(const void *data, size_t size, xmlDoc **out)
{
    *out = NULL;
    if (size == 0 || size > ERABI_OADR_DOC_MAX)
        return -EBADMSG;
    xmlParserCtxt *parser = xmlNewParserCtxt();
    if (!parser)
        return -ENOMEM;
    struct guard g = {0};
    parser->_private = &g;
    parser->sax->internalSubset = on_doctype;
    parser->sax->externalSubset = on_doctype;
    parser->sax->startElementNs = on_start;
    xmlDoc *doc = xmlCtxtReadMemory(parser, data, (int)size, "openadr", NULL,
                                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    bool good = doc && parser->wellFormed && !g.refused && !doc->intSubset && xmlDocGetRootElement(doc);
    xmlFreeParserCtxt(parser);
    if (!good) {
        xmlFreeDoc(doc);
        return -EBADMSG;
    }
    *out = doc;
    return 0;
}

bool erabi_xml_is(const xmlNode *node, const char *ns, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
           strcmp((const char *)node->name, name) == 0 && strcmp((const char *)node->ns->href, ns) == 0;
}

xmlNode *erabi_xml_next(const xmlNode *parent, const xmlNode *after, const char *ns, const char *name)
{
    if (!parent)
        return NULL;
    for (xmlNode *n = after ? after->next : parent->children; n; n = n->next)
        if (erabi_xml_is(n, ns, name))
            return n;
    return NULL;
}

xmlNode *erabi_xml_child(struct erabi_xml *x, const xmlNode *parent, const char *ns, const char *name)
{
    xmlNode *found = erabi_xml_next(parent, NULL, ns, name);
    if (found && erabi_xml_next(parent, found, ns, name))
        x->bad = true;
    return found;
}

xmlNode *erabi_xml_need(struct erabi_xml *x, const xmlNode *parent, const char *ns, const char *name)
{
    xmlNode *found = erabi_xml_child(x, parent, ns, name);
    if (parent && !found)
        x->bad = true;
    return found;
}

void erabi_xml_text(struct erabi_xml *x, const xmlNode *node, char *out, size_t size)
{
    size_t used = 0;
    for (const xmlNode *n = node ? node->children : NULL; n; n = n->next) {
        if (n->type == XML_COMMENT_NODE)
            continue;
        if (n->type != XML_TEXT_NODE) {
            x->bad = true;
            break;
        }
        for (const char *c = (const char *)n->content; c && *c; c++) {
            if (used == 0 && isspace((unsigned char)*c))
                continue;
            if (used + 1 >= size) {
                /* Only blanks may follow what fills the room. */
                x->bad = x->bad || !isspace((unsigned char)*c);
                continue;
            }
            out[used++] = *c;
        }
    }
    while (used > 0 && isspace((unsigned char)out[used - 1]))
        used--;
    if (x->bad)
        used = 0;
    out[used] = '\0';
}

bool erabi_xml_text_is(const xmlNode *node, const char *text)
{
    struct erabi_xml x = {0};
    char value[64];
    erabi_xml_text(&x, node, value, sizeof value);
    return !x.bad && strcmp(value, text) == 0;
}

uint32_t erabi_xml_u32(struct erabi_xml *x, const xmlNode *node)
{
    char text[16];
    erabi_xml_text(x, node, text, sizeof text);
    uint64_t v = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9') {
            x->bad = true;
            return 0;
        }
        v = v * 10u + (uint64_t)(*c - '0');
    }
    if (text[0] == '\0' || v > UINT32_MAX) {
        x->bad = true;
        return 0;
    }
    return (uint32_t)v;
}

double erabi_xml_float(struct erabi_xml *x, const xmlNode *node)
{
    char text[64];
    double v = 0;
    erabi_xml_text(x, node, text, sizeof text);
    if (erabi_oadr_float_parse(text, &v) < 0)
        x->bad = true;
    return v;
}

uint64_t erabi_xml_time(struct erabi_xml *x, const xmlNode *node)
{
    char text[48];
    uint64_t v = 0;
    erabi_xml_text(x, node, text, sizeof text);
    if (erabi_oadr_time_parse(text, &v) < 0)
        x->bad = true;
    return v;
}

uint64_t erabi_xml_duration(struct erabi_xml *x, const xmlNode *node)
{
    char text[48];
    uint64_t v = 0;
    erabi_xml_text(x, node, text, sizeof text);
    if (erabi_oadr_duration_parse(text, &v) < 0)
        x->bad = true;
    return v;
}

/* The next n digits as a number; -1 when they are not all digits. */
static int digits(const char **at, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        v = v * 10 + (**at - '0');
    }
    return v;
}

/* A fraction of a second after its point, in milliseconds, rest cut off; -1 without digits. */
static int milliseconds(const char **at)
{
    int v = 0, weight = 100;
    if (**at < '0' || **at > '9')
        return -1;
    for (; **at >= '0' && **at <= '9'; (*at)++, weight /= 10)
        v += (**at - '0') * weight;
    return v;
}

int erabi_oadr_time_parse(const char *text, uint64_t *ms)
{
    static const char between[] = {'-', '-', 'T', ':', ':'};
    static const int width[] = {4, 2, 2, 2, 2, 2};
    int field[6];
    const char *at = text;
    for (int i = 0; i < 6; i++) {
        field[i] = digits(&at, width[i]);
        if (field[i] < 0 || (i < 5 && *at++ != between[i]))
            return -EINVAL;
    }
    int fraction = 0;
    if (*at == '.') {
        at++;
        fraction = milliseconds(&at);
    }
    if (fraction < 0 || at[0] != 'Z' || at[1] != '\0')
        return -EINVAL;
    struct tm tm = {.tm_year = field[0] - 1900, .tm_mon = field[1] - 1, .tm_mday = field[2],
                    .tm_hour = field[3], .tm_min = field[4], .tm_sec = field[5]};
    struct tm given = tm;
    time_t t = timegm(&tm);
    /* timegm() carries the 31st of February over: such a date is refused here. */
    if (t < 0 || tm.tm_mon != given.tm_mon || tm.tm_mday != given.tm_mday || tm.tm_hour != given.tm_hour ||
        tm.tm_min != given.tm_min || tm.tm_sec != given.tm_sec)
        return -EINVAL;
    *ms = (uint64_t)t * 1000u + (uint64_t)fraction;
    return 0;
}

int erabi_oadr_duration_parse(const char *text, uint64_t *ms)
{
    static const struct {
        char unit;
        bool time;
        uint32_t seconds;
    } units[] = {{'W', false, 604800}, {'D', false, 86400}, {'H', true, 3600}, {'M', true, 60}, {'S', true, 1}};
    const char *at = text;
    if (*at == '+')
        at++;
    if (*at++ != 'P')
        return -EINVAL;
    uint64_t total = 0;
    bool in_time = false, any = false;
    size_t next = 0;
    while (*at) {
        if (*at == 'T' && !in_time) {
            in_time = true;
            any = false;
            at++;
            continue;
        }
        uint64_t v = 0;
        const char *begin = at;
        for (; *at >= '0' && *at <= '9' && at - begin < 9; at++)
            v = v * 10u + (uint64_t)(*at - '0');
        int fraction = 0;
        if (at == begin)
            return -EINVAL;
        if (*at == '.') {
            at++;
            fraction = milliseconds(&at);
        }
        while (next < 5 && !(units[next].unit == *at && units[next].time == in_time))
            next++;
        if (next == 5 || fraction < 0 || (fraction > 0 && *at != 'S'))
            return -EINVAL;
        total += v * units[next++].seconds * 1000u + (uint64_t)fraction;
        any = true;
        at++;
    }
    if (!any || total > DURATION_MAX_MS)
        return -EINVAL;
    *ms = total;
    return 0;
}

int erabi_oadr_float_parse(const char *text, double *value)
{
    if (text[0] == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
        return -EINVAL;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return -EINVAL;
    char *end;
    double v = strtod_l(text, &end, c);
    freelocale(c);
    if (*end != '\0' || !isfinite(v))
        return -EINVAL;
    *value = v;
    return 0;
}

void erabi_oadr_time_text(uint64_t ms, char out[32])
{
    time_t t = (time_t)(ms / 1000u);
    struct tm tm;
    gmtime_r(&t, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ms % 1000u));
}

void erabi_oadr_float_text(double value, char out[32])
{
    /* The point must be a point whatever locale an embedding program has chosen. */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = c ? uselocale(c) : (locale_t)0;
    snprintf(out, 32, "%.9g", value);
    if (c) {
        uselocale(before);
        freelocale(c);
    }
}
