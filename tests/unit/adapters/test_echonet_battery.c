#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter.h"

static struct erabi_el_battery battery(const char *settable)
{
    struct erabi_el_battery b = {.charge = {true, 100, 5000}, .discharge = {true, 0, 4000}};
    for (unsigned epc = 0x80; epc < 0x100; epc++)
        erabi_el_map_add(&b.can_get, (uint8_t)epc);
    for (size_t i = 0; settable[i]; i++)
        erabi_el_map_add(&b.can_set, (uint8_t)settable[i]);
    return b;
}

static int plan_of(const struct erabi_el_battery *b, Erab__V1__DeviceAction action, double watts,
                   struct erabi_el_plan *plan)
{
    const char *detail;
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = action;
    c.has_power_w = watts >= 0;
    c.power_w = watts;
    return erabi_el_battery_plan(b, &c, plan, &detail);
}

static void assert_set(const struct erabi_el_set *set, size_t i, uint8_t epc, uint32_t value)
{
    assert_true(i < set->n);
    assert_int_equal(set->property[i].epc, epc);
    uint32_t v = 0;
    for (size_t k = 0; k < set->property[i].size; k++)
        v = v << 8 | set->property[i].value[k];
    assert_int_equal(v, value);
}

static void charge_sets_amount_and_method_before_the_mode(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB\xEC\xC1\xC2");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 1500, &p), 0);
    assert_int_equal(p.n, 2);
    assert_set(&p.set[0], 0, 0xEB, 1500);
    assert_set(&p.set[0], 1, 0xC1, 3);
    assert_set(&p.set[1], 0, 0xDA, 0x42);
    assert_int_equal(p.power_sign, 1);
    assert_true(p.expected_kw > 1.49 && p.expected_kw < 1.51);
}

static void discharge_uses_its_own_properties(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB\xEC\xC1\xC2");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__DISCHARGE, 4000, &p), 0);
    assert_set(&p.set[0], 0, 0xEC, 4000);
    assert_set(&p.set[0], 1, 0xC2, 3);
    assert_set(&p.set[1], 0, 0xDA, 0x43);
    assert_true(p.expected_kw < -3.99);
}

static void remote_mark_comes_first_in_every_frame_where_settable(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB\x93");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 1500, &p), 0);
    assert_set(&p.set[0], 0, 0x93, 0x42);
    assert_set(&p.set[0], 1, 0xEB, 1500);
    assert_int_equal(p.set[0].n, 2);
    assert_set(&p.set[1], 0, 0x93, 0x42);
    assert_set(&p.set[1], 1, 0xDA, 0x42);
}

static void standby_auto_and_restore_set_the_mode_alone(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__STANDBY, -1, &p), 0);
    assert_set(&p.set[0], 0, 0xDA, 0x44);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__AUTO, -1, &p), 0);
    assert_set(&p.set[0], 0, 0xDA, 0x46);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__RESTORE, -1, &p), 0);
    assert_set(&p.set[0], 0, 0xDA, 0x46);
    assert_int_equal(p.n, 1);
}

static void power_outside_the_devices_range_is_refused(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB\xEC");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 99, &p), ERAB_REASON_OUT_OF_RANGE);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 100, &p), 0);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 5000, &p), 0);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 5000.5, &p), ERAB_REASON_OUT_OF_RANGE);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__DISCHARGE, 4001, &p), ERAB_REASON_OUT_OF_RANGE);
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__DISCHARGE, 1e300, &p), ERAB_REASON_OUT_OF_RANGE);
}

static void unknown_range_and_unsettable_power_are_not_supported(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEC");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 1500, &p), ERAB_REASON_NOT_SUPPORTED);
    b.discharge.known = false;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__DISCHARGE, 1500, &p), ERAB_REASON_NOT_SUPPORTED);
}

static void battery_whose_mode_cannot_be_set_supports_nothing(void **state)
{
    struct erabi_el_battery b = battery("\xEB\xEC");
    struct erabi_el_plan p;
    for (int a = 1; a <= 14; a++)
        assert_int_equal(plan_of(&b, (Erab__V1__DeviceAction)a, 1500, &p), ERAB_REASON_NOT_SUPPORTED);
}

static void actions_of_other_devices_are_not_supported(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB\xEC");
    struct erabi_el_plan p;
    for (int a = ERAB__V1__DEVICE_ACTION__PV_LIMIT_PERCENT; a <= ERAB__V1__DEVICE_ACTION__FUEL_CELL_FOLLOW;
         a++)
        assert_int_equal(plan_of(&b, (Erab__V1__DeviceAction)a, 1500, &p), ERAB_REASON_NOT_SUPPORTED);
}

static struct erabi_el_reading reading_of(struct erabi_el_battery *b, const void *bytes, size_t size)
{
    struct erabi_el_frame f;
    struct erabi_el_reading r = {0};
    assert_int_equal(erabi_el_parse(erabi_slice(bytes, size), &f), 0);
    erabi_el_battery_read(b, &f, &r);
    return r;
}

static void reading_scales_values_and_takes_the_range(void **state)
{
    static const char frame[] = "\x10\x81\0\1\x02\x7D\1\x05\xFF\1\x72\x07"
                                "\xDA\1\x43\xCF\1\x43\xD3\4\xFF\xFF\xFA\x24\xE4\1\x32"
                                "\xA8\4\0\0\x03\xE8\xA9\4\xFF\xFF\xFF\xFE\xC8\x08\0\0\0\x0A\0\0\x0B\xB8";
    struct erabi_el_battery b = battery("");
    struct erabi_el_reading r = reading_of(&b, frame, sizeof(frame) - 1);
    assert_true(r.power_kw < -1.4999 && r.power_kw > -1.5001);
    assert_true(r.soc_percent > 49.9 && r.soc_percent < 50.1);
    assert_true(r.charged_kwh > 0.999 && r.charged_kwh < 1.001);
    assert_true(r.has_discharged && r.discharged_no_data);
    assert_false(r.has_stored);
    assert_int_equal(b.charge.min_w, 10);
    assert_int_equal(b.charge.max_w, 3000);
}

static void range_without_data_becomes_unknown(void **state)
{
    static const char frame[] = "\x10\x81\0\1\x02\x7D\1\x05\xFF\1\x72\x01\xC8\x08\0\0\0\x0A\xFF\xFF\xFF\xFF";
    struct erabi_el_battery b = battery("");
    reading_of(&b, frame, sizeof(frame) - 1);
    assert_false(b.charge.known);
}

static void charge_above_a_hundred_percent_is_no_data(void **state)
{
    static const char frame[] = "\x10\x81\0\1\x02\x7D\1\x05\xFF\1\x72\x01\xE4\1\x65";
    struct erabi_el_battery b = battery("");
    struct erabi_el_reading r = reading_of(&b, frame, sizeof(frame) - 1);
    assert_true(r.has_soc && r.soc_no_data);
}

static void value_of_a_wrong_size_is_not_read(void **state)
{
    static const char frame[] = "\x10\x81\0\1\x02\x7D\1\x05\xFF\1\x72\x02\xCF\2\x43\x43\xD3\2\0\1";
    struct erabi_el_battery b = battery("");
    struct erabi_el_reading r = reading_of(&b, frame, sizeof(frame) - 1);
    assert_false(r.has_state);
    assert_false(r.has_power);
}

static void only_mode_state_and_power_together_show_that_it_follows(void **state)
{
    struct erabi_el_battery b = battery("\xDA\xEB");
    struct erabi_el_plan p;
    assert_int_equal(plan_of(&b, ERAB__V1__DEVICE_ACTION__CHARGE, 1500, &p), 0);
    struct erabi_el_reading r = {
        .has_mode = true, .mode = 0x42, .has_state = true, .state = 0x42, .has_power = true, .power_kw = 1.2};
    assert_true(erabi_el_battery_follows(&p, &r));
    r.power_kw = 0;
    assert_false(erabi_el_battery_follows(&p, &r));
    r.power_kw = -1;
    assert_false(erabi_el_battery_follows(&p, &r));
    r.has_power = false;
    assert_true(erabi_el_battery_follows(&p, &r));
    r.state = 0x44;
    assert_false(erabi_el_battery_follows(&p, &r));
    r.state = 0x41;
    assert_true(erabi_el_battery_follows(&p, &r));
    r.mode = 0x46;
    assert_false(erabi_el_battery_follows(&p, &r));
}

static void going_back_must_leave_what_was_ordered(void **state)
{
    struct erabi_el_battery b = battery("\xDA");
    struct erabi_el_plan p;
    erabi_el_battery_restore(&b, ERABI_EL_DISCHARGE, &p);
    struct erabi_el_reading r = {.has_mode = true, .mode = 0x46, .has_state = true, .state = 0x43};
    assert_false(erabi_el_battery_follows(&p, &r));
    assert_true(erabi_el_battery_settles(&p, &r));
    r.state = 0x46;
    assert_true(erabi_el_battery_follows(&p, &r));
    r.mode = 0x43;
    assert_false(erabi_el_battery_settles(&p, &r));
}

static struct erab_error told;

static int settings(const char *const *devices, struct erabi_el_settings *out)
{
    const struct erab_config_value values[] = {{.name = "interface", .text = "eth1"},
                                               {.name = "gateway", .text = "cedar-gateway"},
                                               {.name = "devices", .list = devices}};
    const struct erab_config config = {.size = sizeof(config), .n = 3, .values = values};
    told = (struct erab_error){.size = sizeof(told)};
    int e = erabi_el_settings_read(&config, out, &told);
    assert_int_equal(e == 0, told.text[0] == '\0');
    return e;
}

static void options_take_addresses_and_ids(void **state)
{
    const char *const devices[] = {"cedar-1=027D01@192.0.2.5",
                                   "cedar-2=027d1F@id:FE000077000002D6717BA457A200000001", NULL};
    struct erabi_el_settings s;
    assert_int_equal(settings(devices, &s), 0);
    assert_int_equal(s.n_devices, 2);
    assert_int_equal(s.devices[1].eoj, 0x027D1F);
    assert_true(s.devices[1].by_id);
    assert_int_equal(s.poll_ms, 10000);
    assert_int_equal(s.tries, 3);
}

static void wrong_device_entries_are_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "cedar-1",
                                        "cedar-1=027D01",
                                        "cedar-1=027D01@",
                                        "cedar-1=027D01@host",
                                        "cedar-1=027D00@192.0.2.5",
                                        "cedar-1=027D80@192.0.2.5",
                                        "cedar-1=027901@192.0.2.5",
                                        "Cedar=027D01@192.0.2.5",
                                        "cedar-1=27D01@192.0.2.5",
                                        "cedar-1=027D01@id:FE",
                                        "cedar-1=027D01@0.0.0.0"};
    struct erabi_el_settings s;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *const devices[] = {wrong[i], NULL};
        assert_int_equal(settings(devices, &s), -EINVAL);
        assert_string_equal(told.option, "devices"); /* so that its line is found, and the item's */
        assert_int_equal(told.item, 1);
    }
    const char *const none[] = {NULL};
    assert_int_equal(settings(none, &s), -EINVAL);
    assert_string_equal(told.option, "devices");
    assert_int_equal(told.item, 0);
}

static void device_given_twice_is_refused(void **state)
{
    struct erabi_el_settings s;
    const char *const party[] = {"cedar-1=027D01@192.0.2.5", "cedar-1=027D02@192.0.2.5", NULL};
    const char *const object[] = {"cedar-1=027D01@192.0.2.5", "cedar-2=027D01@192.0.2.5", NULL};
    assert_int_equal(settings(party, &s), -EINVAL);
    assert_int_equal(settings(object, &s), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charge_sets_amount_and_method_before_the_mode),
        cmocka_unit_test(discharge_uses_its_own_properties),
        cmocka_unit_test(remote_mark_comes_first_in_every_frame_where_settable),
        cmocka_unit_test(standby_auto_and_restore_set_the_mode_alone),
        cmocka_unit_test(power_outside_the_devices_range_is_refused),
        cmocka_unit_test(unknown_range_and_unsettable_power_are_not_supported),
        cmocka_unit_test(battery_whose_mode_cannot_be_set_supports_nothing),
        cmocka_unit_test(actions_of_other_devices_are_not_supported),
        cmocka_unit_test(reading_scales_values_and_takes_the_range),
        cmocka_unit_test(range_without_data_becomes_unknown),
        cmocka_unit_test(charge_above_a_hundred_percent_is_no_data),
        cmocka_unit_test(value_of_a_wrong_size_is_not_read),
        cmocka_unit_test(only_mode_state_and_power_together_show_that_it_follows),
        cmocka_unit_test(going_back_must_leave_what_was_ordered),
        cmocka_unit_test(options_take_addresses_and_ids),
        cmocka_unit_test(wrong_device_entries_are_refused),
        cmocka_unit_test(device_given_twice_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
