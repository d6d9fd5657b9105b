#include "party.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <time.h>

#include "event.h"

#define TICK_MS 100

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

uint64_t story_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void tell_message(const struct story_party *party, const char *event, const struct erab_header *h)
{
    event_begin(event, party->name);
    event_text("type", erab_type_name(h->type));
    event_text("from", h->from);
    event_text("to", h->to);
    event_id("id", h->id);
    if (h->has_parent)
        event_id("parent", h->parent_id);
    event_flag("exercise", h->exercise);
    event_end();
}

static int on_message(void *user, struct erab_client *client, const struct erab_message *message)
{
    struct story_party *party = user;
    const struct erab_header *h = message->header;
    if (erab_type_lane(h->type) != ERAB_LANE_TELEMETRY)
        tell_message(party, "received", h);
    if (h->sealed || !party->role->on_message)
        return ERAB_REASON_NOT_SUPPORTED;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_INTERNAL;
    int r = erab_body_unpack(h->type, message->body, &body, &reason);
    if (r)
        return r > 0 ? (int)reason : ERAB_REASON_INTERNAL;
    r = party->role->on_message(party, client, message, body);
    erab_body_free(body);
    if (r > 0) {
        event_begin("refused", party->name);
        event_id("id", h->id);
        event_text("reason", erab_reason_code((enum erab_reason)r));
        event_end();
    }
    return r;
}

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct story_party *party = user;
    /* Summaries of shed telemetry are about no message. */
    event_begin("receipt", party->name);
    event_id("about", receipt->about);
    event_text("state", erab_receipt_state_name(receipt->state));
    event_text("code", receipt->code);
    event_text("section", receipt->section);
    event_text("detail", receipt->detail);
    event_text("from", receipt->from);
    event_flag("local", receipt->local);
    event_end();
    if (party->role->on_receipt)
        party->role->on_receipt(party, client, receipt);
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    static const char *const names[] = {"disconnected", "connected", "rejected"};
    struct story_party *party = user;
    event_begin(names[state], party->name);
    event_text("interface", client == party->r5 ? "r5" : NULL);
    event_end();
}

int story_send(struct story_party *party, struct erab_client *client, const char *to, enum erab_type type,
               enum erab_category category, uint64_t expires_at_ms, const struct erab_header *parent,
               const uint8_t *hash, const ProtobufCMessage *body, uint8_t id[ERAB_ID_SIZE])
{
    uint8_t own[ERAB_ID_SIZE];
    uint8_t *sent = id ? id : own;
    int e = erab_client_send(client,
                             &(struct erab_outgoing){
                                 .size = sizeof(struct erab_outgoing),
                                 .from = party->options->as,
                                 .to = to,
                                 .type = type,
                                 .category = category,
                                 .expires_at_ms = expires_at_ms,
                                 .parent_id = parent ? parent->id : NULL,
                                 .parent_hash = parent ? hash : NULL,
                                 .exercise = parent && parent->exercise,
                                 .trace_id = parent && parent->has_trace ? parent->trace_id : NULL,
                                 .body = body,
                             },
                             sent);
    if (!e && erab_type_lane(type) == ERAB_LANE_TELEMETRY)
        return 0;
    event_begin(e ? "not-sent" : "sent", party->name);
    event_text("type", erab_type_name(type));
    event_text("to", to);
    if (e)
        event_text("error", strerror(-e));
    else
        event_id("id", sent);
    if (parent)
        event_id("parent", parent->id);
    event_flag("exercise", parent && parent->exercise);
    event_end();
    return e;
}

static int open_client(struct story_party *party, const struct erab_identity *identity, bool r5,
                       struct erab_client **out)
{
    const struct story_options *o = party->options;
    const struct erab_client_callbacks callbacks = {
        .size = sizeof(callbacks), .on_message = on_message, .on_receipt = on_receipt, .on_state = on_state};
    struct erab_client_options options = {
        .size = sizeof(options),
        .endpoint = r5 ? o->r5_endpoint : o->endpoint,
        .identity = identity,
        .sign = !o->local,
        .trusted = o->trusted,
        .n_trusted = o->n_trusted,
        .callbacks = &callbacks,
        .user = party,
        .software = "erab-story",
    };
    const uint8_t *key = r5 ? o->r5_server_key : o->server_key;
    for (size_t i = 0; i < ERAB_KEY_SIZE; i++)
        options.server_key[i] = key[i];
    snprintf(options.hub, sizeof(options.hub), "%s", r5 && o->r5_hub ? o->r5_hub : o->hub);
    int e = erab_client_new(out, &options);
    if (e)
        fprintf(stderr, "erab-story: %s: %s\n", options.endpoint, strerror(-e));
    return e;
}

static int loop(struct story_party *party)
{
    uint64_t next_tick = story_now_ms();
    while (!stopping && !party->done) {
        struct pollfd fds[2] = {{.fd = erab_client_fd(party->client), .events = POLLIN},
                                {.fd = party->r5 ? erab_client_fd(party->r5) : -1, .events = POLLIN}};
        if (poll(fds, 2, TICK_MS) < 0 && errno != EINTR)
            return -errno;
        int e = fds[0].revents ? erab_client_step(party->client) : 0;
        if (!e && fds[1].revents)
            e = erab_client_step(party->r5);
        if (e)
            return e;
        uint64_t now = story_now_ms();
        if (now >= next_tick || next_tick > now + TICK_MS) {
            next_tick = now + TICK_MS;
            if (party->role->on_tick)
                party->role->on_tick(party, now);
        }
    }
    return 0;
}

int story_party_run(const struct story_role *role, const struct story_options *options)
{
    struct erab_identity identity;
    char error[256];
    if (role->check && role->check(options))
        return 2;
    if (erab_identity_load(&identity, options->key, error, sizeof(error))) {
        fprintf(stderr, "erab-story: %s\n", error);
        return 1;
    }
    char name[ERAB_PARTY_MAX + 1];
    snprintf(name, sizeof(name), "%s", options->as ? options->as : identity.party);
    struct story_party party = {.options = options, .role = role, .name = name};
    party.state = calloc(1, role->state_size ? role->state_size : 1);
    int e = party.state ? open_client(&party, &identity, false, &party.client) : -ENOMEM;
    if (!e && options->r5_endpoint)
        e = open_client(&party, &identity, true, &party.r5);
    erab_identity_wipe(&identity);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (!e)
        e = loop(&party);
    if (e)
        fprintf(stderr, "erab-story: %s\n", strerror(-e));
    erab_client_free(party.r5);
    erab_client_free(party.client);
    free(party.state);
    return e ? 1 : party.exit_code;
}
