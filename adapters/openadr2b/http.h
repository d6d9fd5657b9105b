/* One HTTPS POST at a time to one VTN: libcurl multi on the host's watches and timers. Never blocks; no redirect, no
 * proxy, answers capped, everything bounded in time. */
#ifndef ERABI_OPENADR2B_HTTP_H
#define ERABI_OPENADR2B_HTTP_H

#include <erab/host.h>

struct oadr_http;

struct oadr_http_options {
    const char *url; /* base, without the part that the profile gives */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    uint32_t timeout_ms;
};

struct oadr_http_answer {
    int error; /* 0 or -EIO, -ETIMEDOUT, -EMSGSIZE, -EACCES (TLS); then the rest is empty */
    const char *why;
    long status;
    const uint8_t *data;
    size_t size;
    bool has_certificate;
    uint8_t certificate_sha256[32]; /* of the VTN's certificate on this connection */
};

typedef void (*oadr_http_fn)(void *arg, const struct oadr_http_answer *answer);

/* 0 or a negative errno. Reads no file yet. */
int erabi_oadr_http_new(struct oadr_http **out, erab_self *self, const struct erab_host *host,
                        const struct oadr_http_options *options, oadr_http_fn fn, void *arg);
/* Cancels what runs, without a call of fn. NULL is fine. Not from within fn. */
void erabi_oadr_http_free(struct oadr_http *http);

/* Posts to a service; fn follows exactly once, never from within this call. `body` is copied. -EBUSY while one runs. */
int erabi_oadr_http_post(struct oadr_http *http, const char *service, const char *body, size_t size);
bool erabi_oadr_http_busy(const struct oadr_http *http);

#endif
