/* An adapter: joins a protocol of the outside world to the broker. Runs in erab-runner, a process of its own.
 *
 * All functions of an instance run on one thread and are never re-entered. `instance` is memory of
 * instance_size bytes, allocated zeroed by the host; an adapter keeps no globals, so that one module may run
 * many instances. Order of calls: check, init, start, deliver..., stop, (quiesced), fini. */
#ifndef ERAB_ADAPTER_H
#define ERAB_ADAPTER_H

#include <erab/host.h>
#include <erab/message.h>
#include <erab/module.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ERAB_ADAPTER_SINGLETON = 1 };
enum erab_health_state { ERAB_HEALTH_OK, ERAB_HEALTH_DEGRADED, ERAB_HEALTH_FAILED };

struct erab_health {
    uint32_t size;
    enum erab_health_state state;
    uint32_t in_flight;
    char note[124];
};

struct erab_adapter {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    const char *name; /* unique, e.g. "openadr2b" */
    const char *version;
    const char *vendor;
    const char *hardened_for; /* what its outside input may be: "untrusted network", "trusted LAN" ... */
    uint32_t flags;
    uint32_t max_in_flight;            /* deliveries it can hold; the host keeps the others back */
    const struct erab_option *options; /* ended by a row without a name */
    size_t instance_size;

    /* Validation only, no I/O. 0 or -EINVAL with `error` filled. `instance` is not there yet. */
    int (*check)(const struct erab_config *config, struct erab_error *error);
    /* Takes references, does no I/O. A failed init leaves nothing to release but what fini releases. */
    int (*init)(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error);
    /* Begins I/O; publishing is allowed from here. */
    int (*start)(void *instance);
    /* A message for one of the instance's parties. `message` is borrowed for the call. 0: taken, and
     * host->complete(call) follows exactly once, now or later. A positive enum erab_reason: refused, nothing
     * to complete. Receipts about the instance's own messages come here too, with call 0: nothing to
     * complete, the return value is ignored. */
    int (*deliver)(void *instance, erab_call call, const struct erab_message *message);
    /* The deadline of a delivery has passed or its link was cut; a completion is ignored from now on. */
    void (*cancel)(void *instance, erab_call call);
    void (*health)(void *instance, struct erab_health *out); /* or NULL */
    /* Begins to fall silent; host->quiesced when nothing is left. Must bring what it controls into the safe
     * state if it can. */
    void (*stop)(void *instance);
    /* Frees what init and start made. Called once, after quiesced. NULL-safe members after a failed init. */
    void (*fini)(void *instance);
};

#ifdef __cplusplus
}
#endif

#endif
