/* 1,000 cuts while 1,000 live peers talk, leave and return: none wrong, none missed, nothing of a link processed after its
 * audit line. A whole broker in a thread; the peers are stock libzmq. Times are not judged. PROFILE [PEERS [CUTS]]. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>
#include <zmq.h>

#include "broker.h"
#include "cuts_under_churn.h"
#include "transport/internal.h"
#include "wire/wire.h"

#define HUB      "hub.rest"
#define AWAY_MAX 25u /* peers that are kept out at a time */

struct peer {
    struct erab_identity identity;
    void *socket;
    char address[64];
    uint64_t seq;
};

static struct {
    char folder[64], config[128];
    unsigned n;
    uint8_t server_key[ERAB_KEY_SIZE], local_key[ERAB_KEY_SIZE];
    struct erab_identity app;
    struct peer *peers;
    void *zmq, *app_socket;
    struct erabi_broker broker;
    uv_loop_t loop;
    atomic_int state; /* 1 running, -1 failed to start */
    uint64_t random;
    uint64_t sent, received, orders, reconnects;
    /* of the loop thread */
    unsigned cuts, asked, faults;
    unsigned away[AWAY_MAX], n_away;
    uint64_t *times_ns, *cpu_ns;
    atomic_uint done;
} t = {.folder = "/tmp/erab-churn-XXXXXX", .random = 1};

static unsigned chance(unsigned n)
{
    t.random = t.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(t.random >> 33) % n;
}

static void fail(const char *what, const char *who)
{
    if (t.faults++ < 20)
        printf("FAULT: %s (%s)\n", what, who);
}

/* ---- configuration ---- */

static void key_file(const char *name, uint8_t curve_public[ERAB_KEY_SIZE])
{
    struct erab_identity identity;
    char path[128], error[256] = "";
    snprintf(path, sizeof(path), "%s/%s.key", t.folder, name);
    int r = erab_identity_generate(&identity, name);
    if (r == 0)
        r = erab_identity_save(&identity, path, error, sizeof(error));
    if (r < 0) {
        printf("key of %s: %s\n", name, error);
        exit(1);
    }
    if (curve_public)
        erabi_copy_bytes(curve_public, identity.curve_public, ERAB_KEY_SIZE);
}

static void write_config(const char *profile)
{
    char curve[65], sign[65];
    key_file(HUB, NULL);
    key_file("listener", t.server_key);
    key_file("local", t.local_key);
    erab_identity_generate(&t.app, "rest.app");
    snprintf(t.config, sizeof(t.config), "%s/erabd.yaml", t.folder);
    FILE *f = fopen(t.config, "w");
    if (!f)
        exit(1);
    fprintf(f, "owner: {party: " HUB ", role: ac, firm: hub, key_file: %s/" HUB ".key}\n", t.folder);
    fprintf(f, "profile: %s\nstate_dir: %s\naudit: %s/audit.jsonl\nadmin_socket: %s/admin.sock\n", profile, t.folder,
            t.folder, t.folder);
    fprintf(f, "local: {endpoint: 'ipc://%s/local.sock', key_file: %s/local.key}\n", t.folder, t.folder);
    fprintf(f, "listeners: [{interface: r3, endpoint: 'tcp://127.0.0.1:0', key_file: %s/listener.key}]\n", t.folder);
    fprintf(f, "policies: [r1, r2, r3, r4, r5]\nparties:\n  - {id: " HUB ", role: ac, firm: hub}\n");
    erab_key_text(t.app.curve_public, curve);
    fprintf(f, "  - {id: rest.app, role: ac, firm: hub, curve_keys: ['%s'], attachment: {kind: local}}\n", curve);
    for (unsigned i = 0; i < t.n; i++) {
        struct erab_identity *id = &t.peers[i].identity;
        erab_key_text(id->curve_public, curve);
        erab_key_text(id->sign_public, sign);
        fprintf(f, "  - {id: %s, role: ra, firm: %s, curve_keys: ['%s'], sign_keys: ['%s'], "
                   "attachment: {kind: self, interfaces: [r3]}}\n",
                id->party, id->party, curve, sign);
    }
    if (fclose(f) != 0)
        exit(1);
}

/* ---- the broker's thread ---- */

static void timed_cut(void *user, const struct erabi_link *link)
{
    erabi_network_trip(user, link);
    cut_clock_stop();
}

static void *serve(void *arg)
{
    uv_loop_init(&t.loop);
    int r = erabi_broker_start(&t.broker, &t.loop, &(struct erab_broker_options){.size = sizeof(struct erab_broker_options), .config = t.config});
    atomic_store(&t.state, r < 0 ? -1 : 1);
    if (r < 0)
        return arg;
    t.broker.pipeline.breakers.cut = timed_cut;
    uv_run(&t.loop, UV_RUN_DEFAULT);
    erabi_broker_deinit(&t.broker);
    if (uv_loop_close(&t.loop) != 0)
        fail("the loop still has handles", "end");
    return arg;
}

static const char *party_of(const struct erabi_session *s)
{
    return ((const struct erabi_attachment *)s->target->attachment)->name;
}

static unsigned live(const char *party)
{
    unsigned n = 0;
    for (const struct erabi_session *s = t.broker.sessions; s; s = s->next)
        n += !s->cut && (!party || strcmp(party_of(s), party) == 0);
    return n;
}

static bool closed_descriptor(const struct erabi_session *s)
{
    uv_os_fd_t fd;
    return uv_fileno(&s->connection->io.handle, &fd) == UV_EBADF;
}

/* One trip of a peer that is connected; everything about it is looked at before the loop goes on. */
static void trip(unsigned at)
{
    const char *party = t.peers[at].identity.party;
    unsigned mine = live(party), all = live(NULL);
    if (mine == 0 || t.n_away == AWAY_MAX)
        return;
    struct cut_time time;
    cut_clock_start(&time);
    int r = erabi_breakers_trip(&t.broker.pipeline, party, ERAB_IF_R3, HUB, "", NULL, NULL);
    cut_clock_stop();
    if (r != 0)
        fail("the trip was refused", party);
    if (live(party) != 0)
        fail("missed: still connected", party);
    if (live(NULL) != all - mine)
        fail("wrong: somebody else was cut", party);
    for (const struct erabi_session *s = t.broker.sessions; s; s = s->next)
        if (strcmp(party_of(s), party) == 0 && !closed_descriptor(s))
            fail("missed: the descriptor is open", party);
    const struct erabi_link *link = erabi_links_find(t.broker.pipeline.breakers.links, party, ERAB_IF_R3, HUB);
    if (!link || link->users != 0)
        fail("something still waits for the link", party);
    if (time.closed != mine)
        fail("other descriptors were closed than its own", party);
    t.times_ns[t.cuts] = time.at_ns - time.began_ns;
    t.cpu_ns[t.cuts++] = time.cpu_ns - time.began_cpu_ns;
    t.away[t.n_away++] = at;
}

struct wish {
    unsigned peer;
    bool let_in;
};

static void on_wish(void *arg)
{
    struct wish *wish = arg;
    erabi_loop_read(&t.broker.loop);
    if (wish->let_in && t.n_away) {
        unsigned at = t.away[0];
        memmove(t.away, t.away + 1, --t.n_away * sizeof(t.away[0]));
        if (erabi_breakers_close(&t.broker.pipeline, HUB, ERAB_IF_R3, t.peers[at].identity.party, NULL, NULL) != 0)
            fail("the close was refused", t.peers[at].identity.party);
    } else if (!wish->let_in) {
        trip(wish->peer);
    }
    atomic_store(&t.done, t.cuts);
    free(wish);
}

static void ask(unsigned peer, bool let_in)
{
    struct wish *wish = malloc(sizeof(*wish));
    if (!wish)
        return;
    *wish = (struct wish){peer, let_in};
    if (erabi_loop_post(&t.broker.loop, on_wish, wish) < 0)
        free(wish);
}

static void on_closed(void *user)
{
    (void)user;
}

static void on_end(void *arg)
{
    erabi_broker_stop(arg, on_closed, NULL);
}

/* ---- what the peers say ---- */

static uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void add(struct erabi_writer *w, const char *from, const char *to, enum erab_type type,
                struct erabi_slice body, const uint8_t *secret, uint64_t seq)
{
    uint8_t bytes[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE];
    uint64_t now = wall_ms();
    struct erab_header header = {.type = type,
                                 .category = ERAB_OPERATION,
                                 .issued_at_ms = now,
                                 .expires_at_ms = now + 60000,
                                 .seq = seq,
                                 .version = 1};
    erab_id_new(header.id, now);
    erabi_copy_text(header.from, sizeof(header.from), from);
    erabi_copy_text(header.to, sizeof(header.to), to);
    struct erabi_envelope e = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)), .body = body};
    if (secret) {
        erabi_envelope_sign(e.header, e.body, secret, signature);
        e.signature = erabi_slice(signature, sizeof(signature));
    }
    erabi_packet_add(w, &e);
}

static const uint8_t ping_body[] = {8, 1}, opt_body[] = {8, 1, 18, 3, 'o', '-', '1'};

/* Each packet begins with a Ping: after a reconnect that libzmq does by itself the first one binds. */
static void begin(struct erabi_writer *w, uint8_t buffer[ERABI_PACKET_MAX], const char *from, uint64_t *seq)
{
    *w = erabi_writer(buffer, ERABI_PACKET_MAX);
    erabi_packet_begin(w, ERAB_LANES_COMMAND);
    add(w, from, HUB, ERAB_PING, erabi_slice(ping_body, sizeof(ping_body)), NULL, ++*seq);
}

static void add_receipt(struct erabi_writer *w, const struct erab_header *about, const char *from, uint64_t *seq)
{
    uint8_t body[64];
    struct erabi_writer b = erabi_writer(body, sizeof(body));
    erabi_write_u8(&b, 10);
    erabi_write_u8(&b, ERAB_ID_SIZE);
    erabi_write_bytes(&b, about->id, ERAB_ID_SIZE);
    static const uint8_t rest[] = {24, ERAB_DELIVERED, 34, 4, 'n', 'o', 'n', 'e'};
    erabi_write_bytes(&b, rest, sizeof(rest));
    add(w, from, about->from, ERAB_RECEIPT, erabi_slice(body, b.used), NULL, ++*seq);
}

/* Takes all that has come and answers each message that is no receipt. */
static void take(void *socket, const char *from, uint64_t *seq)
{
    static uint8_t in[ERABI_PACKET_MAX + 1], out[ERABI_PACKET_MAX];
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    for (int i = 0; i < 100; i++) {
        int size = zmq_recv(socket, in, sizeof(in), ZMQ_DONTWAIT);
        if (size < 0)
            return;
        enum erab_lane_group group;
        size_t n = 0, answers = 0;
        if (erabi_packet_read(erabi_slice(in, (size_t)size), &group, envelopes, &n) < 0) {
            fail("a packet that cannot be read", from);
            return;
        }
        struct erabi_writer w;
        begin(&w, out, from, seq);
        for (size_t k = 0; k < n; k++) {
            struct erab_header header;
            enum erab_reason reason;
            if (erabi_header_decode(envelopes[k].header, &header, &reason) < 0)
                fail("a header that cannot be read", from);
            else if (header.type != ERAB_RECEIPT && header.type != ERAB_PING) {
                add_receipt(&w, &header, from, seq);
                answers++;
            }
        }
        t.received += n;
        if (answers)
            zmq_send(socket, out, w.used, ZMQ_DONTWAIT);
    }
}

static void talk(struct peer *p)
{
    static uint8_t out[ERABI_PACKET_MAX];
    struct erabi_writer w;
    begin(&w, out, p->identity.party, &p->seq);
    for (unsigned i = 0; i < 2; i++)
        add(&w, p->identity.party, HUB, ERAB_OPT, erabi_slice(opt_body, sizeof(opt_body)), p->identity.sign_secret, ++p->seq);
    if (zmq_send(p->socket, out, w.used, ZMQ_DONTWAIT) >= 0)
        t.sent += 2;
}

static void order(const char *to, uint64_t *seq)
{
    static uint8_t out[ERABI_PACKET_MAX];
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots[] = {&slot};
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    char name[] = "o-1";
    body.order = name;
    body.mode = (Erab__V1__DispatchMode)2;
    body.start_ms = slot.start_ms = wall_ms();
    body.end_ms = slot.end_ms = body.start_ms + 600000;
    slot.has_target_kw = 1;
    slot.target_kw = -1.0;
    body.slot = slots;
    body.n_slot = 1;
    uint8_t *packed;
    size_t n;
    if (erab_body_pack(&body.base, &packed, &n) < 0)
        return;
    struct erabi_writer w;
    begin(&w, out, HUB, seq);
    add(&w, HUB, to, ERAB_DISPATCH, erabi_slice(packed, n), NULL, ++*seq);
    if (zmq_send(t.app_socket, out, w.used, ZMQ_DONTWAIT) >= 0)
        t.orders++;
    free(packed);
}

static void *dealer(const struct erab_identity *identity, const uint8_t *server)
{
    int zero = 0, few = 4, soon = 200;
    void *s = zmq_socket(t.zmq, ZMQ_DEALER);
    if (!s)
        return NULL;
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(s, ZMQ_SNDHWM, &few, sizeof(few));
    zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &soon, sizeof(soon));
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server, 32);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, identity->curve_public, 32);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, identity->curve_secret, 32);
    return s;
}

/* The broker counts handshakes by source address: the peers come from a hundred of them. */
static bool connect_peers(void)
{
    const char *endpoint = erabi_listener_endpoint(t.broker.gates[0].listener);
    for (unsigned i = 0; i < t.n; i++) {
        struct peer *p = &t.peers[i];
        snprintf(p->address, sizeof(p->address), "tcp://127.0.1.%u:0;%s", 1 + i % 100, endpoint + strlen("tcp://"));
        p->socket = dealer(&p->identity, t.server_key);
        if (!p->socket || zmq_connect(p->socket, p->address) < 0) {
            printf("peer %u: %s\n", i, zmq_strerror(zmq_errno()));
            return false;
        }
        talk(p);
    }
    char local[128];
    snprintf(local, sizeof(local), "ipc://%s/local.sock", t.folder);
    t.app_socket = dealer(&t.app, t.local_key);
    int many = 1000;
    zmq_setsockopt(t.app_socket, ZMQ_SNDHWM, &many, sizeof(many));
    return t.app_socket && zmq_connect(t.app_socket, local) == 0;
}

static void reconnect(struct peer *p)
{
    zmq_disconnect(p->socket, p->address);
    zmq_connect(p->socket, p->address);
    t.reconnects++;
}

/* Peers talk, answer, leave and return, the operator trips and lets in, until there were so many cuts. */
static bool churn(unsigned cuts, uint64_t give_up_s)
{
    uint64_t seq = 0, end = uv_hrtime() + give_up_s * UINT64_C(1000000000);
    for (unsigned round = 0; atomic_load(&t.done) < cuts && t.faults == 0; round++) {
        for (unsigned k = 0; k < 20; k++) {
            struct peer *p = &t.peers[chance(t.n)];
            talk(p);
            take(p->socket, p->identity.party, &p->seq);
        }
        for (unsigned k = 0; k < 5; k++)
            order(t.peers[chance(t.n)].identity.party, &seq);
        for (unsigned k = 0; k < 50; k++) {
            struct peer *p = &t.peers[(round * 50 + k) % t.n];
            take(p->socket, p->identity.party, &p->seq);
        }
        take(t.app_socket, HUB, &seq);
        if (round % 4 == 0)
            reconnect(&t.peers[chance(t.n)]);
        if (round < t.n / 20)
            continue; /* at first they come in */
        ask(chance(t.n), false);
        if (round % 2)
            ask(0, true);
        zmq_pollitem_t wait = {.socket = t.app_socket, .events = ZMQ_POLLIN};
        zmq_poll(&wait, 1, 5);
        if (uv_hrtime() > end)
            return false;
    }
    return true;
}

static void report(void)
{
    printf("%u cuts among %u peers\n", t.cuts, t.n);
    tell_times("by the clock", t.times_ns, t.cuts);
    tell_times("CPU of the loop", t.cpu_ns, t.cuts);
    printf("%" PRIu64 " messages and %" PRIu64 " orders sent, %" PRIu64 " received, %" PRIu64 " left and returned\n",
           t.sent, t.orders, t.received, t.reconnects);
}

static unsigned fitting(unsigned wanted)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    rlim_t room = files.rlim_cur > 400 ? (files.rlim_cur - 400) / 6 : 10;
    return room < wanted ? (unsigned)room : wanted;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    signal(SIGPIPE, SIG_IGN); /* as every host of libuv does */
    t.n = fitting(argc > 2 ? (unsigned)atoi(argv[2]) : 1000);
    unsigned cuts = argc > 3 ? (unsigned)atoi(argv[3]) : 1000;
    t.peers = calloc(t.n, sizeof(*t.peers));
    t.times_ns = calloc(cuts + 4096, sizeof(uint64_t));
    t.cpu_ns = calloc(cuts + 4096, sizeof(uint64_t));
    if (sodium_init() < 0 || !t.peers || !t.times_ns || !t.cpu_ns || !mkdtemp(t.folder))
        return 1;
    for (unsigned i = 0; i < t.n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "ra%05u", i);
        erab_identity_generate(&t.peers[i].identity, name);
    }
    write_config(argv[1]);
    pthread_t thread;
    pthread_create(&thread, NULL, serve, NULL);
    while (atomic_load(&t.state) == 0)
        usleep(1000);
    if (atomic_load(&t.state) < 0)
        return 1;
    t.zmq = zmq_ctx_new();
    zmq_ctx_set(t.zmq, ZMQ_MAX_SOCKETS, (int)t.n + 16);
    bool good = connect_peers() && churn(cuts, 240);
    erabi_loop_post(&t.broker.loop, on_end, &t.broker);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < t.n; i++)
        if (t.peers[i].socket)
            zmq_close(t.peers[i].socket);
    zmq_close(t.app_socket);
    zmq_ctx_term(t.zmq);
    report();
    char path[128];
    snprintf(path, sizeof(path), "%s/audit.jsonl", t.folder);
    unsigned told = audit_faults(path, HUB, t.cuts);
    if (!good)
        printf("only %u of %u cuts in time\n", t.cuts, cuts);
    if (!good || t.faults || told) {
        printf("%u faults seen, %u in the audit log; kept in %s\n", t.faults, told, t.folder);
        return 1;
    }
    remove_run(t.folder);
    free(t.peers);
    free(t.times_ns);
    free(t.cpu_ns);
    return 0;
}
