/* The attack table of the transport: what is done, and what comes of it on the broker's own transport and on
 * libzmq's ROUTER behind the same header. Beside every case an honest client is served before, and after. */
#include "transport_attacks.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define _(x) ERAB_REASON_##x
#define BYTES(x) .text = x, .size = sizeof x - 1
#define QUICK    .limits = {.handshake_ms = 300}
#define V1       "\1\0\6\0hello"
#define V2(rev)  "\377\0\0\0\0\0\0\0\1\177" rev "\5\0\0\0\5hello"

static const struct row table[] = {
    {"mechanism NULL", attack_greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "NULL", .a = 3},
    {"mechanism PLAIN", attack_greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "PLAIN", .a = 3},
    {"mechanism in lower case", attack_greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "curve",
     .a = 3},
    {"mechanism CURVES", attack_greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "CURVES", .a = 3},
    {"no mechanism", attack_greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "", .a = 3},
    {"client that says it is the server", attack_greet, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK,
     .text = "CURVE",
     .a = 3, .b = 1},
    {"downgrade to ZMTP 1", attack_say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V1)},
    {"downgrade to ZMTP 2.0", attack_say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V2("\1"))},
    {"downgrade to ZMTP 2.1", attack_say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V2("\2"))},
    {"HTTP", attack_say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES("GET / HTTP/1.1\r\n\r\n")},
    {"nothing at all", attack_say, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK, BYTES("")},
    {"half a greeting", attack_say, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK,
     BYTES("\377\0\0\0\0\0\0\0\1\177\3\1CURVE")},
    {"greeting only", attack_greet, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK, .text = "CURVE", .a = 3},
    {"handshake of single bytes", attack_handshake_of_single_bytes, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)},
     {0, 0, GONE}, QUICK},
    {"stop before INITIATE", attack_stop_before_initiate, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK},
    {"large frame in the handshake", attack_greet_and_say, {0, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE}, QUICK,
     BYTES("\6\0\0\0\0\0\1\0\0")},
    {"frame of 2^64 - 1 in the handshake", attack_greet_and_say, {0, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE},
     QUICK,
     BYTES("\6\377\377\377\377\377\377\377\377")},
    {"no command frame in the handshake", attack_greet_and_say, {0, 0, GONE, _(BAD_FRAME)}, {0, 0, GONE}, QUICK,
     BYTES("\0\5hello")},
    {"MESSAGE instead of HELLO", attack_greet_and_say, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK,
     BYTES("\4\42\7MESSAGE\0\0\0\0\0\0\0\1abcdefghijklmnopqr")},
    {"INITIATE instead of HELLO", attack_greet_and_say, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK,
     BYTES("\4\11\10INITIATE")},
    {"ERROR of a client", attack_error_from_a_client, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK},
    {"wrong server key", attack_wrong_server_key, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE}, QUICK},
    {"unknown key", attack_unknown_key, {0, 0, GONE, _(UNKNOWN_KEY)}, {0, 0, GONE}, QUICK},
    {"known key at a bad time", attack_put_off, {0, 0, GONE, _(CONNECTION_LIMIT)}, {0, 0, GONE}, QUICK},
    {"spoilt HELLO", attack_spoil, {0, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 1},
    {"spoilt INITIATE", attack_spoil, {0, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 2},
    {"spoilt MESSAGE", attack_spoil, {ANY, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 3},
    {"recorded connection again", attack_recorded_connection_again, {1, 1, GONE, _(BAD_BOX)}, {1, 1, GONE}, QUICK},
    {"MESSAGE twice", attack_message_twice, {1, 1, GONE, _(NONCE_ORDER)}, {1, 1, EITHER}},
    {"packet over the limit", attack_oversized_packet, {1, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE}},
    {"frame of 2^64 - 1", attack_raw_bytes, {1, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE},
     BYTES("\2\377\377\377\377\377\377\377\377")},
    {"frame with reserved flags", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 1, STAYS}, .a = 0x80, BYTES("x")},
    {"MESSAGE as a command", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .a = 4, BYTES("x")},
    {"MESSAGE with reserved inner flags", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 1, STAYS}, .b = 0x80,
     BYTES("x")},
    {"unknown inner command", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2, BYTES("\3FOOx")},
    {"PING that ends early", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2, BYTES("\4PING\1")},
    {"PING with a long context", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2,
     BYTES("\4PING\0\1more than sixteen bytes")},
    {"empty packet", attack_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS}, BYTES("")},
    {"HELLO again", attack_raw_bytes, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, EITHER}, BYTES("\4\6\5HELLO")},
    {"endless multipart", attack_endless_multipart, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}},
    {"silence after the handshake", attack_silent, {1, 0, GONE, _(HEARTBEAT_LOST)}, {0, 0, GONE},
     .limits = {.heartbeat_ms = 50, .heartbeat_timeout_ms = 200}, BYTES("")},
    {"frame that never ends", attack_silent, {1, 0, GONE, _(HEARTBEAT_LOST)}, {0, 0, GONE},
     .limits = {.heartbeat_ms = 50, .heartbeat_timeout_ms = 200}, BYTES("\2\0\0\0\0\0\0\372\0begun")},
    {"half close", attack_half_close, {1, 1, GONE, _(CLOSED_BY_PEER)}, {1, 1, GONE}},
    {"cut in the middle of a flood", attack_cut_in_the_middle_of_a_flood, {1, 1, GONE, _(REVOKED)},
     {1, 1, GONE, _(REVOKED)}},
    {"flood of an authenticated peer", attack_flood, {1, ANY, STAYS}, {1, ANY, STAYS},
     .limits = {.bytes_per_second = 2000}},
    {"slow reader", attack_slow_reader, {1, 200, STAYS}, {1, 200, STAYS}},
    {"PINGs of one who never reads", attack_pings_of_one_who_never_reads, {1, 1, STAYS}, {ANY, ANY, STAYS},
     .limits = {.send_bytes = 65536}},
    {"dialled server, nothing wrong", attack_server_spoils, {1, 1, STAYS}, {1, 1, STAYS}},
    {"dialled server says nothing", attack_server_says, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK,
     BYTES("")},
    {"dialled server downgrades", attack_server_says, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK,
     BYTES(V2("\1"))},
    {"dialled server without CURVE", attack_server_says, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, QUICK,
     BYTES("\377\0\0\0\0\0\0\0\1\177\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"dialled server refuses", attack_server_refuses, {0, 0, GONE, _(UNKNOWN_KEY)}, {0, 0, GONE, _(UNKNOWN_KEY)}},
    {"dialled server spoils WELCOME", attack_server_spoils, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE, _(BAD_BOX)},
     .a = 1, .b = 40},
    {"dialled server spoils READY", attack_server_spoils, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE, _(BAD_BOX)},
     .a = 2, .b = 30},
    {"dialled server spoils MESSAGE", attack_server_spoils, {1, 0, GONE, _(BAD_BOX)}, {1, 0, EITHER}, .a = 3,
     .b = 30},
    {"dialled server says it twice", attack_server_message_twice, {1, 1, GONE, _(NONCE_ORDER)}, {1, 1, EITHER}},
    {"dialled server never ends a message", attack_server_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS},
     .b = 1, BYTES("x")},
    {"dialled server, empty packet", attack_server_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS}, BYTES("")},
    {"many connections of one source", attack_crowd, {0, 0, STAYS}, {0, 0, STAYS},
     .limits = {.connections_per_source = 4}},
    {"connections reset at once", attack_resets, {1, 1, STAYS}, {1, 1, STAYS}, .limits = {.connections = 50}},
    {"a hundred HELLOs", attack_hellos, {0, 0, STAYS}, {0, 0, STAYS}},
    {"all descriptors", attack_descriptors, {0, 0, STAYS}, {0, 0, STAYS},
     .limits = {.connections_per_source = 1000}, .b = 200},
};

static void run_row(void **state)
{
    struct run run = {.row = *state, .fd = -1, .listening = -1};
    const struct row *row = run.row;
    run.expected = transport_is_router ? &row->router : &row->ours;
    getrlimit(RLIMIT_NOFILE, &run.descriptors);
    if (row->attack == attack_descriptors)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){row->b, run.descriptors.rlim_max});
    run.s = stage_new(&row->limits);
    stage_bystander_is_served(run.s);
    row->attack(&run);
    struct stage *s = run.s;
    bool looked_at = run.raw || run.fd >= 0;
    if (looked_at && run.expected->end == GONE)
        STAGE_UNTIL(s, run.raw ? !raw_step(run.raw) : stage_gone(run.fd));
    stage_bystander_is_served(s);
    if (run.expected->opened != ANY)
        STAGE_UNTIL(s, s->opened == run.expected->opened);
    if (run.expected->packets != ANY)
        STAGE_UNTIL(s, s->packets == run.expected->packets);
    if (run.expected->reason)
        STAGE_UNTIL(s, s->reason == run.expected->reason);
    stage_bystander_is_served(s);
    if (looked_at && run.expected->end == STAYS)
        assert_false(run.raw ? !raw_step(run.raw) : stage_gone(run.fd));
    raw_free(run.raw);
    if (run.fd >= 0)
        close(run.fd);
    if (run.listening >= 0)
        close(run.listening);
    stage_free(s);
    setrlimit(RLIMIT_NOFILE, &run.descriptors);
}

/* With an argument: only the cases whose name contains it. */
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[sizeof table / sizeof *table];
    size_t n = 0;
    signal(SIGPIPE, SIG_IGN); /* as every host of the transport does */
    if (sodium_init() < 0)
        return 1;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (argc < 2 || strstr(table[i].name, argv[1]))
            tests[n++] = (struct CMUnitTest){table[i].name, run_row, NULL, NULL, (void *)(uintptr_t)&table[i]};
    return _cmocka_run_group_tests(transport_is_router ? "attacks on ROUTER" : "attacks on our transport", tests, n,
                                   NULL, NULL);
}
