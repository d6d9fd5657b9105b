/* ECHONET Lite datagrams from a hostile node: parser, builder, own objects, maps, battery readings. */
#include <stdlib.h>

#include "battery.h"
#include "objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct erabi_el_frame f, again;
    uint8_t out[4096];
    if (erabi_el_parse(erabi_slice(data, size), &f))
        return 0;
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    if (erabi_el_build(&w, &f) || erabi_el_parse(erabi_slice(out, w.used), &again) || again.n != f.n ||
        again.n_get != f.n_get)
        abort();
    struct erabi_el_own own = {{0}};
    uint8_t reply[ERABI_EL_FRAME_MAX];
    w = erabi_writer(reply, sizeof(reply));
    if (erabi_el_own_answer(&own, &f, &w) != ERABI_EL_SILENT &&
        erabi_el_parse(erabi_slice(reply, w.used), &again))
        abort();
    struct erabi_el_battery b = {0};
    struct erabi_el_reading r = {0};
    erabi_el_battery_read(&b, &f, &r);
    for (size_t i = 0; i < f.n; i++) {
        uint32_t objects[ERABI_EL_INSTANCES_MAX];
        size_t n;
        (void)erabi_el_map_read(f.property[i].edt, &b.can_set);
        (void)erabi_el_instances_read(f.property[i].edt, objects, &n);
    }
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = ERAB__V1__DEVICE_ACTION__CHARGE;
    c.has_power_w = true;
    c.power_w = (double)size;
    struct erabi_el_plan plan;
    const char *detail;
    (void)erabi_el_battery_plan(&b, &c, &plan, &detail);
    return 0;
}
