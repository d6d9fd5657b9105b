/* The wire protocols of nats-server and mosquitto (MQTT 3.1.1), as far as a load generator needs them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "link.h"

enum { CONNECTING, SHAKING, SPEAKING, SUBSCRIBED };

static void text(struct link *l, const char *words)
{
    put_raw(l, words, strlen(words));
}

void tls_begin(struct link *l)
{
    l->ssl = SSL_new(l->world->tls);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
        die("TLS");
    SSL_set_connect_state(l->ssl);
    l->stage = l->world->kind == NATS ? CONNECTING : SHAKING;
}

static void mqtt_head(struct link *l, uint8_t first, size_t size)
{
    uint8_t head[5] = {first};
    size_t n = 1;
    do {
        head[n] = (uint8_t)(size & 127);
        size >>= 7;
        if (size)
            head[n] |= 128;
        n++;
    } while (size);
    put_raw(l, head, n);
}

static void mqtt_text(struct link *l, const char *words)
{
    uint8_t size[2] = {0, (uint8_t)strlen(words)};
    put_raw(l, size, 2);
    text(l, words);
}

static void topic_of(unsigned to, char topic[24])
{
    if (to == UINT32_MAX)
        erabi_copy_text(topic, 24, "load.all");
    else
        snprintf(topic, 24, "load.%u", to);
}

static void start(struct link *l)
{
    char topic[24], line[256];
    topic_of(l->number, topic);
    if (l->world->kind == NATS) {
        snprintf(line, sizeof(line),
                 "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"name\":\"load\"}\r\n"
                 "SUB %s 1\r\nSUB load.all 2\r\nSUB ack.%u 3\r\nPING\r\n",
                 topic, l->number);
        text(l, line);
        return;
    }
    snprintf(line, sizeof(line), "load-%u", l->number);
    mqtt_head(l, 0x10, 10 + 2 + strlen(line));
    mqtt_text(l, "MQTT");
    put_raw(l, (const uint8_t[]){4, 2, 0, 0}, 4); /* 3.1.1, clean session, no keep-alive */
    mqtt_text(l, line);
    mqtt_head(l, 0x82, 2 + 2 + strlen(topic) + 1 + 2 + strlen("load.all") + 1);
    put_raw(l, (const uint8_t[]){0, 1}, 2);
    mqtt_text(l, topic);
    put_raw(l, (const uint8_t[]){1}, 1);
    mqtt_text(l, "load.all");
    put_raw(l, (const uint8_t[]){1}, 1);
}

void tls_publish(struct link *l, unsigned to, const uint8_t *body, size_t size, unsigned id)
{
    char topic[24], line[96];
    topic_of(to, topic);
    if (l->world->kind == NATS) {
        if (id)
            snprintf(line, sizeof(line), "PUB durable ack.%u %zu\r\n", l->number, size);
        else
            snprintf(line, sizeof(line), "PUB %s %zu\r\n", topic, size);
        text(l, line);
        put_raw(l, body, size);
        put_raw(l, "\r\n", 2);
        return;
    }
    mqtt_head(l, id ? 0x32 : 0x30, 2 + strlen(topic) + (id ? 2 : 0) + size);
    mqtt_text(l, topic);
    if (id)
        put_raw(l, (const uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id}, 2);
    put_raw(l, body, size);
}

/* One message of nats-server at `at`; the bytes it takes, 0: not whole yet. */
static size_t nats_take(struct link *l, const uint8_t *at, size_t left)
{
    const uint8_t *end = memchr(at, '\n', left);
    if (!end)
        return 0;
    size_t head = (size_t)(end - at) + 1;
    if (left >= 4 && memcmp(at, "MSG ", 4) == 0) {
        const uint8_t *number = end - 1;
        while (number > at && number[-1] != ' ')
            number--;
        size_t size = strtoul((const char *)number, NULL, 10);
        if (left < head + size + 2)
            return 0;
        if (memcmp(at + 4, "ack.", 4) == 0)
            l->world->on_ack(l->world->user, l, memmem(at + head, size, "error", 5) ? 0 : 1);
        else
            l->world->on_message(l->world->user, l, at + head, size);
        return head + size + 2;
    }
    if (memcmp(at, "PING", 4) == 0) {
        text(l, "PONG\r\n");
        link_flush(l);
    } else if (memcmp(at, "PONG", 4) == 0) {
        l->up = true;
    } else if (at[0] == '-') {
        die("nats-server: %.*s", (int)head - 2, (const char *)at);
    }
    return head;
}

static void mqtt_publish(struct link *l, uint8_t first, const uint8_t *at, size_t size)
{
    size_t skip = 2 + (size_t)(at[0] << 8 | at[1]);
    if (first & 6) {
        uint8_t ack[4] = {0x40, 2, at[skip], at[skip + 1]};
        put_raw(l, ack, 4);
        skip += 2;
    }
    l->world->on_message(l->world->user, l, at + skip, size - skip);
}

static size_t mqtt_take(struct link *l, const uint8_t *at, size_t left)
{
    size_t size = 0, n = 1;
    for (unsigned shift = 0;; shift += 7, n++) {
        if (n >= left)
            return 0;
        size |= (size_t)(at[n] & 127) << shift;
        if (!(at[n] & 128))
            break;
    }
    n++;
    if (left < n + size)
        return 0;
    switch (at[0] >> 4) {
    case 2:
        if (at[n + 1])
            die("mosquitto refuses the connection: %u", at[n + 1]);
        break;
    case 3:
        mqtt_publish(l, at[0], at + n, size);
        break;
    case 4:
        l->world->on_ack(l->world->user, l, 1);
        break;
    case 9:
        l->up = true;
        break;
    default:
        break;
    }
    return n + size;
}

static void take_all(struct link *l)
{
    size_t at = 0, n;
    while (at < l->in_used &&
           (n = (l->world->kind == NATS ? nats_take : mqtt_take)(l, l->in + at, l->in_used - at)) > 0)
        at += n;
    memmove(l->in, l->in + at, l->in_used - at);
    l->in_used -= at;
    link_flush(l);
}

/* The INFO line comes before TLS. */
static bool took_info(struct link *l)
{
    char line[4096];
    ssize_t n = recv(l->fd, line, sizeof(line), MSG_PEEK);
    if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
        l->failed = true;
    const char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
    if (!end)
        return false;
    return recv(l->fd, line, (size_t)(end - line) + 1, 0) > 0;
}

void tls_step(struct link *l)
{
    if (l->stage == CONNECTING) {
        if (!took_info(l))
            return;
        l->stage = SHAKING;
    }
    if (l->stage == SHAKING) {
        int r = SSL_do_handshake(l->ssl);
        if (r != 1) {
            int error = SSL_get_error(l->ssl, r);
            l->failed = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE && errno != ENOTCONN;
            return;
        }
        l->stage = SPEAKING;
        start(l);
    }
    link_flush(l);
    for (;;) {
        int n = SSL_read(l->ssl, in_room(l, 16384), 16384);
        if (n <= 0) {
            l->failed |= SSL_get_error(l->ssl, n) != SSL_ERROR_WANT_READ;
            break;
        }
        l->in_used += (size_t)n;
        if (l->in_used > 200000)
            take_all(l);
    }
    take_all(l);
}
