/* The public face of the broker (<erab/broker.h>): three ways to run one. */
#include <erab/broker.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "host/options.h"

enum way { NOT_RUN, OWN_THREAD, HOSTS_LOOP, STEPS, OVER };

struct erab_broker {
    struct erab_broker_options options;
    char *config, *runner;
    enum way way;
    struct erabi_broker inner;
    bool inner_up; /* inner must be deinited */
    uv_loop_t loop; /* of ways 1 and 3 */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t started;
    bool has_result;
    int result; /* of the start in the thread */
    void (*done)(void *user);
    void *done_user;
};

static bool options_good(const struct erab_broker_options *options)
{
    return options && options->size >= sizeof(*options) && options->config && options->config[0];
}

int erab_broker_check(const struct erab_broker_options *options)
{
    if (!options_good(options))
        return -EINVAL;
    struct erabi_config_errors *errors = calloc(1, sizeof(*errors));
    if (!errors)
        return -ENOMEM;
    struct erabi_config *config = NULL;
    struct erabi_profile *profile = NULL;
    int r = erabi_config_load(&config, options->config, errors);
    if (r == 0)
        r = erabi_profile_load(&profile, config->profile, errors);
    if (config && errors->n == 0) {
        r = erabi_broker_check_policies(config, options->config, errors);
        int modules = erabi_host_options_check(config, options->config, options->runner, errors);
        r = r < 0 ? r : modules;
    }
    erabi_broker_tell_errors(options->log, options->user, errors);
    erabi_profile_free(profile);
    erabi_config_free(config);
    free(errors);
    return r;
}

int erab_broker_new(struct erab_broker **out, const struct erab_broker_options *options)
{
    *out = NULL;
    if (!options_good(options))
        return -EINVAL;
    struct erab_broker *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->options = *options;
    b->options.size = sizeof(b->options);
    b->options.config = b->config = strdup(options->config);
    b->options.runner = b->runner = options->runner ? strdup(options->runner) : NULL;
    if (!b->config || (options->runner && !b->runner)) {
        free(b->config);
        free(b->runner);
        free(b);
        return -ENOMEM;
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->started, NULL);
    *out = b;
    return 0;
}

void erab_broker_free(struct erab_broker *b)
{
    if (!b)
        return;
    assert(b->way == NOT_RUN || b->way == OVER);
    pthread_cond_destroy(&b->started);
    pthread_mutex_destroy(&b->lock);
    free(b->config);
    free(b->runner);
    free(b);
}

static int begin(struct erab_broker *b, uv_loop_t *loop)
{
    b->inner_up = true;
    return erabi_broker_start(&b->inner, loop, &b->options);
}

static void on_closed(void *user)
{
    struct erab_broker *b = user;
    erabi_broker_deinit(&b->inner);
    b->inner_up = false;
    b->way = b->way == HOSTS_LOOP ? OVER : b->way;
    if (b->done)
        b->done(b->done_user);
}

/* ---- 1. a thread of its own ---- */

static void tell_result(struct erab_broker *b, int result)
{
    pthread_mutex_lock(&b->lock);
    b->result = result;
    b->has_result = true;
    pthread_cond_signal(&b->started);
    pthread_mutex_unlock(&b->lock);
}

static void *run_thread(void *arg)
{
    struct erab_broker *b = arg;
    int r = begin(b, &b->loop);
    if (r < 0)
        erabi_broker_stop(&b->inner, on_closed, b);
    else
        tell_result(b, 0);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    if (r < 0)
        tell_result(b, r);
    return NULL;
}

/* The host's signals are the host's: this thread takes none, and a write to a peer that is gone is an error code. */
static int create_thread(struct erab_broker *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&b->thread, NULL, run_thread, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

static void join(struct erab_broker *b)
{
    pthread_join(b->thread, NULL);
    uv_loop_close(&b->loop);
    b->way = OVER;
}

int erab_broker_start(struct erab_broker *b)
{
    if (b->way != NOT_RUN)
        return -EALREADY;
    int r = uv_loop_init(&b->loop);
    if (r < 0)
        return r;
    r = create_thread(b);
    if (r < 0) {
        uv_loop_close(&b->loop);
        return r;
    }
    b->way = OWN_THREAD;
    pthread_mutex_lock(&b->lock);
    while (!b->has_result)
        pthread_cond_wait(&b->started, &b->lock);
    r = b->result;
    pthread_mutex_unlock(&b->lock);
    if (r < 0)
        join(b);
    return r;
}

static void stop_posted(void *arg)
{
    struct erab_broker *b = arg;
    erabi_broker_stop(&b->inner, on_closed, b);
}

void erab_broker_stop(struct erab_broker *b)
{
    if (b->way != OWN_THREAD)
        return;
    while (erabi_loop_post(&b->inner.loop, stop_posted, b) < 0) /* full or no memory: the thread is at work on it */
        sched_yield();
    join(b);
}

/* ---- 2. the host's loop ---- */

int erab_broker_attach(struct erab_broker *b, struct uv_loop_s *loop)
{
    if (b->way != NOT_RUN)
        return -EALREADY;
    b->way = HOSTS_LOOP;
    int r = begin(b, loop);
    if (r < 0)
        erabi_broker_stop(&b->inner, on_closed, b);
    return r;
}

void erab_broker_detach(struct erab_broker *b, void (*done)(void *user), void *user)
{
    if (b->way != HOSTS_LOOP) {
        if (b->way == OVER && done)
            done(user);
        return;
    }
    b->done = done;
    b->done_user = user;
    erabi_broker_stop(&b->inner, on_closed, b); /* nothing when it is stopping already */
}

/* ---- 3. step by step ---- */

static void end_steps(struct erab_broker *b)
{
    uv_loop_close(&b->loop);
    b->way = OVER;
}

int erab_broker_open(struct erab_broker *b)
{
    if (b->way != NOT_RUN)
        return -EALREADY;
    int r = uv_loop_init(&b->loop);
    if (r < 0)
        return r;
    b->way = STEPS;
    r = begin(b, &b->loop);
    if (r < 0) {
        erabi_broker_stop(&b->inner, on_closed, b);
        uv_run(&b->loop, UV_RUN_DEFAULT);
        end_steps(b);
    }
    return r;
}

int erab_broker_fd(const struct erab_broker *b)
{
    return b->way == STEPS ? uv_backend_fd(&b->loop) : -1;
}

int erab_broker_timeout_ms(const struct erab_broker *b)
{
    return b->way == STEPS ? uv_backend_timeout(&b->loop) : 0;
}

int erab_broker_step(struct erab_broker *b)
{
    if (b->way != STEPS)
        return 0;
    uv_run(&b->loop, UV_RUN_NOWAIT);
    if (b->inner_up || uv_loop_alive(&b->loop))
        return 1;
    end_steps(b);
    return 0;
}

void erab_broker_close(struct erab_broker *b)
{
    if (b->way == STEPS && !b->inner.stopping)
        erabi_broker_stop(&b->inner, on_closed, b);
}

/* ---- all ways ---- */

static void reload_posted(void *arg)
{
    erabi_broker_reload(&((struct erab_broker *)arg)->inner);
}

int erab_broker_reload(struct erab_broker *b)
{
    return b->inner_up ? erabi_loop_post(&b->inner.loop, reload_posted, b) : -EAGAIN;
}

bool erab_broker_ready(const struct erab_broker *b)
{
    return b->inner_up && b->inner.network_up && erabi_pipeline_ready(&b->inner.pipeline);
}

const char *erab_broker_owner(const struct erab_broker *b)
{
    return b->inner.owner.party;
}

const char *erab_broker_endpoint(const struct erab_broker *b, enum erab_interface interface, size_t index)
{
    for (size_t i = 0; b->inner_up && i < b->inner.n_gates; i++)
        if (b->inner.gates[i].interface == interface && b->inner.gates[i].listener && index-- == 0)
            return erabi_listener_endpoint(b->inner.gates[i].listener);
    return NULL;
}
