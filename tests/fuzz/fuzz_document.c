/* The document that the runner reads before anything else. */
#include "fuzz_file.h"
#include "runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct document document;
    struct erab_error error = {.size = sizeof error};
    document = (struct document){0};
    int fd = fuzz_file(data, size, NULL);
    runner_document_read(&document, fd, &error);
    runner_document_deinit(&document);
    close(fd);
    return 0;
}
