/* Who pays for a job. */
#include "quota/tenant.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"

Test(tenant, a_tenant_is_a_string_of_the_metadata)
{
    static const struct {
        const char *metadata, *tenant;
    } rows[] = {{NULL, NULL},
                {"null", NULL},
                {"[\"tenant\"]", NULL},
                {"{}", NULL},
                {"{\"tenant\":\"acme\"}", "acme"},
                {"{ \"a\" : {\"tenant\":\"inner\"} , \"tenant\" : \"acme\" }", "acme"},
                {"{\"tenant\":\"\"}", NULL},
                {"{\"tenant\":7}", NULL},
                {"{\"tenant\":[\"a\"]}", NULL},
                {"{\"tenant\":\"a\\\"b\\u00fc\"}", "a\"bü"},
                {"{\"tenant\":\"a\\u0000b\"}", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job job = {.metadata = (char *)(uintptr_t)rows[i].metadata};
        AUTO_FREE char *tenant = tenant_of(&job, "tenant");
        cr_expect(rows[i].tenant == NULL ? tenant == NULL : tenant != NULL && strcmp(tenant, rows[i].tenant) == 0, "%s: %s", rows[i].metadata, tenant);
    }
}

Test(tenant, a_long_name_goes_by_its_hash)
{
    char metadata[400] = "{\"tenant\":\"";
    size_t start = strlen(metadata);
    memset(metadata + start, 'x', TENANT_BYTES_MAX);
    strcpy(metadata + start + TENANT_BYTES_MAX, "\"}");
    struct job job = {.metadata = metadata};
    AUTO_FREE char *longest = tenant_of(&job, "tenant");
    cr_assert_eq(strlen(longest), TENANT_BYTES_MAX);
    strcpy(metadata + start + TENANT_BYTES_MAX, "y\"}");
    AUTO_FREE char *one = tenant_of(&job, "tenant");
    metadata[start + TENANT_BYTES_MAX] = 'z';
    AUTO_FREE char *other = tenant_of(&job, "tenant");
    cr_assert(strncmp(one, "xxh3:", 5) == 0 && strlen(one) == 5 + 32 && strcmp(one, other) != 0);
}
