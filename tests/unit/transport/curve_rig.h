/* Both halves of the state machine, opened towards one another. */
#ifndef TESTS_CURVE_RIG_H
#define TESTS_CURVE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "../support/curve_ends.h"

struct fixture {
    struct keys keys;
    struct end server, client;
    struct rogue rogue;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    keys_init(&f->keys);
    end_init_server(&f->server, &f->keys);
    end_init_client(&f->client, &f->keys);
    rogue_init(&f->rogue, &f->keys);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    end_deinit(&f->server);
    end_deinit(&f->client);
    free(f);
    return 0;
}

static inline void again(struct fixture *f)
{
    end_deinit(&f->server);
    end_deinit(&f->client);
    end_init_server(&f->server, &f->keys);
    end_init_client(&f->client, &f->keys);
    rogue_init(&f->rogue, &f->keys);
}

static inline void assert_refused(const struct end *e, enum erab_reason reason, const char *detail)
{
    assert_true(e->failed);
    assert_string_equal(e->fault.detail, detail);
    assert_int_equal(e->fault.reason, reason);
    assert_int_equal(e->packets, 0);
}

static inline void hello(struct fixture *f)
{
    rogue_greet(&f->server);
    rogue_hello(&f->rogue, &f->server);
}

static inline void initiate(struct fixture *f)
{
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    rogue_initiate(&f->rogue, &f->server);
}

#endif
