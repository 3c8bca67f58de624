#include <criterion/criterion.h>

#include "llm/retry_policy.h"

#define NOW_MS 1445412420000 /* Wed, 21 Oct 2015 07:27:00 GMT */

static const struct retry_settings_view settings = {.backoff_ms = 500, .backoff_max_ms = 8000};

Test(retry_after, is_read_in_milliseconds_before_seconds)
{
    cr_expect_eq(retry_after_parse("1500", "7", NOW_MS), 1500);
    cr_expect_eq(retry_after_parse(NULL, "7", NOW_MS), 7000);
    cr_expect_eq(retry_after_parse(NULL, " 0.25 ", NOW_MS), 250);
    cr_expect_eq(retry_after_parse("soon", "7", NOW_MS), 7000, "an unreadable first header leaves the second");
    cr_expect_eq(retry_after_parse("0", NULL, NOW_MS), 0);
}

Test(retry_after, is_read_as_an_http_date)
{
    cr_expect_eq(retry_after_parse(NULL, "Wed, 21 Oct 2015 07:28:00 GMT", NOW_MS), 60000);
    cr_expect_eq(retry_after_parse(NULL, "Wednesday, 21-Oct-15 07:28:00 GMT", NOW_MS), 60000);
    cr_expect_eq(retry_after_parse(NULL, "Wed Oct 21 07:28:00 2015", NOW_MS), 60000);
    cr_expect_eq(retry_after_parse(NULL, "Wed, 21 Oct 2015 07:26:00 GMT", NOW_MS), -1, "a date gone by asks nothing");
}

Test(retry_after, absent_unreadable_and_negative_ask_nothing)
{
    static const char *const bad[] = {"", " ", "-1", "nan", "inf", "0x10", "1e3", "1.2.3", "soon", "12 parsecs", "."};
    cr_expect_eq(retry_after_parse(NULL, NULL, NOW_MS), -1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(retry_after_parse(NULL, bad[i], NOW_MS), -1, "seconds: '%s'", bad[i]);
        cr_expect_eq(retry_after_parse(bad[i], NULL, NOW_MS), -1, "milliseconds: '%s'", bad[i]);
    }
}

Test(retry_after, a_huge_number_stays_huge)
{
    int64_t asked = retry_after_parse(NULL, "99999999999999999999999999999999", NOW_MS);
    cr_expect_gt(asked, RETRY_AFTER_OBEYED_MS_MAX);
    cr_expect_not(retry_allowed(1, 3, asked, -1));
}

Test(retry_delay, obeys_the_provider_up_to_its_bound)
{
    cr_expect_eq(retry_delay_ms(&settings, 1, 0, 0.5), 0);
    cr_expect_eq(retry_delay_ms(&settings, 1, 120000, 0.5), 120000);
    cr_expect_leq(retry_delay_ms(&settings, 1, 120001, 0.999), 500, "beyond the bound it is the backoff's turn");
}

Test(retry_delay, doubles_under_full_jitter_to_the_maximum)
{
    static const int64_t bounds[] = {500, 1000, 2000, 4000, 8000, 8000};
    for (int64_t failures = 1; failures <= 6; failures++) {
        cr_expect_eq(retry_delay_ms(&settings, failures, -1, 0.0), 0);
        cr_expect_eq(retry_delay_ms(&settings, failures, -1, 0.9999999), bounds[failures - 1]);
    }
    cr_expect_eq(retry_delay_ms(&settings, INT64_MAX, -1, 0.9999999), 8000);
    cr_expect_eq(retry_delay_ms(&settings, 0, -1, 0.9999999), 500);
    const struct retry_settings_view vast = {.backoff_ms = 1, .backoff_max_ms = INT64_MAX / 8 * 7}; /* no power of two: doubling would pass it, and overflow */
    cr_expect_eq(retry_delay_ms(&vast, 1000, -1, 0.0), 0);
    int64_t delay_ms = retry_delay_ms(&vast, 1000, -1, 0.5);
    cr_expect(delay_ms > vast.backoff_max_ms / 100 * 49 && delay_ms < vast.backoff_max_ms / 100 * 51, "%lld: half of the maximum, and no overflow", (long long)delay_ms);
    const struct retry_settings_view none = {0};
    cr_expect_eq(retry_delay_ms(&none, 3, -1, 0.9), 0);
}

Test(retry_allowed, ends_at_attempts_bound_and_word)
{
    cr_expect(retry_allowed(2, 3, -1, -1));
    cr_expect(retry_allowed(2, 3, 120000, 1));
    cr_expect_not(retry_allowed(3, 3, -1, 1));
    cr_expect_not(retry_allowed(1, 3, 120001, -1));
    cr_expect_not(retry_allowed(1, 3, -1, 0));
}
