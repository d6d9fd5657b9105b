#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "codec.h"
#include "objects.h"

static uint8_t buffer[2048];

static struct erabi_slice hex(const char *text)
{
    size_t n = 0;
    assert_int_equal(sodium_hex2bin(buffer, sizeof(buffer), text, strlen(text), " ", &n, NULL), 0);
    return erabi_slice(buffer, n);
}

static int parse(const char *text, struct erabi_el_frame *f)
{
    return erabi_el_parse(hex(text), f);
}

static void get_frame_from_the_wire_is_read(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("1081600105ff01027d016202da00cf00", &f), 0);
    assert_int_equal(f.tid, 0x6001);
    assert_int_equal(f.seoj, 0x05FF01);
    assert_int_equal(f.deoj, 0x027D01);
    assert_int_equal(f.esv, ERABI_EL_GET);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.property[1].epc, 0xCF);
    assert_int_equal(f.property[1].edt.size, 0);
}

static void every_service_survives_building_and_parsing(void **state)
{
    for (unsigned esv = 0; esv < 256; esv++) {
        struct erabi_el_frame f = {.tid = 7, .seoj = 0x05FF01, .deoj = 0x027D1F, .esv = (uint8_t)esv, .n = 1},
                              g;
        f.property[0] = (struct erabi_el_property){.epc = 0xDA, .edt = erabi_slice("\x42", 1)};
        uint8_t out[64];
        struct erabi_writer w = erabi_writer(out, sizeof(out));
        int e = erabi_el_build(&w, &f);
        assert_int_equal(e, erabi_el_esv_known((uint8_t)esv) ? 0 : -EINVAL);
        if (e)
            continue;
        assert_int_equal(erabi_el_parse(erabi_slice(out, w.used), &g), 0);
        assert_int_equal(g.esv, esv);
        assert_int_equal(g.deoj, 0x027D1F);
        assert_int_equal(g.property[0].edt.data[0], 0x42);
    }
}

static void sixteen_services_are_known(void **state)
{
    int n = 0;
    for (unsigned esv = 0; esv < 256; esv++)
        n += erabi_el_esv_known((uint8_t)esv);
    assert_int_equal(n, 16);
}

static void setget_carries_two_lists(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("1081000105ff01027d016e01da014202da00cf00", &f), 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.n_get, 2);
    assert_int_equal(f.property[2].epc, 0xCF);
    uint8_t out[64];
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    assert_int_equal(erabi_el_build(&w, &f), 0);
    struct erabi_slice wire = hex("1081000105ff01027d016e01da014202da00cf00");
    assert_true(erabi_slice_equal(erabi_slice(out, w.used), wire));
}

static void setget_sna_may_have_empty_lists(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("10810001027d0105ff015e0000", &f), 0);
    assert_int_equal(f.n + f.n_get, 0);
}

static void get_sna_still_gives_what_was_readable(void **state)
{
    struct erabi_el_frame f;
    struct erabi_slice v;
    assert_int_equal(parse("10814002027d0105ff015203da0143fe00cf0143", &f), 0);
    assert_int_equal(erabi_el_outcome(&f, 0xDA, &v), ERABI_EL_TAKEN);
    assert_int_equal(v.data[0], 0x43);
    assert_int_equal(erabi_el_outcome(&f, 0xFE, &v), ERABI_EL_DENIED);
    assert_int_equal(erabi_el_outcome(&f, 0xCF, &v), ERABI_EL_TAKEN);
}

static void set_sna_tells_applied_from_refused(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("10814003027d0105ff015103da00fe0100cf0142", &f), 0);
    assert_int_equal(erabi_el_outcome(&f, 0xDA, NULL), ERABI_EL_TAKEN);
    assert_int_equal(erabi_el_outcome(&f, 0xFE, NULL), ERABI_EL_DENIED);
    assert_int_equal(erabi_el_outcome(&f, 0xCF, NULL), ERABI_EL_DENIED);
}

static void property_left_out_of_an_answer_is_missing(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("10814003027d0105ff015101da00", &f), 0);
    assert_int_equal(erabi_el_outcome(&f, 0xEB, NULL), ERABI_EL_MISSING);
}

static void every_cut_of_a_frame_is_refused(void **state)
{
    const char *frame = "10814002027d0105ff015203da0143fe00cf0143";
    struct erabi_el_frame f;
    size_t n = strlen(frame) / 2;
    for (size_t i = 0; i < n; i++) {
        struct erabi_slice s = hex(frame);
        uint8_t cut[64];
        erabi_copy_bytes(cut, s.data, i);
        assert_int_equal(erabi_el_parse(erabi_slice(cut, i), &f), -EBADMSG);
    }
}

static void frame_without_properties_is_refused(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("1081401405ff01027d016200", &f), -EBADMSG);
}

static void bytes_behind_the_last_property_are_allowed(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("1081401605ff01027d016201da00ffff", &f), 0);
    assert_int_equal(f.n, 1);
}

static void other_formats_and_services_are_refused(void **state)
{
    struct erabi_el_frame f;
    assert_int_equal(parse("1082401605ff01027d016201da00", &f), -EBADMSG);
    assert_int_equal(parse("2081401605ff01027d016201da00", &f), -EBADMSG);
    assert_int_equal(parse("1081401605ff01027d016501da00", &f), -EBADMSG);
}

static void frame_that_does_not_fit_is_not_built(void **state)
{
    struct erabi_el_frame f = {.esv = ERABI_EL_GET, .n = 1};
    uint8_t out[13];
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    assert_int_equal(erabi_el_build(&w, &f), -EMSGSIZE);
}

static void answers_belong_to_their_requests(void **state)
{
    static const uint8_t pairs[][2] = {{0x60, 0x50}, {0x61, 0x71}, {0x61, 0x51}, {0x62, 0x72}, {0x62, 0x52},
                                       {0x63, 0x73}, {0x63, 0x53}, {0x6E, 0x7E}, {0x6E, 0x5E}, {0x74, 0x7A}};
    size_t n = 0;
    for (unsigned q = 0; q < 256; q++)
        for (unsigned a = 0; a < 256; a++)
            n += erabi_el_answers((uint8_t)q, (uint8_t)a);
    assert_int_equal(n, sizeof(pairs) / 2);
    for (size_t i = 0; i < n; i++)
        assert_true(erabi_el_answers(pairs[i][0], pairs[i][1]));
}

static void bitmap_form_of_a_map_is_read(void **state)
{
    static const uint8_t example[] = {0x1E, 0x41, 0x51, 0x10, 0x02, 0x00, 0x00, 0x04, 0x67,
                                      0x42, 0x62, 0x64, 0x44, 0x50, 0x50, 0x50, 0x01};
    struct erabi_el_map map;
    assert_int_equal(erabi_el_map_read(erabi_slice(example, sizeof(example)), &map), 0);
    assert_true(erabi_el_map_has(&map, 0x80));
    assert_true(erabi_el_map_has(&map, 0xE0));
    assert_true(erabi_el_map_has(&map, 0x81));
    assert_false(erabi_el_map_has(&map, 0x82));
    assert_false(erabi_el_map_has(&map, 0x01));
}

static void list_form_of_a_map_is_read(void **state)
{
    struct erabi_el_map map;
    assert_int_equal(erabi_el_map_read(hex("03 80 da ff"), &map), 0);
    assert_true(erabi_el_map_has(&map, 0xDA));
    assert_true(erabi_el_map_has(&map, 0xFF));
}

static void map_whose_count_is_wrong_is_empty(void **state)
{
    struct erabi_el_map map;
    assert_int_equal(erabi_el_map_read(hex("1F4151100200000467426264445050 5001"), &map), -EBADMSG);
    assert_false(erabi_el_map_has(&map, 0x80));
    assert_int_equal(erabi_el_map_read(hex("03 80 da"), &map), -EBADMSG);
    assert_int_equal(erabi_el_map_read(hex("02 80 80"), &map), -EBADMSG);
    assert_int_equal(erabi_el_map_read(hex("01 7f"), &map), -EBADMSG);
    assert_int_equal(erabi_el_map_read(erabi_slice(NULL, 0), &map), -EBADMSG);
}

static void instance_list_is_read_and_its_count_checked(void **state)
{
    uint32_t out[ERABI_EL_INSTANCES_MAX];
    size_t n;
    assert_int_equal(erabi_el_instances_read(hex("02 027d01 02791f"), out, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(out[1], 0x02791F);
    assert_int_equal(erabi_el_instances_read(hex("03 027d01 02791f"), out, &n), -EBADMSG);
    assert_int_equal(erabi_el_instances_read(hex("55"), out, &n), -EBADMSG);
    assert_int_equal(n, 0);
}

static void number_codes_mean_no_data(void **state)
{
    int64_t v;
    assert_int_equal(erabi_el_number(hex("fd"), ERABI_EL_U8, &v), ERABI_EL_GOOD);
    assert_int_equal(v, 253);
    assert_int_equal(erabi_el_number(hex("fe"), ERABI_EL_U8, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("fffe"), ERABI_EL_U16, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("ffffffff"), ERABI_EL_U32, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("7f"), ERABI_EL_S8, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("8000"), ERABI_EL_S16, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("80000000"), ERABI_EL_S32, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("7fffffff"), ERABI_EL_S32, &v), ERABI_EL_NO_DATA);
    assert_int_equal(erabi_el_number(hex("fffffa24"), ERABI_EL_S32, &v), ERABI_EL_GOOD);
    assert_int_equal(v, -1500);
    assert_int_equal(erabi_el_number(hex("0000"), ERABI_EL_U32, &v), ERABI_EL_BAD_SIZE);
}

static void mutated_frames_never_break_the_parser(void **state)
{
    static const uint8_t seed[] = {0x10, 0x81, 0x40, 2,    0x02, 0x7D, 1, 0x05, 0xFF, 1,    0x5E, 3,
                                   0xDA, 1,    0x43, 0xFE, 0,    0xCF, 1, 0x43, 1,    0xE4, 1,    50};
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[sizeof(seed)], out[ERABI_EL_FRAME_MAX];
        erabi_copy_bytes(bytes, seed, sizeof(seed));
        for (int k = 0; k < 3; k++) {
            random = random * 1664525u + 1013904223u;
            bytes[(random >> 8) % sizeof(seed)] = (uint8_t)(random >> 24);
        }
        struct erabi_el_frame f, g;
        if (erabi_el_parse(erabi_slice(bytes, sizeof(seed) - random % 5), &f))
            continue;
        struct erabi_writer w = erabi_writer(out, sizeof(out));
        assert_int_equal(erabi_el_build(&w, &f), 0);
        assert_int_equal(erabi_el_parse(erabi_slice(out, w.used), &g), 0);
        assert_int_equal(f.n, g.n);
        assert_int_equal(f.n_get, g.n_get);
    }
}

static enum erabi_el_own_reply own(const char *request, struct erabi_el_frame *answer)
{
    static uint8_t out[256];
    struct erabi_el_own o;
    erabi_el_own_init(&o, (const uint8_t *)"\x02\0\0\0\0\x01");
    struct erabi_el_frame f;
    assert_int_equal(parse(request, &f), 0);
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    enum erabi_el_own_reply r = erabi_el_own_answer(&o, &f, &w);
    if (r != ERABI_EL_SILENT)
        assert_int_equal(erabi_el_parse(erabi_slice(out, w.used), answer), 0);
    return r;
}

static void own_instance_list_names_the_controller(void **state)
{
    struct erabi_el_frame a;
    assert_int_equal(own("108102000ef0010ef0006201d600", &a), ERABI_EL_UNICAST);
    assert_int_equal(a.esv, ERABI_EL_GET_RES);
    assert_int_equal(a.seoj, ERABI_EL_NODE);
    assert_true(erabi_slice_equal(a.property[0].edt, erabi_slice("\x01\x05\xFF\x01", 4)));
    assert_int_equal(own("108102000ef0010ef0016301d500", &a), ERABI_EL_GROUP);
    assert_int_equal(a.esv, ERABI_EL_INF);
}

static void own_maps_are_right_and_all_they_name_is_readable(void **state)
{
    static const char *const asks[] = {"108102000ef0010ef00162019f00", "108102000ef00105ff0162019f00"};
    for (size_t i = 0; i < 2; i++) {
        struct erabi_el_frame a;
        struct erabi_el_map map;
        assert_int_equal(own(asks[i], &a), ERABI_EL_UNICAST);
        assert_int_equal(erabi_el_map_read(a.property[0].edt, &map), 0);
        for (unsigned epc = 0x80; epc < 0x100; epc++) {
            char text[40];
            snprintf(text, sizeof(text), "108102000ef001%s6201%02x00", i ? "05ff01" : "0ef001", epc);
            bool readable = own(text, &a) == ERABI_EL_UNICAST && a.esv == ERABI_EL_GET_RES;
            if (epc != 0xD5)
                assert_int_equal(readable, erabi_el_map_has(&map, (uint8_t)epc));
        }
    }
}

static void own_objects_refuse_every_set(void **state)
{
    struct erabi_el_frame a;
    assert_int_equal(own("108102000ef00105ff016101800131", &a), ERABI_EL_UNICAST);
    assert_int_equal(a.esv, ERABI_EL_SETC_SNA);
    assert_int_equal(a.property[0].edt.data[0], 0x31);
    assert_int_equal(own("108102000ef00105ff016001800131", &a), ERABI_EL_UNICAST);
    assert_int_equal(a.esv, ERABI_EL_SETI_SNA);
}

static void objects_that_are_not_here_are_met_with_silence(void **state)
{
    struct erabi_el_frame a;
    assert_int_equal(own("108102000ef001027d016201da00", &a), ERABI_EL_SILENT);
    assert_int_equal(own("108102000ef00105ff026201800000", &a), ERABI_EL_SILENT);
    assert_int_equal(own("108102000ef0010000006201800000", &a), ERABI_EL_SILENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_frame_from_the_wire_is_read),
        cmocka_unit_test(every_service_survives_building_and_parsing),
        cmocka_unit_test(sixteen_services_are_known),
        cmocka_unit_test(setget_carries_two_lists),
        cmocka_unit_test(setget_sna_may_have_empty_lists),
        cmocka_unit_test(get_sna_still_gives_what_was_readable),
        cmocka_unit_test(set_sna_tells_applied_from_refused),
        cmocka_unit_test(property_left_out_of_an_answer_is_missing),
        cmocka_unit_test(every_cut_of_a_frame_is_refused),
        cmocka_unit_test(frame_without_properties_is_refused),
        cmocka_unit_test(bytes_behind_the_last_property_are_allowed),
        cmocka_unit_test(other_formats_and_services_are_refused),
        cmocka_unit_test(frame_that_does_not_fit_is_not_built),
        cmocka_unit_test(answers_belong_to_their_requests),
        cmocka_unit_test(bitmap_form_of_a_map_is_read),
        cmocka_unit_test(list_form_of_a_map_is_read),
        cmocka_unit_test(map_whose_count_is_wrong_is_empty),
        cmocka_unit_test(instance_list_is_read_and_its_count_checked),
        cmocka_unit_test(number_codes_mean_no_data),
        cmocka_unit_test(mutated_frames_never_break_the_parser),
        cmocka_unit_test(own_instance_list_names_the_controller),
        cmocka_unit_test(own_maps_are_right_and_all_they_name_is_readable),
        cmocka_unit_test(own_objects_refuse_every_set),
        cmocka_unit_test(objects_that_are_not_here_are_met_with_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
