/* A row of the attack table, and everything that a row can do. */
#ifndef ERABI_TEST_TRANSPORT_ATTACKS_H
#define ERABI_TEST_TRANSPORT_ATTACKS_H

#include <sys/resource.h>

#include "stage.h"

enum { STAYS, GONE, EITHER };
#define ANY UINT32_MAX

struct expectation {
    unsigned opened, packets; /* ANY: the case itself looks */
    int end;                  /* as the attacker sees it */
    enum erab_reason reason;  /* NONE: not told apart */
};

struct run {
    struct stage *s;
    const struct row *row;
    const struct expectation *expected;
    struct raw *raw; /* the attacker whose end is looked at, or a bare descriptor */
    int fd, listening;
    struct rlimit descriptors;
};

struct row {
    const char *name;
    void (*attack)(struct run *run);
    struct expectation ours, router;
    struct erabi_transport_limits limits;
    const char *text;
    size_t size;
    unsigned a, b;
};

/* Each does one thing, and leaves in `run` the end that is to be looked at. */
void attack_greet(struct run *run);
void attack_say(struct run *run);
void attack_greet_and_say(struct run *run);
void attack_handshake_of_single_bytes(struct run *run);
void attack_stop_before_initiate(struct run *run);
void attack_wrong_server_key(struct run *run);
void attack_unknown_key(struct run *run);
void attack_put_off(struct run *run);
void attack_spoil(struct run *run);
void attack_recorded_connection_again(struct run *run);
void attack_error_from_a_client(struct run *run);
void attack_enter(struct run *run);
void attack_message(struct run *run);
void attack_raw_bytes(struct run *run);
void attack_oversized_packet(struct run *run);
void attack_message_twice(struct run *run);
void attack_silent(struct run *run);
void attack_endless_multipart(struct run *run);
void attack_flood(struct run *run);
void attack_slow_reader(struct run *run);
void attack_pings_of_one_who_never_reads(struct run *run);
void attack_cut_in_the_middle_of_a_flood(struct run *run);
void attack_half_close(struct run *run);
void attack_server_says(struct run *run);
void attack_server_refuses(struct run *run);
void attack_server_spoils(struct run *run);
void attack_server_message(struct run *run);
void attack_server_message_twice(struct run *run);
void attack_crowd(struct run *run);
void attack_resets(struct run *run);
void attack_hellos(struct run *run);
void attack_descriptors(struct run *run);

#endif
