#include "relay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

struct relay {
    uv_loop_t *loop;
    struct relay_limits limits;
    void (*say)(void *user, enum relay_word word, const char *text);
    void *user;
    struct relay_list streams, datagrams, listeners, accepted;
    bool closing;
};

int relay_endpoint_parse(const char *text, struct relay_endpoint *out)
{
    const char *port = "";
    if (strncmp(text, "https://", 8) == 0) {
        text += 8;
        port = "443";
    } else if (strncmp(text, "tcp://", 6) == 0) {
        text += 6;
    }
    size_t all = strcspn(text, "/?#");
    const char *end = text + all, *colon = NULL, *host = text;
    size_t size;
    if (memchr(text, '@', all)) /* a name and password would only hide where it goes */
        return -EINVAL;
    if (*text == '[') {
        const char *close = memchr(text, ']', all);
        if (!close || (close + 1 < end && close[1] != ':'))
            return -EINVAL;
        host = text + 1;
        size = (size_t)(close - host);
        colon = close + 1 < end ? close + 1 : NULL;
    } else {
        colon = memchr(text, ':', all);
        size = (size_t)((colon ? colon : end) - text);
        if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
            return -EINVAL;
    }
    size_t digits = colon ? (size_t)(end - colon - 1) : 0;
    if (!size || size >= sizeof out->host || digits >= sizeof out->port || (!digits && !*port))
        return -EINVAL;
    erabi_copy_bytes(out->host, host, size);
    out->host[size] = '\0';
    erabi_copy_text(out->port, sizeof out->port, port);
    if (digits) {
        erabi_copy_bytes(out->port, colon + 1, digits);
        out->port[digits] = '\0';
    }
    unsigned long number = strspn(out->port, "0123456789") == strlen(out->port) ? strtoul(out->port, NULL, 10) : 0;
    return number > 0 && number < 65536 && strspn(out->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                             "0123456789.:-_%") == size ? 0 : -EINVAL;
}

int relay_new(struct relay **out, uv_loop_t *loop, const struct relay_limits *limits,
              void (*say)(void *user, enum relay_word word, const char *text), void *user)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return -ENOMEM;
    **out = (struct relay){.loop = loop, .limits = *limits, .say = say, .user = user};
    return 0;
}

static void free_when_empty(struct relay *relay)
{
    if (relay->closing && !relay->streams.n && !relay->datagrams.n && !relay->listeners.n && !relay->accepted.n)
        free(relay);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    struct relay_list *lists[] = {&relay->listeners, &relay->accepted, &relay->streams, &relay->datagrams};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (struct relay_part *p = lists[i]->first; p; p = p->next)
            p->close(p);
    relay->closing = true;
    free_when_empty(relay);
}

void relay_part_add(struct relay *relay, struct relay_list *list, struct relay_part *part)
{
    part->relay = relay;
    part->list = list;
    part->next = list->first;
    list->first = part;
    list->n++;
}

void relay_part_left(struct relay_part *part)
{
    if (--part->handles > 0)
        return;
    struct relay *relay = part->relay;
    struct relay_part **at = &part->list->first;
    while (*at != part)
        at = &(*at)->next;
    *at = part->next;
    part->list->n--;
    free(part);
    free_when_empty(relay);
}

void relay_say(struct relay *relay, enum relay_word word, const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!relay->closing)
        relay->say(relay->user, word, text);
}

uv_loop_t *relay_loop(struct relay *relay)
{
    return relay->loop;
}

struct relay_list *relay_streams(struct relay *relay)
{
    return &relay->streams;
}

struct relay_list *relay_datagrams(struct relay *relay)
{
    return &relay->datagrams;
}

struct relay_list *relay_listeners(struct relay *relay)
{
    return &relay->listeners;
}

struct relay_list *relay_accepted(struct relay *relay)
{
    return &relay->accepted;
}

const struct relay_limits *relay_limits(const struct relay *relay)
{
    return &relay->limits;
}
