#include "loop/loop.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct erabi_post {
    struct erabi_post *next;
    void (*fn)(void *arg);
    void *arg;
};

static void read_clocks(struct erabi_loop *loop)
{
    erabi_clock_step(&loop->clock, erabi_clock_ms(CLOCK_REALTIME), erabi_clock_ms(CLOCK_BOOTTIME));
    loop->mono_ms = erabi_clock_ms(CLOCK_MONOTONIC);
}

void erabi_loop_read(struct erabi_loop *loop)
{
    if (!loop->stale)
        return;
    loop->stale = false;
    read_clocks(loop);
    loop->on_time(loop->user);
}

/* Runs before the loop waits. */
static void on_turn(uv_prepare_t *handle)
{
    ((struct erabi_loop *)handle->data)->stale = true;
}

static void on_tick(uv_timer_t *handle)
{
    struct erabi_loop *loop = handle->data;
    loop->stale = true;
    erabi_loop_read(loop);
    loop->on_tick(loop->user);
}

static void on_mail(uv_async_t *handle)
{
    struct erabi_loop *loop = handle->data;
    erabi_loop_read(loop);
    uv_mutex_lock(&loop->mail_lock);
    struct erabi_post *list = erabi_take(loop->posts);
    loop->n_posts = 0;
    uv_mutex_unlock(&loop->mail_lock);

    struct erabi_post *first = NULL;
    while (list) { /* the list is newest first */
        struct erabi_post *next = list->next;
        list->next = first;
        first = list;
        list = next;
    }
    while (first) {
        struct erabi_post *next = first->next;
        first->fn(first->arg);
        free(first);
        first = next;
    }
}

int erabi_loop_init(struct erabi_loop *loop, uv_loop_t *uv, void (*tick)(void *user), void (*time)(void *user),
                    void *user)
{
    *loop = (struct erabi_loop){.uv = uv, .on_tick = tick, .on_time = time, .user = user};
    erabi_clock_init(&loop->clock, erabi_clock_ms(CLOCK_REALTIME), erabi_clock_ms(CLOCK_BOOTTIME));
    loop->mono_ms = erabi_clock_ms(CLOCK_MONOTONIC);
    int r = uv_mutex_init(&loop->mail_lock);
    if (r < 0)
        return r;
    r = uv_async_init(uv, &loop->mail, on_mail);
    if (r < 0) {
        uv_mutex_destroy(&loop->mail_lock);
        return r;
    }
    uv_timer_init(uv, &loop->tick);
    uv_prepare_init(uv, &loop->turn);
    loop->mail.data = loop->tick.data = loop->turn.data = loop;
    uv_prepare_start(&loop->turn, on_turn);
    uv_unref((uv_handle_t *)&loop->turn);
    return uv_timer_start(&loop->tick, on_tick, 1000, 1000);
}

void erabi_loop_close(struct erabi_loop *loop)
{
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->turn, NULL);
    uv_close((uv_handle_t *)&loop->mail, NULL);
}

void erabi_loop_deinit(struct erabi_loop *loop)
{
    while (loop->posts) {
        struct erabi_post *next = loop->posts->next;
        free(loop->posts);
        loop->posts = next;
    }
    uv_mutex_destroy(&loop->mail_lock);
}

int erabi_loop_post(struct erabi_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct erabi_post *post = malloc(sizeof(*post));
    if (!post)
        return -ENOMEM;
    *post = (struct erabi_post){.fn = fn, .arg = arg};
    uv_mutex_lock(&loop->mail_lock);
    bool full = loop->n_posts >= ERABI_POSTS_MAX;
    if (!full) {
        post->next = loop->posts;
        loop->posts = erabi_take(post);
        loop->n_posts++;
    }
    uv_mutex_unlock(&loop->mail_lock);
    free(post);
    if (full)
        return -EAGAIN;
    uv_async_send(&loop->mail);
    return 0;
}
