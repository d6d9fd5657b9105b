/* The client's Ping, and what a local application says in it that it takes. */
#include <string.h>

#include "client_internal.h"

#define PING_LIFETIME_MS 30000u

bool erabi_takes_valid(const struct erab_client_options *o)
{
    if (o->size < offsetof(struct erab_client_options, n_takes) + sizeof o->n_takes || o->n_takes == 0)
        return true; /* an older caller knows nothing of it */
    if (!o->takes || o->n_takes > CLIENT_TAKES_MAX)
        return false;
    for (size_t i = 0; i < o->n_takes; i++)
        if (o->takes[i] == ERAB_PING || erab_type_from_name(erab_type_name(o->takes[i])) != o->takes[i])
            return false;
    return true;
}

int erabi_client_ping(struct link *link)
{
    struct erab_client *c = link->client;
    Erab__V1__Ping body = ERAB__V1__PING__INIT;
    body.protocol = 1;
    body.software = c->software;
    bool takes = link->group == ERAB_LANES_COMMAND && c->options.n_takes;
    if (takes) {
        body.takes = c->takes;
        body.n_takes = c->options.n_takes;
    }
    uint64_t now = erabi_client_now(c);
    struct erab_header h = {.type = ERAB_PING,
                            .category = ERAB_OPERATION,
                            .issued_at_ms = now,
                            .expires_at_ms = now + PING_LIFETIME_MS,
                            .version = 1};
    erabi_copy_text(h.from, sizeof h.from, c->identity.party);
    erabi_copy_text(h.to, sizeof h.to, c->options.hub);
    struct item *item;
    int r = erabi_client_build(c, &h, &body.base, NULL, &item);
    if (r)
        return r;
    if (takes) {
        erabi_copy_bytes(c->takes_ping, item->id, sizeof c->takes_ping);
        erabi_copy_bytes(c->takes_hash, item->hash, sizeof c->takes_hash);
    }
    struct erabi_writer w = erabi_writer(c->packet, sizeof c->packet);
    const struct erabi_envelope e = {.header = erabi_slice(item->data, item->header_size),
                                     .body = erabi_slice(item->data + item->header_size, item->body_size)};
    r = erabi_packet_begin(&w, link->group);
    if (!r)
        r = erabi_packet_add(&w, &e);
    if (!r)
        r = erabi_link_send(link, c->packet, w.used);
    erabi_item_free(item);
    return r;
}

void erabi_takes_tell(struct erab_client *c, enum erab_reason reason, const char *detail)
{
    if (c->takes_told && c->takes_reason == reason)
        return;
    c->takes_told = true;
    c->takes_reason = reason;
    if (c->callbacks.on_takes)
        c->callbacks.on_takes(c->options.user, c, reason, detail);
}

bool erabi_takes_receipt(struct erab_client *c, const struct erab_header *h, const Erab__V1__Receipt *r)
{
    if (c->options.n_takes == 0 || strcmp(h->from, c->options.hub) != 0 || !r->has_about ||
        r->about.len != ERAB_ID_SIZE || memcmp(r->about.data, c->takes_ping, ERAB_ID_SIZE) != 0)
        return false;
    enum erab_reason reason = erab_reason_from_code(r->reason);
    if (r->state == ERAB__V1__RECEIPT_STATE__REFUSED && r->has_about_hash && r->about_hash.len == ERAB_HASH_SIZE &&
        memcmp(r->about_hash.data, c->takes_hash, ERAB_HASH_SIZE) == 0)
        erabi_takes_tell(c, reason < ERAB_REASON_COUNT ? reason : ERAB_REASON_INTERNAL, r->detail ? r->detail : "");
    return true;
}
