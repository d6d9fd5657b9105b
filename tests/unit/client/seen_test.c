/* What a client remembers in its file over restarts. No broker: packets are put where the socket would. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_internal.h"

static char folder[64], file[96];
static struct erab_identity me, tso;
static struct erab_client *client;
static uint64_t now_ms;
static unsigned messages;
static int answer_with;

static uint64_t test_now(void *user)
{
    (void)user;
    return now_ms;
}

static int on_message(void *user, struct erab_client *c, const struct erab_message *message)
{
    (void)user;
    (void)c;
    (void)message;
    messages++;
    return answer_with;
}

static int begin_as(const char *hub)
{
    struct erab_trusted trusted = {.party = "tso"};
    const struct erab_client_callbacks callbacks = {.size = sizeof callbacks, .on_message = on_message};
    struct erab_client_options o = {.size = sizeof o,
                                    .endpoint = "ipc:///nowhere/at.all",
                                    .identity = &me,
                                    .sign = true,
                                    .trusted = &trusted,
                                    .n_trusted = 1,
                                    .callbacks = &callbacks,
                                    .now_ms = test_now,
                                    .seen_file = file};
    memcpy(trusted.sign_key, tso.sign_public, ERAB_KEY_SIZE);
    strcpy(o.hub, hub);
    return erab_client_new(&client, &o);
}

static void end(void)
{
    erab_client_free(client);
    client = NULL;
}

static void again(void)
{
    end();
    assert_int_equal(begin_as("hub"), 0);
}

static int fresh(void **state)
{
    (void)state;
    now_ms = 1700000000000;
    messages = 0;
    answer_with = 0;
    strcpy(folder, "/tmp/erab-seen-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/seen", folder);
    erab_identity_generate(&me, "alder");
    erab_identity_generate(&tso, "tso");
    return begin_as("hub");
}

static int gone(void **state)
{
    (void)state;
    end();
    unlink(file);
    strcat(file, ".new");
    unlink(file);
    return rmdir(folder);
}

static struct erab_header order(void)
{
    struct erab_header h = {.type = ERAB_DISPATCH_CANCEL, .category = ERAB_OPERATION, .seq = 1, .version = 1};
    h.issued_at_ms = now_ms;
    h.expires_at_ms = now_ms + 30000;
    erab_id_new(h.id, now_ms);
    strcpy(h.from, "tso");
    strcpy(h.to, "alder");
    return h;
}

static void add(struct erabi_writer *w, const struct erab_header *h)
{
    uint8_t header[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE], body[] = "any";
    struct erabi_envelope e = {.header = erabi_slice(header, erabi_header_encode(h, header)),
                               .body = erabi_slice(body, sizeof body)};
    erabi_envelope_sign(e.header, e.body, tso.sign_secret, signature);
    e.signature = erabi_slice(signature, sizeof signature);
    assert_int_equal(erabi_packet_add(w, &e), 0);
}

/* Both come in one packet; `second` may be NULL. */
static void comes(const struct erab_header *first, const struct erab_header *second)
{
    uint8_t packet[ERAB_PACKET_MAX];
    struct erabi_writer w = erabi_writer(packet, sizeof packet);
    erabi_packet_begin(&w, ERAB_LANES_COMMAND);
    add(&w, first);
    if (second)
        add(&w, second);
    erabi_client_packet(&client->links[0], erabi_slice(packet, w.used));
}

/* The last answer that waits to be sent. */
static void answered(int state, const char *code)
{
    const struct item *i = TAILQ_LAST(&client->links[0].receipts_waiting, item_list);
    ProtobufCMessage *body;
    enum erab_reason reason;
    assert_non_null(i);
    struct erab_bytes bytes = {i->data + i->header_size, i->body_size};
    assert_int_equal(erab_body_unpack(ERAB_RECEIPT, bytes, &body, &reason), 0);
    assert_int_equal(((Erab__V1__Receipt *)body)->state, state);
    assert_string_equal(((Erab__V1__Receipt *)body)->reason, code);
    erab_body_free(body);
}

static void what_was_taken_is_answered_after_a_restart_and_not_handed_over(void **state)
{
    (void)state;
    struct erab_header h = order();
    comes(&h, NULL);
    again();
    assert_true(TAILQ_EMPTY(&client->links[0].receipts_waiting));
    comes(&h, NULL);
    assert_int_equal(messages, 1);
    answered(ERAB_DELIVERED, "none");
}

static void the_newest_answer_is_the_one_that_is_kept(void **state)
{
    (void)state;
    struct erab_header h = order();
    answer_with = ERAB_REASON_DECLINED;
    comes(&h, NULL);
    again();
    comes(&h, NULL);
    assert_int_equal(messages, 1);
    answered(ERAB_REFUSED, "declined");
}

static void disk(bool writable)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = writable ? limit.rlim_max : 0;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static int die(void *user, struct erab_client *c, const struct erab_message *message)
{
    (void)user;
    (void)c;
    (void)message;
    messages++;
    disk(false); /* nothing more reaches the file, as after a kill */
    return 0;
}

static void what_was_interrupted_is_told_so_every_time_and_never_done_again(void **state)
{
    (void)state;
    struct erab_header h = order();
    client->callbacks.on_message = die;
    comes(&h, NULL);
    end();
    disk(true);
    assert_int_equal(begin_as("hub"), 0);
    for (unsigned i = 0; i < 2; i++) {
        comes(&h, NULL);
        answered(ERAB_REFUSED, "internal");
        again();
    }
    assert_int_equal(messages, 1);
}

static void what_cannot_be_kept_is_refused_and_may_come_again(void **state)
{
    (void)state;
    struct erab_header h = order();
    disk(false);
    comes(&h, NULL);
    assert_int_equal(messages, 0);
    answered(ERAB_REFUSED, "storage");
    disk(true);
    comes(&h, NULL);
    assert_int_equal(messages, 1);
    answered(ERAB_DELIVERED, "none");
}

static void what_was_refused_for_now_is_handed_over_when_it_comes_again(void **state)
{
    (void)state;
    struct erab_header h = order();
    answer_with = ERAB_REASON_BUSY;
    comes(&h, NULL);
    answered(ERAB_REFUSED, "busy");
    answer_with = 0;
    comes(&h, NULL);
    answered(ERAB_DELIVERED, "none");
    comes(&h, NULL);
    assert_int_equal(messages, 2);
}

static uint64_t slow_disk(void *user)
{
    static unsigned reads;
    return test_now(user) + (reads++ ? 30000 : 0);
}

static void what_ends_while_it_is_kept_is_not_handed_over(void **state)
{
    (void)state;
    struct erab_header h = order();
    client->options.now_ms = slow_disk;
    comes(&h, NULL);
    assert_int_equal(messages, 0);
    answered(ERAB_EXPIRED, "expired");
}

static void twice_in_one_packet_is_once(void **state)
{
    (void)state;
    struct erab_header h = order();
    comes(&h, &h);
    assert_int_equal(messages, 1);
    answered(ERAB_DELIVERED, "none");
}

static void other_bytes_under_a_kept_id_are_not_taken(void **state)
{
    (void)state;
    struct erab_header h = order();
    comes(&h, NULL);
    again();
    h.seq++;
    comes(&h, NULL);
    assert_int_equal(messages, 1);
    assert_true(TAILQ_EMPTY(&client->links[0].receipts_waiting));
}

static void a_clock_set_back_does_not_make_it_new(void **state)
{
    (void)state;
    struct erab_header h = order();
    comes(&h, NULL);
    now_ms += 60000;
    again();
    now_ms -= 60000;
    again();
    comes(&h, NULL);
    assert_int_equal(messages, 1);
}

static void two_processes_never_share_the_file(void **state)
{
    (void)state;
    struct erab_client *first = client;
    assert_int_equal(begin_as("hub"), -EBUSY);
    client = first;
}

static void a_file_of_another_hub_is_not_taken(void **state)
{
    (void)state;
    end();
    assert_int_equal(begin_as("nub"), -EPROTO);
}

static void a_torn_end_is_dropped(void **state)
{
    (void)state;
    struct erab_header first = order(), second = order();
    comes(&first, NULL);
    comes(&second, NULL);
    end();
    struct stat st;
    stat(file, &st);
    assert_int_equal(truncate(file, st.st_size - 40), 0);
    assert_int_equal(begin_as("hub"), 0);
    comes(&first, NULL);
    answered(ERAB_DELIVERED, "none");
    comes(&second, NULL);
    answered(ERAB_REFUSED, "internal");
    assert_int_equal(messages, 2);
}

static void a_flipped_bit_before_something_whole_is_told(void **state)
{
    (void)state;
    struct erab_header first = order(), second = order();
    uint8_t byte;
    comes(&first, NULL);
    comes(&second, NULL);
    end();
    int fd = open(file, O_RDWR);
    for (off_t at = 1; at < 4 * 96; at += 37) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(begin_as("hub"), -EBADMSG);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static void many_orders_do_not_make_it_grow_for_ever(void **state)
{
    (void)state;
    struct stat st;
    struct erab_header last = order();
    for (unsigned i = 0; i < 40000; i++) {
        now_ms += 100;
        last = order();
        struct dedup_entry *e = erabi_dedup_add(&client->dedup[0], &last, last.parent_hash, now_ms);
        assert_non_null(e);
        for (unsigned k = 0; k < 2; k++, e->state = ERAB_DELIVERED)
            assert_int_equal(erabi_seen_keep(client, e), 0);
    }
    stat(file, &st);
    assert_true(st.st_size <= 96 * 4 * CLIENT_DEDUP_MAX);
    again();
    assert_non_null(erabi_dedup_find(&client->dedup[0], last.id, now_ms));
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_taken_is_answered_after_a_restart_and_not_handed_over),
        T(the_newest_answer_is_the_one_that_is_kept),
        T(what_was_interrupted_is_told_so_every_time_and_never_done_again),
        T(what_cannot_be_kept_is_refused_and_may_come_again),
        T(what_was_refused_for_now_is_handed_over_when_it_comes_again),
        T(what_ends_while_it_is_kept_is_not_handed_over),
        T(twice_in_one_packet_is_once),
        T(other_bytes_under_a_kept_id_are_not_taken),
        T(a_clock_set_back_does_not_make_it_new),
        T(two_processes_never_share_the_file),
        T(a_file_of_another_hub_is_not_taken),
        T(a_torn_end_is_dropped),
        T(a_flipped_bit_before_something_whole_is_told),
        T(many_orders_do_not_make_it_grow_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
