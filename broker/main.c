/* erabd: arguments, signals, and the loop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <sodium.h>

#include "broker.h"

static const char usage[] = "erabd -c FILE        run the broker of this configuration\n"
                            "erabd -t -c FILE     check the configuration and exit\n"
                            "erabd --help | --version\n"
                            "\n"
                            "Exit codes: 0 done, 1 refused or check failed, 2 usage.\n";

static void on_signal(uv_signal_t *handle, int number)
{
    erabi_broker_stop(handle->data);
    uv_close((uv_handle_t *)handle, NULL);
}

static int check(const char *path)
{
    struct erabi_config_errors errors = {0};
    struct erabi_config *config = NULL;
    struct erabi_profile *profile = NULL;
    int r = erabi_config_load(&config, path, &errors);
    if (r == 0)
        r = erabi_profile_load(&profile, config->profile, &errors);
    if (r == 0)
        r = erabi_broker_check_policies(config, path, &errors);
    if (r < 0)
        erabi_broker_print_errors(&errors);
    else
        printf("%s: good\n", path);
    erabi_profile_free(profile);
    erabi_config_free(config);
    return r < 0 ? 1 : 0;
}

static int serve(const char *path)
{
    static struct erabi_broker broker;
    static uv_signal_t signals[2];
    static const int numbers[2] = {SIGTERM, SIGINT};
    uv_loop_t *uv = uv_default_loop();
    if (erabi_broker_start(&broker, uv, path) < 0)
        return 1;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(uv, &signals[i]);
        signals[i].data = &broker;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&signals[i]);
    }
    fprintf(stderr, "erabd: %s is ready\n", broker.owner.party);
    uv_run(uv, UV_RUN_DEFAULT);
    erabi_broker_deinit(&broker);
    uv_library_shutdown();
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool only_check = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "-t") == 0) {
            only_check = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("erabd " ERAB_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        } else {
            fprintf(stderr, "erabd: what is %s?\n\n%s", argv[i], usage);
            return 2;
        }
    }
    if (!path) {
        fputs(usage, stderr);
        return 2;
    }
    /* Secrets never reach a core dump, and a peer that is gone is an error code, not a signal. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* a new configuration takes a restart */
    if (sodium_init() < 0)
        return 1;
    return only_check ? check(path) : serve(path);
}
