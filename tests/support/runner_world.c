#include "runner_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "module/module.h"
#include "wire/wire.h"

const char *world_runner;

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

bool world_possible(void)
{
    if (system("unshare -rn true 2>/dev/null") == 0)
        return true;
    fputs("SKIPPED, NOT TESTED: no user namespaces here, so no runner starts\n", stderr);
    return false;
}

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int one = 1, zero = 0;
    erab_identity_generate(&w->server, "hub");
    erab_identity_generate(&w->tso, "tso");
    erab_identity_generate(&w->me, "alder");
    erab_identity_generate(&w->signer, "signer");
    w->log = -1;
    strcpy(w->dir, "/tmp/erab-runner-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    w->context = zmq_ctx_new();
    w->router = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(w->router, ZMQ_CURVE_SECRETKEY, w->server.curve_secret, 32);
    zmq_setsockopt(w->router, ZMQ_LINGER, &zero, sizeof zero);
    /* As in a broker: a runner knows the local socket and nothing else. */
    snprintf(w->endpoint, sizeof w->endpoint, "ipc://%s/hub.sock", w->dir);
    *state = w;
    return zmq_bind(w->router, w->endpoint);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    char path[128];
    if (w->pid > 0) {
        kill(w->pid, SIGKILL);
        waitpid(w->pid, NULL, 0);
    }
    zmq_close(w->router);
    zmq_ctx_term(w->context);
    DIR *list = opendir(w->dir);
    for (const struct dirent *e; list && (e = readdir(list));)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%.40s", w->dir, e->d_name);
            unlink(path);
        }
    if (list)
        closedir(list);
    rmdir(w->dir);
    if (w->log >= 0)
        close(w->log);
    free(w);
    return 0;
}

static void hex(const uint8_t *bytes, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void world_copy(struct world *w, const char *module)
{
    char buffer[65536];
    ssize_t n;
    snprintf(w->module, sizeof w->module, "%s/m.so", w->dir);
    int from = open(module, O_RDONLY), to = open(w->module, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    assert_true(from >= 0 && to >= 0);
    while ((n = read(from, buffer, sizeof buffer)) > 0)
        assert_int_equal(write(to, buffer, (size_t)n), n);
    close(from);
    close(to);
}

void world_sign(struct world *w, const struct erab_identity *signer)
{
    struct erabi_module_file file;
    struct erab_error error = {.size = sizeof error};
    int r = erabi_module_open(&file, w->module, &error);
    if (r) /* what the host refuses cannot be signed; the runner has to say so by itself */
        return;
    assert_int_equal(erabi_module_sign(&file, signer->sign_public, signer->sign_secret, &error), 0);
    erabi_module_close(&file);
}

void world_run(struct world *w, const char *adapter, const char *options)
{
    char server[65], cp[65], cs[65], sp[65], ss[129], tso[65], signer[65], text[4096];
    int fds[2], log[2];
    hex(w->server.curve_public, 32, server);
    hex(w->me.curve_public, 32, cp);
    hex(w->me.curve_secret, 32, cs);
    hex(w->me.sign_public, 32, sp);
    hex(w->me.sign_secret, 64, ss);
    hex(w->tso.sign_public, 32, tso);
    hex(w->signer.sign_public, 32, signer);
    int n = snprintf(text, sizeof text,
                     "{\"instance\":\"r1\",\"module\":\"%s\",\"adapter\":\"%s\",\"endpoint\":\"%s\","
                     "\"server_key\":\"%s\",\"hub\":\"hub\",\"curve_public\":\"%s\",\"curve_secret\":\"%s\","
                     "\"sign_secret\":\"%s\",\"sign_public\":\"%s\",\"parties\":[\"alder\"],"
                     "\"trusted\":[{\"party\":\"tso\",\"sign_key\":\"%s\"}],\"signers\":[\"%s\"],\"options\":%s,\"state_dir\":\"%s\",\"liveness_ms\":20000}",
                     w->module, adapter, w->endpoint, server, cp, cs, ss, sp, tso, signer, options, w->dir);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(log), 0);
    w->pid = fork();
    if (w->pid == 0) {
        char fd[16];
        close(fds[1]);
        close(log[0]);
        dup2(log[1], 2);
        close(log[1]);
        snprintf(fd, sizeof fd, "%d", fds[0]);
        execl(world_runner, world_runner, "--config-fd", fd, (char *)NULL);
        _exit(127);
    }
    close(fds[0]);
    close(log[1]);
    w->log = log[0];
    fcntl(w->log, F_SETFL, O_NONBLOCK);
    assert_int_equal(write(fds[1], text, (size_t)n), n);
    close(fds[1]);
}

void world_start(struct world *w, const char *module, const char *adapter, const char *options)
{
    world_copy(w, module);
    world_sign(w, &w->signer);
    world_run(w, adapter, options);
}

static void read_log(struct world *w)
{
    ssize_t n;
    while (w->log >= 0 && w->text_size < sizeof w->text - 1 &&
           (n = read(w->log, w->text + w->text_size, sizeof w->text - 1 - w->text_size)) > 0)
        w->text_size += (size_t)n;
    w->text[w->text_size] = '\0';
}

bool world_said(struct world *w, const char *text)
{
    read_log(w);
    return strstr(w->text, text) != NULL;
}

unsigned world_lines(struct world *w)
{
    unsigned n = 0;
    read_log(w);
    for (size_t i = 0; i < w->text_size; i++)
        n += w->text[i] == '\n';
    return n;
}

int world_exit(struct world *w)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    int status = 0;
    pid_t done = 0;
    for (unsigned i = 0; i < 6000 && (done = waitpid(w->pid, &status, WNOHANG)) == 0; i++) {
        read_log(w);
        nanosleep(&moment, NULL);
    }
    assert_int_equal(done, w->pid);
    read_log(w);
    w->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
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

void world_command(struct world *w)
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
    w->foreign += strcmp(h.from, "alder") != 0 && h.type != ERAB_PING;
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

void world_turn(struct world *w)
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

