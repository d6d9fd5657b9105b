/* sim [--seeds N] [--from SEED] [--seed SEED] [--keep-going] [--verbose]: runs the simulated world once for each seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "world.h"

static const char usage[] =
    "usage: sim [--seeds N] [--from SEED] [--seed SEED] [--keep-going] [--verbose]\n"
    "\n"
    "Runs two brokers and their parties in simulated time over a simulated network, once for each seed, and checks\n"
    "after each run that nothing was lost, late, doubled, forged or in clear. --seed replays one run.\n"
    "\n"
    "Exit codes: 0 all held, 1 a rule was broken (the seed is named), 2 usage.\n";

/* Virtual times: the story is over, every deadline is over. */
#define STORY_US UINT64_C(31000000)
#define END_US   UINT64_C(110000000)

static int run(struct world *world, uint64_t seed, bool verbose)
{
    if (world_begin(world, seed) < 0) {
        fprintf(stderr, "sim: %s cannot be made\n", world->run);
        return -1;
    }
    story_plan(world);
    sim_run(STORY_US);
    world->quiet = true;
    sim_set_latency(5000);
    for (unsigned i = 0; i < BROKERS; i++)
        world_revive(world, i);
    sim_run(END_US);
    rules_at_end(world);
    if (verbose || world->violation[0])
        printf("seed %llu: %s%s%u sent, %u accepted, %u delivered, %u expired, %u refused, %u sent again, %u breaks, "
               "%u crashes\n",
               (unsigned long long)seed, world->violation, world->violation[0] ? "; " : "", world->count.sent,
               world->count.accepted, world->count.delivered, world->count.expired, world->count.refused,
               world->count.resent, world->count.breaks, world->count.crashes);
    fflush(stdout);
    world_end(world);
    return world->violation[0] != '\0';
}

static void remove_keys(const struct world *world)
{
    char path[300];
    static const char *const names[] = {"coordinator.rest", "alder"};
    static const char *const ends[] = {"", ".gate", ".local"};
    for (unsigned i = 0; i < PARTIES; i++) {
        snprintf(path, sizeof(path), "%s/%s.key", world->folder, world->parties[i].name);
        unlink(path);
    }
    for (unsigned i = 0; i < 6; i++) {
        snprintf(path, sizeof(path), "%s/%s%s.key", world->folder, names[i / 3], ends[i % 3]);
        unlink(path);
    }
    rmdir(world->folder);
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = 100;
    bool verbose = false, keep_going = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--keep-going") == 0) {
            keep_going = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--from") == 0) {
            from = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            from = strtoull(argv[++i], NULL, 10);
            seeds = 1;
            verbose = true;
        } else {
            fputs(usage, strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    if (sodium_init() < 0)
        return 1;
    /* In memory where that is to be had: fsync is simulated, too. */
    char folder[64] = "/dev/shm/erab-sim-XXXXXX";
    if (!mkdtemp(folder)) {
        erabi_copy_text(folder, sizeof(folder), "/tmp/erab-sim-XXXXXX");
        if (!mkdtemp(folder)) {
            perror("sim: temporary folder");
            return 1;
        }
    }
    static struct world world;
    if (world_prepare(&world, folder) < 0)
        return 1;
    world.verbose = verbose;
    uint64_t done = 0, broken = 0, last = 0;
    for (; done < seeds && (keep_going || !broken); done++) {
        if (run(&world, from + done, verbose)) {
            broken++;
            last = from + done;
        }
        if (!verbose && (done + 1) % 100 == 0)
            printf("%llu of %llu seeds\n", (unsigned long long)(done + 1), (unsigned long long)seeds);
        fflush(stdout);
    }
    remove_keys(&world);
    if (broken)
        printf("%llu of %llu seeds break a rule; sim --seed %llu runs the last one again\n", (unsigned long long)broken,
               (unsigned long long)done, (unsigned long long)last);
    else
        printf("%llu seeds, every rule held\n", (unsigned long long)done);
    return broken ? 1 : 0;
}
