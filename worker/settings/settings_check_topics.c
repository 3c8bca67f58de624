#include <string.h>

#include "settings/settings_check.h"

/* Kafka's own rule for names. */
static enum status check_topic(const char *topic, const char *key, const struct settings_entries *entries, struct error *err)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(topic);
    if (length <= 249 && strspn(topic, valid) == length && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0)
        return STATUS_OK;
    return REFUSE(err, "%s: worker.%s: \"%.40s\" is no topic's name: 1 to 249 of a-z A-Z 0-9 . _ -", settings_entries_where(entries, "worker", key), key, topic);
}

/* Records of the other topics aren't control records. */
static enum status check_control_topic(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *const others[][2] = {{settings->worker.jobs_topic, "jobs_topic"}, {settings->worker.replies_topic, "replies_topic"},
                                     {settings->worker.dead_topic, "dead_topic"}, {settings->worker.deltas_topic, "deltas_topic"}};
    const char *topic = settings->worker.control_topic;
    if (topic == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(topic, others[i][0]) == 0)
            return REFUSE(err, "%s: worker.control_topic: must differ from worker.%s (%s)", settings_entries_where(entries, "worker", "control_topic"),
                          others[i][1], settings_entries_where(entries, "worker", others[i][1]));
    return check_topic(topic, "control_topic", entries, err);
}

/* Replies on the jobs' topic would become dead letters without end; control records are for the workers. */
static enum status check_reply_topic(const char *topic, const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *const refused[][2] = {{settings->worker.jobs_topic, "jobs_topic"}, {settings->worker.control_topic, "control_topic"}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (refused[i][0] != NULL && strcmp(topic, refused[i][0]) == 0)
            return REFUSE(err, "%s: worker.reply_topics_allowed: must not name worker.%s (%s)", settings_entries_where(entries, "worker", "reply_topics_allowed"),
                          refused[i][1], topic);
    return check_topic(topic, "reply_topics_allowed", entries, err);
}

enum status settings_check_topics(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (check_topic(settings->worker.jobs_topic, "jobs_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.replies_topic, "replies_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.dead_topic, "dead_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.deltas_topic, "deltas_topic", entries, err) != STATUS_OK ||
        check_control_topic(settings, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    for (char *const *topic = settings->worker.reply_topics_allowed; *topic != NULL; topic++)
        if (check_reply_topic(*topic, settings, entries, err) != STATUS_OK)
            return STATUS_FAILED;
    /* Each dead letter would come back as a job, and make the next. */
    const struct {
        const char *topic, *key;
    } others[] = {{settings->worker.replies_topic, "replies_topic"}, {settings->worker.dead_topic, "dead_topic"}, {settings->worker.deltas_topic, "deltas_topic"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *key = others[i].key;
        if (strcmp(settings->worker.jobs_topic, others[i].topic) != 0)
            continue;
        return REFUSE(err, "%s: worker.%s: must differ from worker.jobs_topic (%s)", settings_entries_where(entries, "worker", key), key,
                      settings_entries_where(entries, "worker", "jobs_topic"));
    }
    return STATUS_OK;
}
