/* A line of an audit log, and a whole log that is verified and traced. */
#include "audit/line.h"
#include "audit/trace.h"
#include "audit/verify.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1};
    struct erabi_audit_line line;
    struct erabi_audit_head head;
    struct erabi_audit_result result;
    char path[64], error[256];
    if (size <= ERABI_AUDIT_LINE_MAX && !erabi_audit_line_read(&line, (const char *)data, size)) {
        erabi_audit_line_head(line.json, &head);
        json_decref(line.json);
    }
    int fd = fuzz_file(data, size, path);
    erabi_audit_verify(path, path, key, &result);
    const char *files[] = {path};
    json_t *hops = NULL;
    if (erabi_audit_trace(&hops, "a", files, 1, error, sizeof(error)) == 0)
        json_decref(hops);
    close(fd);
    return 0;
}
