#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "admin/admin.h"
#include "base/cleanup.h"
#include "base/cursor.h"
#include "cli.h"

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = 10};
    if (!erabi_copy_text(address.sun_path, sizeof(address.sun_path), path))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One request, one answer; NULL when the broker is not there or does not answer. Releases the request. */
json_t *cli_ask(const char *path, json_t *request)
{
    _free_ char *line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    _close_ int fd = connect_to(path);
    if (!line || fd < 0 || send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line) ||
        send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
        return NULL;
    _free_ char *answer = malloc(ERABI_ADMIN_LINE_MAX);
    for (size_t used = 0; answer && used < ERABI_ADMIN_LINE_MAX;) {
        ssize_t n = recv(fd, answer + used, ERABI_ADMIN_LINE_MAX - used, 0);
        if (n <= 0)
            return NULL;
        used += (size_t)n;
        if (answer[used - 1] == '\n')
            return json_loadb(answer, used - 1, JSON_REJECT_DUPLICATES, NULL);
    }
    return NULL;
}

static void print_members(json_t *answer)
{
    const char *name;
    json_t *value;
    json_object_foreach(answer, name, value)
    {
        if (strcmp(name, "ok") == 0)
            continue; /* the exit code says it */
        _free_ char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%s: %s\n", name, json_is_string(value) ? json_string_value(value) : text ? text : "");
    }
}

int cli_tell(const struct cli *cli, json_t *answer)
{
    if (!answer)
        return cli_refuse(cli, EXIT_UNREACHABLE, "no broker answers on this socket");
    const char *error = json_string_value(json_object_get(answer, "error"));
    bool good = json_is_true(json_object_get(answer, "ok"));
    if (!good) {
        cli_refuse(cli, EXIT_REFUSED, error ? error : "the broker refused it; its log says why");
        json_decref(answer);
    } else if (cli->json) {
        cli_print(answer);
    } else {
        print_members(answer);
        json_decref(answer);
    }
    return good ? EXIT_DONE : EXIT_REFUSED;
}
