/* A request on the admin socket, and an operator's statement in it. */
#include <jansson.h>

#include "fuzz_file.h"
#include "identity/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct erabi_config_operator operators[] = {{.name = "hana"}};
    static const struct erabi_config config = {.operators = operators, .n_operators = 1};
    struct erabi_statement statement;
    const char *error = NULL;
    json_t *request = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (erabi_statement_read(&statement, request, &config, "party-approve", 1000, &error) == 0)
        abort(); /* that operator has no key */
    if (!error)
        abort();
    json_decref(request);
    return 0;
}
