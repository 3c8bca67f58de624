#include <stdlib.h>
#include <string.h>

#include "settings/settings_check.h"

static int64_t number_of(const struct settings *settings, const char *property, int64_t otherwise)
{
    const char *text = settings_kafka_property(settings, property);
    return text ? strtoll(text, NULL, 10) : otherwise; /* librdkafka refuses a malformed number */
}

/* Settings that would break the guarantee of transactions. */
static enum status check_exactly_once(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    static const char *const message_timeouts[] = {"message.timeout.ms", "delivery.timeout.ms"};
    const char *isolation = settings_kafka_property(settings, "isolation.level");
    int64_t timeout_ms = number_of(settings, "transaction.timeout.ms", KAFKA_TRANSACTION_TIMEOUT_MS);
    if (strcmp(settings->kafka.bootstrap_servers, "embedded") == 0)
        return REFUSE(err, "%s: worker.delivery: exactly-once needs a real Kafka: the embedded one doesn't hide what was aborted; give kafka.bootstrap.servers, or use at-least-once",
                      settings_entries_where(entries, "worker", "delivery"));
    if (isolation != NULL && strcmp(isolation, "read_committed") != 0)
        return REFUSE(err, "%s: kafka.isolation.level: can only be read_committed with worker.delivery = exactly-once: what may yet be aborted must not be read; leave it out",
                      settings_entries_where(entries, "kafka", "isolation.level"));
    for (size_t i = 0; i < sizeof message_timeouts / sizeof *message_timeouts; i++) {
        int64_t message_ms = number_of(settings, message_timeouts[i], timeout_ms);
        if (message_ms <= 0 || message_ms > timeout_ms)
            return REFUSE(err, "%s: kafka.%s: must be from 1 to transaction.timeout.ms (%lld) with worker.delivery = exactly-once; leave it out",
                          settings_entries_where(entries, "kafka", message_timeouts[i]), message_timeouts[i], (long long)timeout_ms);
    }
    if (settings->worker.transaction_ms > timeout_ms / 2)
        return REFUSE(err, "%s: worker.transaction_ms: %lld is above half of kafka.transaction.timeout.ms (%lld): the broker would abort what is still gathering; lower it",
                      settings_entries_where(entries, "worker", "transaction_ms"), (long long)settings->worker.transaction_ms, (long long)timeout_ms);
    return STATUS_OK;
}

enum status settings_check_delivery(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (settings_kafka_property(settings, "transactional.id") != NULL)
        return REFUSE(err, "%s: kafka.transactional.id: is the worker's to set, from group.id and group.instance.id; leave it out, and choose worker.delivery",
                      settings_entries_where(entries, "kafka", "transactional.id"));
    return settings->worker.delivery == DELIVERY_EXACTLY_ONCE ? check_exactly_once(settings, entries, err) : STATUS_OK;
}
