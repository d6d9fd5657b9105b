#include "admin/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"

#define REQUEST_MS 10000
#define LATER_MS   8000 /* less than a client waits */

const char ERABI_ADMIN_LATER[] = "later";

struct client {
    struct erabi_admin *admin;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    char *answer; /* being written; reading pauses meanwhile */
    struct erabi_admin_ticket *ticket; /* the answer is still to come; reading pauses, too */
    size_t used;
    unsigned handles; /* not yet closed */
    bool live;
    char line[ERABI_ADMIN_LINE_MAX];
};

struct erabi_admin_ticket {
    struct client *client; /* NULL: gone */
};

struct erabi_admin {
    uv_pipe_t pipe;
    const struct erabi_admin_verb *verbs;
    void *user;
    struct client *clients[ERABI_ADMIN_CLIENTS];
    struct client *asking; /* while its verb runs */
    unsigned handles;
    bool stopping;
    char path[108];
    void (*done)(void *user);
    void *done_user;
};

static void maybe_gone(struct erabi_admin *a)
{
    if (!a->stopping || a->handles)
        return;
    void (*done)(void *) = a->done;
    void *user = a->done_user;
    free(a);
    if (done)
        done(user);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;
    struct erabi_admin *a = c->admin;
    if (--c->handles)
        return;
    for (size_t i = 0; i < ERABI_ADMIN_CLIENTS; i++)
        if (a->clients[i] == c)
            a->clients[i] = NULL;
    free(c->answer);
    free(c);
    a->handles--;
    maybe_gone(a);
}

static void give_up(struct client *c)
{
    if (c->ticket)
        c->ticket->client = NULL;
    c->ticket = NULL;
}

static void drop(struct client *c)
{
    if (!c->live)
        return;
    c->live = false;
    give_up(c);
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
    uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static json_t *refusal(const char *error)
{
    return json_pack("{s:b, s:s}", "ok", 0, "error", error);
}

static void write_answer(struct client *c, json_t *answer);

static void on_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    if (!c->ticket) {
        drop(c);
        return;
    }
    give_up(c);
    write_answer(c, refusal("the disk has not taken it yet, and it may still do so; look at 'erab health', then repeat"));
}

/* NULL and *later: it comes by a ticket. */
static json_t *answer_to(struct client *c, const char *line, size_t size, bool *later)
{
    struct erabi_admin *a = c->admin;
    json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    const char *verb = json_string_value(json_object_get(request, "verb"));
    const struct erabi_admin_verb *v = a->verbs;
    while (verb && v->name && strcmp(v->name, verb) != 0)
        v++;
    json_t *answer = NULL;
    if (!verb) {
        answer = refusal("a request is one JSON object with a member \"verb\"");
    } else if (!v->name) {
        answer = refusal("this verb is not known");
    } else {
        const char *error = "it could not be done";
        a->asking = c;
        answer = v->run(a->user, request, &error);
        a->asking = NULL;
        *later = !answer && error == ERABI_ADMIN_LATER;
        if (answer)
            json_object_set_new(answer, "ok", json_true());
        else if (!*later)
            answer = refusal(error);
    }
    json_decref(request);
    return answer;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct client *c = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(c->line + c->used, (unsigned)(sizeof(c->line) - c->used));
}

static void serve(struct client *c);

static void on_written(uv_write_t *write, int status)
{
    struct client *c = write->data;
    free(c->answer);
    c->answer = NULL;
    if (!c->live)
        return;
    if (status < 0) {
        drop(c);
        return;
    }
    uv_timer_start(&c->timer, on_timer, REQUEST_MS, 0);
    serve(c);
}

/* Answers the first whole line, if there is one; else reads on. One request at a time. */
static void serve(struct client *c)
{
    char *end = memchr(c->line, '\n', c->used);
    if (!end) {
        int r = c->used == sizeof(c->line) ? UV_ENOBUFS : uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
        if (r < 0 && r != UV_EALREADY) /* a line may come in pieces */
            drop(c);
        return;
    }
    uv_read_stop((uv_stream_t *)&c->pipe);
    size_t size = (size_t)(end - c->line), rest = c->used - size - 1;
    bool later = false;
    json_t *answer = answer_to(c, c->line, size, &later);
    memmove(c->line, end + 1, rest);
    c->used = rest;
    if (later)
        uv_timer_start(&c->timer, on_timer, LATER_MS, 0);
    else
        write_answer(c, answer);
}

static void write_answer(struct client *c, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    if (!text) {
        drop(c);
        return;
    }
    c->answer = text;
    uv_buf_t buffers[] = {uv_buf_init(text, (unsigned)strlen(text)), uv_buf_init((char *)(uintptr_t)"\n", 1)};
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, buffers, 2, on_written) < 0)
        drop(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct client *c = stream->data;
    (void)buffer;
    if (n < 0) {
        drop(c);
        return;
    }
    c->used += (size_t)n;
    if (n)
        serve(c);
}

struct erabi_admin_ticket *erabi_admin_later(struct erabi_admin *a)
{
    struct client *c = a ? a->asking : NULL;
    if (c && !c->ticket && (c->ticket = calloc(1, sizeof(*c->ticket))))
        c->ticket->client = c;
    return c ? c->ticket : NULL;
}

void erabi_admin_answer(struct erabi_admin_ticket *ticket, json_t *answer, const char *error)
{
    struct client *c = ticket ? ticket->client : NULL;
    free(ticket);
    if (!c) {
        json_decref(answer);
        return;
    }
    c->ticket = NULL;
    if (answer)
        json_object_set_new(answer, "ok", json_true());
    uv_timer_start(&c->timer, on_timer, REQUEST_MS, 0);
    write_answer(c, answer ? answer : refusal(error));
}

static bool allowed(uv_pipe_t *pipe)
{
    uv_os_fd_t fd;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return uv_fileno((uv_handle_t *)pipe, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static struct client *new_client(struct erabi_admin *a)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->admin = a;
    c->live = true;
    c->handles = 2;
    a->handles++;
    uv_pipe_init(a->pipe.loop, &c->pipe, 0);
    uv_timer_init(a->pipe.loop, &c->timer);
    c->pipe.data = c->timer.data = c->write.data = c;
    return c;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct erabi_admin *a = server->data;
    if (status < 0)
        return;
    struct client *c = new_client(a);
    if (!c)
        return;
    size_t place = 0;
    while (place < ERABI_ADMIN_CLIENTS && a->clients[place])
        place++;
    /* Accepted even when it is one too many: only so it is closed at once and does not wait. */
    if (uv_accept(server, (uv_stream_t *)&c->pipe) < 0 || place == ERABI_ADMIN_CLIENTS || !allowed(&c->pipe)) {
        drop(c);
        return;
    }
    a->clients[place] = c;
    uv_timer_start(&c->timer, on_timer, REQUEST_MS, 0);
    serve(c);
}

/* Removes a socket that nobody listens on any more. */
static int clear_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (fd < 0 || !erabi_copy_text(address.sun_path, sizeof(address.sun_path), path))
        return -ENAMETOOLONG;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return -EADDRINUSE;
    return unlink(path) < 0 ? -errno : 0;
}

static void on_never_opened(uv_handle_t *handle)
{
    free(handle->data);
}

int erabi_admin_new(struct erabi_admin **out, uv_loop_t *loop, const char *path, const struct erabi_admin_verb *verbs,
                    void *user)
{
    *out = NULL;
    int r = clear_stale(path);
    if (r < 0)
        return r;
    struct erabi_admin *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->verbs = verbs;
    a->user = user;
    uv_pipe_init(loop, &a->pipe, 0);
    a->pipe.data = a;
    a->handles = 1;
    r = erabi_copy_text(a->path, sizeof(a->path), path) ? 0 : -ENAMETOOLONG;
    /* The mode is right before anybody can connect. Not by umask, which belongs to the whole process. */
    if (r == 0)
        r = uv_pipe_bind(&a->pipe, path);
    if (r == 0 && chmod(path, 0600) < 0)
        r = -errno;
    if (r == 0)
        r = uv_listen((uv_stream_t *)&a->pipe, ERABI_ADMIN_CLIENTS, on_connection);
    if (r < 0) {
        uv_close((uv_handle_t *)&a->pipe, on_never_opened);
        return r;
    }
    *out = a;
    return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct erabi_admin *a = handle->data;
    a->handles--;
    maybe_gone(a);
}

void erabi_admin_stop(struct erabi_admin *a, void (*done)(void *user), void *user)
{
    a->stopping = true;
    a->done = done;
    a->done_user = user;
    for (size_t i = 0; i < ERABI_ADMIN_CLIENTS; i++)
        if (a->clients[i])
            drop(a->clients[i]);
    uv_close((uv_handle_t *)&a->pipe, on_listener_closed); /* unlinks the socket */
}
