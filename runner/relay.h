/* The real sockets of an instance: streams and datagrams that are carried over socket pairs, so that the
 * instance's process holds none of its own. One set an instance, on one libuv loop. What goes to an undeclared
 * place is dropped and told to `incident`. */
#ifndef ERABI_RUNNER_RELAY_H
#define ERABI_RUNNER_RELAY_H

#include <uv.h>

#include <erab/host.h>

#define RELAY_STREAMS_MAX   8u
#define RELAY_DATAGRAMS_MAX 4u
#define RELAY_LISTENERS_MAX 2u

struct sockaddr_storage;

struct relay;

struct relay_endpoint {
    char host[256];
    char port[6];
};

/* Reads https://HOST[:PORT]/..., tcp://HOST:PORT or HOST:PORT; [..] around an IPv6 address. 0 or -EINVAL. */
int relay_endpoint_parse(const char *text, struct relay_endpoint *out);

enum relay_word {
    RELAY_LOG,        /* what went wrong */
    RELAY_UNDECLARED, /* what the module tried and may not */
    RELAY_LIMIT,      /* a limit of what others may do to it */
};

/* Of connections that are accepted. */
struct relay_limits {
    unsigned accepted;        /* at once */
    unsigned accepted_source; /* of these from one IPv4 address or one IPv6 network of 64 bits */
    uint32_t idle_ms;         /* without a byte either way */
};
#define RELAY_LIMITS (struct relay_limits){.accepted = 128, .accepted_source = 16, .idle_ms = 120000}

/* `say` gets one line each. */
int relay_new(struct relay **out, uv_loop_t *loop, const struct relay_limits *limits,
              void (*say)(void *user, enum relay_word word, const char *text), void *user);
/* Closes every socket; the memory goes as the loop runs on. NULL is fine. */
void relay_free(struct relay *relay);

/* The other end's descriptor (non-blocking, close-on-exec), the caller's, or a negative errno as in
 * <erab/host.h>. Neither waits. `endpoint` and `interface` are the values from the configuration; the interface's name in
 * `options` is not looked at. */
int relay_stream(struct relay *relay, const char *endpoint);
int relay_datagram(struct relay *relay, const char *interface, const struct erab_datagram_options *options,
                   struct erab_datagram_info *info);

/* listen://ADDRESS:PORT, the address in numbers. 0 or -EINVAL. */
int relay_listen_parse(const char *text, struct sockaddr_storage *out);
/* The module's end of a listener: each accepted connection comes as one packet with struct erab_accepted and the
 * descriptor of a local stream. */
int relay_listen(struct relay *relay, const char *endpoint);
/* On the module's end; as accept_stream of <erab/host.h>. */
int relay_accept(int listener, struct erab_accepted *from);

/* relay_*.c among themselves */
void relay_say(struct relay *relay, enum relay_word word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uv_loop_t *relay_loop(struct relay *relay);

struct relay_part; /* one stream or one datagram socket */
struct relay_list {
    struct relay_part *first;
    size_t n;
};
struct relay_part {
    struct relay *relay;
    struct relay_list *list;
    struct relay_part *next;
    unsigned handles; /* libuv handles and requests that are not closed yet */
    bool closing;
    void (*close)(struct relay_part *part); /* begins to close everything it has */
};
/* A handle or request of a closing part is gone; the last one frees it. */
void relay_part_left(struct relay_part *part);
struct relay_list *relay_streams(struct relay *relay);
struct relay_list *relay_datagrams(struct relay *relay);
struct relay_list *relay_listeners(struct relay *relay);
struct relay_list *relay_accepted(struct relay *relay);
const struct relay_limits *relay_limits(const struct relay *relay);
/* Carries an accepted connection; `fd` is taken over when the other end's descriptor is returned. */
int relay_stream_take(struct relay *relay, int fd, const struct sockaddr_storage *source, struct relay_part **part);
/* How many of the accepted ones are from there. */
unsigned relay_stream_from(struct relay *relay, const struct sockaddr_storage *source);
void relay_part_add(struct relay *relay, struct relay_list *list, struct relay_part *part);

#endif
