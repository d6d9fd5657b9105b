/* What this client sends: waiting, sent and not answered, answered and still awaiting APPLIED. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"

/* Receipts are never answered. They are sent again when the connection that took them is found dead within
 * this time: longer than the heartbeat needs to find out. */
#define RECEIPT_KEEP_MS 20000u

static size_t weight(const struct item *i)
{
    return sizeof *i + i->header_size + i->body_size + i->signature_size;
}

void erabi_item_free(struct item *item)
{
    if (!item)
        return;
    free(item->data);
    free(item);
}

static bool answered(const struct link *l)
{
    return l->group == ERAB_LANES_COMMAND;
}

static void index_remove(struct erab_client *c, const struct item *item)
{
    struct item **at = &c->buckets[erabi_client_bucket(item->id)];
    while (*at && *at != item)
        at = &(*at)->chain;
    if (*at)
        *at = item->chain;
}

static struct item *find(struct erab_client *c, const uint8_t id[ERAB_ID_SIZE])
{
    struct item *i = c->buckets[erabi_client_bucket(id)];
    while (i && memcmp(i->id, id, ERAB_ID_SIZE) != 0)
        i = i->chain;
    return i;
}

/* Out of whichever list and table it is in, and freed. */
static void drop(struct link *l, struct item *item)
{
    struct erab_client *c = l->client;
    if (item->type == ERAB_RECEIPT) {
        TAILQ_REMOVE(item->state == ITEM_SENT ? &l->receipts_sent : &l->receipts_waiting, item, entry);
        l->receipt_bytes -= weight(item);
    } else if (item->state == ITEM_KEPT) {
        TAILQ_REMOVE(&c->kept, item, entry);
        c->n_kept--;
        index_remove(c, item);
    } else {
        TAILQ_REMOVE(item->state == ITEM_SENT ? &l->sent : &l->waiting, item, entry);
        l->bytes -= weight(item);
        c->n_pending--;
        if (answered(l))
            index_remove(c, item);
    }
    erabi_item_free(item);
}

static int add_receipt(struct link *l, struct item *item)
{
    /* The oldest one that was sent already makes room. */
    size_t limit = l->client->options.command_bytes;
    while (l->receipt_bytes + weight(item) > limit && !TAILQ_EMPTY(&l->receipts_sent))
        drop(l, TAILQ_FIRST(&l->receipts_sent));
    if (l->receipt_bytes + weight(item) > limit) {
        erabi_item_free(item);
        return -EAGAIN;
    }
    l->receipt_bytes += weight(item);
    TAILQ_INSERT_TAIL(&l->receipts_waiting, item, entry);
    return 0;
}

/* Reading pauses before a receipt would find no room. */
bool erabi_queue_receipts_full(const struct link *l)
{
    size_t waiting = 0;
    const struct item *i;
    if (l->receipt_bytes < l->client->options.command_bytes / 2)
        return false;
    TAILQ_FOREACH(i, &l->receipts_waiting, entry)
        waiting += weight(i);
    return waiting >= l->client->options.command_bytes / 2;
}

int erabi_queue_add(struct link *l, struct item *item)
{
    struct erab_client *c = l->client;
    item->state = ITEM_WAITING;
    if (item->type == ERAB_RECEIPT)
        return add_receipt(l, item);
    size_t limit = answered(l) ? c->options.command_bytes : c->options.telemetry_bytes;
    while (!answered(l) && l->bytes + weight(item) > limit && !TAILQ_EMPTY(&l->waiting)) {
        drop(l, TAILQ_FIRST(&l->waiting));
        c->shed++;
    }
    if (l->bytes + weight(item) > limit) {
        erabi_item_free(item);
        return -EAGAIN;
    }
    l->bytes += weight(item);
    c->n_pending++;
    TAILQ_INSERT_TAIL(&l->waiting, item, entry);
    if (answered(l)) {
        struct item **bucket = &c->buckets[erabi_client_bucket(item->id)];
        item->chain = *bucket;
        *bucket = item;
    }
    if (item->expires_at_ms < c->next_expiry_ms)
        c->next_expiry_ms = item->expires_at_ms;
    return 0;
}

static void put_back(struct item_list *waiting, struct item_list *sent)
{
    struct item *i;
    while ((i = TAILQ_LAST(sent, item_list))) {
        TAILQ_REMOVE(sent, i, entry);
        i->state = ITEM_WAITING;
        TAILQ_INSERT_HEAD(waiting, i, entry);
    }
}

void erabi_queue_resend(struct link *l)
{
    put_back(&l->waiting, &l->sent);
    put_back(&l->receipts_waiting, &l->receipts_sent);
}

/* Adds from one list until the packet is full; how many of them. */
static size_t fill(struct erabi_writer *w, struct item_list *list, size_t room)
{
    size_t n = 0;
    struct item *i;
    TAILQ_FOREACH(i, list, entry)
    {
        const uint8_t *body = i->data + i->header_size;
        const struct erabi_envelope e = {.header = erabi_slice(i->data, i->header_size),
                                         .body = erabi_slice(body, i->body_size),
                                         .signature = erabi_slice(body + i->body_size, i->signature_size)};
        if (n == room || erabi_packet_add(w, &e))
            break;
        n++;
    }
    return n;
}

static void sent(struct link *l, struct item_list *from, struct item_list *to, size_t n)
{
    uint64_t now = erabi_client_monotonic();
    while (n--) {
        struct item *i = TAILQ_FIRST(from);
        if (!answered(l)) {
            drop(l, i); /* telemetry: once */
            continue;
        }
        TAILQ_REMOVE(from, i, entry);
        i->state = ITEM_SENT;
        i->sent_at = now;
        TAILQ_INSERT_TAIL(to, i, entry);
    }
}

bool erabi_queue_flush(struct link *l)
{
    bool any = false;
    struct erab_client *c = l->client;
    for (unsigned packets = 0; packets < 8; packets++) {
        if (TAILQ_EMPTY(&l->waiting) && TAILQ_EMPTY(&l->receipts_waiting))
            return any;
        struct erabi_writer w = erabi_writer(c->packet, sizeof c->packet);
        if (erabi_packet_begin(&w, l->group))
            return any;
        size_t receipts = fill(&w, &l->receipts_waiting, ERABI_ENVELOPES_MAX);
        size_t n = fill(&w, &l->waiting, ERABI_ENVELOPES_MAX - receipts);
        if (receipts + n == 0 || erabi_link_send(l, c->packet, w.used))
            return any;
        sent(l, &l->receipts_waiting, &l->receipts_sent, receipts);
        sent(l, &l->waiting, &l->sent, n);
        any = true;
    }
    return any;
}

static void tell(struct erab_client *c, const struct erab_receipt *receipt)
{
    if (c->callbacks.on_receipt)
        c->callbacks.on_receipt(c->options.user, c, receipt);
}

static void tell_expired(struct erab_client *c, const uint8_t id[ERAB_ID_SIZE])
{
    struct erab_receipt r = {.size = sizeof r,
                             .state = ERAB_EXPIRED,
                             .reason = ERAB_REASON_EXPIRED,
                             .local = true,
                             .code = erab_reason_code(ERAB_REASON_EXPIRED),
                             .section = "",
                             .detail = "no final answer before the deadline",
                             .from = c->identity.party};
    erabi_copy_bytes(r.about, id, ERAB_ID_SIZE);
    tell(c, &r);
}

/* A callback may add to these lists and removes nothing but shed telemetry, which has no callback here. */
static void expire_list(struct link *l, struct item_list *list, uint64_t now)
{
    struct erab_client *c = l->client;
    struct item *i = TAILQ_FIRST(list), *next;
    for (; i; i = next) {
        next = TAILQ_NEXT(i, entry);
        uint64_t end = i->expires_at_ms + (i->state == ITEM_KEPT ? CLIENT_KEPT_AFTER_MS : 0);
        if (end > now) {
            if (end < c->next_expiry_ms)
                c->next_expiry_ms = end;
            continue;
        }
        uint8_t id[ERAB_ID_SIZE];
        bool told = answered(l) && i->type != ERAB_RECEIPT && i->state != ITEM_KEPT;
        erabi_copy_bytes(id, i->id, sizeof id);
        if (!answered(l))
            c->shed++;
        drop(l, i);
        if (told)
            tell_expired(c, id);
    }
}

void erabi_queue_expire(struct erab_client *c, uint64_t now)
{
    struct link *l = &c->links[0];
    uint64_t monotonic = erabi_client_monotonic();
    struct item *i;
    while ((i = TAILQ_FIRST(&l->receipts_sent)) && i->sent_at + RECEIPT_KEEP_MS <= monotonic)
        drop(l, i);
    if (now < c->next_expiry_ms)
        return;
    c->next_expiry_ms = UINT64_MAX;
    for (unsigned k = 0; k < CLIENT_LINKS; k++) {
        expire_list(&c->links[k], &c->links[k].waiting, now);
        expire_list(&c->links[k], &c->links[k].sent, now);
    }
    expire_list(l, &l->receipts_waiting, now);
    expire_list(l, &c->kept, now);
}

/* Answered, not ended: only the id stays until APPLIED or the deadline. */
static void keep(struct link *l, struct item *item)
{
    struct erab_client *c = l->client;
    if (item->state == ITEM_KEPT)
        return;
    TAILQ_REMOVE(item->state == ITEM_SENT ? &l->sent : &l->waiting, item, entry);
    l->bytes -= weight(item);
    c->n_pending--;
    free(item->data);
    item->data = NULL;
    item->header_size = item->body_size = item->signature_size = 0;
    item->state = ITEM_KEPT;
    TAILQ_INSERT_TAIL(&c->kept, item, entry);
    if (++c->n_kept > CLIENT_KEPT_MAX)
        drop(l, TAILQ_FIRST(&c->kept));
}

void erabi_queue_receipt(struct erab_client *c, const struct erab_header *header, const Erab__V1__Receipt *body)
{
    struct erab_receipt r = {.size = sizeof r,
                             .state = (enum erab_receipt_state)body->state,
                             .reason = erab_reason_from_code(body->reason),
                             .code = body->reason,
                             .section = body->section ? body->section : "",
                             .detail = body->detail ? body->detail : "",
                             .from = header->from,
                             .retry_after_ms = body->has_retry_after_ms ? body->retry_after_ms : 0,
                             .body = body};
    if (!body->has_about) {
        if (body->has_shed)
            tell(c, &r);
        return;
    }
    struct link *l = &c->links[0];
    struct item *item = body->about.len == ERAB_ID_SIZE ? find(c, body->about.data) : NULL;
    if (!item)
        return;
    if (body->has_about_hash &&
        (body->about_hash.len != ERAB_HASH_SIZE || memcmp(body->about_hash.data, item->hash, ERAB_HASH_SIZE) != 0))
        return; /* of other bytes than ours */
    erabi_copy_bytes(r.about, item->id, ERAB_ID_SIZE);
    if (r.state == ERAB_REFUSED || r.state == ERAB_EXPIRED || r.state == ERAB_APPLIED)
        drop(l, item);
    else if (r.state != ERAB_QUEUED)
        keep(l, item);
    tell(c, &r);
}

static void free_list(struct item_list *list)
{
    struct item *i;
    while ((i = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, i, entry);
        erabi_item_free(i);
    }
}

void erabi_queue_deinit(struct erab_client *c)
{
    for (unsigned k = 0; k < CLIENT_LINKS; k++) {
        free_list(&c->links[k].waiting);
        free_list(&c->links[k].sent);
        free_list(&c->links[k].receipts_waiting);
        free_list(&c->links[k].receipts_sent);
    }
    free_list(&c->kept);
}
