/* A key file and an invitation: no complaint shows bytes that a terminal would obey. */
#include <erab/identity.h>
#include <erab/invitation.h>

#include "fuzz_file.h"

static void plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct erab_identity identity;
    struct erab_invitation invitation;
    char path[] = "/tmp/erab-fuzz-XXXXXX", error[256] = "";
    int fd = fuzz_file(data, size, NULL), file = mkstemp(path);
    if (erab_identity_load_fd(&identity, fd, error, sizeof(error)) == 0)
        erab_identity_wipe(&identity);
    plain(error);
    if (file < 0 || write(file, data, size) != (ssize_t)size)
        abort();
    error[0] = '\0';
    if (erab_invitation_load(&invitation, path, error, sizeof(error)) == 0)
        erab_invitation_wipe(&invitation);
    plain(error);
    unlink(path);
    close(file);
    close(fd);
    return 0;
}
