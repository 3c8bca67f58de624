/* Which thread's silence is too long, in looks of the judge. */
#include <criterion/criterion.h>

#include "telemetry/watchdog.h"

enum { BOUND = 2000, LONG = 100 * 1000 * 1000 };

static const struct settings settings = {.worker = {.stuck_after_ms = BOUND}, .redis = {.timeout_ms = 100}};

/* So many looks, each on time. */
static void looks(struct watchdog *watchdog, int count)
{
    for (int i = 0; i < count; i++)
        watchdog_look(watchdog, (watchdog->looked_ms != 0 ? watchdog->looked_ms : 1000) + WATCHDOG_LOOK_MS);
}

/* Looks it takes for a silence of that thread to be too long. */
static int patience(enum watched thread)
{
    return (int)((watchdog_stuck_after_ms(thread, &settings) + WATCHDOG_LOOK_MS - 1) / WATCHDOG_LOOK_MS);
}

Test(watchdog, each_thread_that_says_nothing_is_found_and_no_other)
{
    for (int thread = 0; thread < WATCHED_COUNT; thread++) {
        struct watchdog watchdog = {0};
        watchdog_feed((enum watched)thread);
        looks(&watchdog, 1);
        looks(&watchdog, patience((enum watched)thread) - 1);
        cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_COUNT, "%s has time", watchdog_name((enum watched)thread));
        looks(&watchdog, 1);
        cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), (enum watched)thread, "%s", watchdog_name((enum watched)thread));
        watchdog_feed((enum watched)thread);
        looks(&watchdog, 1);
        cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_COUNT, "%s goes on", watchdog_name((enum watched)thread));
        looks(&watchdog, 1);
        watchdog_rest((enum watched)thread);
        looks(&watchdog, 100000);
        cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_COUNT, "%s has nothing to do", watchdog_name((enum watched)thread));
    }
}

Test(watchdog, a_process_that_was_stopped_is_not_stuck)
{
    struct watchdog watchdog = {0};
    watchdog_feed(WATCHED_INTAKE);
    looks(&watchdog, 2);
    watchdog_look(&watchdog, watchdog.looked_ms + LONG);
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_COUNT, "no look went on meanwhile");
    looks(&watchdog, patience(WATCHED_INTAKE));
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_INTAKE, "it never went on");
    watchdog_rest(WATCHED_INTAKE);
}

Test(watchdog, what_waits_for_kafka_is_excused_while_kafka_is_away_and_nothing_else_is)
{
    struct watchdog watchdog = {0};
    watchdog_feed(WATCHED_TRANSACTIONS);
    looks(&watchdog, 1 + patience(WATCHED_TRANSACTIONS));
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, BOUND), WATCHED_COUNT, "the broker is back, not for long");
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, LONG), WATCHED_TRANSACTIONS);
    watchdog_rest(WATCHED_TRANSACTIONS);
    watchdog_feed(WATCHED_COMPLETION);
    looks(&watchdog, 1 + patience(WATCHED_COMPLETION));
    cr_expect_eq(watchdog_stuck(&watchdog, &settings, 0), WATCHED_COMPLETION);
    watchdog_rest(WATCHED_COMPLETION);
}

Test(watchdog, a_silence_is_too_long_beyond_the_longest_call_and_the_bound)
{
    for (int thread = 0; thread < WATCHED_COUNT; thread++)
        cr_expect_eq(watchdog_stuck_after_ms((enum watched)thread, &settings) - watchdog_silence_ms((enum watched)thread, &settings),
                     thread == WATCHED_TRANSACTIONS ? 0 : BOUND, "%s", watchdog_name((enum watched)thread));
}

/* Longer time-outs of Kafka's client apply to chat-txn, too. */
Test(watchdog, a_transaction_s_call_may_take_as_long_as_the_client_may)
{
    struct kafka_property properties[] = {{.name = "socket.timeout.ms", .value = "600000"}, {.name = "reconnect.backoff.max.ms", .value = "70000"},
                                          {.name = "transaction.timeout.ms", .value = "50000"}};
    struct settings patient = settings;
    patient.kafka.properties = properties;
    patient.kafka.property_count = 3;
    cr_expect_geq(watchdog_stuck_after_ms(WATCHED_TRANSACTIONS, &settings), 60000 + 10000 + KAFKA_TRANSACTION_TIMEOUT_MS, "librdkafka's defaults, and ours");
    cr_expect_geq(watchdog_stuck_after_ms(WATCHED_TRANSACTIONS, &patient), 600000 + 70000 + 50000);
}

/* Longer than the longest call of each, with the time-outs from the settings. */
Test(watchdog, a_slow_redis_makes_nobody_stuck_who_waits_for_it)
{
    static const enum watched asks_redis[] = {WATCHED_TIMEKEEPER, WATCHED_RENEWER, WATCHED_BEGIN, WATCHED_COMPLETION};
    struct settings slow = settings;
    slow.redis.timeout_ms = 60000;
    for (size_t i = 0; i < sizeof asks_redis / sizeof *asks_redis; i++)
        cr_expect_geq(watchdog_silence_ms(asks_redis[i], &slow), 3 * slow.redis.timeout_ms, "%s: a connection awaited, made, and an answer", watchdog_name(asks_redis[i]));
}
