/* What judging one message costs by the chain of a configuration, without the rest of the path.
 *   policy_cost CONFIGURATION */
#include <stdio.h>
#include <time.h>

#include "base/cursor.h"
#include "config/config.h"
#include "plugins.h"
#include "policy/build.h"
#include "policy/judge.h"

static uint64_t mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void on_done(void *user, const struct erabi_policy_answer *answer)
{
}

/* One message a day, always at the same hour: within all budgets and windows. */
static double measure(struct erabi_policy_engine *engine, struct erab_policy_request *request,
                      Erab__V1__DeviceCommand *command)
{
    struct erabi_policy_answer answer;
    uint64_t begin = mono_ns(), n = 0;
    while (mono_ns() - begin < 300000000)
        for (int i = 0; i < 1000; i++, n++) {
            if (command) {
                request->now_ms += 86400000;
                command->start_ms = request->now_ms;
                command->end_ms = request->now_ms + 3600000;
            }
            if (erabi_policy_judge(engine, request, 1000 * (n + 1), on_done, NULL, &answer) != 0 ||
                answer.verdict.vote != ERAB_ALLOW) {
                fprintf(stderr, "policy_cost: %s does not allow it: %s\n", answer.policy, answer.verdict.detail);
                return -1;
            }
        }
    return (double)(mono_ns() - begin) / 1e3 / (double)n;
}

int main(int argc, char **argv)
{
    static const uint64_t now = UINT64_C(1893466800000);
    struct erabi_config_errors errors = {0};
    struct erabi_config *config;
    struct erabi_policy_chain *chain;
    struct erabi_policy_engine engine;
    const struct erabi_policy_source source = {.shipped = erab_policies_shipped};
    if (argc != 2 || erabi_config_load(&config, argv[1], &errors) < 0 ||
        erabi_policy_build(&chain, config, argv[1], &source, NULL, &errors) < 0 ||
        erabi_policy_engine_init(&engine, NULL, NULL) < 0)
        return 2;
    erabi_policy_engine_swap(&engine, chain);
    struct erab_header header = {.from = "gateway-01", .to = "battery-01", .type = ERAB_DEVICE_COMMAND,
                                 .category = ERAB_OPERATION, .issued_at_ms = now, .expires_at_ms = now + 60000,
                                 .seq = 1, .version = 1};
    Erab__V1__DeviceCommand command = ERAB__V1__DEVICE_COMMAND__INIT;
    command.action = ERAB__V1__DEVICE_ACTION__DISCHARGE;
    command.has_power_w = 1;
    command.power_w = 1000;
    command.start_ms = now;
    command.end_ms = now + 3600000;
    struct erab_policy_request request = {.size = sizeof(request), .stage = ERAB_STAGE_INGRESS, .header = &header,
                                          .body = &command.base, .interface = ERAB_IF_R5, .from_role = ERAB_ROLE_GATEWAY,
                                          .to_role = ERAB_ROLE_DEVICE, .from = header.from, .to = header.to,
                                          .is_signed = true, .now_ms = now, .body_size = 40};
    double order = measure(&engine, &request, &command);
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *points[] = {&point};
    Erab__V1__Telemetry telemetry = ERAB__V1__TELEMETRY__INIT;
    char resource[] = "battery-01";
    point.resource = resource;
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = now;
    telemetry.point = points;
    telemetry.n_point = 1;
    header.type = ERAB_TELEMETRY;
    erabi_copy_text(header.from, sizeof(header.from), "battery-01");
    erabi_copy_text(header.to, sizeof(header.to), "gateway-01");
    request.body = &telemetry.base;
    request.from_role = ERAB_ROLE_DEVICE;
    request.to_role = ERAB_ROLE_GATEWAY;
    request.is_signed = false;
    request.now_ms = now;
    double measured = measure(&engine, &request, NULL);
    printf("{\"order_us\": %.3f, \"telemetry_us\": %.3f}\n", order, measured);
    erabi_policy_engine_deinit(&engine);
    erabi_config_free(config);
    return order < 0 || measured < 0;
}
