#include "broker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "record.h"

static int complain(const char *what, int r)
{
    fprintf(stderr, "erabd: %s: %s\n", what, strerror(-r));
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

void erabi_broker_print_errors(const struct erabi_config_errors *errors)
{
    for (size_t i = 0; i < errors->n; i++)
        fprintf(stderr, "%s\n", errors->text[i]);
    if (errors->more)
        fprintf(stderr, "and %zu more\n", errors->more);
}

static int read_files(struct erabi_broker *broker, const char *path)
{
    struct erabi_config_errors errors = {0};
    int r = erabi_config_load(&broker->config, path, &errors);
    if (r == 0)
        r = erabi_profile_load(&broker->profile, broker->config->profile, &errors);
    if (r == 0)
        r = erabi_broker_check_policies(broker->config, path, &errors);
    if (r < 0)
        erabi_broker_print_errors(&errors);
    if (r < 0)
        return r;
    char error[256];
    r = erab_identity_load(&broker->owner, broker->config->owner.key_file, error, sizeof(error));
    if (r < 0)
        fprintf(stderr, "erabd: %s\n", error);
    else if (strcmp(broker->owner.party, broker->config->owner.party) != 0) {
        fprintf(stderr, "erabd: %s holds the keys of %s, the owner is %s\n", broker->config->owner.key_file,
                broker->owner.party, broker->config->owner.party);
        r = -EINVAL;
    }
    return r;
}

static void persist_revocation(void *user, const char *party)
{
    struct erabi_broker *broker = user;
    if (erabi_journal_revoke(broker->journal, party, erabi_now_ms(&broker->loop), NULL, NULL) < 0)
        broker->revocation_lost = true;
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

/* The wall clock never starts below what it was: an old clock would make what has expired live again. */
#define CLOCK_FLOOR "clock-floor"

static int load_state(void *user, const char *key, struct erabi_slice value)
{
    struct erabi_broker *broker = user;
    if (strncmp(key, ERABI_ENROL_STATE, strlen(ERABI_ENROL_STATE)) == 0)
        return erabi_enrol_load(broker, key + strlen(ERABI_ENROL_STATE), value);
    if (strncmp(key, ERABI_SERVER_KEY_STATE, strlen(ERABI_SERVER_KEY_STATE)) == 0)
        return erabi_server_keys_load(broker, key + strlen(ERABI_SERVER_KEY_STATE), value);
    struct erabi_reader r = erabi_reader(value.data, value.size);
    uint64_t floor = erabi_read_u64(&r);
    if (strcmp(key, CLOCK_FLOOR) == 0 && erabi_reader_done(&r) && floor > broker->loop.clock.wall_ms)
        broker->loop.clock.wall_ms = floor;
    return 0;
}

static void keep_clock_floor(struct erabi_broker *broker)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    if (now < broker->floor_ms + 10000)
        return;
    uint8_t bytes[8];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, now);
    if (erabi_journal_state(broker->journal, CLOCK_FLOOR, erabi_slice(bytes, sizeof(bytes)), NULL, NULL) == 0)
        broker->floor_ms = now;
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
    keep_clock_floor(broker);
    erabi_policy_tick(&broker->policies, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
    erabi_pipeline_tick(&broker->pipeline);
    if (erabi_registry_tick(broker->registry, erabi_now_ms(&broker->loop)))
        erabi_network_recheck(broker);
    erabi_server_keys_tick(broker);
    erabi_network_tick(broker);
}

static int open_stores(struct erabi_broker *broker)
{
    const struct erabi_config *config = broker->config;
    char path[PATH_MAX], error[256] = "";
    if (snprintf(path, sizeof(path), "%s/journal.db", config->state_dir) >= (int)sizeof(path))
        return complain(config->state_dir, -ENAMETOOLONG);
    int r = erabi_journal_open(&broker->journal, broker->uv, path, config->limits.journal_queue, error, sizeof(error));
    if (r < 0) {
        fprintf(stderr, "erabd: journal: %s\n", error);
        return r;
    }
    r = erabi_audit_open(&broker->audit, config->audit, broker->owner.sign_secret, config->heads.every, error,
                         sizeof(error));
    if (r < 0)
        fprintf(stderr, "erabd: audit log: %s\n", error);
    return r;
}

static int build_pipeline(struct erabi_broker *broker)
{
    int r = erabi_registry_new(&broker->registry, broker->config, broker->owner.sign_public, persist_revocation, broker);
    if (r < 0)
        return complain("parties", r);
    broker->pipeline = (struct erabi_pipeline){.loop = &broker->loop,
                                               .config = broker->config,
                                               .profile = broker->profile,
                                               .registry = broker->registry,
                                               .policies = &broker->policies,
                                               .journal = broker->journal,
                                               .audit = broker->audit,
                                               .owner = &broker->owner};
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    broker->pipeline.self = (struct erabi_attachment){.kind = ERABI_ATTACH_LOCAL,
                                                      .party = owner->index,
                                                      .name = "broker",
                                                      .speaks_for = &owner->index,
                                                      .n_speaks_for = 1,
                                                      .types = UINT64_C(1) << ERAB_AUDIT_HEAD | UINT64_C(1) << ERAB_PARTY_CARD};
    broker->pipeline.check_card = erabi_rotate_check;
    broker->pipeline.take_card = erabi_rotate_take;
    broker->pipeline.card_user = broker;
    r = erabi_outlets_init(&broker->pipeline);
    return r < 0 ? complain("parties", r) : 0;
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
        fprintf(stderr, "erabd: adapter %s: %s\n", adapter->instance, error);
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
        return complain(adapter->instance, r);
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
        fprintf(stderr, "erabd: adapters need the local endpoint: add `local:` with endpoint and key_file\n");
        return -EINVAL;
    }
    int r = 0;
    for (size_t i = 0; i < config->n_adapters && r == 0; i++)
        r = start_runner(broker, &config->adapters[i]);
    return r;
}

int erabi_broker_start(struct erabi_broker *broker, uv_loop_t *uv, const char *config_path)
{
    *broker = (struct erabi_broker){.uv = uv};
    int r = read_files(broker, config_path);
    if (r == 0)
        r = erabi_loop_init(&broker->loop, uv, 0, on_tick, on_time, broker);
    if (r == 0)
        r = open_stores(broker);
    if (r == 0)
        r = build_pipeline(broker);
    if (r == 0)
        r = erabi_broker_start_policies(broker);
    if (r < 0)
        return r;
    erabi_audit_set_time(broker->audit, erabi_now_ms(&broker->loop), broker->loop.mono_ms);
    uv_check_init(uv, &broker->flush);
    broker->flush.data = broker;
    uv_check_start(&broker->flush, on_turn);
    erabi_audit_on_head(broker->audit, on_head, broker);
    erabi_record_admin(broker->audit, "start", broker->owner.party, "done");

    struct erabi_config_errors errors = {0};
    r = erabi_broker_load_policies(broker, broker->config, config_path, &errors);
    erabi_broker_print_errors(&errors);
    if (r == 0)
        r = erabi_network_start(broker);
    if (r == 0)
        r = start_runners(broker);
    struct erabi_journal_load load = {load_pending, load_mark, load_revoked, load_state, broker, load_member};
    if (r == 0)
        r = erabi_journal_load(broker->journal, erabi_now_ms(&broker->loop), &load);
    if (r == 0) {
        r = erabi_admin_new(&broker->admin, uv, broker->config->admin_socket, erabi_verbs, broker);
        if (r < 0)
            complain(broker->config->admin_socket, r);
    }
    return r;
}

/* ---- stop: runners first (they bring devices into the safe state), then the network, then the stores ---- */

static void on_store_closed(void *user)
{
    struct erabi_broker *broker = user;
    broker->journal = NULL;
    erabi_audit_close(broker->audit);
    broker->audit = NULL;
}

static void on_network_closed(void *user)
{
    struct erabi_broker *broker = user;
    if (--broker->closing > 0)
        return;
    erabi_record_admin(broker->audit, "stop", broker->owner.party, "done");
    uv_close((uv_handle_t *)&broker->flush, NULL);
    uv_close((uv_handle_t *)&broker->policy_timer, NULL);
    erabi_loop_close(&broker->loop);
    erabi_journal_close(broker->journal, on_store_closed, broker);
}

static void on_runner_gone(void *user)
{
    struct erabi_broker *broker = user;
    if (--broker->closing > 0)
        return;
    broker->closing = 1 + (broker->admin != NULL);
    if (broker->admin)
        erabi_admin_stop(broker->admin, on_network_closed, broker);
    erabi_transport_stop(broker->transport, on_network_closed, broker);
}

void erabi_broker_stop(struct erabi_broker *broker)
{
    if (broker->stopping)
        return;
    broker->stopping = true;
    broker->closing = (int)broker->n_runners + 2;
    erabi_broker_stop_policies(broker, on_runner_gone);
    for (size_t i = 0; i < broker->n_runners; i++)
        erabi_runner_stop(broker->runners[i], on_runner_gone, broker);
    on_runner_gone(broker);
}

void erabi_broker_deinit(struct erabi_broker *broker)
{
    erabi_pipeline_deinit(&broker->pipeline);
    erabi_policy_engine_deinit(&broker->policies);
    erabi_registry_free(broker->registry);
    erabi_profile_free(broker->profile);
    erabi_config_free(broker->config);
    erab_identity_wipe(&broker->owner);
    erab_identity_wipe(&broker->next_owner);
    free(broker->gates);
    free(broker->uplinks);
    free(broker->runners);
    erabi_loop_deinit(&broker->loop);
}
