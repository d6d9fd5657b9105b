/* What a host gives to a module instance: a table of services, passed at init. All calls on the instance's
 * one thread, except `post`. None blocks. The table and `self` live until fini. */
#ifndef ERAB_HOST_H
#define ERAB_HOST_H

#include <erab/message.h>
#include <erab/module.h>
#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct erab_self erab_self;   /* the instance, as the host knows it */
typedef struct erab_timer erab_timer;
typedef struct erab_watch erab_watch;

/* One message to be delivered by an adapter; a token, completed exactly once. */
typedef uint64_t erab_call;

enum erab_log_level { ERAB_LOG_ERROR, ERAB_LOG_WARNING, ERAB_LOG_INFO, ERAB_LOG_DEBUG };
enum { ERAB_READABLE = 1, ERAB_WRITABLE = 2 };

/* As struct erab_outgoing of <erab/client.h>; `from` must be one of parties(). */
struct erab_outgoing_message {
    uint32_t size;
    enum erab_type type;
    enum erab_category category;
    bool exercise;
    const char *from;
    const char *to;
    uint64_t expires_at_ms; /* 0: now + 60 s */
    const uint8_t *parent_id;
    const uint8_t *parent_hash;
    const uint8_t *trace_id;
    const ProtobufCMessage *body;
};

struct erab_host {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    /* One line, no secrets, no personal values. */
    void (*log)(erab_self *self, enum erab_log_level level, const char *text);
    /* Wall clock and monotonic clock in milliseconds. */
    uint64_t (*now_ms)(erab_self *self);
    uint64_t (*monotonic_ms)(erab_self *self);
    /* Sends a message for one of the instance's parties (header fields as in erab_client_send). The host
     * signs it with the instance's key. 0 or -EAGAIN, -EINVAL, -EMSGSIZE, -EACCES (party not spoken for). */
    int (*publish)(erab_self *self, const struct erab_outgoing_message *message, uint8_t id[ERAB_ID_SIZE]);
    /* Ends a delivery: APPLIED, or REFUSED with a reason. After `cancel` it is ignored. */
    void (*complete)(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail);
    /* A one-shot timer; free cancels. */
    erab_timer *(*timer)(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg);
    void (*timer_free)(erab_self *self, erab_timer *timer);
    /* Watches a descriptor, level-triggered, until watch_free; the descriptor stays the caller's and must
     * not be closed before. `watch_set` changes the events. */
    erab_watch *(*watch)(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
                         void *arg);
    void (*watch_set)(erab_self *self, erab_watch *watch, uint32_t events);
    void (*watch_free)(erab_self *self, erab_watch *watch);
    /* Runs fn(arg) on the instance's thread. The one call that any thread may make. 0 or -ENOMEM. */
    int (*post)(erab_self *self, void (*fn)(void *arg), void *arg);
    /* Small state over restarts: at most 256 keys, 64 KiB a value, replaced atomically and fsynced.
     * store_get: bytes copied, -ENOENT, or -ENOSPC with *size set to what is needed. */
    int (*store_put)(erab_self *self, const char *key, const void *value, size_t size);
    int (*store_get)(erab_self *self, const char *key, void *value, size_t *size);
    /* The parties that this instance speaks for, NULL-ended. */
    const char *const *(*parties)(erab_self *self);
    /* After stop: no callback, timer, watch or thread of the instance is left. */
    void (*quiesced)(erab_self *self);
};

#ifdef __cplusplus
}
#endif

#endif
