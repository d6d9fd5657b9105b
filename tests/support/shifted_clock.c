/* Preloaded into a program: its wall clock is off by as many milliseconds as the file ERAB_SHIFTED_CLOCK says, which may be
 * written anew at any time. The other clocks are left alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long shift_ms(void)
{
    const char *path = getenv("ERAB_SHIFTED_CLOCK");
    char text[32] = "";
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? strtoll(text, NULL, 10) : 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out)
{
    int kept = errno;
    if (syscall(SYS_clock_gettime, clock, out) < 0)
        return -1;
    if (clock == CLOCK_REALTIME) {
        long long ms = (long long)out->tv_sec * 1000 + shift_ms();
        out->tv_sec = (time_t)(ms / 1000);
    }
    errno = kept;
    return 0;
}
