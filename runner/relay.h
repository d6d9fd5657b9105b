/* The real sockets of an instance: streams and datagrams that are carried over socket pairs, so that the
 * instance's process holds none of its own. One set an instance, on one libuv loop. What goes to an undeclared
 * place is dropped and told to `incident`. */
#ifndef ERABI_RUNNER_RELAY_H
#define ERABI_RUNNER_RELAY_H

#include <uv.h>

#include <erab/host.h>

#define RELAY_STREAMS_MAX   8u
#define RELAY_DATAGRAMS_MAX 4u

struct relay;

struct relay_endpoint {
    char host[256];
    char port[6];
};

/* Reads https://HOST[:PORT]/..., tcp://HOST:PORT or HOST:PORT; [..] around an IPv6 address. 0 or -EINVAL. */
int relay_endpoint_parse(const char *text, struct relay_endpoint *out);

/* `incident` gets one line about what was refused, `log` one about what went wrong. */
int relay_new(struct relay **out, uv_loop_t *loop, void (*incident)(void *user, const char *text),
              void (*log)(void *user, const char *text), void *user);
/* Closes every socket; the memory goes as the loop runs on. NULL is fine. */
void relay_free(struct relay *relay);

/* The other end's descriptor (non-blocking, close-on-exec), the caller's, or a negative errno as in
 * <erab/host.h>. Neither waits. `endpoint` and `interface` are the values from the configuration. */
int relay_stream(struct relay *relay, const char *endpoint);
int relay_datagram(struct relay *relay, const char *interface, uint16_t port, const char *group,
                   struct erab_datagram_info *info);

/* relay_stream.c and relay_datagram.c to relay.c */
void relay_say(struct relay *relay, bool incident, const char *format, ...)
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
void relay_part_add(struct relay *relay, struct relay_list *list, struct relay_part *part);

#endif
