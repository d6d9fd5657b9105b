#include "message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define STAMP_AT 42 /* in the body: the value of its first point */

/* Four points; the first one's value is the time, as a number that a double holds exactly. */
static const uint8_t *body_now(void)
{
    static uint8_t body[BODY_SIZE];
    static uint64_t ms;
    uint64_t now = mono_ns(), wall = wall_ms();
    if (wall != ms) {
        struct erabi_writer w = erabi_writer(body, sizeof(body));
        for (int i = 0; i < 4; i++) {
            erabi_write_bytes(&w, "\12\60\12\34battery.of.home-00000000-wh\1\20\1\30", 35);
            body[w.used - 4] = '1';
            for (int k = 0; k < 6; k++)
                erabi_write_u8(&w, (uint8_t)((wall >> (7 * k) & 127) | (k < 5 ? 128 : 0)));
            erabi_write_u8(&w, 0x21);
            erabi_write_u64(&w, 0);
        }
        if (w.bad || w.used != BODY_SIZE)
            die("a body of %zu bytes", w.used);
        ms = wall;
    }
    double value = (double)now;
    memcpy(body + STAMP_AT, &value, sizeof(value));
    return body;
}

static uint64_t stamp_of(const uint8_t *body)
{
    double value;
    memcpy(&value, body + STAMP_AT, sizeof(value));
    return value > 0 ? (uint64_t)value : 0;
}

static void begin_header(struct erab_header *h, struct link *l, unsigned to, enum erab_type type, uint64_t life_ms)
{
    uint64_t now = wall_ms();
    *h = (struct erab_header){.type = type, .category = ERAB_OPERATION, .issued_at_ms = now,
                              .expires_at_ms = now + life_ms, .seq = ++l->seq, .version = 1};
    erab_id_new(h->id, now);
    party_name(l->number, h->from);
    if (to == UINT32_MAX)
        erabi_copy_text(h->to, sizeof(h->to), "@all");
    else
        party_name(to, h->to);
}

static void put_ours(struct link *l, unsigned to, unsigned n)
{
    static uint8_t packet[ERAB_PACKET_MAX];
    uint8_t head[ERAB_HEADER_MAX];
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    struct erab_header h;
    erabi_packet_begin(&w, ERAB_LANES_TELEMETRY);
    for (unsigned i = 0; i < n; i++) {
        begin_header(&h, l, to, ERAB_TELEMETRY, 5000);
        struct erabi_envelope e = {.header = erabi_slice(head, erabi_header_encode(&h, head)),
                                   .body = erabi_slice(body_now(), BODY_SIZE)};
        if (erabi_packet_add(&w, &e) < 0)
            die("%u messages do not fit into one packet", n);
    }
    link_put(l, packet, w.used);
}

static void put_bare(struct link *l, unsigned to, unsigned n)
{
    static uint8_t frame[ERAB_PACKET_MAX];
    struct erabi_writer w = erabi_writer(frame, sizeof(frame));
    erabi_write_u32(&w, to == UINT32_MAX ? BARE_ALL : to);
    erabi_write_bytes(&w, "for nothing.", BARE_HEAD - 4);
    for (unsigned i = 0; i < n; i++)
        erabi_write_bytes(&w, body_now(), BODY_SIZE);
    if (w.bad)
        die("%u messages do not fit into one frame", n);
    link_put(l, frame, w.used);
}

void message_put(struct link *l, unsigned to, unsigned n)
{
    if (l->world->kind == OURS)
        put_ours(l, to, n);
    else if (l->world->kind == BARE)
        put_bare(l, to, n);
    else
        for (unsigned i = 0; i < n; i++)
            tls_publish(l, to, body_now(), BODY_SIZE, 0);
}

static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];

static size_t read_packet(const uint8_t *packet, size_t size)
{
    enum erab_lane_group group;
    size_t n = 0;
    if (erabi_packet_read(erabi_slice(packet, size), &group, envelopes, &n) < 0)
        die("a packet that cannot be read");
    return n;
}

unsigned message_count(struct link *l, const uint8_t *content, size_t size, uint64_t *sent_ns)
{
    unsigned n = 0;
    if (l->world->kind == BARE) {
        n = size > BARE_HEAD ? (unsigned)((size - BARE_HEAD) / BODY_SIZE) : 0;
        if (n)
            *sent_ns = stamp_of(content + BARE_HEAD + (n - 1) * BODY_SIZE);
        return n;
    }
    if (l->world->kind != OURS) {
        if (size == BODY_SIZE)
            *sent_ns = stamp_of(content);
        return size == BODY_SIZE;
    }
    size_t all = read_packet(content, size);
    for (size_t i = 0; i < all; i++)
        if (envelopes[i].body.size == BODY_SIZE && envelopes[i].signature.size == 0) {
            *sent_ns = stamp_of(envelopes[i].body.data);
            n++;
        }
    return n;
}

/* ---- orders ---- */

void order_make(struct order *o, unsigned to, unsigned serial, const uint8_t sign_secret[ERAB_SIGN_SECRET])
{
    static struct link self;
    struct erabi_writer w = erabi_writer(o->bytes, sizeof(o->bytes));
    struct erab_header h;
    char name[24], context[] = "an order of two hundred bytes, as long as a measured value is, so that the two compare well; "
                               "the rest is words";
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots[] = {&slot};
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    snprintf(name, sizeof(name), "order-%010u", serial);
    begin_header(&h, &self, to, ERAB_DISPATCH, 600000);
    body.order = name;
    body.mode = ERAB__V1__DISPATCH_MODE__DELTA;
    body.start_ms = slot.start_ms = wall_ms();
    body.end_ms = slot.end_ms = body.start_ms + 600000;
    slot.has_target_kw = 1;
    slot.target_kw = -1.0;
    body.slot = slots;
    body.n_slot = 1;
    body.market_context = context;
    _free_ uint8_t *packed = NULL;
    size_t n;
    if (erab_body_pack(&body.base, &packed, &n) < 0)
        die("an order that cannot be packed");
    uint8_t *head = erabi_write_room(&w, ERAB_HEADER_MAX);
    o->envelope.header = erabi_slice(head, erabi_header_encode(&h, head));
    uint8_t *at = erabi_write_room(&w, n);
    erabi_copy_bytes(at, packed, n);
    o->envelope.body = erabi_slice(at, n);
    uint8_t *signature = erabi_write_room(&w, ERAB_SIGNATURE_SIZE);
    erabi_envelope_sign(o->envelope.header, o->envelope.body, sign_secret, signature);
    o->envelope.signature = erabi_slice(signature, ERAB_SIGNATURE_SIZE);
}

void orders_put(struct link *l, const struct order *orders, unsigned n)
{
    static uint8_t packet[ERAB_PACKET_MAX];
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    erabi_packet_begin(&w, ERAB_LANES_COMMAND);
    for (unsigned i = 0; i < n; i++)
        if (erabi_packet_add(&w, &orders[i].envelope) < 0)
            die("%u orders do not fit into one packet", n);
    link_put(l, packet, w.used);
}

static void add_receipt(struct erabi_writer *w, struct link *l, const struct erab_header *about)
{
    static const uint8_t rest[] = {24, ERAB_DELIVERED, 34, 4, 'n', 'o', 'n', 'e'};
    uint8_t body[64], head[ERAB_HEADER_MAX];
    struct erabi_writer b = erabi_writer(body, sizeof(body));
    struct erab_header h;
    erabi_write_u8(&b, 10);
    erabi_write_u8(&b, ERAB_ID_SIZE);
    erabi_write_bytes(&b, about->id, ERAB_ID_SIZE);
    erabi_write_bytes(&b, rest, sizeof(rest));
    begin_header(&h, l, 0, ERAB_RECEIPT, 60000);
    struct erabi_envelope e = {.header = erabi_slice(head, erabi_header_encode(&h, head)),
                               .body = erabi_slice(body, b.used)};
    if (erabi_packet_add(w, &e) < 0)
        die("too many receipts for one packet");
}

unsigned orders_answer(struct link *l, const uint8_t *packet, size_t size)
{
    static uint8_t out[ERAB_PACKET_MAX];
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    size_t n = read_packet(packet, size);
    unsigned orders = 0;
    erabi_packet_begin(&w, ERAB_LANES_COMMAND);
    for (size_t i = 0; i < n; i++) {
        struct erab_header h;
        enum erab_reason reason;
        if (erabi_header_decode(envelopes[i].header, &h, &reason) < 0)
            die("a header that cannot be read");
        if (h.type != ERAB_DISPATCH)
            continue;
        add_receipt(&w, l, &h);
        orders++;
    }
    if (orders)
        link_put(l, out, w.used);
    return orders;
}

unsigned orders_count(const uint8_t *packet, size_t size)
{
    size_t n = read_packet(packet, size);
    unsigned orders = 0;
    for (size_t i = 0; i < n; i++) {
        struct erab_header h;
        enum erab_reason reason;
        orders += erabi_header_decode(envelopes[i].header, &h, &reason) == 0 && h.type == ERAB_DISPATCH;
    }
    return orders;
}

unsigned receipts_accepted(struct link *l, const uint8_t *packet, size_t size)
{
    unsigned accepted = 0;
    size_t n = read_packet(packet, size);
    for (size_t i = 0; i < n; i++) {
        struct erab_header h;
        enum erab_reason reason;
        ProtobufCMessage *body = NULL;
        struct erab_bytes bytes = {envelopes[i].body.data, envelopes[i].body.size};
        if (erabi_header_decode(envelopes[i].header, &h, &reason) < 0)
            die("a header that cannot be read");
        if (h.type != ERAB_RECEIPT || erab_body_unpack(ERAB_RECEIPT, bytes, &body, &reason) != 0)
            continue;
        const Erab__V1__Receipt *receipt = (const void *)body;
        if (receipt->state == (Erab__V1__ReceiptState)ERAB_REFUSED ||
            receipt->state == (Erab__V1__ReceiptState)ERAB_EXPIRED)
            die("link %u: an order was refused: %s %s", l->number, receipt->reason,
                receipt->detail ? receipt->detail : "");
        accepted += receipt->state == (Erab__V1__ReceiptState)ERAB_ACCEPTED;
        erab_body_free(body);
    }
    return accepted;
}

/* ---- the broker's folder ---- */

static int key_file(const char *folder, const char *name, const char *party, char public_key[65])
{
    struct erab_identity identity;
    char path[512], error[256] = "";
    snprintf(path, sizeof(path), "%s/%s.key", folder, name);
    int r = erab_identity_generate(&identity, party);
    if (r == 0)
        r = erab_identity_save(&identity, path, error, sizeof(error));
    if (r < 0)
        die("%s", error);
    if (public_key)
        erab_key_text(identity.curve_public, public_key);
    return r;
}

/* An aggregator's: all shipped policies of its interfaces and budgets for everybody, as wide as the load. */
static const char policies[] =
    "policies:\n  - r1\n  - r2\n  - r3\n  - r4\n  - r5\n  - privacy\n"
    "  - name: quota\n    options:\n      entries: 16384\n      rules:\n"
    "        - peer=hems-* lane=telemetry rate=1000000 burst=1000000 bytes=1000000000 bytes_burst=1000000000\n"
    "        - peer=birch lane=command rate=1000000 burst=1000000\n"
    "  - name: safety\n    options:\n      rules:\n"
    "        - target=hems-* type=dispatch min_kw=-10 max_kw=10 max_duration_s=3600\n";

int config_write(const char *folder, const char *profile, unsigned members)
{
    char path[512], public_key[65], sign[65];
    key_file(folder, "alder", "alder", NULL);
    key_file(folder, "listener", "alder.r4", public_key);
    snprintf(path, sizeof(path), "%s/erabd.yaml", folder);
    _fclose_ FILE *f = fopen(path, "w");
    if (!f)
        die("cannot write %s", path);
    printf("%s\n", public_key);
    fprintf(f, "owner: {party: alder, role: ra, firm: alder, key_file: %s/alder.key}\n", folder);
    fprintf(f, "profile: %s\nstate_dir: %s\naudit: %s/audit.jsonl\nadmin_socket: %s/admin.sock\n", profile, folder,
            folder, folder);
    fprintf(f, "listeners: [{interface: r4, endpoint: 'tcp://127.0.0.1:0', key_file: %s/listener.key}]\n", folder);
    fprintf(f, "limits: {connections: 20000, link_messages_per_second: 0}\n%s", policies);
    fprintf(f, "parties:\n  - {id: alder, role: ra, firm: alder}\n");
    for (unsigned i = 0; i <= members; i++) {
        struct erab_identity id = {0};
        party_identity(i, &id);
        erab_key_text(id.curve_public, public_key);
        erab_key_text(id.sign_public, sign);
        fprintf(f, "  - {id: %s, role: %s, firm: %s, curve_keys: ['%s'], sign_keys: ['%s'], "
                   "attachment: {kind: self, interfaces: [r4]}}\n",
                id.party, i ? "ems-controller" : "ra", id.party, public_key, sign);
    }
    fprintf(f, "groups:\n  - {id: all, owner: birch, members: [hems-00001");
    for (unsigned i = 2; i <= members; i++)
        fprintf(f, ", hems-%05u", i);
    fprintf(f, "]}\n");
    return 0;
}
