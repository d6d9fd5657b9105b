#include <stdio.h>

#include <erab/identity.h>

#include "cli.h"

static void show(const struct cli *cli, const struct erab_identity *identity)
{
    char curve[65], sign[65];
    erab_key_text(identity->curve_public, curve);
    erab_key_text(identity->sign_public, sign);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "party", identity->party, "curve_public", curve,
                            "sign_public", sign));
    else
        printf("party: %s\ncurve_public: %s\nsign_public: %s\n", identity->party, curve, sign);
}

int cli_key_new(const struct cli *cli)
{
    struct erab_identity identity;
    char error[512] = "";
    if (erab_identity_generate(&identity, cli->words[0]) < 0)
        return cli_refuse(cli, EXIT_REFUSED, "not a party id; right would be: a-z, 0-9, '.', '-', at most 63");
    int r = erab_identity_save(&identity, cli->words[1], error, sizeof(error));
    if (r == 0)
        show(cli, &identity);
    erab_identity_wipe(&identity);
    return r < 0 ? cli_refuse(cli, EXIT_REFUSED, error) : EXIT_DONE;
}

int cli_key_show(const struct cli *cli)
{
    struct erab_identity identity;
    char error[512] = "";
    if (erab_identity_load(&identity, cli->words[0], error, sizeof(error)) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    show(cli, &identity);
    erab_identity_wipe(&identity);
    return EXIT_DONE;
}
