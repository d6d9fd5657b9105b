/* The loop thread: time read once a turn (when first asked for after the wait), one tick a second, and `post`, the one call for other threads. */
#ifndef ERABI_LOOP_H
#define ERABI_LOOP_H

#include <uv.h>

#include "loop/clock.h"

struct erabi_loop {
    uv_loop_t *uv;
    struct erabi_clock clock; /* of this turn */
    uint64_t mono_ms;         /* of this turn */
    uv_timer_t tick;
    uv_prepare_t turn;
    bool stale; /* the clocks were not read since the wait */
    uv_async_t mail;
    uv_mutex_t mail_lock;
    struct erabi_post *posts;
    unsigned n_posts;
    void (*on_tick)(void *user);
    void (*on_time)(void *user); /* the clocks were read */
    void *user;
};

/* Posts waiting at most; the next one is refused. */
#define ERABI_POSTS_MAX 4096

/* Returns 0 or a negative errno. */
int erabi_loop_init(struct erabi_loop *loop, uv_loop_t *uv, void (*on_tick)(void *user), void (*on_time)(void *user), void *user);
/* Reads the clocks unless this turn has done so. The first thing in every callback that starts work. */
void erabi_loop_read(struct erabi_loop *loop);
/* Closes its handles; run the loop on until it has no more. */
void erabi_loop_close(struct erabi_loop *loop);
/* After the loop has run out. Posts never run are dropped. */
void erabi_loop_deinit(struct erabi_loop *loop);
/* Runs fn(arg) on the loop thread. Any thread. 0, -ENOMEM, or -EAGAIN when ERABI_POSTS_MAX are waiting. */
int erabi_loop_post(struct erabi_loop *loop, void (*fn)(void *arg), void *arg);

static inline uint64_t erabi_now_ms(const struct erabi_loop *loop)
{
    return loop->clock.wall_ms;
}

#endif
