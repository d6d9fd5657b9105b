/* erabd: arguments, signals, and a loop around the broker of <erab/broker.h>. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <uv.h>

#include <erab/broker.h>

static const char usage[] = "erabd -c FILE        run the broker of this configuration\n"
                            "erabd -t -c FILE     check the configuration and exit\n"
                            "erabd --help | --version\n"
                            "\n"
                            "SIGHUP reads the configuration again; SIGTERM and SIGINT end the broker in order.\n"
                            "Exit codes: 0 done, 1 refused or check failed, 2 usage.\n";

struct service {
    struct erab_broker *broker;
    uv_signal_t signals[3];
};

static void on_log(void *user, enum erab_broker_line kind, const char *text)
{
    fprintf(stderr, "%s%s\n", kind == ERAB_BROKER_FINDING ? "" : "erabd: ", text);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct service *service = handle->data;
    if (number == SIGHUP)
        erab_broker_reload(service->broker);
    else
        erab_broker_detach(service->broker, NULL, NULL);
}

static int check(const struct erab_broker_options *options)
{
    if (erab_broker_check(options) < 0)
        return 1;
    printf("%s: good\n", options->config);
    return 0;
}

static int serve(const struct erab_broker_options *options)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    struct service service = {0};
    uv_loop_t *uv = uv_default_loop();
    if (erab_broker_new(&service.broker, options) < 0)
        return 1;
    int r = erab_broker_attach(service.broker, uv);
    if (r < 0)
        erab_broker_detach(service.broker, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(uv, &service.signals[i]);
        service.signals[i].data = &service;
        uv_signal_start(&service.signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&service.signals[i]);
    }
    if (r == 0)
        fprintf(stderr, "erabd: %s is ready\n", erab_broker_owner(service.broker));
    uv_run(uv, UV_RUN_DEFAULT);
    erab_broker_free(service.broker);
    uv_library_shutdown();
    return r < 0;
}

int main(int argc, char **argv)
{
    struct erab_broker_options options = {.size = sizeof(options), .log = on_log};
    bool only_check = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            options.config = argv[++i];
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
    if (!options.config) {
        fputs(usage, stderr);
        return 2;
    }
    /* Secrets never reach a core dump, and a peer that is gone is an error code, not a signal. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    return only_check ? check(&options) : serve(&options);
}
