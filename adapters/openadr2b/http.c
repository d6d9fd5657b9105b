#include "http.h"

#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "xml.h"

#define URL_MAX 1024
/* libcurl needs one descriptor for one transfer, and another while it tries a second address. */
#define SOCKETS_MAX 4

struct http_socket {
    struct oadr_http *http;
    curl_socket_t fd;
    erab_watch *watch; /* NULL: free row */
};

struct oadr_http {
    erab_self *self;
    const struct erab_host *host;
    oadr_http_fn fn;
    void *arg;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers, *resolved;
    erab_timer *timer;
    struct http_socket sockets[SOCKETS_MAX];
    bool busy;
    bool too_large;
    bool has_certificate;
    uint8_t certificate_sha256[32];
    char why[CURL_ERROR_SIZE];
    char base[URL_MAX];
    size_t used;
    uint8_t answer[ERABI_OADR_DOC_MAX];
};

/* libcurl offers the chain as PEM; of a connection used again it tells nothing, so the last one stands. */
static void take_certificate(struct oadr_http *h)
{
    struct curl_certinfo *info = NULL;
    if (curl_easy_getinfo(h->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info || info->num_of_certs < 1)
        return;
    static const char begin[] = "Cert:-----BEGIN CERTIFICATE-----";
    for (const struct curl_slist *row = info->certinfo[0]; row; row = row->next) {
        if (strncmp(row->data, begin, sizeof begin - 1) != 0)
            continue;
        const char *text = row->data + sizeof begin - 1;
        const char *end = strstr(text, "-----END");
        uint8_t der[8192];
        size_t n = 0;
        if (!end || sodium_base642bin(der, sizeof der, text, (size_t)(end - text), "\r\n ", &n, NULL,
                                      sodium_base64_VARIANT_ORIGINAL) != 0)
            return;
        crypto_hash_sha256(h->certificate_sha256, der, n);
        h->has_certificate = true;
        return;
    }
}

static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return -EACCES;
    default:
        return -EIO;
    }
}

static void finish(struct oadr_http *h, CURLcode code)
{
    struct oadr_http_answer a = {0};
    take_certificate(h);
    curl_multi_remove_handle(h->multi, h->easy);
    h->busy = false;
    if (h->too_large) {
        a.error = -EMSGSIZE;
        a.why = "answer too large";
    } else if (code != CURLE_OK) {
        a.error = error_of(code);
        a.why = h->why[0] ? h->why : curl_easy_strerror(code);
    } else {
        curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &a.status);
        a.data = h->answer;
        a.size = h->used;
        a.has_certificate = h->has_certificate;
        erabi_copy_bytes(a.certificate_sha256, h->certificate_sha256, sizeof a.certificate_sha256);
    }
    h->fn(h->arg, &a);
}

static void drain(struct oadr_http *h)
{
    int left;
    CURLMsg *m = curl_multi_info_read(h->multi, &left);
    if (m && m->msg == CURLMSG_DONE)
        finish(h, m->data.result);
}

static void on_socket(void *arg, uint32_t events)
{
    struct http_socket *s = arg;
    struct oadr_http *h = s->http;
    int mask = (events & ERAB_READABLE ? CURL_CSELECT_IN : 0) | (events & ERAB_WRITABLE ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(h->multi, s->fd, mask, &running);
    drain(h);
}

static void on_timer(void *arg)
{
    struct oadr_http *h = arg;
    int running;
    h->host->timer_free(h->self, h->timer);
    h->timer = NULL;
    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    drain(h);
}

static int set_timer(CURLM *multi, long delay_ms, void *arg)
{
    struct oadr_http *h = arg;
    if (h->timer)
        h->host->timer_free(h->self, h->timer);
    h->timer = NULL;
    if (delay_ms < 0)
        return 0;
    h->timer = h->host->timer(h->self, (uint64_t)delay_ms, on_timer, h);
    return h->timer ? 0 : -1;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    struct oadr_http *h = arg;
    struct http_socket *s = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        if (h->sockets[i].watch && h->sockets[i].fd == fd)
            s = &h->sockets[i];
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            h->host->watch_free(h->self, s->watch);
            s->watch = NULL;
        }
        return 0;
    }
    uint32_t events = (uint32_t)(what & CURL_POLL_IN ? ERAB_READABLE : 0) |
                      (uint32_t)(what & CURL_POLL_OUT ? ERAB_WRITABLE : 0);
    if (s) {
        h->host->watch_set(h->self, s->watch, events);
        return 0;
    }
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        s = &h->sockets[i];
        if (s->watch)
            continue;
        s->http = h;
        s->fd = fd;
        s->watch = h->host->watch(h->self, fd, events, on_socket, s);
        return s->watch ? 0 : -1;
    }
    return -1;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct oadr_http *h = arg;
    size_t all = size * n;
    if (all > sizeof h->answer - h->used) {
        h->too_large = true;
        return 0;
    }
    erabi_copy_bytes(h->answer + h->used, data, all);
    h->used += all;
    return all;
}

/* The host connects; libcurl is handed the end of a stream that is as good as connected. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct oadr_http *h = arg;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    int fd = h->host->connect_stream(h->self, "vtn_url");
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int is_connected(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* libcurl never resolves: any address will do, for it is not the one that is connected. */
static bool set_address(struct oadr_http *h)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL, row[512];
    bool ok = url && curl_url_set(url, CURLUPART_URL, h->base, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              snprintf(row, sizeof row, "%s:%s:127.0.0.1", host, port) < (int)sizeof row;
    if (ok && *host != '[') /* one is needed for names; for an address as well it does no harm */
        ok = (h->resolved = curl_slist_append(NULL, row)) &&
             curl_easy_setopt(h->easy, CURLOPT_RESOLVE, h->resolved) == CURLE_OK;
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

#define SET(option, value) ok = ok && curl_easy_setopt(h->easy, option, value) == CURLE_OK

static bool set_options(struct oadr_http *h, const struct oadr_http_options *o)
{
    bool ok = true;
    h->headers = curl_slist_append(NULL, "Content-Type: application/xml");
    struct curl_slist *more = h->headers ? curl_slist_append(h->headers, "Expect:") : NULL;
    if (!more)
        return false;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    /* A resumed session shows no certificate, which the origin of an order has to name. */
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_CERTINFO, 1L);
    SET(CURLOPT_CAINFO, o->ca_file);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSLCERT, o->cert_file);
    SET(CURLOPT_SSLKEY, o->key_file);
    SET(CURLOPT_HTTPHEADER, h->headers);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)o->timeout_ms / 2);
    SET(CURLOPT_MAXFILESIZE, (long)ERABI_OADR_DOC_MAX);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, h);
    SET(CURLOPT_SOCKOPTFUNCTION, is_connected);
    SET(CURLOPT_TCP_KEEPALIVE, 0L);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_ERRORBUFFER, h->why);
    return ok;
}

int erabi_oadr_http_new(struct oadr_http **out, erab_self *self, const struct erab_host *host,
                        const struct oadr_http_options *options, oadr_http_fn fn, void *arg)
{
    *out = NULL;
    struct oadr_http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->self = self;
    h->host = host;
    h->fn = fn;
    h->arg = arg;
    if (!erabi_copy_text(h->base, sizeof h->base, options->url)) {
        free(h);
        return -EINVAL;
    }
    size_t n = strlen(h->base);
    while (n > 0 && h->base[n - 1] == '/')
        h->base[--n] = '\0';
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (!h->multi || !h->easy || !set_options(h, options) || !set_address(h) ||
        curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK) {
        erabi_oadr_http_free(h);
        return -ENOMEM;
    }
    *out = h;
    return 0;
}

void erabi_oadr_http_free(struct oadr_http *http)
{
    if (!http)
        return;
    if (http->busy)
        curl_multi_remove_handle(http->multi, http->easy);
    curl_easy_cleanup(http->easy);
    if (http->multi)
        curl_multi_cleanup(http->multi);
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        if (http->sockets[i].watch)
            http->host->watch_free(http->self, http->sockets[i].watch);
    if (http->timer)
        http->host->timer_free(http->self, http->timer);
    curl_slist_free_all(http->headers);
    curl_slist_free_all(http->resolved);
    free(http);
}

int erabi_oadr_http_post(struct oadr_http *http, const char *service, const char *body, size_t size)
{
    char url[URL_MAX + 64];
    if (http->busy)
        return -EBUSY;
    snprintf(url, sizeof url, "%s/OpenADR2/Simple/2.0b/%s", http->base, service);
    http->used = 0;
    http->too_large = false;
    http->why[0] = '\0';
    if (curl_easy_setopt(http->easy, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE, (long)size) != CURLE_OK ||
        curl_easy_setopt(http->easy, CURLOPT_COPYPOSTFIELDS, body) != CURLE_OK)
        return -ENOMEM;
    if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
        return -ENOMEM;
    http->busy = true;
    return 0;
}

bool erabi_oadr_http_busy(const struct oadr_http *http)
{
    return http->busy;
}
