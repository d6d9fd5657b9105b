/* erab-story ROLE OPTION...: the example parties of the demo. */
#include <stdio.h>
#include <string.h>

#include "party.h"

static const struct story_role *const roles[] = {&story_coordinator_direct, &story_coordinator_rest, &story_aggregator,
                                                 &story_retailer, &story_gateway};

static void usage(FILE *to)
{
    fputs("usage: erab-story ROLE --key FILE --endpoint E --server-key HEX --hub PARTY [OPTION...]\n\n"
          "roles\n"
          "  coordinator-direct  takes orders of --up (the TSO), gives them to its one --member\n"
          "  coordinator-rest    takes orders of --up (the direct part), divides them over --ra PARTY=WEIGHT...\n"
          "  aggregator          divides over --home GATEWAY[=WEIGHT]... and --fleet NUMBER simulated homes\n"
          "  gateway             passes commands of --up to --device on R5\n"
          "  retailer            sends a plan to --up, then a command to --device, which must be refused\n\n"
          "options\n"
          "  --key FILE            identity, as `erab key new` writes it\n"
          "  --endpoint E          of the broker, with --server-key HEX and --hub PARTY (the broker's owner)\n"
          "  --as PARTY            the party spoken for, when it is not the key's own\n"
          "  --local               an application of the broker's owner: the broker signs\n"
          "  --trust PARTY=HEX     whose signatures are believed, with the public signing key\n"
          "  --up PARTY            the neighbour above\n"
          "  --device PARTY        the device below\n"
          "  --r5-endpoint E       the gateway's second connection, with --r5-server-key HEX and [--r5-hub PARTY]\n"
          "  --resource NAME       name of what is reported upward [the party's own]\n"
          "  --report-ms N         between reports [1000]\n"
          "  --timeout-ms N        how long the retailer waits for answers [10000]\n\n"
          "One JSON object a line on standard output tells each event. Ends on SIGTERM.\n"
          "Exit codes: 0 done, 1 failed, 2 usage.\n",
          to);
}

int main(int argc, char **argv)
{
    struct story_options options;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const struct story_role *role = NULL;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(argv[1], roles[i]->name) == 0)
            role = roles[i];
    if (!role) {
        fprintf(stderr, "erab-story: there is no role %s; see erab-story --help\n", argv[1]);
        return 2;
    }
    int r = story_options_parse(&options, argc - 2, argv + 2);
    if (r > 0)
        usage(stdout);
    return r ? (r < 0 ? 2 : 0) : story_party_run(role, &options);
}
