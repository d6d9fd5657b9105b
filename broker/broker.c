#include "broker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "record.h"
#include "restored.h"

void erabi_broker_say(void *user, const char *format, ...)
{
    struct erabi_broker *broker = user;
    char text[512];
    va_list args;
    if (!broker->log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    erabi_plain_text(text, strlen(text));
    broker->log(broker->log_user, ERAB_BROKER_EVENT, text);
}

static int complain(struct erabi_broker *broker, const char *what, int r)
{
    erabi_broker_say(broker, "%s: %s", what, strerror(-r));
    return r;
}

static void on_time(void *user)
{
    struct erabi_broker *broker = user;
    erabi_audit_set_time(broker->audit, erabi_now_ms(&broker->loop), broker->loop.mono_ms);
}

/* Once a loop turn: what this turn decided is written in one piece. */
static void on_turn(uv_check_t *handle)
{
    struct erabi_broker *broker = handle->data;
    erabi_audit_flush(broker->audit, false);
}

void erabi_broker_tell_errors(erab_broker_log log, void *user, const struct erabi_config_errors *errors)
{
    char more[40];
    for (size_t i = 0; log && i < errors->n; i++)
        log(user, ERAB_BROKER_FINDING, errors->text[i]);
    snprintf(more, sizeof(more), "and %zu more", errors->more);
    if (log && errors->more)
        log(user, ERAB_BROKER_FINDING, more);
    for (size_t i = 0; log && i < errors->n_notes; i++)
        log(user, ERAB_BROKER_FINDING, errors->note[i]);
    snprintf(more, sizeof(more), "and %zu more notes", errors->more_notes);
    if (log && errors->more_notes)
        log(user, ERAB_BROKER_FINDING, more);
}

bool erabi_broker_other_key(const uint8_t said[ERAB_KEY_SIZE], const uint8_t key[ERAB_KEY_SIZE])
{
    return !sodium_is_zero(said, ERAB_KEY_SIZE) && sodium_memcmp(said, key, ERAB_KEY_SIZE) != 0;
}

static int read_files(struct erabi_broker *broker, const char *path)
{
    struct erabi_config_errors errors = {0};
    int r = erabi_config_load(&broker->config, path, &errors);
    if (r == 0)
        r = erabi_profile_load(&broker->profile, broker->config->profile, &errors);
    if (r == 0)
        r = erabi_broker_check_policies(broker->config, path, &errors);
    if (r == 0)
        r = erabi_hash_file(path, broker->file_hash);
    if (r == 0)
        r = erabi_hash_file(broker->config->profile, broker->profile_hash);
    if (r < 0)
        erabi_broker_tell_errors(broker->log, broker->log_user, &errors);
    if (r < 0)
        return r;
    char error[256];
    r = erab_identity_load(&broker->owner, broker->config->owner.key_file, error, sizeof(error));
    if (r < 0)
        erabi_broker_say(broker, "%s", error);
    else if (strcmp(broker->owner.party, broker->config->owner.party) != 0) {
        erabi_broker_say(broker, "%s holds the keys of %s, the owner is %s", broker->config->owner.key_file,
                         broker->owner.party, broker->config->owner.party);
        r = -EINVAL;
    }
    erabi_copy_bytes(broker->configured_owner, broker->owner.sign_public, ERAB_KEY_SIZE);
    const struct erabi_config_owner *owner = &broker->config->owner;
    if (r == 0 && (erabi_broker_other_key(owner->curve_key, broker->owner.curve_public) ||
                   erabi_broker_other_key(owner->sign_key, broker->owner.sign_public))) {
        erabi_broker_say(broker, "%s holds other keys than curve_key and sign_key of the owner say", owner->key_file);
        r = -EINVAL;
    }
    return r;
}

static int load_pending(void *user, const struct erabi_journal_pending *row)
{
    return erabi_pipeline_restore(&((struct erabi_broker *)user)->pipeline, row);
}

static int load_mark(void *user, const struct erabi_journal_mark *row)
{
    return erabi_pipeline_restore_mark(&((struct erabi_broker *)user)->pipeline, row);
}

static int load_member(void *user, const struct erabi_journal_member *row)
{
    return erabi_pipeline_restore_member(&((struct erabi_broker *)user)->pipeline, row);
}

static int load_revoked(void *user, const char *party)
{
    erabi_registry_restore_revoked(((struct erabi_broker *)user)->registry, party);
    return 0;
}

static int load_state(void *user, const char *key, struct erabi_slice value)
{
    struct erabi_broker *broker = user;
    if (strncmp(key, ERABI_BREAKER_STATE, strlen(ERABI_BREAKER_STATE)) == 0)
        return erabi_breakers_restore(&broker->pipeline, key, value);
    if (strncmp(key, ERABI_ENROL_STATE, strlen(ERABI_ENROL_STATE)) == 0)
        return erabi_enrol_load(broker, key + strlen(ERABI_ENROL_STATE), value);
    if (strncmp(key, ERABI_SERVER_KEY_STATE, strlen(ERABI_SERVER_KEY_STATE)) == 0)
        return erabi_server_keys_load(broker, key + strlen(ERABI_SERVER_KEY_STATE), value);
    if (strncmp(key, ERABI_OPERATOR_STATE, strlen(ERABI_OPERATOR_STATE)) == 0)
        erabi_operators_load(broker, key + strlen(ERABI_OPERATOR_STATE), value);
    return 0;
}

static void on_head(void *user, const struct erabi_audit_head *head)
{
    struct erabi_broker *broker = user;
    broker->head = *head; /* the log is being written: told at the next tick, the newest is enough */
    broker->has_head = true;
}

static void on_tick(void *user)
{
    struct erabi_broker *broker = user;
    if (broker->has_head) {
        broker->has_head = false;
        erabi_heads_send(&broker->pipeline, &broker->head);
    }
    erabi_restored_tell(broker, false);
    erabi_clock_tick(broker);
    erabi_acts_tick(broker);
    erabi_policy_tick(&broker->policies, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
    erabi_pipeline_tick(&broker->pipeline);
    if (erabi_registry_tick(broker->registry, erabi_now_ms(&broker->loop)))
        erabi_network_recheck(broker);
    erabi_server_keys_tick(broker);
    erabi_breakers_tick(&broker->pipeline);
    erabi_network_tick(broker);
}

static int build_pipeline(struct erabi_broker *broker)
{
    int r = erabi_registry_new(&broker->registry, broker->config, broker->owner.sign_public, erabi_revocation_persist, broker);
    if (r < 0)
        return complain(broker, "parties", r);
    struct erabi_snapshot *snapshot = erabi_snapshot_new(broker->config, broker->profile, broker->registry);
    if (!snapshot) {
        broker->config = NULL;
        broker->profile = NULL;
        broker->registry = NULL;
        return complain(broker, "parties", -ENOMEM);
    }
    broker->pipeline.snapshot = snapshot;
    broker->pipeline = (struct erabi_pipeline){.loop = &broker->loop,
                                               .snapshot = snapshot,
                                               .config = broker->config,
                                               .profile = broker->profile,
                                               .registry = broker->registry,
                                               .policies = &broker->policies,
                                               .journal = broker->journal,
                                               .audit = broker->audit,
                                               .owner = &broker->owner,
                                               .issued_after_ms = broker->pipeline_floor_ms};
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    broker->pipeline.self = (struct erabi_attachment){.kind = ERABI_ATTACH_LOCAL,
                                                      .party = owner->index,
                                                      .name = "broker",
                                                      .speaks_for = &owner->index,
                                                      .n_speaks_for = 1,
                                                      .types = UINT64_C(1) << ERAB_AUDIT_HEAD | UINT64_C(1) << ERAB_PARTY_CARD |
                                                               UINT64_C(1) << ERAB_BREAKER_NOTICE};
    broker->pipeline.check_card = erabi_rotate_check;
    broker->pipeline.take_card = erabi_rotate_take;
    broker->pipeline.card_user = broker;
    r = erabi_breakers_init(&broker->pipeline, erabi_network_trip, broker);
    if (r == 0)
        r = erabi_outlets_init(&broker->pipeline);
    return r < 0 ? complain(broker, "parties", r) : 0;
}

static void on_runner_event(void *user, const char *instance, const char *what, const char *detail)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    erabi_record_adapter(broker->audit, instance, what, detail);
    /* After this line nothing of it is taken any more; what is for its parties waits, or ends at its deadline. */
    if (strcmp(what, "hung") == 0 || strcmp(what, "ended") == 0)
        erabi_network_cut_adapter(broker, instance, what);
}

static void on_module_refused(void *user, const char *instance, const char *path, enum erab_reason reason)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    erabi_record_module(broker->audit, "adapter", instance, path, reason);
}

static int start_runner(struct erabi_broker *broker, const struct erabi_config_adapter *adapter)
{
    struct erabi_runner_wiring wiring = {.hub = broker->owner.party,
                                         .config = broker->config,
                                         .owner_sign_key = broker->owner.sign_public,
                                         .on_event = on_runner_event,
                                         .say = erabi_broker_say,
                                         .runner = broker->runner,
                                         .on_refused = on_module_refused,
                                         .user = broker};
    char error[256];
    struct erab_identity local;
    int r = erab_identity_load(&local, broker->config->local.key_file, error, sizeof(error));
    if (r == 0) {
        erabi_copy_bytes(wiring.server_key, local.curve_public, ERAB_KEY_SIZE);
        erab_identity_wipe(&local);
        r = erab_identity_load(&wiring.keys, adapter->key_file, error, sizeof(error));
    }
    if (r < 0) {
        erabi_broker_say(broker, "adapter %s: %s", adapter->instance, error);
        return r;
    }
    /* The connection's key lives only as long as this process; the proxy signature key stays. */
    crypto_box_keypair(wiring.keys.curve_public, wiring.keys.curve_secret);
    wiring.endpoint = erabi_listener_endpoint(broker->gates[broker->n_gates - 1].listener);
    r = erabi_registry_add_adapter(broker->registry, adapter->instance, wiring.keys.curve_public,
                                   wiring.keys.sign_public);
    if (r == 0)
        r = erabi_runner_new(&broker->runners[broker->n_runners], broker->uv, adapter, &wiring);
    erab_identity_wipe(&wiring.keys);
    if (r < 0)
        return complain(broker, adapter->instance, r);
    broker->n_runners++;
    return 0;
}

static int start_runners(struct erabi_broker *broker)
{
    const struct erabi_config *config = broker->config;
    broker->runners = calloc(config->n_adapters + 1, sizeof(struct erabi_runner *));
    if (!broker->runners)
        return -ENOMEM;
    if (config->n_adapters && !config->local.mark.line) {
        erabi_broker_say(broker, "adapters need the local endpoint: add `local:` with endpoint and key_file");
        return -EINVAL;
    }
    int r = 0;
    for (size_t i = 0; i < config->n_adapters && r == 0; i++)
        r = start_runner(broker, &config->adapters[i]);
    return r;
}

static int load_early(void *user, const char *key, struct erabi_slice value)
{
    if (strcmp(key, ERABI_CLOCK_STATE) == 0)
        erabi_clock_load(user, value);
    if (strcmp(key, ERABI_STATE_ISOLATED) == 0)
        erabi_isolate_restore(user, value);
    return 0;
}

/* What must be known before anything listens. */
static int load_first(struct erabi_broker *broker)
{
    struct erabi_journal_load load = {.on_state = load_early, .user = broker};
    return erabi_journal_load(broker->journal, erabi_now_ms(&broker->loop), &load);
}

static int open_admin(struct erabi_broker *broker)
{
    int r = erabi_admin_new(&broker->admin, broker->uv, broker->config->admin_socket, erabi_verbs, broker);
    return r < 0 ? complain(broker, broker->config->admin_socket, r) : 0;
}

static int load_policies(struct erabi_broker *broker)
{
    struct erabi_config_errors errors = {0};
    struct erabi_policy_chain *chain;
    int r = erabi_broker_build_policies(broker, broker->config, &chain, &errors);
    erabi_broker_tell_errors(broker->log, broker->log_user, &errors);
    if (r == 0)
        erabi_policy_engine_swap(&broker->policies, chain);
    return r;
}

static int start_network(struct erabi_broker *broker)
{
    int r = load_first(broker);
    if (r < 0)
        return r;
    erabi_audit_set_time(broker->audit, erabi_now_ms(&broker->loop), broker->loop.mono_ms);
    uv_check_init(broker->uv, &broker->flush);
    broker->flush.data = broker;
    uv_check_start(&broker->flush, on_turn);
    broker->network_up = true;
    erabi_audit_on_head(broker->audit, on_head, broker);
    erabi_record_admin(broker->audit, "start", broker->owner.party, "done");
    erabi_reload_record_start(broker);
    r = erabi_stores_settle(broker);
    if (r == 0)
        r = load_policies(broker);
    if (r == 0)
        r = erabi_network_start(broker);
    if (r == 0)
        r = start_runners(broker);
    struct erabi_journal_load load = {load_pending, load_mark, load_revoked, load_state, broker, load_member};
    struct erabi_journal_head head;
    erabi_journal_head(broker->journal, &head);
    uint64_t rows = head.tables[ERABI_TABLE_MESSAGE].rows;
    if (r == 0)
        r = erabi_id_table_reserve(&broker->pipeline.known.ids, rows < ERABI_KNOWN_MAX ? (size_t)rows : ERABI_KNOWN_MAX);
    if (r == 0)
        r = erabi_journal_load(broker->journal, erabi_now_ms(&broker->loop), &load);
    if (r == 0)
        erabi_clock_loaded(broker);
    return r == 0 ? open_admin(broker) : r;
}

int erabi_broker_start(struct erabi_broker *broker, uv_loop_t *uv, const struct erab_broker_options *options)
{
    *broker = (struct erabi_broker){.uv = uv, .log = options->log, .log_user = options->user, .runner = options->runner};
    broker->config_path = strdup(options->config);
    if (!broker->config_path || sodium_init() < 0)
        return -ENOMEM;
    int r = read_files(broker, options->config);
    if (r == 0)
        r = erabi_loop_init(&broker->loop, uv, on_tick, on_time, broker);
    if (r < 0)
        return r;
    broker->loop_up = true;
    r = erabi_stores_open(broker);
    if (r == 0)
        r = build_pipeline(broker);
    if (r == 0)
        r = erabi_broker_start_policies(broker);
    return r == 0 ? start_network(broker) : r;
}

/* ---- stop: runners first (they bring devices into the safe state), then the network, then the stores ---- */

static void on_last_closed(uv_handle_t *handle)
{
    struct erabi_broker *broker = handle->data;
    broker->closed(broker->closed_user);
}

/* Handles closed in one turn end in no fixed order: one more turn, and all of them are gone. */
static void on_almost_closed(uv_handle_t *handle)
{
    struct erabi_broker *broker = handle->data;
    uv_idle_init(broker->uv, &broker->last);
    uv_close((uv_handle_t *)&broker->last, on_last_closed);
}

static void on_store_closed(void *user)
{
    struct erabi_broker *broker = user;
    broker->journal = NULL;
    if (broker->audit)
        erabi_audit_close(broker->audit);
    broker->audit = NULL;
    uv_idle_init(broker->uv, &broker->last);
    broker->last.data = broker;
    uv_close((uv_handle_t *)&broker->last, on_almost_closed);
}

static void on_network_closed(struct erabi_broker *broker)
{
    if (broker->network_up) {
        erabi_record_admin(broker->audit, "stop", broker->owner.party, "done");
        erabi_restored_tell(broker, true);
        uv_close((uv_handle_t *)&broker->flush, NULL);
    }
    if (broker->policies_up)
        uv_close((uv_handle_t *)&broker->policy_timer, NULL);
    if (broker->loop_up)
        erabi_loop_close(&broker->loop);
    if (broker->journal)
        erabi_journal_close(broker->journal, on_store_closed, broker);
    else
        on_store_closed(broker);
}

void erabi_broker_part_closed(void *user)
{
    struct erabi_broker *broker = user;
    if (--broker->closing == 0)
        on_network_closed(broker);
}

static void on_runner_gone(void *user)
{
    struct erabi_broker *broker = user;
    if (--broker->closing > 0)
        return;
    broker->closing = 1 + (broker->admin != NULL) + (broker->transport != NULL) + (broker->reload != NULL);
    if (broker->admin)
        erabi_admin_stop(broker->admin, erabi_broker_part_closed, broker);
    if (broker->transport)
        erabi_transport_stop(broker->transport, erabi_broker_part_closed, broker);
    erabi_broker_part_closed(broker);
}

void erabi_broker_stop(struct erabi_broker *broker, void (*closed)(void *user), void *user)
{
    if (broker->stopping)
        return;
    broker->stopping = true;
    broker->closed = closed;
    broker->closed_user = user;
    broker->closing = (int)broker->n_runners + 1 + broker->policies_up;
    if (broker->policies_up)
        erabi_broker_stop_policies(broker, on_runner_gone);
    for (size_t i = 0; i < broker->n_runners; i++)
        erabi_runner_stop(broker->runners[i], on_runner_gone, broker);
    on_runner_gone(broker);
}

void erabi_broker_deinit(struct erabi_broker *broker)
{
    bool owned = broker->pipeline.snapshot != NULL; /* then the snapshot frees these three */
    erabi_pipeline_deinit(&broker->pipeline);
    erabi_policy_engine_deinit(&broker->policies);
    if (!owned) {
        erabi_registry_free(broker->registry);
        erabi_profile_free(broker->profile);
        erabi_config_free(broker->config);
    }
    erabi_keys_wipe(broker);
    json_decref(broker->reload_report);
    free(broker->config_path);
    free(broker->gates);
    free(broker->uplinks);
    free(broker->runners);
    if (broker->loop_up)
        erabi_loop_deinit(&broker->loop);
}
