#include "settings/settings_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/edit_distance.h"
#include "base/template.h"

#define IN(member) offsetof(struct settings, member)
#define OF(member) offsetof(struct provider_settings, member)
#define BY(member) offsetof(struct context_settings, member)
#define INT(s, k, where, low, high, u, d, p) {.section = s, .key = k, .type = SETTING_INT, .at = where, .min = low, .max = high, .unit = u, .initial = d, .prose = p}
#define INT_OR(s, k, where, low, high, u, w, d, p) {.section = s, .key = k, .type = SETTING_INT, .at = where, .min = low, .max = high, .unit = u, .word = w, .initial = d, .prose = p}
#define TEXT(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .prose = p}
#define TEXT_OR_NONE(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .may_be_empty = true, .prose = p}
#define ADDRESS(s, k, where, e, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .example = e, .required = true, .address = true, .prose = p}
#define NEEDED(s, k, where, e, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .example = e, .required = true, .prose = p}
#define SECRET(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .secret = true, .prose = p}
#define SECRET_ADDRESS(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .secret = true, .address = true, .prose = p}
#define JSON(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .json = true, .prose = p}
#define SECRET_JSON(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_TEXT, .at = where, .unit = "", .initial = d, .secret = true, .json = true, .prose = p}
#define LIST(s, k, where, d, p) {.section = s, .key = k, .type = SETTING_LIST, .at = where, .unit = "", .initial = d, .prose = p}
#define CHOICE(s, k, where, list, d, p) {.section = s, .key = k, .type = SETTING_CHOICE, .at = where, .choices = list, .unit = "", .initial = d, .prose = p}

static const char *const engines[] = {"threads", "loop", NULL};
static const char *const orderings[] = {"key", "partition", "none", NULL};
static const char *const deliveries[] = {"at-least-once", "exactly-once", NULL};
static const char *const redis_ios[] = {"batched", "per-thread", NULL};
static const char *const strategies[] = {"sequential", "hedge", "race", NULL};
static const char *const context_fetches[] = {"together", "in-turn", NULL};
static const char *const context_kinds[] = {"text", "moderation", NULL};
static const char *const context_sends[] = {"nothing", "input", "messages", NULL};
static const char *const truths[] = {"false", "true", NULL};
static const char *const streams[] = {"asked", "always", "never", NULL};
static const char *const stream_usages[] = {"asked", "left-out", NULL};
static const char *const in_flights[] = {"adaptive", "fixed", NULL};
static const char *const auths[] = {"bearer", "api-key", "none", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"logfmt", "json", NULL};

#define HOUR_MS 3600000
#define YEAR_S 31536000

const struct setting settings_table[] = {
    CHOICE("worker", "engine", IN(worker.engine), engines, "threads", "What runs the jobs. threads: a pool of synchronous threads, one job each. loop: event loops, many jobs each."),
    INT("worker", "threads", IN(worker.threads), 1, 5000, "threads", "64", "threads: jobs that may wait for an LLM at once. Throughput is at most threads divided by latency."),
    INT("worker", "loops", IN(worker.loops), 1, LOOPS_MAX, "loops", "1", "loop: event loops, a thread each. One is enough until it takes a whole processor."),
    INT("worker", "in_flight", IN(worker.in_flight), 1, 50000, "jobs", "64", "loop: jobs that may wait for an LLM at once, of all loops together. Throughput is at most in_flight divided by latency."),
    INT("worker", "calls_per_shard", IN(worker.calls_per_shard), 1, 50000, "jobs", "256", "loop: jobs whose connections share a libcurl multi handle. What a connection costs libcurl to make and to close grows with it."),
    TEXT("worker", "jobs_topic", IN(worker.jobs_topic), "chat.jobs", "Topic that jobs are read from."),
    TEXT("worker", "replies_topic", IN(worker.replies_topic), "chat.replies", "Topic that replies are written to."),
    TEXT("worker", "dead_topic", IN(worker.dead_topic), "chat.dead", "Topic for dead letters."),
    TEXT_OR_NONE("worker", "control_topic", IN(worker.control_topic), "chat.control", "Topic that every worker reads for {\"cancel\":\"JOB\"}: the job of that id ends as cancelled. Empty: none. One that isn't there is looked for again now and then."),
    TEXT("worker", "deltas_topic", IN(worker.deltas_topic), "chat.deltas", "Topic for pieces of answers that are streamed; they are best effort, the reply brings the whole."),
    LIST("worker", "reply_topics_allowed", IN(worker.reply_topics_allowed), "", "Topics that a job's kafka_replyTopic header may name, separated by commas; its kafka_replyPartition (4 bytes, big-endian) goes with it. Others are ignored and the reply goes to replies_topic."),
    CHOICE("worker", "ordering", IN(worker.ordering), orderings, "key", "What is answered strictly in turn: the jobs of one session (or key), of one partition, or nothing."),
    CHOICE("worker", "delivery", IN(worker.delivery), deliveries, "at-least-once", "The guarantee for replies. at-least-once: no job is lost; a reply may come twice after a crash. exactly-once: replies, dead letters and offsets go in Kafka transactions, so that a reader of committed records sees one reply a job record; it adds some milliseconds."),
    INT("worker", "transaction_jobs_max", IN(worker.transaction_jobs_max), 1, 100000, "jobs", "500", "exactly-once: a transaction is committed when it holds the ends of so many jobs."),
    INT("worker", "transaction_ms", IN(worker.transaction_ms), 0, 60000, "ms", "100", "exactly-once: a transaction is committed so long after its first end at the latest. At once while few jobs are in the process. At most half of kafka.transaction.timeout.ms (10 s unless given)."),
    CHOICE("worker", "redis_io", IN(worker.redis_io), redis_ios, "batched", "batched: claims and finishes of many jobs share a round trip. per-thread: each pool thread makes its own Redis calls."),
    INT("worker", "buffered_jobs_max", IN(worker.buffered_jobs_max), 1, 1000000, "jobs", "4096", "Jobs held in memory beyond those the threads have; with so many, no more records are taken. What librdkafka reads ahead (kafka.queued.min.messages) follows from it, too."),
    INT("worker", "buffered_bytes_max", IN(worker.buffered_bytes_max), 65536, 17179869184, "bytes", "67108864", "The same in bytes of memory: what a record's key, value and headers take here, and what was read of them. A larger job is let in alone. While the replies of ended jobs that Redis and Kafka haven't taken yet take half of it, no job is started. What librdkafka reads ahead of that (kafka.queued.max.messages.kbytes, unless it is set) is an eighth of it. The process stays under the bound of docs/architecture.md, Memory."),
    INT("worker", "job_bytes_max", IN(worker.job_bytes_max), 1024, 104857600, "bytes", "1048576", "A job's value beyond this is a dead letter."),
    INT("worker", "drain_timeout_ms", IN(worker.drain_timeout_ms), 0, HOUR_MS, "ms", "60000", "How long TERM waits for running jobs before it cuts them short. Below llm.deadline_ms, slow answers are lost and asked for again."),
    INT("worker", "close_timeout_ms", IN(worker.close_timeout_ms), 1000, HOUR_MS, "ms", "14000", "How long the process may take after the drain to give claims back, to commit and to leave the group. Then it ends as it is, with 75; nothing is lost. A supervisor's grace is drain_timeout_ms, this, and a second."),
    INT("worker", "revoke_drain_ms", IN(worker.revoke_drain_ms), 0, 60000, "ms", "1000", "How long running jobs of a partition that goes to another worker may take to end here. The group waits for it. Later ones are stored, and answered by the new owner."),
    INT("worker", "startup_wait_ms", IN(worker.startup_wait_ms), 0, 24 * HOUR_MS, "ms", "0", "How long to wait at start for Kafka and Redis to be there. 0: exit with 69 at once."),
    INT("worker", "commit_interval_ms", IN(worker.commit_interval_ms), 10, 60000, "ms", "1000", "How often done offsets are committed."),
    INT("worker", "stuck_after_ms", IN(worker.stuck_after_ms), 1000, 24 * HOUR_MS, "ms", "300000", "/healthz fails when a partition that the group gave this worker isn't fetched for so long, a call hasn't ended for so long beyond llm.deadline_ms, a partition's first unfinished job has waited for the same thing for as long, or a thread has said nothing for so long beyond its longest call. An outage is no reason: what waits for a provider, Redis, Kafka, a claim or a retry isn't stuck."),
    INT("worker", "gather_ms", IN(worker.gather_ms), 0, 100, "ms", "20", "How long finished jobs may wait for company on their way to Redis and Kafka, and, half as long and 20 ms at most, records on their way in, those that come one by one. A job that waits behind another of its session in this process doesn't wait for that, and nothing does while few jobs (64) are in the process. Where more may run at once (worker.threads, worker.in_flight), the broker gathers records, too, from 5 ms on, and a lone job's record waits as well: it answers once there are 64 KiB or this time has passed (kafka.fetch.min.bytes, kafka.fetch.wait.max.ms, which win)."),
    TEXT("worker", "crash_file", IN(worker.crash_file), NULL, "A file to note in which record a thread had in hand when the process crashed; one for each worker, and it must outlive the process. The next start logs it, and a record that crashed the worker twice while it was read ends as a dead letter."),
    SECRET_ADDRESS("redis", "url", IN(redis.url), "redis://127.0.0.1:6379/0", "redis://[user:password@]host[:port][/db], rediss://... for TLS, or unix:///path. One primary, or a proxy."),
    TEXT("redis", "key_prefix", IN(redis.key_prefix), "chat", "First part of every key. Two environments or groups on one Redis must differ in it."),
    INT("redis", "pool_size", IN(redis.pool_size), 1, 1024, "connections", "16", "Connections at most. A Redis call takes microseconds: 16 serve a thousand threads."),
    INT("redis", "timeout_ms", IN(redis.timeout_ms), 10, 60000, "ms", "2000", "For connecting and for each answer. At most a third of lease_ms; lowered to it unless given."),
    INT("redis", "history_turns_max", IN(redis.history_turns_max), 0, 10000, "turns", "20", "Turns of a session that are kept and sent with the next question. 0: none."),
    INT("redis", "session_ttl_s", IN(redis.session_ttl_s), 60, YEAR_S, "s", "604800", "A session's history is forgotten so long after its last turn."),
    INT("redis", "reply_ttl_s", IN(redis.reply_ttl_s), 60, YEAR_S, "s", "86400", "How long a reply is kept, so that a redelivered job isn't paid twice."),
    INT("redis", "lease_ms", IN(redis.lease_ms), 3000, 600000, "ms", "30000", "A claim ends so long after its last renewal; it is renewed every third of it, while a Redis answers within timeout_ms always in time."),
    LIST("llm", "providers", IN(llm.providers), "main", "Names of the [provider.NAME] sections to ask, by preference, separated by commas."),
    CHOICE("llm", "strategy", IN(llm.strategy), strategies, "sequential", "How several providers are asked. sequential: the next when one fails or times out. race: all at once, the first good answer wins. hedge: the next also when no answer came for hedge_after_ms, within a budget of extra calls (20 % of the questions and 10 a second; none while many fail). Losers are cut short."),
    INT_OR("llm", "hedge_after_ms", IN(llm.hedge_after_ms), 1, HOUR_MS, "ms", "auto", "auto", "hedge: how long one provider has before the next is asked too. auto: until the 95th percentile of its latest times to the first token (1,000 ms while too few are known)."),
    CHOICE("llm", "stream", IN(llm.stream), streams, "asked", "Which answers are streamed to worker.deltas_topic while they are written: those of jobs with \"stream\": true, all, or none."),
    TEXT("llm", "overflow_provider", IN(llm.overflow_provider), NULL, "Who is asked when a conversation is too long for a provider's context even without its older half: the name of a [provider.NAME] section."),
    TEXT("llm", "filter_provider", IN(llm.filter_provider), NULL, "Who is asked when a provider's content filter refuses: the name of a [provider.NAME] section."),
    INT("llm", "deadline_ms", IN(llm.deadline_ms), 100, 24 * HOUR_MS, "ms", "60000", "A question must be answered so long after its claim. A job's own deadline_ms counts from its record's timestamp, or from when it was first seen where that is missing or ahead."),
    SECRET("llm", "system_prompt", IN(llm.system_prompt), NULL, "Leads each request unless the job brings its own system message; never stored."),
    LIST("llm", "contexts", IN(llm.contexts), "", "Names of the [context.NAME] sections to fetch before each question, separated by commas. What they bring goes into the request as a system message, and is never stored."),
    CHOICE("llm", "context_fetch", IN(llm.context_fetch), context_fetches, "together", "How several contexts are fetched: together, side by side, as long as the slowest takes; or in-turn, one after the other, as long as all take."),
    SECRET("llm", "context_prompt", IN(llm.context_prompt), NULL, "The system message, with {NAME} where the text of that context goes (nothing where there is none). Not given: each text that came, below a line with its name. It follows system_prompt, or the job's own system message, in the same message."),
    LIST("llm", "models_allowed", IN(llm.models_allowed), "", "Models that a job's params may name, separated by commas."),
    INT("llm", "history_bytes_max", IN(llm.history_bytes_max), 0, 104857600, "bytes", "262144", "History sent with a question; the oldest whole turns are left out beyond it."),
    INT("llm", "response_bytes_max", IN(llm.response_bytes_max), 1024, 104857600, "bytes", "4194304", "A longer response is refused."),
    INT("llm", "max_tokens_max", IN(llm.max_tokens_max), 0, 1000000000, "tokens", "0", "The most that a job's params may name as max_tokens, max_completion_tokens, max_output_tokens, max_new_tokens or n_predict. A job beyond it is a dead letter that says so; nothing is capped silently. 0: any number."),
    TEXT("llm", "tenant_member", IN(llm.tenant_member), "tenant", "The member of a job's metadata, a string, that says who pays: for the metrics' label and the budget. Jobs without it have neither budget nor name (\"none\")."),
    INT("llm", "tenant_tokens_per_day", IN(llm.tenant_tokens_per_day), 0, 1000000000000, "tokens", "0", "How many tokens each tenant may use in one day (UTC), in all workers of this redis.key_prefix, counted in Redis. A question beyond it is refused: budget_exceeded. 0: no limit."),
    ADDRESS("provider", "url", OF(url), "http://localhost:8080/v1", "Base address of an OpenAI-compatible API, as https://host/v1. Its certificate is checked against ca_file's authorities."),
    NEEDED("provider", "model", OF(model), "my-model", "The model to ask for."),
    SECRET("provider", "api_key", OF(api_key), NULL, "The key; none: no header is sent."),
    CHOICE("provider", "auth", OF(auth), auths, "bearer", "How the key is sent: Authorization: Bearer, api-key, or not at all."),
    TEXT("provider", "api_version", OF(api_version), NULL, "Azure OpenAI: sent as ?api-version=. The url is then https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT, and auth is api-key."),
    INT("provider", "attempt_timeout_ms", OF(attempt_timeout_ms), 10, 24 * HOUR_MS, "ms", "30000", "One attempt, from connecting to the last byte."),
    INT("provider", "connect_timeout_ms", OF(connect_timeout_ms), 10, 60000, "ms", "3000", "Connecting, with DNS and TLS."),
    INT("provider", "first_token_timeout_ms", OF(first_token_timeout_ms), 0, 24 * HOUR_MS, "ms", "0", "Of a streamed answer: how long its first token may take. 0: as long as the attempt. Comments don't count."),
    INT("provider", "idle_timeout_ms", OF(idle_timeout_ms), 0, 24 * HOUR_MS, "ms", "15000", "Of a streamed answer: how long it may pause between two tokens. 0: as long as the attempt. Comments don't count."),
    CHOICE("provider", "stream", OF(stream), streams, "asked", "How this provider is asked for its answers: as a stream where a job wants pieces and whole otherwise, always as a stream (the reply is the same), or never (the whole answer is one piece then)."),
    CHOICE("provider", "stream_usage", OF(stream_usage), stream_usages, "asked", "Of a streamed answer: is its usage asked for (stream_options)? Leave it out for a server that refuses the member; usage is unknown then."),
    INT("provider", "requests_per_minute", OF(requests_per_minute), 0, 1000000000, "requests", "0", "How many questions all workers of this redis.key_prefix may send it a minute, counted in Redis. A job for which there is no room waits without a thread, or goes to the next provider that has room now. 0: no limit."),
    INT("provider", "tokens_per_minute", OF(tokens_per_minute), 0, 1000000000, "tokens", "0", "The same in tokens. A question is estimated at a quarter of its bytes and the max_tokens or max_completion_tokens it names; what was used takes the place of that afterwards. 0: no limit."),
    INT("provider", "burst_ms", OF(burst_ms), 0, HOUR_MS, "ms", "6000", "How much of a minute's requests and tokens may be used at once: 6000 is a tenth. One request at the least."),
    CHOICE("provider", "in_flight", OF(in_flight), in_flights, "adaptive", "adaptive: overload answers (its rate, 503, 529) lower how many of this worker's calls may be under way at once, good ones raise it again. fixed: in_flight_max alone says."),
    INT("provider", "in_flight_max", OF(in_flight_max), 0, 50000, "calls", "0", "How many of this worker's calls may be under way at once, whatever the provider answers. Further jobs wait in line without a thread, or go to the next provider. 0: as many as jobs run at once (threads, or in_flight)."),
    JSON("provider", "params", OF(params), NULL, "A JSON object merged into every request; the job's params win."),
    SECRET_JSON("provider", "headers", OF(headers), NULL, "A JSON object of headers that go with each request to it, 64 at most: {\"X-Title\":\"My application\"}. User-Agent takes the place of the worker's own. What the worker must set itself (Host, Content-Type and their like) is refused, as are Authorization and api-key beside an api_key."),
    SECRET_ADDRESS("provider", "proxy", OF(proxy), "none", "The proxy it is asked through: none; environment (http_proxy, https_proxy, all_proxy and no_proxy, as curl reads them); or http://, https:// or socks5h://[user:password@]host[:port] (1080, for https 443, where none is given). This machine itself (localhost, 127.0.0.0/8, ::1) is never asked through one. A proxy reads what goes to an http:// url, keys and prompts included."),
    TEXT("provider", "ca_file", OF(ca_file), NULL, "The certificates (PEM) of the authorities that may vouch for its certificate, and for an https proxy's: these and no others. Not given: those of SSL_CERT_FILE and SSL_CERT_DIR alone, where the environment names them; else the system's. It is read once, at start."),
    ADDRESS("context", "url", BY(url), "http://localhost:8081/profiles/{user}?session={session}", "Where it is fetched. {session}, {user} (the job's metadata.user, where that is a string) and {job} are filled in, percent-encoded; only behind the host. A job that brings nothing for one of them doesn't ask: it goes without, or fails where the context is required. Redirects aren't followed."),
    CHOICE("context", "kind", BY(kind), context_kinds, "text", "text: the answer goes into the prompt; it must be UTF-8. moderation: the answer is a verdict, {\"allowed\":false} or {\"results\":[{\"flagged\":true}]} for a refusal, which ends the job as moderation_refused."),
    CHOICE("context", "send", BY(send), context_sends, "nothing", "What of the job it is told. nothing: a GET. input: a POST of {\"input\":TEXT}, the text of the job's new user messages, as embedding and moderation services take it. messages: a POST of {\"job\",\"session\",\"user\",\"messages\"}, the job's new messages whole."),
    CHOICE("context", "required", BY(required), truths, "false", "Whether a job can't do without. false: one that can't be had is left out and the question is asked, for a moderation too. true: the job fails, and is tried again as after a provider's failure."),
    INT("context", "timeout_ms", BY(timeout_ms), 10, HOUR_MS, "ms", "2000", "From connecting to the last byte; less where the job has less left."),
    INT("context", "bytes_max", BY(bytes_max), 1, 16777216, "bytes", "16384", "A longer answer is left out whole, as one that failed."),
    SECRET("context", "api_key", BY(api_key), NULL, "Sent as Authorization: Bearer; none: no header is sent."),
    SECRET_ADDRESS("context", "proxy", BY(proxy), "none", "The proxy it is asked through, as provider.NAME.proxy."),
    TEXT("context", "ca_file", BY(ca_file), NULL, "The authorities that may vouch for its certificate, as provider.NAME.ca_file."),
    INT("retry", "attempts_max", IN(retry.attempts_max), 1, 100, "attempts", "5", "Classified failures after which a job is a dead letter. Nobody there to ask counts as no attempt."),
    INT("retry", "backoff_ms", IN(retry.backoff_ms), 1, 60000, "ms", "500", "The first wait is up to this, the next up to twice as much, and so on (full jitter), unless the provider says how long."),
    INT("retry", "backoff_max_ms", IN(retry.backoff_max_ms), 1, HOUR_MS, "ms", "30000", "No wait is longer."),
    TEXT("admin", "listen", IN(admin.listen), "127.0.0.1:9464", "Address of /healthz, /readyz and /metrics, host:port. [::] as host: all addresses of the machine, IPv6 and IPv4; 0.0.0.0: those of IPv4. Port 0: any free one. It takes 32 connections at once (the oldest makes room for a new one) and gives each 5 seconds, from its accept to the answer's last byte."),
    TEXT("admin", "port_file", IN(admin.port_file), NULL, "A file to write the port to, for port 0."),
    SECRET("admin", "token", IN(admin.token), NULL, "What requests from other machines must bring for all but /healthz, /readyz and /metrics (/threads, /lanes, /trace): as Authorization: Bearer, or as the password that a browser asks for. Not given: such requests are refused. From this machine itself (127.0.0.0/8, ::1) no token is needed."),
    CHOICE("log", "level", IN(log.level), levels, "info", "The least that is logged."),
    CHOICE("log", "format", IN(log.format), formats, "logfmt", "One event a line, as logfmt or as JSON."),
};
const size_t settings_table_count = sizeof settings_table / sizeof *settings_table;

bool kafka_property_is_secret(const char *name)
{
    /* The names known today, and, by words in them, those of a newer librdkafka. */
    return strstr(name, "password") != NULL || strstr(name, "secret") != NULL || strstr(name, "passphrase") != NULL ||
           strstr(name, "key.pem") != NULL || strcmp(name, "sasl.oauthbearer.config") == 0;
}

/* ---- named sections ---- */

#define NAMED(s, e, n, items, number) {.section = s, .example = e, .needed = n, .items_at = IN(items), .count_at = IN(number), .item_size = sizeof *((struct settings *)0)->items}

const struct named_sections named_sections[] = {
    NAMED("provider", "main", true, providers, provider_count),
    NAMED("context", "profile", false, contexts, context_count),
};
const size_t named_sections_count = sizeof named_sections / sizeof *named_sections;

_Static_assert(offsetof(struct provider_settings, name) == 0 && offsetof(struct context_settings, name) == 0, "an item begins with its name");

const struct named_sections *named_sections_of(const struct setting *setting)
{
    for (size_t i = 0; i < named_sections_count; i++)
        if (strcmp(setting->section, named_sections[i].section) == 0)
            return &named_sections[i];
    return NULL;
}

const struct named_sections *named_sections_find(const char *section, const char **ret_name)
{
    for (size_t i = 0; i < named_sections_count; i++) {
        size_t length = strlen(named_sections[i].section);
        if (strncmp(section, named_sections[i].section, length) == 0 && section[length] == '.' && section[length + 1] != '\0') {
            *ret_name = section + length + 1;
            return &named_sections[i];
        }
    }
    return NULL;
}

/* By copies: the arrays' pointers have different types in C. */
bool named_sections_may_be(const char *name)
{
    return template_is_name(name) && strlen(name) <= NAMED_SECTION_BYTES_MAX;
}

static char *items_of(const struct named_sections *named, const struct settings *settings)
{
    char *items;
    memcpy(&items, (const char *)settings + named->items_at, sizeof items);
    return items;
}

static void set_items(const struct named_sections *named, struct settings *settings, char *items, size_t count)
{
    memcpy((char *)settings + named->items_at, &items, sizeof items);
    memcpy((char *)settings + named->count_at, &count, sizeof count);
}

size_t named_sections_size(const struct named_sections *named, const struct settings *settings)
{
    return *(const size_t *)(const void *)((const char *)settings + named->count_at);
}

void *named_sections_item(const struct named_sections *named, const struct settings *settings, size_t index)
{
    return items_of(named, settings) + index * named->item_size;
}

const char *named_sections_name(const struct named_sections *named, const struct settings *settings, size_t index)
{
    return *(char *const *)named_sections_item(named, settings, index);
}

void *named_sections_add(const struct named_sections *named, struct settings *settings, const char *name)
{
    size_t count = named_sections_size(named, settings);
    set_items(named, settings, xrealloc(items_of(named, settings), (count + 1) * named->item_size), count + 1);
    char *item = named_sections_item(named, settings, count);
    memset(item, 0, named->item_size);
    *(char **)(void *)item = xstrdup(name);
    return item;
}

void named_sections_free(const struct named_sections *named, struct settings *settings)
{
    for (size_t i = 0; i < named_sections_size(named, settings); i++)
        free(*(char **)named_sections_item(named, settings, i));
    free(items_of(named, settings));
    set_items(named, settings, NULL, 0);
}

/* ---- looking up ---- */

static bool section_is(const char *section, const struct setting *setting)
{
    const char *name;
    const struct named_sections *named = named_sections_of(setting);
    return named != NULL ? named_sections_find(section, &name) == named : strcmp(section, setting->section) == 0;
}

const struct setting *setting_find(const char *section, const char *key)
{
    for (size_t i = 0; i < settings_table_count; i++)
        if (section_is(section, &settings_table[i]) && strcmp(key, settings_table[i].key) == 0)
            return &settings_table[i];
    return NULL;
}

/* ---- the nearest name ---- */

/* How far SECTION's kind, "provdr" of "provdr.main", is from the setting's section. */
static size_t kind_distance(const char *section, const struct setting *setting)
{
    AUTO_FREE char *kind = xstrdup(section);
    if (named_sections_of(setting) != NULL)
        kind[strcspn(kind, ".")] = '\0';
    return edit_distance(kind, setting->section);
}

/* How far section.key is from setting, under the name `known` (its key, or its twin's). */
static size_t distance_to(const struct setting *setting, const char *known, const char *section, const char *key)
{
    size_t far = edit_distance(key, known);
    if (section_is(section, setting))
        return strlen(key) > 4 && strstr(known, key) != NULL && far > 1 ? 1 : far; /* timeout_ms is near attempt_timeout_ms */
    size_t sections = kind_distance(section, setting);
    if (sections <= 2)
        return far + sections;
    return far == 0 ? 2 : EDIT_WORD_MAX; /* the right key in a wrong section */
}

/* ".main", to be appended to the right kind of section. */
static const char *name_within(const char *section, const struct setting *setting)
{
    const char *dot = strchr(section, '.');
    if (named_sections_of(setting) == NULL)
        return "";
    return dot != NULL && dot[1] != '\0' ? dot : ".NAME";
}

bool setting_nearest(const char *section, const char *key, char *ret, size_t size)
{
    size_t best = strlen(key) < 8 ? 3 : 4; /* not this far */
    bool found = false;
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        for (int twin = 0; twin <= (int)setting->secret; twin++) {
            char known[EDIT_WORD_MAX];
            snprintf(known, sizeof known, "%s%s", setting->key, twin ? "_file" : "");
            size_t far = distance_to(setting, known, section, key);
            if (far >= best)
                continue;
            best = far;
            found = true;
            if (section_is(section, setting))
                snprintf(ret, size, "%s", known);
            else
                snprintf(ret, size, "%s%s.%s", setting->section, name_within(section, setting), known);
        }
    }
    if (!found && edit_distance(section, "kafka") <= 2) {
        snprintf(ret, size, "kafka.%s", key);
        return true;
    }
    return found;
}
