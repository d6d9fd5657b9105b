#include "journal/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct erabi_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool woken, ending; /* under lock */
    bool (*work)(void *user);
    void (*ended)(void *user);
    void *user;
};

static void *thread_main(void *arg)
{
    struct erabi_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (w->woken || !w->ending) {
        while (!w->woken && !w->ending)
            pthread_cond_wait(&w->more, &w->lock);
        w->woken = false;
        pthread_mutex_unlock(&w->lock);
        while (w->work(w->user))
            ;
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    w->ended(w->user);
    return NULL;
}

static void destroy(struct erabi_worker *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    free(w);
}

int erabi_worker_new(struct erabi_worker **out, bool (*work)(void *user), void (*ended)(void *user), void *user)
{
    struct erabi_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->work = work;
    w->ended = ended;
    w->user = user;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    int r = pthread_create(&w->thread, NULL, thread_main, w);
    if (r) {
        destroy(w);
        return -r;
    }
    *out = w;
    return 0;
}

static void set(struct erabi_worker *w, bool *flag)
{
    pthread_mutex_lock(&w->lock);
    *flag = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

void erabi_worker_wake(struct erabi_worker *w)
{
    set(w, &w->woken);
}

void erabi_worker_end(struct erabi_worker *w)
{
    set(w, &w->ending);
}

void erabi_worker_free(struct erabi_worker *w)
{
    if (!w)
        return;
    pthread_join(w->thread, NULL);
    destroy(w);
}
