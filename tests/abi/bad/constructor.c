/* Its constructor looks around, before anything of it is called. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((constructor)) static void look_around(void)
{
    int fd = open("/etc/passwd", O_RDONLY);
    printf("constructor: read: %s\n", fd < 0 ? strerror(errno) : "done");
    fd = open("/tmp/erab-constructor", O_WRONLY | O_CREAT, 0600);
    printf("constructor: write: %s\n", fd < 0 ? strerror(errno) : "done");
    fd = socket(AF_INET, SOCK_STREAM, 0);
    printf("constructor: socket: %s\n", fd < 0 ? strerror(errno) : "done");
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    printf("constructor: fork: %s\n", pid < 0 ? strerror(errno) : "done");
}
#include "good.h"
