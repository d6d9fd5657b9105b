/* Load generators for scripts/bench: the same work for our broker, a bare CURVE ROUTER, nats-server and mosquitto.
 *   load flood|roundtrip|fanout|idle|durable SYSTEM PORT SECRET SERVER_PID NAME=NUMBER...
 *   load config FOLDER PROFILE MEMBERS      writes our broker's folder, prints its server key
 *   load verify                             signatures that one core verifies in a second
 * SECRET: the server key in hex (ours, bare), or the folder of certificates (nats, mosquitto). Prints one JSON object. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    unsigned usual;
} settings[] = {[SENDERS] = {"senders", 200}, [MESSAGES] = {"messages", 100000}, [PACK] = {"pack", 1},
                [WINDOW] = {"window", 2048},  [RATE] = {"rate", 0},              [PEERS] = {"peers", 1000},
                [ROUNDS] = {"rounds", 9},     [COMMANDS_US] = {"commands-us", 0}, [SETTINGS] = {NULL, 0}};

unsigned setting[SETTINGS];

static void read_settings(int argc, char **argv)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        setting[i] = settings[i].usual;
    for (int a = 0; a < argc; a++) {
        bool known = false;
        for (unsigned i = 0; i < SETTINGS; i++) {
            size_t n = strlen(settings[i].name);
            if (strncmp(argv[a], settings[i].name, n) != 0 || argv[a][n] != '=')
                continue;
            setting[i] = (unsigned)strtoul(argv[a] + n + 1, NULL, 10);
            known = true;
        }
        if (!known)
            die("what is %s?", argv[a]);
    }
}

uint64_t server_cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        die("no CPU time of process %d", pid);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

size_t server_memory(int pid)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%lu %lu", &size, &resident) != 2)
        die("cannot read %s", path);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void print_percentiles(const char *prefix, uint32_t *tenth_us, size_t n)
{
    if (n == 0) {
        printf(", \"%sn\": 0", prefix);
        return;
    }
    qsort(tenth_us, n, sizeof(*tenth_us), by_size);
    printf(", \"%sn\": %zu, \"%sp50_us\": %.1f, \"%sp99_us\": %.1f, \"%smax_us\": %.1f", prefix, n, prefix,
           tenth_us[n / 2] / 10.0, prefix, tenth_us[n * 99 / 100] / 10.0, prefix, tenth_us[n - 1] / 10.0);
}

/* How many signatures one core verifies: the ceiling of what must be signed. */
static int verify(void)
{
    struct erab_identity identity = {0};
    struct order order;
    party_identity(0, &identity);
    order_make(&order, 1, 1, identity.sign_secret);
    uint64_t begin = mono_ns(), n = 0;
    while (mono_ns() - begin < 500000000)
        for (int i = 0; i < 100; i++, n++)
            if (!erabi_envelope_verify(order.envelope.header, order.envelope.body, order.envelope.signature,
                                       identity.sign_public))
                die("a signature that does not verify");
    printf("{\"per_second\": %.0f}\n", (double)n / ((double)(mono_ns() - begin) / 1e9));
    return 0;
}

static const struct {
    const char *name;
    void (*run)(const struct world *w, int pid);
} modes[] = {{"flood", run_flood}, {"roundtrip", run_roundtrip}, {"fanout", run_fanout}, {"idle", run_idle},
             {"durable", run_durable}};

static enum kind kind_of(const char *name)
{
    static const char *const names[] = {"ours", "bare", "nats", "mosquitto"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum kind)i;
    die("no system %s", name);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct world w = {.host = "127.0.0.1"};
    if (sodium_init() < 0)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc == 5 && strcmp(argv[1], "config") == 0)
        return config_write(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    if (argc == 2 && strcmp(argv[1], "verify") == 0)
        return verify();
    if (argc < 6) {
        fputs("usage: load flood|roundtrip|fanout|idle|durable SYSTEM PORT SECRET SERVER_PID NAME=NUMBER...\n", stderr);
        return 2;
    }
    w.kind = kind_of(argv[2]);
    w.port = (unsigned)strtoul(argv[3], NULL, 10);
    w.certificates = argv[4];
    if (w.kind <= BARE && erab_key_parse(argv[4], w.server_key) < 0)
        die("%s is no key", argv[4]);
    read_settings(argc - 6, argv + 6);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(&w, atoi(argv[5]));
            return 0;
        }
    die("no mode %s", argv[1]);
}
