#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli.h"
#include "config/topology.h"

int cli_topology_check(const struct cli *cli)
{
    size_t n = (size_t)cli->n;
    _free_ struct erabi_config_errors *errors = calloc(1, sizeof(*errors));
    _free_ struct erabi_topology_end *ends = calloc(n, sizeof(*ends));
    if (!errors || !ends)
        return cli_refuse(cli, EXIT_REFUSED, "no memory");
    bool good = true;
    for (size_t i = 0; i < n; i++)
        good = erabi_topology_end_load(&ends[i], cli->words[i], errors) == 0 && good;
    if (good) /* ends that cannot be read cannot be compared */
        good = erabi_topology_check(ends, n, errors);
    cli_findings(cli, good, errors, NULL);
    if (good && !cli->json)
        printf("%zu configurations fit together\n", n);
    for (size_t i = 0; i < n; i++)
        erabi_topology_end_deinit(&ends[i]);
    return good ? EXIT_DONE : EXIT_REFUSED;
}
