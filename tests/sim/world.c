#include "world.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

static const struct {
    const char *name, *speaks;
    unsigned broker;
    bool local, intruder;
} cast[PARTIES] = {
    [REST_APP] = {"rest.app", "coordinator.rest", COORDINATOR, true, false},
    [ALDER_APP] = {"alder.app", "alder", ALDER, true, false},
    [BIRCH] = {"birch", "birch", COORDINATOR, false, false},
    [GW1] = {"gw1", "gw1", ALDER, false, false},
    [GW2] = {"gw2", "gw2", ALDER, false, false},
    [INTRUDER] = {"intruder", "birch", COORDINATOR, false, true},
};

static const char *const owners[BROKERS] = {"coordinator.rest", "alder"};

unsigned world_node_of_broker(unsigned seat)
{
    return PARTIES + seat;
}

/* A broker reads its clock at least once in this time. */
enum { SEEN_US = 1100000 };
/* What an operator decided is on disk after this time. */
enum { ON_DISK_US = 100000 };
/* How wrong a clock is at first. */
enum { SKEW_MS = 1000 };
/* Two clocks more than 5 s apart may not talk (PROTOCOL.md): these stay within. */
enum { SKEW_MOST_MS = 2000 };

static void see_clock(struct seat *seat)
{
    struct seen *last = &seat->seen[seat->n_seen - 1];
    uint64_t since = seat->clock_since_us + SEEN_US;
    if (sim_us() <= since || seat->node->skew_ms <= last->ahead_ms || seat->n_seen == SEEN_MAX)
        return;
    seat->seen[seat->n_seen++] = (struct seen){since, seat->node->skew_ms};
}

uint64_t world_broker_wall(struct world *w, unsigned which, uint64_t at_us)
{
    struct seat *seat = &w->seats[which];
    see_clock(seat);
    unsigned i = seat->n_seen - 1;
    while (i && seat->seen[i].from_us > at_us)
        i--;
    return sim_wall_ms(NULL) + (uint64_t)seat->seen[i].ahead_ms - (sim_us() - at_us) / 1000;
}

void world_set_clock(struct world *w, unsigned which, int64_t change_ms)
{
    struct seat *seat = &w->seats[which];
    if (!seat->broker)
        return;
    see_clock(seat);
    seat->node->skew_ms += change_ms;
    if (seat->node->skew_ms > SKEW_MOST_MS)
        seat->node->skew_ms = SKEW_MOST_MS;
    if (seat->node->skew_ms < -SKEW_MOST_MS)
        seat->node->skew_ms = -SKEW_MOST_MS;
    seat->clock_since_us = sim_us();
}

static int make_keys(struct erab_identity *keys, const char *folder, const char *party, const char *name)
{
    char path[PATH_MAX], error[256];
    snprintf(path, sizeof(path), "%s/%s.key", folder, name);
    if (erab_identity_generate(keys, party) < 0 || erab_identity_save(keys, path, error, sizeof(error)) < 0) {
        fprintf(stderr, "sim: %s: %s\n", path, error);
        return -1;
    }
    return 0;
}

int world_prepare(struct world *world, const char *folder)
{
    *world = (struct world){.folder = folder};
    sim_start(0);
    int r = 0;
    for (unsigned i = 0; i < PARTIES && r == 0; i++)
        r = make_keys(&world->keys[i], folder, cast[i].name, cast[i].name);
    for (unsigned i = 0; i < BROKERS && r == 0; i++) {
        char name[80];
        r = make_keys(&world->owners[i], folder, owners[i], owners[i]);
        snprintf(name, sizeof(name), "%s.gate", owners[i]);
        if (r == 0)
            r = make_keys(&world->listeners[i], folder, owners[i], name);
        snprintf(name, sizeof(name), "%s.local", owners[i]);
        if (r == 0)
            r = make_keys(&world->locals[i], folder, owners[i], name);
    }
    return r;
}

/* ---- configurations ---- */

static void write_party(FILE *f, const struct erab_identity *keys, const char *id, const char *role, const char *firm,
                        const char *attachment, bool signs)
{
    char text[65];
    fprintf(f, "  - {id: %s, role: %s, firm: %s", id, role, firm);
    if (keys && attachment) {
        erab_key_text(keys->curve_public, text);
        fprintf(f, ", curve_keys: [\"%s\"], attachment: %s", text, attachment);
    }
    if (keys && signs) {
        erab_key_text(keys->sign_public, text);
        fprintf(f, ", sign_keys: [\"%s\"]", text);
    }
    fputs("}\n", f);
}

static void write_config(const struct world *w, const struct seat *seat, const char *path)
{
    FILE *f = fopen(path, "we");
    char key[65];
    bool top = seat->index == COORDINATOR;
    if (!f)
        abort();
    fprintf(f, "owner: {party: %s, role: %s, firm: %s, key_file: %s/%s.key}\n", seat->owner, top ? "ac" : "ra",
            top ? "example-coordinator" : "alder", w->folder, seat->owner);
    fprintf(f, "profile: %s\nstate_dir: %s\naudit: %s/audit.jsonl\nadmin_socket: %s/%s.admin\n", SIM_PROFILE,
            seat->state, seat->state, w->run, seat->owner);
    fprintf(f, "local: {endpoint: \"ipc://%s/%s.sock\", key_file: %s/%s.local.key}\n", w->run, seat->owner, w->folder,
            seat->owner);
    fprintf(f, "listeners:\n  - {interface: %s, endpoint: \"tcp://127.0.0.1:%u\", key_file: %s/%s.gate.key}\n",
            top ? "r3" : "r4", 7001 + seat->index, w->folder, seat->owner);
    fputs("policies: [r1, r2, r3, r4, r5]\n", f);
    if (top) {
        fputs("groups: [{id: all-ra, owner: coordinator.rest, members: [alder, birch]}]\nparties:\n", f);
        write_party(f, NULL, "coordinator.rest", "ac", "example-coordinator", NULL, false);
        write_party(f, &w->keys[REST_APP], "rest.app", "ac", "example-coordinator", "{kind: local}", false);
        write_party(f, &w->owners[ALDER], "alder", "ra", "alder", "{kind: uplink, interfaces: [r3]}", true);
        write_party(f, &w->keys[BIRCH], "birch", "ra", "birch", "{kind: self, interfaces: [r3]}", true);
    } else {
        erab_key_text(w->listeners[COORDINATOR].curve_public, key);
        fprintf(f, "uplinks: [{party: coordinator.rest, endpoint: \"tcp://127.0.0.1:7001\", server_key: \"%s\"}]\n", key);
        fputs("parties:\n", f);
        write_party(f, NULL, "alder", "ra", "alder", NULL, false);
        write_party(f, &w->keys[ALDER_APP], "alder.app", "ra", "alder", "{kind: local}", false);
        erab_key_text(w->owners[COORDINATOR].sign_public, key);
        fprintf(f, "  - {id: coordinator.rest, role: ac, firm: example-coordinator, sign_keys: [\"%s\"]}\n", key);
        write_party(f, &w->keys[GW1], "gw1", "gateway", "alder", "{kind: self, interfaces: [r4]}", true);
        write_party(f, &w->keys[GW2], "gw2", "gateway", "alder", "{kind: self, interfaces: [r4]}", true);
    }
    fclose(f);
}

/* ---- breakers ---- */

static void mark_opened(struct world *w, const char *a, const char *b)
{
    if (world_opened(w, a, b) || w->n_opened == sizeof(w->opened) / sizeof(w->opened[0]))
        return;
    struct opened *o = &w->opened[w->n_opened++];
    erabi_copy_text(o->a, sizeof(o->a), a);
    erabi_copy_text(o->b, sizeof(o->b), b);
}

/* In the place of the broker's own, which it calls. */
static void on_cut(void *user, const struct erabi_link *link)
{
    struct life *life = user;
    mark_opened(life->world, link->a, link->b);
    erabi_network_trip(&life->broker, link);
}

static bool ends_are(const struct opened *o, const char *x, const char *y)
{
    return (strcmp(o->a, x) == 0 && strcmp(o->b, y) == 0) || (strcmp(o->a, y) == 0 && strcmp(o->b, x) == 0);
}

bool world_opened(const struct world *w, const char *from, const char *to)
{
    for (unsigned i = 0; i < w->n_opened; i++) {
        const struct opened *o = &w->opened[i];
        bool hit = to[0] == '@' ? ends_are(o, from, "alder") || ends_are(o, from, "birch") : ends_are(o, from, to);
        if (hit)
            return true;
    }
    return false;
}

/* ---- brokers come and go ---- */

struct starting {
    struct world *world;
    struct seat *seat;
    struct life *life;
    const char *path;
    int result;
};

static void on_log(void *user, enum erab_broker_line kind, const char *text)
{
    if (((struct world *)user)->verbose)
        fprintf(stderr, "%s\n", text);
}

static void start(void *arg)
{
    struct starting *s = arg;
    struct erab_broker_options options = {.size = sizeof(options), .config = s->path, .log = on_log, .user = s->world};
    s->result = erabi_broker_start(&s->life->broker, &s->life->node.uv, &options);
}

void world_revive(struct world *w, unsigned which)
{
    struct seat *seat = &w->seats[which];
    char path[PATH_MAX];
    if (seat->broker)
        return;
    struct life *life = calloc(1, sizeof(*life));
    life->world = w;
    int64_t skew = seat->node ? seat->node->skew_ms : (int64_t)sim_random(2 * SKEW_MS + 1) - SKEW_MS;
    sim_node_init(&life->node, world_node_of_broker(which));
    life->node.skew_ms = skew;
    /* What it knew of later times it has kept on disk only now and then. */
    seat->seen[0] = (struct seen){sim_us(), skew};
    seat->n_seen = 1;
    seat->clock_since_us = sim_us();
    SLIST_INSERT_HEAD(&w->lives, life, entry);
    seat->node = &life->node;
    snprintf(path, sizeof(path), "%s/%s.yaml", w->run, seat->owner);
    write_config(w, seat, path);
    struct starting s = {w, seat, life, path, 0};
    sim_turn(&life->node, start, &s);
    if (s.result < 0)
        rule_broken(w, "%s does not start again: %s", seat->owner, strerror(-s.result));
    seat->broker = &life->broker;
    seat->broker->pipeline.breakers.cut = on_cut;
    seat->broker->pipeline.breakers.user = life;
}

static void copy_file(const char *from, const char *to, const char *name)
{
    char a[PATH_MAX], b[PATH_MAX], buffer[65536];
    size_t n;
    snprintf(a, sizeof(a), "%s/%s", from, name);
    snprintf(b, sizeof(b), "%s/%s", to, name);
    FILE *in = fopen(a, "re");
    if (!in)
        return;
    int fd = open(b, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        abort();
    while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
        fwrite(buffer, 1, n, out);
    fclose(in);
    fclose(out);
}

static void new_state(struct world *w, struct seat *seat)
{
    char older[160];
    erabi_copy_text(older, sizeof(older), seat->state);
    snprintf(seat->state, sizeof(seat->state), "%s/%s.%u", w->run, seat->owner, ++seat->life);
    if (mkdir(seat->state, 0700) < 0)
        abort();
    if (!older[0])
        return;
    copy_file(older, seat->state, "journal.db");
    copy_file(older, seat->state, "journal.db-wal");
    copy_file(older, seat->state, "journal.db.head");
    copy_file(older, seat->state, "audit.jsonl");
}

static void on_stopped(void *user)
{
    ((struct life *)user)->stopped = true;
}

static void stop(void *arg)
{
    struct erabi_broker *broker = arg;
    erabi_broker_stop(broker, on_stopped, erabi_container_of(broker, struct life, broker));
}

/* What the disk has at this moment is what the next life finds. The old one is left to free its memory, unheard. */
void world_crash(struct world *w, unsigned which)
{
    struct seat *seat = &w->seats[which];
    char path[PATH_MAX];
    if (!seat->broker)
        return;
    w->count.crashes++;
    w->trip_lost = w->trip_lost || (which == COORDINATOR && w->tripped_us && sim_us() - w->tripped_us < ON_DISK_US);
    sim_node_crash(seat->node);
    new_state(w, seat);
    snprintf(path, sizeof(path), "%s/%s.sock", w->run, seat->owner);
    unlink(path);
    snprintf(path, sizeof(path), "%s/%s.admin", w->run, seat->owner);
    unlink(path);
    sim_turn(seat->node, stop, seat->broker);
    seat->broker = NULL;
}

struct verb {
    struct erabi_broker *broker;
    const char *name;
    json_t *request;
    const char *error;
};

static void call_verb(void *arg)
{
    struct verb *v = arg;
    for (const struct erabi_admin_verb *verb = erabi_verbs; verb->name; verb++)
        if (strcmp(verb->name, v->name) == 0)
            json_decref(verb->run(v->broker, v->request, &v->error));
}

/* What an operator asks of the coordinator's broker. */
static int operate(struct world *w, const char *name, json_t *request)
{
    struct seat *seat = &w->seats[COORDINATOR];
    struct verb v = {seat->broker, name, request, NULL};
    if (seat->broker && !seat->broker->stopping) /* then its socket is closed, and the run is over */
        sim_turn(seat->node, call_verb, &v);
    json_decref(request);
    return !seat->broker || (v.error && v.error != ERABI_ADMIN_LATER) ? -1 : 0;
}

int world_revoke(struct world *w, const char *party)
{
    return operate(w, "party-revoke", json_pack("{s:s}", "party", party));
}

static json_t *birch_link(void)
{
    return json_pack("{s:s, s:s, s:s}", "party", "birch", "interface", "r3", "peer", "coordinator.rest");
}

int world_trip(struct world *w)
{
    if (operate(w, "breaker-trip", birch_link()) < 0)
        return -1;
    mark_opened(w, "birch", "coordinator.rest"); /* it may have been open already */
    w->tripped_us = sim_us();
    return 0;
}

int world_close(struct world *w)
{
    if (operate(w, "breaker-close", birch_link()) < 0)
        return -1;
    if (!w->closed_us)
        w->closed_us = sim_us();
    return 0;
}

/* ---- a run ---- */

static void start_party(void *arg)
{
    party_start(arg);
}

static void stop_party(void *arg)
{
    party_stop(arg);
}

int world_begin(struct world *w, uint64_t seed)
{
    struct world kept = *w;
    *w = (struct world){.seed = seed, .folder = kept.folder, .verbose = kept.verbose};
    memcpy(w->keys, kept.keys, sizeof(w->keys));
    memcpy(w->owners, kept.owners, sizeof(w->owners));
    memcpy(w->listeners, kept.listeners, sizeof(w->listeners));
    memcpy(w->locals, kept.locals, sizeof(w->locals));
    STAILQ_INIT(&w->messages);
    SLIST_INIT(&w->lives);
    snprintf(w->run, sizeof(w->run), "%s/run", w->folder);
    if (mkdir(w->run, 0700) < 0)
        return -1;
    sim_start(seed);
    struct sim_tap tap = {rules_tap, w};
    sim_set_tap(&tap);
    sim_node_init(&w->god, SIM_NODES - 1);
    for (unsigned i = 0; i < BROKERS; i++) {
        w->seats[i] = (struct seat){.world = w, .index = i, .owner = owners[i]};
        new_state(w, &w->seats[i]);
        world_revive(w, i);
    }
    for (unsigned i = 0; i < PARTIES; i++) {
        sim_node_init(&w->nodes[i], i);
        w->nodes[i].skew_ms = (int64_t)sim_random(2 * SKEW_MS + 1) - SKEW_MS;
        w->parties[i] = (struct party){.world = w, .index = i, .name = cast[i].name, .speaks = cast[i].speaks,
                                       .broker = cast[i].broker, .local = cast[i].local,
                                       .intruder = cast[i].intruder, .node = &w->nodes[i], .keys = &w->keys[i]};
        sim_turn(&w->nodes[i], start_party, &w->parties[i]);
    }
    return 0;
}

static void remove_run(const char *path)
{
    char command[PATH_MAX];
    const char *const names[] = {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.head", "audit.jsonl", NULL};
    for (unsigned which = 0; which < BROKERS; which++) {
        for (unsigned life = 1;; life++) {
            for (int i = 0; names[i]; i++) {
                snprintf(command, sizeof(command), "%s/%s.%u/%s", path, owners[which], life, names[i]);
                unlink(command);
            }
            snprintf(command, sizeof(command), "%s/%s.%u", path, owners[which], life);
            if (rmdir(command) < 0)
                break;
        }
        const char *const ends[] = {"yaml", "sock", "admin"};
        for (int i = 0; i < 3; i++) {
            snprintf(command, sizeof(command), "%s/%s.%s", path, owners[which], ends[i]);
            unlink(command);
        }
    }
    rmdir(path);
}

void world_end(struct world *w)
{
    for (unsigned i = 0; i < PARTIES; i++)
        sim_turn(&w->nodes[i], stop_party, &w->parties[i]);
    for (unsigned i = 0; i < BROKERS; i++)
        if (w->seats[i].broker)
            sim_turn(w->seats[i].node, stop, w->seats[i].broker);
    sim_run(sim_us() + 30000000);
    struct life *life;
    while ((life = SLIST_FIRST(&w->lives))) {
        SLIST_REMOVE_HEAD(&w->lives, entry);
        if (!life->stopped)
            rule_broken(w, "a broker does not end when it is asked to");
        erabi_broker_deinit(&life->broker);
        free(life);
    }
    struct message *m;
    while ((m = STAILQ_FIRST(&w->messages))) {
        STAILQ_REMOVE_HEAD(&w->messages, entry);
        free(m);
    }
    free(w->tapped);
    w->tapped = NULL;
    sim_end();
    if (!getenv("SIM_KEEP"))
        remove_run(w->run);
}
