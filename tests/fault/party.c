/* Parties of the fault tests, on the SDK: each logs what it sent, heard and took, with CLOCK_MONOTONIC, and nothing else
 * decides what the checker knows.
 *
 *   fault_party LOG ENDPOINT SERVER_KEY HUB HUB_SIGN_KEY [--local PARTY] [--seen FOLDER] KEYFILE...
 *
 * Standard input: "send FROM TO LIFETIME_MS ORDER MODIFICATION", "plan FROM TO LIFETIME_MS", "telemetry FROM TO". Standard
 * output: one line when a party is connected and one when it is not. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include <erab/client.h>

#define PARTIES_MAX 256

struct party {
    char name[ERAB_PARTY_MAX + 1];
    struct erab_client *client;
};

static struct party parties[PARTIES_MAX];
static size_t n_parties;
static int log_fd;
static unsigned long sent;

static unsigned long long mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec;
}

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* One write a line: a kill leaves none half written behind. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[4096];
    int n = snprintf(line, sizeof(line), "{\"t\": %llu, ", mono_ns());
    va_list list;
    va_start(list, format);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n, format, list);
    va_end(list);
    n += snprintf(line + n, sizeof(line) - (size_t)n, "}\n");
    if (write(log_fd, line, (size_t)n) != n)
        abort();
}

static const char *hex(const uint8_t *bytes, size_t size, char *out)
{
    return sodium_bin2hex(out, 2 * size + 1, bytes, size);
}

static int on_message(void *user, struct erab_client *client, const struct erab_message *m)
{
    struct party *p = user;
    char id[33], hash[65];
    note("\"what\": \"take\", \"by\": \"%s\", \"id\": \"%s\", \"hash\": \"%s\", \"from\": \"%s\", \"to\": \"%s\", \"type\": \"%s\"",
         p->name, hex(m->header->id, ERAB_ID_SIZE, id), hex(m->hash, ERAB_HASH_SIZE, hash), m->header->from, m->header->to,
         erab_type_name(m->header->type));
    if (erab_type_lane(m->header->type) == ERAB_LANE_COMMAND)
        erab_client_answer(client, m, ERAB_APPLIED, ERAB_REASON_NONE, NULL);
    return 0;
}

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *r)
{
    struct party *p = user;
    char id[33], members[3000] = "";
    size_t n = 0;
    for (size_t i = 0; r->body && i < r->body->n_member && n + 200 < sizeof(members); i++)
        n += (size_t)snprintf(members + n, sizeof(members) - n, "%s[\"%s\", \"%s\", \"%s\"]", i ? ", " : "",
                              r->body->member[i]->party,
                              erab_receipt_state_name((enum erab_receipt_state)r->body->member[i]->state),
                              r->body->member[i]->reason);
    note("\"what\": \"receipt\", \"by\": \"%s\", \"about\": \"%s\", \"state\": \"%s\", \"reason\": \"%s\", \"from\": \"%s\", "
         "\"local\": %s, \"shed\": %u, \"members\": [%s]",
         p->name, hex(r->about, ERAB_ID_SIZE, id), erab_receipt_state_name(r->state), r->code, r->from,
         r->local ? "true" : "false", r->body && r->body->has_shed ? r->body->shed : 0, members);
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    struct party *p = user;
    printf("%s %s\n", state == ERAB_CONNECTED ? "connected" : "not-connected", p->name);
    fflush(stdout);
}

static int send_body(struct party *p, const char *to, enum erab_type type, uint64_t lifetime_ms, const ProtobufCMessage *body)
{
    uint8_t id[ERAB_ID_SIZE];
    char text[33];
    unsigned long long began = mono_ns();
    struct erab_outgoing m = {.size = sizeof(m),
                              .from = p->name,
                              .to = to,
                              .type = type,
                              .category = type == ERAB_TELEMETRY ? ERAB_SENSOR_GROUP : ERAB_OPERATION,
                              .expires_at_ms = wall_ms() + lifetime_ms,
                              .body = body};
    int r = erab_client_send(p->client, &m, id);
    if (r)
        return r;
    /* The message may be a moment younger than `began`, never older. */
    note("\"what\": \"send\", \"n\": %lu, \"from\": \"%s\", \"to\": \"%s\", \"type\": \"%s\", \"id\": \"%s\", \"began\": %llu, "
         "\"deadline\": %llu",
         ++sent, p->name, to, erab_type_name(type), hex(id, ERAB_ID_SIZE, text), began,
         mono_ns() + (unsigned long long)lifetime_ms * 1000000u);
    return 0;
}

static int send_dispatch(struct party *p, const char *to, uint64_t lifetime_ms, char *order, unsigned modification)
{
    uint64_t now = wall_ms();
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots = &slot;
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    body.order = order;
    body.modification = modification;
    body.mode = ERAB__V1__DISPATCH_MODE__DELTA;
    body.start_ms = slot.start_ms = now;
    body.end_ms = slot.end_ms = now + 600000;
    slot.has_target_kw = 1;
    slot.target_kw = -1.0;
    body.n_slot = 1;
    body.slot = &slots;
    return send_body(p, to, ERAB_DISPATCH, lifetime_ms, &body.base);
}

static int send_plan(struct party *p, const char *to, uint64_t lifetime_ms)
{
    uint64_t now = wall_ms();
    Erab__V1__PlanSlot slot = ERAB__V1__PLAN_SLOT__INIT, *slots = &slot;
    Erab__V1__Plan body = ERAB__V1__PLAN__INIT;
    body.plan = (char[]){"p-1"};
    body.version = 1;
    slot.start_ms = now;
    slot.end_ms = now + 1800000;
    slot.has_power_kw = 1;
    slot.power_kw = 10.0;
    body.n_slot = 1;
    body.slot = &slots;
    return send_body(p, to, ERAB_PLAN, lifetime_ms, &body.base);
}

static int send_telemetry(struct party *p, const char *to)
{
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *points = &point;
    Erab__V1__Telemetry body = ERAB__V1__TELEMETRY__INIT;
    point.resource = (char[]){"group"};
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = wall_ms();
    point.value = -1.5;
    body.n_point = 1;
    body.point = &points;
    return send_body(p, to, ERAB_TELEMETRY, 60000, &body.base);
}

static struct party *named(const char *name)
{
    for (size_t i = 0; i < n_parties; i++)
        if (strcmp(parties[i].name, name) == 0)
            return &parties[i];
    return NULL;
}

static void obey(char *line)
{
    char *words[6] = {0}, *rest = line;
    for (size_t i = 0; i < 6 && rest; i++)
        words[i] = strsep(&rest, " \n");
    struct party *p = words[1] ? named(words[1]) : NULL;
    int r = -EINVAL;
    if (p && words[5] && strcmp(words[0], "send") == 0)
        r = send_dispatch(p, words[2], strtoull(words[3], NULL, 10), words[4], (unsigned)strtoul(words[5], NULL, 10));
    else if (p && words[3] && strcmp(words[0], "plan") == 0)
        r = send_plan(p, words[2], strtoull(words[3], NULL, 10));
    else if (p && words[2] && strcmp(words[0], "telemetry") == 0)
        r = send_telemetry(p, words[2]);
    if (r)
        note("\"what\": \"not-sent\", \"error\": \"%s\"", strerror(-r));
}

static int begin(const char *file, char **argv, const char *as, const char *seen)
{
    struct erab_identity identity;
    char error[256], path[512];
    size_t n;
    if (erab_identity_load(&identity, file, error, sizeof(error))) {
        fprintf(stderr, "fault_party: %s\n", error);
        return 1;
    }
    struct party *p = &parties[n_parties++];
    snprintf(p->name, sizeof(p->name), "%s", as ? as : identity.party);
    static const struct erab_client_callbacks callbacks = {
        .size = sizeof(callbacks), .on_message = on_message, .on_receipt = on_receipt, .on_state = on_state};
    struct erab_trusted trusted = {0};
    snprintf(path, sizeof(path), "%s/%s.seen", seen ? seen : "", identity.party);
    struct erab_client_options o = {.size = sizeof(o),
                                    .endpoint = argv[2],
                                    .identity = &identity,
                                    .sign = !as,
                                    .trusted = &trusted,
                                    .n_trusted = 1,
                                    .callbacks = &callbacks,
                                    .user = p,
                                    .ping_ms = 2000,
                                    .seen_file = seen ? path : NULL};
    snprintf(o.hub, sizeof(o.hub), "%s", argv[4]);
    snprintf(trusted.party, sizeof(trusted.party), "%s", argv[4]);
    if (sodium_hex2bin(o.server_key, ERAB_KEY_SIZE, argv[3], strlen(argv[3]), NULL, &n, NULL) ||
        sodium_hex2bin(trusted.sign_key, ERAB_KEY_SIZE, argv[5], strlen(argv[5]), NULL, &n, NULL))
        return 2;
    int r = erab_client_new(&p->client, &o);
    erab_identity_wipe(&identity);
    if (r)
        fprintf(stderr, "fault_party: %s: %s\n", p->name, strerror(-r));
    return r ? 1 : 0;
}

/* Reads what is there and obeys whole lines; false at the end of the input. */
static bool read_orders(void)
{
    static char buffer[65536];
    static size_t used;
    ssize_t n = read(STDIN_FILENO, buffer + used, sizeof(buffer) - 1 - used);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    used += (size_t)n;
    char *line = buffer, *end;
    while ((end = memchr(line, '\n', used))) {
        *end = '\0';
        used -= (size_t)(end + 1 - line);
        obey(line);
        line = end + 1;
    }
    memmove(buffer, line, used);
    return true;
}

static int loop(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    int r = epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e) ? -errno : 0;
    for (size_t i = 0; r == 0 && i < n_parties; i++) {
        e.data.ptr = &parties[i];
        r = epoll_ctl(epoll, EPOLL_CTL_ADD, erab_client_fd(parties[i].client), &e) ? -errno : 0;
    }
    for (bool open = true; r == 0 && open;) {
        struct epoll_event ready[64];
        int n = epoll_wait(epoll, ready, 64, -1);
        if (n < 0 && errno != EINTR)
            r = -errno;
        for (int i = 0; r == 0 && i < n; i++) {
            struct party *p = ready[i].data.ptr;
            if (p)
                r = erab_client_step(p->client);
            else
                open = read_orders();
        }
    }
    close(epoll);
    return r;
}

int main(int argc, char **argv)
{
    const char *as = NULL, *seen = NULL;
    if (argc < 7 || sodium_init() < 0)
        return 2;
    log_fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return 1;
    int r = 0;
    for (int i = 6; r == 0 && i < argc; i++) {
        if (strcmp(argv[i], "--local") == 0 && i + 1 < argc)
            as = argv[++i];
        else if (strcmp(argv[i], "--seen") == 0 && i + 1 < argc)
            seen = argv[++i];
        else if (n_parties < PARTIES_MAX)
            r = begin(argv[i], argv, as, seen);
    }
    if (r == 0 && loop() < 0)
        r = 1;
    for (size_t i = 0; i < n_parties; i++)
        erab_client_free(parties[i].client);
    close(log_fd);
    return r;
}
