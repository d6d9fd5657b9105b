/* When the descriptors of a cut were closed: what the broker does after that is not part of its time. */
#include <dlfcn.h>
#include <time.h>

#include <uv.h>

#include "cuts_under_churn.h"

static _Thread_local struct cut_time *running;

static uint64_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* In the place of libuv's own, which closes a connection's descriptor before it returns. */
void uv_close(uv_handle_t *handle, uv_close_cb done)
{
    static void (*real)(uv_handle_t *, uv_close_cb);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_close");
    real(handle, done);
    if (!running || (handle->type != UV_TCP && handle->type != UV_NAMED_PIPE))
        return;
    running->closed++;
    running->at_ns = uv_hrtime();
    running->cpu_ns = cpu_now();
}

void cut_clock_start(struct cut_time *t)
{
    *t = (struct cut_time){.began_ns = uv_hrtime(), .began_cpu_ns = cpu_now()};
    running = t;
}

void cut_clock_stop(void)
{
    running = NULL;
}
