/* A program with a broker inside: the broker runs in a thread of its own, the program does what it is there for (here:
 * it waits for a signal). Reads `embed CONFIG`; SIGHUP reloads, SIGINT and SIGTERM end it. */
#include <signal.h>
#include <stdio.h>

#include <erab/broker.h>

static void on_log(void *user, enum erab_broker_line kind, const char *text)
{
    (void)user;
    (void)kind;
    fprintf(stderr, "broker: %s\n", text);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CONFIG\n", argv[0]);
        return 2;
    }
    /* Signals are the program's own business; blocked before the first thread, so that only sigwait sees them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    struct erab_broker_options options = {.size = sizeof(options), .config = argv[1], .log = on_log};
    struct erab_broker *broker;
    if (erab_broker_new(&broker, &options) < 0)
        return 1;
    int result = erab_broker_start(broker);
    if (result == 0) {
        const char *local = erab_broker_endpoint(broker, ERAB_IF_NONE, 0);
        printf("the broker of %s is up; applications connect to %s\n", erab_broker_owner(broker),
               local ? local : "no local endpoint");
        fflush(stdout);
        int number;
        while (sigwait(&signals, &number) == 0 && number == SIGHUP)
            erab_broker_reload(broker);
        erab_broker_stop(broker);
    }
    erab_broker_free(broker);
    return result < 0;
}
