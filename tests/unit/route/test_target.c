/* Queues of one target. The connection is a record of what was sent: the transport itself has its own tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>

#include "route/target.h"

#define NOW 1000000u

/* What transport.h promises, for one peer that is always there. */
struct erabi_connection {
    unsigned packets, envelopes;
    enum erab_type first;
    size_t each, queued; /* what each packet leaves in its queue */
};

int erabi_connection_send(struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    enum erab_lane_group group;
    struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    struct erab_header header;
    enum erab_reason reason;
    size_t n;
    assert_int_equal(erabi_packet_read(erabi_slice(packet, size), &group, envelopes, &n), 0);
    assert_int_equal(erabi_header_decode(envelopes[0].header, &header, &reason), 0);
    if (!c->packets)
        c->first = header.type;
    c->packets++;
    c->envelopes += (unsigned)n;
    c->queued += c->each;
    return 0;
}

size_t erabi_connection_queued(const struct erabi_connection *c)
{
    return c->queued;
}

static struct erabi_target target;
static struct erabi_connection connection;
static unsigned left_n;
static enum erab_reason left_reason;

static void left(void *user, struct erabi_delivery *delivery, enum erab_reason reason)
{
    left_n++;
    left_reason = reason;
}

static int fresh(void **state)
{
    connection = (struct erabi_connection){0};
    left_n = 0;
    erabi_target_init(&target, NULL, ERAB_IF_R3, left, NULL);
    return 0;
}

static int gone(void **state)
{
    erabi_target_deinit(&target);
    return 0;
}

static struct erabi_parcel *parcel(enum erab_type type, size_t body)
{
    uint8_t bytes[ERAB_HEADER_MAX], hash[ERAB_HASH_SIZE] = {7};
    struct erab_header header = {.type = type,
                                 .category = ERAB_OPERATION,
                                 .from = "coordinator",
                                 .to = "alder",
                                 .issued_at_ms = NOW,
                                 .expires_at_ms = NOW + 60000,
                                 .seq = 1,
                                 .version = 1};
    erab_id_new(header.id, NOW);
    uint8_t *zeros = calloc(1, body + 1);
    struct erabi_envelope e = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                               .body = erabi_slice(zeros, body)};
    struct erabi_parcel *p = erabi_parcel_new(&header, &e, hash);
    free(zeros);
    return p;
}

static int push(enum erab_type type, size_t body, uint32_t party, uint8_t id[ERAB_ID_SIZE])
{
    struct erabi_parcel *p = parcel(type, body);
    int r = erabi_target_push(&target, p, party, 11, ERABI_PUSH_CHECKED);
    if (id)
        erabi_copy_bytes(id, p->header.id, ERAB_ID_SIZE);
    erabi_parcel_unref(p);
    return r;
}

static void fill_up(enum erab_type type)
{
    while (push(type, 50000, 1, NULL) == 0)
        ;
}

static void a_full_control_queue_leaves_room_for_commands_and_receipts(void **state)
{
    fill_up(ERAB_PLAN);
    assert_int_equal(push(ERAB_PLAN, 50000, 1, NULL), -EAGAIN);
    assert_int_equal(push(ERAB_DISPATCH, 50000, 1, NULL), 0);
    assert_int_equal(push(ERAB_RECEIPT, 100, 1, NULL), 0);
}

static void a_full_command_queue_leaves_room_for_the_others(void **state)
{
    fill_up(ERAB_DISPATCH);
    assert_int_equal(push(ERAB_PLAN, 50000, 1, NULL), 0);
    assert_int_equal(push(ERAB_TELEMETRY, 50000, 1, NULL), 0);
}

static void telemetry_sheds_its_oldest_and_says_so(void **state)
{
    for (int i = 0; i < 30; i++)
        assert_int_equal(push(ERAB_TELEMETRY, 50000, 1, NULL), 0);
    assert_true(left_n > 0);
    assert_int_equal(left_reason, ERAB_REASON_QUEUE_FULL);
    assert_int_equal(target.queues[ERABI_QUEUE_TELEMETRY].n + left_n, 30);
}

static void room_that_was_promised_is_kept(void **state)
{
    struct erabi_parcel *p = parcel(ERAB_DISPATCH, 50000);
    assert_int_equal(erabi_target_hold(&target, ERAB_DISPATCH, erabi_parcel_size(p)), 0);
    fill_up(ERAB_DISPATCH);
    assert_int_equal(erabi_target_hold(&target, ERAB_DISPATCH, erabi_parcel_size(p)), -EAGAIN);
    assert_int_equal(erabi_target_push(&target, p, 1, 0, ERABI_PUSH_HELD), 0);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].held_n, 0);
    erabi_parcel_unref(p);
}

static void room_given_back_is_there_again(void **state)
{
    size_t whole = ERABI_TARGET_COMMAND_BYTES;
    assert_int_equal(erabi_target_hold(&target, ERAB_DISPATCH, whole), 0);
    assert_int_equal(push(ERAB_DISPATCH, 10, 1, NULL), -EAGAIN);
    erabi_target_unhold(&target, ERAB_DISPATCH, whole);
    assert_int_equal(push(ERAB_DISPATCH, 10, 1, NULL), 0);
}

static void commands_go_before_control_messages(void **state)
{
    push(ERAB_PLAN, 10, 1, NULL);
    push(ERAB_DISPATCH, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW);
    assert_int_equal(connection.first, ERAB_DISPATCH);
    assert_int_equal(connection.envelopes, 2);
}

static void one_message_to_two_parties_needs_both_answers(void **state)
{
    struct erabi_parcel *p = parcel(ERAB_DISPATCH, 10);
    int64_t row = 0;
    erabi_target_push(&target, p, 1, 21, ERABI_PUSH_CHECKED);
    erabi_target_push(&target, p, 2, 22, ERABI_PUSH_CHECKED);
    assert_int_equal(erabi_target_ack(&target, p->header.id, 2, NULL, &row), 1);
    assert_int_equal(row, 22);
    assert_int_equal(erabi_target_ack(&target, p->header.id, 2, NULL, &row), 0);
    assert_int_equal(erabi_target_ack(&target, p->header.id, 1, NULL, &row), 1);
    assert_int_equal(row, 21);
    erabi_parcel_unref(p);
}

static void an_answer_about_other_bytes_is_none(void **state)
{
    uint8_t id[ERAB_ID_SIZE], other[ERAB_HASH_SIZE] = {8}, same[ERAB_HASH_SIZE] = {7};
    int64_t row = 0;
    push(ERAB_DISPATCH, 10, 1, id);
    assert_int_equal(erabi_target_ack(&target, id, 1, other, &row), 0);
    assert_int_equal(erabi_target_ack(&target, id, 1, same, &row), 1);
}

static void a_command_without_an_answer_is_written_again(void **state)
{
    push(ERAB_DISPATCH, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW);
    erabi_target_tick(&target, 1 + ERABI_TARGET_RETRY_MS, NOW);
    assert_int_equal(connection.envelopes, 1);
    erabi_target_tick(&target, 2 + ERABI_TARGET_RETRY_MS, NOW);
    assert_int_equal(connection.envelopes, 2);
}

static void each_repetition_waits_twice_as_long_up_to_a_limit(void **state)
{
    uint64_t at = 1;
    struct erabi_connection second = {0};
    push(ERAB_DISPATCH, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, at, NOW);
    for (unsigned n = 1; n < 8; n++) {
        uint64_t wait = (uint64_t)ERABI_TARGET_RETRY_MS << (n - 1);
        at += wait < ERABI_TARGET_RETRY_MAX_MS ? wait : ERABI_TARGET_RETRY_MAX_MS;
        erabi_target_tick(&target, at, NOW);
        assert_int_equal(connection.envelopes, n);
        erabi_target_tick(&target, ++at, NOW);
        assert_int_equal(connection.envelopes, n + 1);
    }
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &second);
    erabi_target_pump(&target, at, NOW);
    erabi_target_tick(&target, at + ERABI_TARGET_RETRY_MS + 1, NOW);
    assert_int_equal(second.envelopes, 2);
}

static void what_was_never_written_is_superseded_and_told(void **state)
{
    uint8_t id[ERAB_ID_SIZE];
    push(ERAB_DISPATCH, 10, 1, id);
    assert_int_equal(erabi_target_supersede(&target, id, 2), 0);
    assert_int_equal(erabi_target_supersede(&target, id, 1), 1);
    assert_int_equal(left_n, 1);
    assert_int_equal(left_reason, ERAB_REASON_SUPERSEDED);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n, 0);
    assert_int_equal(erabi_target_supersede(&target, id, 1), 0);
}

static void what_the_recipient_may_have_is_waited_for(void **state)
{
    struct erabi_connection second = {0};
    uint8_t id[ERAB_ID_SIZE];
    push(ERAB_DISPATCH, 10, 1, id);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW);
    assert_int_equal(erabi_target_supersede(&target, id, 1), 0);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &second);
    assert_int_equal(erabi_target_supersede(&target, id, 1), 0);
    struct erabi_parcel *restored = parcel(ERAB_DISPATCH, 10);
    assert_int_equal(erabi_target_push(&target, restored, 1, 12, ERABI_PUSH_RESTORED), 0);
    assert_int_equal(erabi_target_supersede(&target, restored->header.id, 1), 0);
    erabi_parcel_unref(restored);
    assert_int_equal(left_n, 0);
}

static void a_receipt_is_written_again_on_a_new_connection_for_a_while(void **state)
{
    struct erabi_connection second = {0}, third = {0};
    push(ERAB_RECEIPT, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &second);
    erabi_target_pump(&target, 2, NOW);
    assert_int_equal(connection.envelopes + second.envelopes, 2);
    erabi_target_tick(&target, 3 + ERABI_TARGET_RECEIPT_KEEP_MS, NOW);
    assert_int_equal(left_n, 1);
    assert_int_equal(left_reason, ERAB_REASON_NONE);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &third);
    erabi_target_pump(&target, 4 + ERABI_TARGET_RECEIPT_KEEP_MS, NOW);
    assert_int_equal(third.envelopes, 0);
}

static void what_has_expired_is_not_written_and_leaves(void **state)
{
    push(ERAB_DISPATCH, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW + 60000);
    erabi_target_tick(&target, 1, NOW + 60000);
    assert_int_equal(connection.envelopes, 0);
    assert_int_equal(left_n, 1);
    assert_int_equal(left_reason, ERAB_REASON_EXPIRED);
}

static void commands_in_flight_leave_control_a_window_of_its_own(void **state)
{
    for (unsigned i = 0; i < ERABI_TARGET_COMMAND_WINDOW + 50; i++)
        push(ERAB_DISPATCH, 10, 1, NULL);
    push(ERAB_PLAN, 10, 1, NULL);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, &connection);
    erabi_target_pump(&target, 1, NOW);
    assert_int_equal(connection.envelopes, ERABI_TARGET_COMMAND_WINDOW + 1);
}

static void what_is_dropped_is_told_with_its_reason(void **state)
{
    push(ERAB_DISPATCH, 10, 1, NULL);
    push(ERAB_PLAN, 10, 1, NULL);
    erabi_target_drop(&target, NULL, NULL, ERAB_REASON_REVOKED);
    assert_int_equal(left_n, 2);
    assert_int_equal(left_reason, ERAB_REASON_REVOKED);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].bytes, 0);
}

static bool to_party_2(void *user, const struct erabi_delivery *delivery)
{
    return delivery->party == 2;
}

static void only_what_was_chosen_is_dropped(void **state)
{
    push(ERAB_DISPATCH, 10, 1, NULL);
    push(ERAB_DISPATCH, 10, 2, NULL);
    push(ERAB_RECEIPT, 10, 2, NULL);
    erabi_target_drop(&target, to_party_2, NULL, ERAB_REASON_BREAKER_OPEN);
    assert_int_equal(left_n, 2);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n, 1);
    assert_int_equal(target.queues[ERABI_QUEUE_RECEIPT].n, 0);
}

static void each_is_written_once_when_the_connection_becomes_busy(void **state)
{
    connection.each = 1 << 20;
    erabi_target_bind(&target, ERAB_LANES_TELEMETRY, &connection);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(push(ERAB_TELEMETRY, 100, 1, NULL), 0);
    for (unsigned i = 0; i < 10; i++) {
        connection.queued = 0;
        erabi_target_pump(&target, NOW, NOW);
    }
    assert_int_equal(connection.envelopes, 600);
    assert_int_equal(target.queues[ERABI_QUEUE_TELEMETRY].n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_is_written_once_when_the_connection_becomes_busy),
        T(a_full_control_queue_leaves_room_for_commands_and_receipts),
        T(a_full_command_queue_leaves_room_for_the_others),
        T(telemetry_sheds_its_oldest_and_says_so),
        T(room_that_was_promised_is_kept),
        T(room_given_back_is_there_again),
        T(commands_go_before_control_messages),
        T(one_message_to_two_parties_needs_both_answers),
        T(an_answer_about_other_bytes_is_none),
        T(a_command_without_an_answer_is_written_again),
        T(each_repetition_waits_twice_as_long_up_to_a_limit),
        T(what_was_never_written_is_superseded_and_told),
        T(what_the_recipient_may_have_is_waited_for),
        T(a_receipt_is_written_again_on_a_new_connection_for_a_while),
        T(what_has_expired_is_not_written_and_leaves),
        T(commands_in_flight_leave_control_a_window_of_its_own),
        T(what_is_dropped_is_told_with_its_reason),
        T(only_what_was_chosen_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
