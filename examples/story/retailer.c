/* A retailer: sends its plan for the day, then tries what a retailer may not do, a command to a device, and
 * ends. Exit code 0 when the plan was accepted and the command refused. */
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "party.h"

#define SLOTS       48
#define HALF_HOUR   (30u * 60u * 1000u)
#define DEVICE_SPAN (15u * 60u * 1000u)

struct retailer {
    uint64_t give_up_ms;
    bool plan_sent, command_sent;
    enum erab_receipt_state plan, command;
    uint8_t plan_id[ERAB_ID_SIZE], command_id[ERAB_ID_SIZE];
};

static int check(const struct story_options *o)
{
    if (o->up && o->device)
        return 0;
    fprintf(stderr, "erab-story: a retailer needs --up, to whom the plan goes, and --device, which it may not command\n");
    return -1;
}

static int send_plan(struct story_party *party, uint64_t now, uint8_t id[ERAB_ID_SIZE])
{
    Erab__V1__PlanSlot slots[SLOTS], *list[SLOTS];
    Erab__V1__Plan plan = ERAB__V1__PLAN__INIT;
    uint64_t start = now - now % HALF_HOUR + HALF_HOUR;
    for (size_t i = 0; i < SLOTS; i++) {
        erab__v1__plan_slot__init(&slots[i]);
        slots[i].start_ms = start + i * HALF_HOUR;
        slots[i].end_ms = slots[i].start_ms + HALF_HOUR;
        slots[i].has_power_kw = true;
        slots[i].power_kw = i < SLOTS / 2 ? 900 : 1200;
        list[i] = &slots[i];
    }
    plan.plan = "day-ahead";
    plan.version = 1;
    plan.resource = (char *)(uintptr_t)party->options->resource;
    plan.n_slot = SLOTS;
    plan.slot = list;
    return story_send(party, party->client, party->options->up, ERAB_PLAN, ERAB_OPERATION, 0, NULL, NULL, &plan.base, id);
}

static int try_device(struct story_party *party, uint64_t now, uint8_t id[ERAB_ID_SIZE])
{
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = ERAB__V1__DEVICE_ACTION__DISCHARGE;
    c.has_power_w = true;
    c.power_w = 1500;
    c.start_ms = now;
    c.end_ms = now + DEVICE_SPAN;
    return story_send(party, party->client, party->options->device, ERAB_DEVICE_COMMAND, ERAB_OPERATION, 0, NULL, NULL,
                      &c.base, id);
}

static void on_receipt(struct story_party *party, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct retailer *r = party->state;
    (void)client;
    if (receipt->state == ERAB_QUEUED)
        return;
    if (r->plan_sent && memcmp(receipt->about, r->plan_id, ERAB_ID_SIZE) == 0)
        r->plan = receipt->state;
    /* Only the broker's own refusal counts: what the client gives up by itself proves nothing. */
    if (r->command_sent && !receipt->local && memcmp(receipt->about, r->command_id, ERAB_ID_SIZE) == 0)
        r->command = receipt->state;
}

static void on_tick(struct story_party *party, uint64_t now)
{
    struct retailer *r = party->state;
    if (r->give_up_ms == 0)
        r->give_up_ms = now + party->options->timeout_ms;
    if (!r->plan_sent)
        r->plan_sent = send_plan(party, now, r->plan_id) == 0;
    else if (!r->command_sent && r->plan)
        r->command_sent = try_device(party, now, r->command_id) == 0;
    if (now < r->give_up_ms && (!r->plan || !r->command))
        return;
    bool plan = r->plan >= ERAB_ACCEPTED && r->plan <= ERAB_APPLIED, command = r->command == ERAB_REFUSED;
    event_begin("done", party->name);
    event_flag("plan_accepted", plan);
    event_flag("command_refused", command);
    event_end();
    party->done = true;
    party->exit_code = plan && command ? 0 : 1;
}

const struct story_role story_retailer = {
    .name = "retailer",
    .state_size = sizeof(struct retailer),
    .check = check,
    .on_receipt = on_receipt,
    .on_tick = on_tick,
};
