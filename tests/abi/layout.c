/* Prints what crosses the border between host and module: sizes, places and numbers. Built with the frozen headers
 * and with today's; layout.py compares. */
#include <stdio.h>

#include <erab/adapter.h>
#include <erab/policy.h>

#define SIZE(type)         printf("size %s %zu\n", #type, sizeof(struct type))
#define AT(type, member)   printf("at %s.%s %zu %zu\n", #type, #member, offsetof(struct type, member), sizeof(((struct type *)0)->member))
#define NUMBER(name)       printf("number %s %d\n", #name, (int)(name))
#define REASON(name, code, retry) printf("number reason:%s %d\n", code, (int)ERAB_REASON_##name);

static void module_tables(void)
{
    AT(erab_option, name), AT(erab_option, type), AT(erab_option, flags), AT(erab_option, default_value);
    AT(erab_option, min), AT(erab_option, max), AT(erab_option, choices), AT(erab_option, help), SIZE(erab_option);
    AT(erab_config, size), AT(erab_config, n), AT(erab_config, values);
    AT(erab_config_value, name), AT(erab_config_value, text), AT(erab_config_value, integer), AT(erab_config_value, list);
    SIZE(erab_config_value);
    AT(erab_error, size), AT(erab_error, text);
    AT(erab_module, size), AT(erab_module, abi_major), AT(erab_module, abi_minor), AT(erab_module, build);
    AT(erab_module, adapters), AT(erab_module, policies);
    AT(erab_adapter, size), AT(erab_adapter, abi_major), AT(erab_adapter, abi_minor), AT(erab_adapter, name);
    AT(erab_adapter, version), AT(erab_adapter, vendor), AT(erab_adapter, hardened_for), AT(erab_adapter, flags);
    AT(erab_adapter, max_in_flight), AT(erab_adapter, options), AT(erab_adapter, instance_size);
    AT(erab_adapter, check), AT(erab_adapter, init), AT(erab_adapter, start), AT(erab_adapter, deliver);
    AT(erab_adapter, cancel), AT(erab_adapter, health), AT(erab_adapter, stop), AT(erab_adapter, fini);
    AT(erab_health, size), AT(erab_health, state), AT(erab_health, in_flight), AT(erab_health, note);
    AT(erab_policy, size), AT(erab_policy, abi_major), AT(erab_policy, abi_minor), AT(erab_policy, name);
    AT(erab_policy, version), AT(erab_policy, vendor), AT(erab_policy, flags), AT(erab_policy, stages);
    AT(erab_policy, needs), AT(erab_policy, options), AT(erab_policy, instance_size), AT(erab_policy, check);
    AT(erab_policy, init), AT(erab_policy, decide), AT(erab_policy, fini);
}

static void host_tables(void)
{
    AT(erab_host, size), AT(erab_host, log), AT(erab_host, now_ms), AT(erab_host, monotonic_ms), AT(erab_host, publish);
    AT(erab_host, complete), AT(erab_host, timer), AT(erab_host, timer_free), AT(erab_host, watch);
    AT(erab_host, watch_set), AT(erab_host, watch_free), AT(erab_host, post), AT(erab_host, store_put);
    AT(erab_host, store_get), AT(erab_host, parties), AT(erab_host, quiesced);
    AT(erab_outgoing_message, size), AT(erab_outgoing_message, type), AT(erab_outgoing_message, category);
    AT(erab_outgoing_message, exercise), AT(erab_outgoing_message, from), AT(erab_outgoing_message, to);
    AT(erab_outgoing_message, expires_at_ms), AT(erab_outgoing_message, parent_id);
    AT(erab_outgoing_message, parent_hash), AT(erab_outgoing_message, trace_id), AT(erab_outgoing_message, body);
    AT(erab_header, id), AT(erab_header, from), AT(erab_header, to), AT(erab_header, type), AT(erab_header, category);
    AT(erab_header, issued_at_ms), AT(erab_header, expires_at_ms), AT(erab_header, seq), AT(erab_header, version);
    AT(erab_header, has_parent), AT(erab_header, exercise), AT(erab_header, sealed), AT(erab_header, parent_id);
    AT(erab_header, parent_hash), AT(erab_header, trace_id);
    AT(erab_message, header), AT(erab_message, body), AT(erab_message, header_bytes), AT(erab_message, signature);
    AT(erab_message, hash);
    AT(erab_policy_request, size), AT(erab_policy_request, stage), AT(erab_policy_request, interface);
    AT(erab_policy_request, from_role), AT(erab_policy_request, to_role), AT(erab_policy_request, from);
    AT(erab_policy_request, to), AT(erab_policy_request, is_signed), AT(erab_policy_request, is_local);
    AT(erab_policy_request, header), AT(erab_policy_request, body), AT(erab_policy_request, now_ms);
    AT(erab_verdict, size), AT(erab_verdict, vote), AT(erab_verdict, reason), AT(erab_verdict, section);
    AT(erab_verdict, detail);
}

static void numbers(void)
{
    ERAB_REASONS(REASON)
    NUMBER(ERAB_OPTION_TEXT), NUMBER(ERAB_OPTION_INTEGER), NUMBER(ERAB_OPTION_BOOLEAN), NUMBER(ERAB_OPTION_PATH);
    NUMBER(ERAB_OPTION_LIST), NUMBER(ERAB_OPTION_REQUIRED), NUMBER(ERAB_OPTION_SECRET), NUMBER(ERAB_OPTION_RELOADABLE);
    NUMBER(ERAB_LOG_ERROR), NUMBER(ERAB_LOG_DEBUG), NUMBER(ERAB_READABLE), NUMBER(ERAB_WRITABLE);
    NUMBER(ERAB_APPLIED), NUMBER(ERAB_REFUSED), NUMBER(ERAB_EXPIRED), NUMBER(ERAB_DELIVERED);
    NUMBER(ERAB_ABSTAIN), NUMBER(ERAB_ALLOW), NUMBER(ERAB_DENY), NUMBER(ERAB_PENDING);
    NUMBER(ERAB_STAGE_CONNECT), NUMBER(ERAB_STAGE_INGRESS), NUMBER(ERAB_STAGE_EGRESS), NUMBER(ERAB_STAGE_ADMIN);
    NUMBER(ERAB_NEEDS_BODY), NUMBER(ERAB_POLICY_CACHEABLE), NUMBER(ERAB_ADAPTER_SINGLETON);
    NUMBER(ERAB_HEALTH_OK), NUMBER(ERAB_HEALTH_DEGRADED), NUMBER(ERAB_HEALTH_FAILED);
    NUMBER(ERAB_IF_R1), NUMBER(ERAB_IF_R5), NUMBER(ERAB_IF_INTERNAL), NUMBER(ERAB_IF_INFO);
    NUMBER(ERAB_ROLE_TSO), NUMBER(ERAB_ROLE_AC), NUMBER(ERAB_ROLE_RA), NUMBER(ERAB_ROLE_BODY);
    NUMBER(ERAB_DISPATCH), NUMBER(ERAB_DEVICE_COMMAND), NUMBER(ERAB_RECEIPT), NUMBER(ERAB_TELEMETRY);
    NUMBER(ERAB_OPERATION), NUMBER(ERAB_SECURITY);
}

int main(void)
{
    printf("number abi_major %d\n", ERAB_ABI_MAJOR);
    module_tables();
    host_tables();
    numbers();
    return 0;
}
