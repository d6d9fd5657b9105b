/* A new configuration while the broker runs. Files are read and compared on a thread of libuv's pool; the registry is
 * made and everything put in its place on the loop thread, between two messages. All or nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "broker.h"
#include "record.h"

/* Changes told one by one; the others are counted. The hash of the file stands for all of them. */
#define CHANGES_MAX 1000

struct erabi_reload {
    uv_work_t work;
    struct erabi_broker *broker;
    struct erabi_snapshot *before; /* a reference: what the new one is compared with */
    struct erabi_config *config;
    struct erabi_profile *profile;
    uint8_t hash[ERAB_HASH_SIZE], profile_hash[ERAB_HASH_SIZE];
    struct erabi_config_errors errors;
    json_t *changes; /* [{"where", "how", "from", "to"}] */
    size_t more;
    struct erabi_policy_chain *chain; /* of the new configuration, until it is swapped in */
    bool keys_withdrawn; /* a party's sign keys are others now, or it is gone */
    int result;
};

/* ---- on the pool's thread: nothing of the broker is touched ---- */

int erabi_hash_file(const char *path, uint8_t hash[ERAB_HASH_SIZE])
{
    crypto_generichash_state state;
    uint8_t block[16384];
    size_t n;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return -errno;
    crypto_generichash_init(&state, NULL, 0, ERAB_HASH_SIZE);
    while ((n = fread(block, 1, sizeof(block), file)) > 0)
        crypto_generichash_update(&state, block, n);
    int r = ferror(file) ? -EIO : 0;
    crypto_generichash_final(&state, hash, ERAB_HASH_SIZE);
    fclose(file);
    return r;
}

static void add_change(struct erabi_reload *reload, const char *where, const char *how, const char *from, const char *to)
{
    if (json_array_size(reload->changes) >= CHANGES_MAX)
        reload->more++;
    else
        json_array_append_new(reload->changes,
                              json_pack("{s:s, s:s, s:s, s:s}", "where", where, "how", how, "from", from, "to", to));
}

static void on_change(void *user, const struct erabi_option_change *c)
{
    struct erabi_reload *reload = user;
    if (!c->live) {
        erabi_config_error(&reload->errors, reload->broker->config_path, (struct erabi_mark){0, 0},
                           "%.100s: cannot change while the broker runs (%s%s%.60s%s%.60s); put it back or restart",
                           c->where, c->how, c->from[0] ? ": " : "", c->from, c->to[0] ? " -> " : "", c->to);
        return;
    }
    const char *last = strrchr(c->where, '.');
    bool party = strncmp(c->where, "parties.", 8) == 0;
    if (party && (strcmp(c->how, "removed") == 0 || (last && strcmp(last, ".sign_keys") == 0)))
        reload->keys_withdrawn = true;
    add_change(reload, c->where, c->how, c->from, c->to);
}

static int read_all(struct erabi_reload *reload)
{
    const char *path = reload->broker->config_path; /* set at the start, never changed */
    uint8_t again[ERAB_HASH_SIZE];
    int r = erabi_hash_file(path, reload->hash);
    int f = erabi_config_load(&reload->config, path, &reload->errors);
    if (f == 0)
        f = erabi_profile_load(&reload->profile, reload->config->profile, &reload->errors);
    if (f < 0)
        return f;
    if (r == 0)
        r = erabi_hash_file(reload->config->profile, reload->profile_hash);
    if (r == 0)
        r = erabi_hash_file(path, again);
    if (r == 0 && sodium_memcmp(again, reload->hash, sizeof(again)) != 0)
        r = -EAGAIN;
    if (r < 0) {
        erabi_config_error(&reload->errors, path, (struct erabi_mark){0, 0}, "changed or went away while it was read");
        return r;
    }
    if (!erabi_options_compare(erabi_config_table(), reload->before->config, reload->config, on_change, reload))
        return -ENOMEM;
    return reload->errors.n ? -EPERM : 0;
}

static void on_work(uv_work_t *work)
{
    struct erabi_reload *reload = work->data;
    reload->result = read_all(reload);
}

/* ---- on the loop thread ---- */

/* The interface between the owner and this party; NONE: there is no such link. */
static enum erab_interface link_of(const struct erabi_registry *registry, const struct erabi_profile *profile,
                                   const char *id)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(registry);
    const struct erabi_registry_party *party = erabi_registry_party(registry, id);
    if (!party || party == owner || party->local)
        return ERAB_IF_NONE;
    struct erabi_profile_pair pair = erabi_profile_pair(profile, owner->role, party->role);
    return pair.one_firm && strcmp(owner->firm, party->firm) != 0 ? ERAB_IF_NONE : pair.interface;
}

/* What the changes mean for the owner's own links. */
static void compare_links(struct erabi_reload *reload, const struct erabi_snapshot *now)
{
    const struct erabi_broker *broker = reload->broker;
    size_t n = erabi_registry_count(now->registry); /* has all of the ones before */
    for (uint32_t i = 0; i < n; i++) {
        const char *id = erabi_registry_party_at(now->registry, i)->id;
        enum erab_interface a = link_of(broker->registry, broker->profile, id);
        enum erab_interface b = link_of(now->registry, now->profile, id);
        char where[ERAB_PARTY_MAX + 8];
        if (a == b)
            continue;
        snprintf(where, sizeof(where), "links.%s", id);
        add_change(reload, where, !a ? "added" : !b ? "removed" : "changed", a ? erab_interface_name(a) : "",
                   b ? erab_interface_name(b) : "");
    }
}

static void cut_target(void *user, struct erabi_target *target)
{
    erabi_network_cut_target(user, target, ERAB_REASON_UNKNOWN_KEY, "the configuration has this party no more, or not so");
}

static void rewire_runners(struct erabi_broker *broker, bool restart)
{
    for (size_t i = 0; i < broker->n_runners; i++) /* adapters cannot change, so they stand in the same order */
        erabi_runner_rewire(broker->runners[i], broker->config, &broker->config->adapters[i], restart);
}

/* All that may fail; leaves the broker as it is. */
static int prepare(struct erabi_reload *reload, struct erabi_snapshot **out, struct erabi_swap *swap)
{
    struct erabi_broker *broker = reload->broker;
    struct erabi_registry *registry;
    uint64_t now = erabi_now_ms(&broker->loop);
    int r = erabi_registry_renew(&registry, reload->config, broker->registry, now);
    if (r < 0)
        return r;
    const char *owner = reload->config->owner.party; /* its keys may have been rotated since the start */
    if (broker->owner_until_ms)
        r = erabi_registry_sign_key(registry, owner, broker->next_owner.sign_public, ERABI_FOR_EVER, now);
    if (r == 0)
        r = erabi_registry_sign_key(registry, owner, broker->owner.sign_public,
                                    broker->owner_until_ms ? broker->owner_until_ms : ERABI_FOR_EVER, now);
    if (r < 0) {
        erabi_registry_free(registry);
        return r;
    }
    struct erabi_snapshot *snapshot =
        erabi_snapshot_new(erabi_take(reload->config), erabi_take(reload->profile), registry);
    if (!snapshot)
        return -ENOMEM;
    r = erabi_broker_build_policies(broker, snapshot->config, &reload->chain, &reload->errors);
    if (r == 0)
        r = erabi_pipeline_swap_prepare(swap, &broker->pipeline, snapshot);
    if (r < 0)
        erabi_snapshot_unref(snapshot);
    else
        *out = snapshot;
    return r;
}

static void take_over(struct erabi_reload *reload, struct erabi_snapshot *snapshot, struct erabi_swap *swap)
{
    struct erabi_broker *broker = reload->broker;
    broker->config = snapshot->config;
    broker->profile = snapshot->profile;
    broker->registry = snapshot->registry;
    erabi_policy_engine_swap(&broker->policies, erabi_take(reload->chain));
    erabi_pipeline_swap(swap, &broker->pipeline, cut_target, broker);
    erabi_network_reconfigured(broker);
    rewire_runners(broker, reload->keys_withdrawn);
}

static void record_config(struct erabi_broker *broker, const char *verdict, const uint8_t *file, const uint8_t *profile,
                          size_t changes, const char *detail)
{
    char hash[65], profile_hash[65];
    sodium_bin2hex(hash, sizeof(hash), file, ERAB_HASH_SIZE);
    sodium_bin2hex(profile_hash, sizeof(profile_hash), profile, ERAB_HASH_SIZE);
    struct erabi_audit_field fields[] = {
        {.name = "verdict", .text = verdict},
        {.name = "file", .text = broker->config_path},
        {.name = "file_hash", .text = hash},
        {.name = "profile_hash", .text = profile_hash},
        {.name = "changes", .number = changes},
        {.name = "detail", .text = detail},
    };
    erabi_audit_write(broker->audit, "config", fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_reload_record_start(struct erabi_broker *broker)
{
    record_config(broker, "start", broker->file_hash, broker->profile_hash, 0, "");
}

/* The file has the same path, but other contents. */
static void compare_profiles(struct erabi_reload *reload)
{
    const uint8_t *before = reload->broker->profile_hash, *now = reload->profile_hash;
    char from[9], to[9];
    if (sodium_memcmp(before, now, ERAB_HASH_SIZE) == 0)
        return;
    sodium_bin2hex(from, sizeof(from), before, 4);
    sodium_bin2hex(to, sizeof(to), now, 4);
    add_change(reload, "profile", "other contents", from, to);
}

static void record(const struct erabi_reload *reload, const char *verdict, const char *detail)
{
    struct erabi_audit *audit = reload->broker->audit;
    size_t i;
    json_t *change;
    record_config(reload->broker, verdict, reload->hash, reload->profile_hash,
                  json_array_size(reload->changes) + reload->more, detail);
    json_array_foreach(reload->changes, i, change)
    {
        struct erabi_audit_field what[] = {
            {.name = "where", .text = json_string_value(json_object_get(change, "where"))},
            {.name = "how", .text = json_string_value(json_object_get(change, "how"))},
            {.name = "from", .text = json_string_value(json_object_get(change, "from"))},
            {.name = "to", .text = json_string_value(json_object_get(change, "to"))},
        };
        if (strcmp(verdict, "done") == 0)
            erabi_audit_write(audit, "config-change", what, sizeof(what) / sizeof(what[0]));
    }
}

static void report(struct erabi_reload *reload, const char *state)
{
    struct erabi_broker *broker = reload->broker;
    json_t *errors = json_array();
    for (size_t i = 0; i < reload->errors.n; i++)
        json_array_append_new(errors, json_string(reload->errors.text[i]));
    json_decref(broker->reload_report);
    broker->reload_serial++;
    broker->reload_report =
        json_pack("{s:I, s:s, s:O, s:I, s:o, s:I}", "serial", (json_int_t)broker->reload_serial, "state", state, "changes",
                  reload->changes, "more_changes", (json_int_t)reload->more, "errors", errors, "more_errors",
                  (json_int_t)reload->errors.more);
}

static void apply(struct erabi_reload *reload)
{
    struct erabi_broker *broker = reload->broker;
    struct erabi_snapshot *snapshot = NULL;
    struct erabi_swap swap;
    int r = reload->result;
    if (r == 0 && (r = prepare(reload, &snapshot, &swap)) < 0)
        erabi_config_error(&reload->errors, broker->config_path, (struct erabi_mark){0, 0}, "cannot be taken over: %s%s",
                           strerror(-r), r == -ENOSPC ? "; too many parties came and went, restart the broker" : "");
    if (r == 0) {
        compare_profiles(reload);
        compare_links(reload, snapshot);
        record(reload, "done", ""); /* the decision stands in the log before the cuts that follow from it */
        take_over(reload, snapshot, &swap);
        erabi_copy_bytes(broker->file_hash, reload->hash, ERAB_HASH_SIZE);
        erabi_copy_bytes(broker->profile_hash, reload->profile_hash, ERAB_HASH_SIZE);
        erabi_broker_say(broker, "the configuration was read again: %zu changes",
                         json_array_size(reload->changes) + reload->more);
        report(reload, "done");
        return;
    }
    if (reload->errors.n == 0)
        erabi_config_error(&reload->errors, broker->config_path, (struct erabi_mark){0, 0}, "%s", strerror(-r));
    record(reload, "refused", reload->errors.text[0]);
    erabi_broker_say(broker, "the configuration was read again and refused; nothing has changed");
    erabi_broker_tell_errors(broker->log, broker->log_user, &reload->errors);
    report(reload, "refused");
}

static void on_done(uv_work_t *work, int status)
{
    struct erabi_reload *reload = work->data;
    struct erabi_broker *broker = reload->broker;
    bool stopping = broker->stopping;
    erabi_loop_read(&broker->loop);
    if (status < 0)
        reload->result = status;
    if (!stopping)
        apply(reload);
    broker->policy_host.config = broker->config; /* taken over or not */
    erabi_snapshot_unref(reload->before);
    if (reload->chain)
        erabi_policy_chain_unref(reload->chain);
    erabi_profile_free(reload->profile);
    erabi_config_free(reload->config);
    json_decref(reload->changes);
    free(reload);
    broker->reload = NULL;
    if (stopping)
        erabi_broker_part_closed(broker);
    else if (broker->reload_again)
        erabi_broker_reload(broker);
}

void erabi_broker_reload(struct erabi_broker *broker)
{
    if (broker->stopping)
        return;
    broker->reload_again = broker->reload != NULL; /* what is being read may be older than the wish */
    if (broker->reload)
        return;
    struct erabi_reload *reload = calloc(1, sizeof(*reload));
    if (reload)
        reload->changes = json_array();
    if (!reload || !reload->changes) {
        free(reload);
        erabi_broker_say(broker, "the configuration could not be read again: no memory");
        return;
    }
    reload->broker = broker;
    reload->before = erabi_snapshot_ref(broker->pipeline.snapshot);
    reload->work.data = reload;
    broker->reload = reload;
    uv_queue_work(broker->uv, &reload->work, on_work, on_done); /* fails only without a function */
}

json_t *erabi_verb_reload(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    if (!erabi_permit_act(broker, "config-reload", "", ERAB_IF_NONE, "", error))
        return NULL;
    uint64_t serial = broker->reload_serial + 1 + (broker->reload != NULL);
    erabi_broker_reload(broker);
    if (broker->reload)
        return json_pack("{s:I}", "serial", (json_int_t)serial);
    *error = "it could not be begun";
    return NULL;
}

json_t *erabi_verb_reload_status(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    if (!broker->reload_report)
        return json_pack("{s:i, s:s}", "serial", 0, "state", "never");
    return json_deep_copy(broker->reload_report);
}
