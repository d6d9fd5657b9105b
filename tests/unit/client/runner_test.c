/* erab-runner as a real process with a real module, against a libzmq ROUTER that plays the broker.
 * argv: the runner, the echo module. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include <erab/client.h>

#include "wire/wire.h"

static const char *runner_path, *module_path;

struct world {
    void *context, *router;
    char endpoint[128], dir[64];
    struct erab_identity server, tso, me;
    pid_t pid;
    uint8_t peer[2][16];
    size_t peer_size[2];
    unsigned pings, delivered, applied, refused;
    char code[64];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int one = 1, zero = 0;
    erab_identity_generate(&w->server, "hub");
    erab_identity_generate(&w->tso, "tso");
    erab_identity_generate(&w->me, "alder");
    strcpy(w->dir, "/tmp/erab-runner-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    w->context = zmq_ctx_new();
    w->router = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(w->router, ZMQ_CURVE_SECRETKEY, w->server.curve_secret, 32);
    zmq_setsockopt(w->router, ZMQ_LINGER, &zero, sizeof zero);
    /* The sandbox reaches the broker by its local socket and by nothing else. */
    snprintf(w->endpoint, sizeof w->endpoint, "ipc://%s/hub.sock", w->dir);
    *state = w;
    return zmq_bind(w->router, w->endpoint);
}

static int teardown(void **state)
{
    struct world *w = *state;
    char path[128];
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        waitpid(w->pid, NULL, 0);
    }
    snprintf(path, sizeof path, "%s/started", w->dir);
    unlink(path);
    zmq_close(w->router);
    zmq_ctx_term(w->context);
    snprintf(path, sizeof path, "%s/hub.sock", w->dir);
    unlink(path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static void hex(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void start_runner(struct world *w, const char *options)
{
    char server[65], cp[65], cs[65], sp[65], ss[129], tso[65], text[4096];
    int fds[2];
    hex(w->server.curve_public, 32, server);
    hex(w->me.curve_public, 32, cp);
    hex(w->me.curve_secret, 32, cs);
    hex(w->me.sign_public, 32, sp);
    hex(w->me.sign_secret, 64, ss);
    hex(w->tso.sign_public, 32, tso);
    int n = snprintf(text, sizeof text,
                     "{\"instance\":\"r1\",\"module\":\"%s\",\"adapter\":\"echo\",\"endpoint\":\"%s\","
                     "\"server_key\":\"%s\",\"hub\":\"hub\",\"curve_public\":\"%s\",\"curve_secret\":\"%s\","
                     "\"sign_secret\":\"%s\",\"sign_public\":\"%s\",\"parties\":[\"alder\"],"
                     "\"trusted\":[{\"party\":\"tso\",\"sign_key\":\"%s\"}],\"options\":%s,\"state_dir\":\"%s\"}",
                     module_path, w->endpoint, server, cp, cs, ss, sp, tso, options, w->dir);
    assert_int_equal(pipe(fds), 0);
    w->pid = fork();
    if (w->pid == 0) {
        char fd[16];
        close(fds[1]);
        snprintf(fd, sizeof fd, "%d", fds[0]);
        execl(runner_path, runner_path, "--config-fd", fd, (char *)NULL);
        _exit(127);
    }
    close(fds[0]);
    assert_int_equal(write(fds[1], text, (size_t)n), n);
    close(fds[1]);
}

static int exit_code(struct world *w)
{
    int status;
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    w->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void hub_body(struct world *w, enum erab_lane_group group, enum erab_type type, const char *from,
                     const ProtobufCMessage *m, const struct erab_identity *signer)
{
    uint8_t header[ERAB_HEADER_MAX], signature[64], packet[4096], *bytes;
    size_t size;
    struct erab_header h = {.type = type, .category = ERAB_OPERATION, .seq = 1, .version = 1};
    h.issued_at_ms = now_ms();
    h.expires_at_ms = h.issued_at_ms + 30000;
    erab_id_new(h.id, h.issued_at_ms);
    strcpy(h.from, from);
    strcpy(h.to, "alder");
    assert_int_equal(erab_body_pack(m, &bytes, &size), 0);
    struct erabi_envelope e = {.header = erabi_slice(header, erabi_header_encode(&h, header)),
                               .body = erabi_slice(bytes, size)};
    if (signer) {
        erabi_envelope_sign(e.header, e.body, signer->sign_secret, signature);
        e.signature = erabi_slice(signature, sizeof signature);
    }
    struct erabi_writer out = erabi_writer(packet, sizeof packet);
    assert_int_equal(erabi_packet_begin(&out, group), 0);
    assert_int_equal(erabi_packet_add(&out, &e), 0);
    zmq_send(w->router, w->peer[group - 1], w->peer_size[group - 1], ZMQ_SNDMORE);
    zmq_send(w->router, packet, out.used, 0);
    free(bytes);
}

static void hub_command(struct world *w)
{
    Erab__V1__DispatchCancel c = ERAB__V1__DISPATCH_CANCEL__INIT;
    uint8_t id[16] = {1};
    c.order = (char[]){"order-1"};
    c.dispatch_id = (ProtobufCBinaryData){16, id};
    hub_body(w, ERAB_LANES_COMMAND, ERAB_DISPATCH_CANCEL, "tso", &c.base, &w->tso);
}

static void hub_envelope(struct world *w, enum erab_lane_group group, const struct erabi_envelope *e)
{
    struct erab_header h;
    enum erab_reason reason;
    assert_int_equal(erabi_header_decode(e->header, &h, &reason), 0);
    if (h.type == ERAB_PING) {
        Erab__V1__Ping pong = ERAB__V1__PING__INIT;
        pong.protocol = 1;
        pong.has_reply = pong.reply = 1;
        hub_body(w, group, ERAB_PING, "hub", &pong.base, NULL);
        w->pings++;
    } else if (h.type == ERAB_RECEIPT) {
        ProtobufCMessage *body;
        assert_int_equal(erab_body_unpack(h.type, (struct erab_bytes){e->body.data, e->body.size}, &body, &reason), 0);
        const Erab__V1__Receipt *r = (const Erab__V1__Receipt *)body;
        w->delivered += r->state == ERAB__V1__RECEIPT_STATE__DELIVERED;
        w->applied += r->state == ERAB__V1__RECEIPT_STATE__APPLIED;
        w->refused += r->state == ERAB__V1__RECEIPT_STATE__REFUSED;
        snprintf(w->code, sizeof w->code, "%s", r->reason);
        erab_body_free(body);
    }
}

static void hub_turn(struct world *w)
{
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    uint8_t id[16], packet[65536];
    zmq_pollitem_t item = {.socket = w->router, .events = ZMQ_POLLIN};
    int n = zmq_poll(&item, 1, 10) > 0 ? zmq_recv(w->router, id, sizeof id, ZMQ_DONTWAIT) : 0;
    if (n <= 0)
        return;
    int size = zmq_recv(w->router, packet, sizeof packet, 0);
    enum erab_lane_group group;
    size_t count;
    assert_int_equal(erabi_packet_read(erabi_slice(packet, (size_t)size), &group, envelopes, &count), 0);
    memcpy(w->peer[group - 1], id, (size_t)n);
    w->peer_size[group - 1] = (size_t)n;
    for (size_t i = 0; i < count; i++)
        hub_envelope(w, group, &envelopes[i]);
}

/* The bound only ends a broken test. */
#define until(w, condition)                                                                                  \
    do {                                                                                                     \
        for (unsigned turn_ = 0; turn_ < 1500 && !(condition); turn_++)                                      \
            hub_turn(w);                                                                                     \
        assert_true(condition);                                                                              \
    } while (0)

static void commands_are_applied_one_after_another(void **state)
{
    struct world *w = *state;
    start_runner(w, "{}");
    until(w, w->pings == 2);
    hub_command(w);
    hub_command(w);
    hub_command(w);
    until(w, w->applied == 3);
    assert_int_equal(w->delivered, 3);
}

static void stops_with_exit_code_0_on_sigterm(void **state)
{
    struct world *w = *state;
    struct stat st;
    char path[128];
    start_runner(w, "{}");
    until(w, w->pings == 2);
    kill(w->pid, SIGTERM);
    assert_int_equal(exit_code(w), 0);
    snprintf(path, sizeof path, "%s/started", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
}

static void refusal_of_the_adapter_reaches_the_sender(void **state)
{
    struct world *w = *state;
    start_runner(w, "{\"refuse\":true}");
    until(w, w->pings == 2);
    hub_command(w);
    until(w, w->refused == 1);
    assert_string_equal(w->code, "declined");
}

static void unknown_option_is_refused(void **state)
{
    struct world *w = *state;
    start_runner(w, "{\"refusse\":true}");
    assert_int_equal(exit_code(w), 1);
}

static void module_that_others_may_write_is_refused(void **state)
{
    struct world *w = *state;
    const char *own = module_path;
    char copy[160], command[512];
    snprintf(copy, sizeof copy, "%s/m.so", w->dir);
    snprintf(command, sizeof command, "cp '%s' '%s' && chmod 666 '%s'", own, copy, copy);
    assert_int_equal(system(command), 0);
    module_path = copy;
    start_runner(w, "{}");
    module_path = own;
    int code = exit_code(w);
    unlink(copy);
    assert_int_equal(code, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(commands_are_applied_one_after_another),
        T(stops_with_exit_code_0_on_sigterm),
        T(refusal_of_the_adapter_reaches_the_sender),
        T(unknown_option_is_refused),
        T(module_that_others_may_write_is_refused),
    };
    if (argc != 3)
        return 2;
    if (system("unshare -rn true 2>/dev/null")) {
        fputs("SKIPPED, NOT TESTED: no user namespaces here, so no runner starts\n", stderr);
        return 77;
    }
    runner_path = realpath(argv[1], NULL);
    module_path = realpath(argv[2], NULL);
    return runner_path && module_path ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
