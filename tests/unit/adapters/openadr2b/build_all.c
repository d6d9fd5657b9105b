/* Writes every message that the codec can build, one file a kind, for a parser that is not ours. */
#include <stdio.h>

#include "codec.h"

int main(int argc, char **argv)
{
    const struct oadr_answer answers[] = {{"rq-1", "ev <&> 1", 3, 200, NULL, true}, {"rq-1", "ev-2", 0, 460, "no", false}};
    const struct oadr_point points[] = {{1798000000250u, -1500.5, "power"}, {1798000060000u, 0, "power"}};
    const char *const pending[] = {"rr-1"};
    struct oadr_outgoing m = {
        .request_id = "q-1", .ven_id = "VEN_1", .registration_id = "reg-1", .ven_name = "\"alder\"", .code = 200,
        .description = "OK", .answers = answers, .n_answers = 2, .now_ms = 1798000000000u, .specifier_id = "telemetry-usage",
        .report_request_id = "0", .resource = "all", .rid = "power", .hertz = 50, .voltage = 200, .sampling_s = 1,
        .points = points, .n_points = 2, .pending = pending, .n_pending = 1};
    if (argc != 2)
        return 2;
    for (m.kind = OADR_QUERY_REGISTRATION; m.kind < OADR_KIND_COUNT; m.kind++) {
        struct oadr_text text;
        char path[512];
        if (erabi_oadr_build(&m, &text) < 0)
            continue;
        snprintf(path, sizeof path, "%s/%s.xml", argv[1], erabi_oadr_kind_name(m.kind));
        FILE *f = fopen(path, "w");
        if (!f || fwrite(text.data, 1, text.size, f) != text.size || fclose(f) != 0)
            return 1;
        erabi_oadr_text_free(&text);
    }
    return 0;
}
