#include "llm/llm_slot.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/tls_trust.h"

#define IDLE_MS_MAX 60000
#define CONNECTION_IDLE_S_MAX 60L /* under the idle time-outs of common load balancers */
#define AGED_OUT_AT_ONCE 4        /* slots one give may close: a call shouldn't pay for a thousand */
#define RECEIVE_BUFFER_BYTES 4096L
#define UPLOAD_BUFFER_BYTES 16384L  /* curl's least; used by bodies over 64 KiB and by TLS */
#define ERROR_BODY_BYTES_MAX 65536U /* enough to class an error; the rest isn't worth waiting for */
#define KEEPALIVE_S 60L             /* a NAT forgets a silent connection; answers may take minutes */

struct llm_endpoint {
    const struct provider_settings *provider;
    char *url;
    struct curl_slist *headers;
    struct llm_slot *hottest; /* guarded by the pool's mutex */
    struct llm_slot *coldest; /* the same */
};

struct llm_slot_pool {
    struct mutex mutex;
    struct llm_endpoint *endpoints;
    size_t endpoint_count;
    size_t response_bytes_max;
    CURLSH *share;
    struct tls_trust *trust; /* NULL: no provider is asked over https */
    struct mutex share_mutexes[CURL_LOCK_DATA_LAST];
};

/* ---- curl's callbacks: run on the thread of the call ---- */

static size_t bytes_max_of(const struct llm_slot *slot)
{
    long status = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    bool is_error = status < 200 || status > 299;
    return is_error && slot->body_bytes_max > ERROR_BODY_BYTES_MAX ? ERROR_BODY_BYTES_MAX : slot->body_bytes_max;
}

/* Makes room for more bytes; false: that would pass the limit. */
static bool body_reserve(struct llm_slot *slot, size_t more, size_t bytes_max)
{
    if (more > bytes_max || slot->body_size > bytes_max - more)
        return false;
    size_t needed = slot->body_size + more;
    if (slot->body == NULL) {
        curl_off_t length = -1;
        curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length > (curl_off_t)bytes_max)
            return false;
        if (length > (curl_off_t)needed)
            needed = (size_t)length; /* announced: one allocation for the whole */
    } else if (needed > slot->body_capacity && needed < slot->body_capacity * 2) {
        needed = slot->body_capacity * 2;
    }
    if (needed > slot->body_capacity) {
        slot->body = xrealloc(slot->body, needed);
        slot->body_capacity = needed;
    }
    return true;
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
    struct llm_slot *slot = arg;
    size_t size = unit * count;
    if (!body_reserve(slot, size, bytes_max_of(slot))) {
        slot->body_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (size > 0)
        memcpy(slot->body + slot->body_size, data, size);
    slot->body_size += size;
    return size;
}

/* name's value, trimmed, into out when the line is that header; a value too long is no number of seconds. */
static bool header_value(const char *line, size_t size, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0)
        return false;
    const char *value = line + name_size + 1;
    size_t length = size - name_size - 1;
    while (length > 0 && isspace((unsigned char)*value)) {
        value++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    if (length >= out_size)
        return false;
    memcpy(out, value, length);
    out[length] = '\0';
    return true;
}

static size_t on_header(char *line, size_t unit, size_t count, void *arg)
{
    struct llm_slot *slot = arg;
    size_t size = unit * count;
    char first = size > 0 ? (char)(line[0] | 0x20) : '\0';
    if (first == 'r') {
        if (!header_value(line, size, "retry-after-ms", slot->retry_after_ms, sizeof slot->retry_after_ms))
            header_value(line, size, "retry-after", slot->retry_after, sizeof slot->retry_after);
    } else if (first == 'x') {
        char word[8];
        if (header_value(line, size, "x-should-retry", word, sizeof word))
            slot->should_retry = strcasecmp(word, "true") == 0 ? 1 : strcasecmp(word, "false") == 0 ? 0 : -1;
    }
    return size;
}

/* Taking a curl lock and giving it back are two calls: beyond what the analysis follows. */
static void share_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *arg)
    TSA(no_thread_safety_analysis)
{
    (void)easy;
    (void)access;
    mutex_lock(&((struct llm_slot_pool *)arg)->share_mutexes[data]);
}

static void share_unlock(CURL *easy, curl_lock_data data, void *arg) TSA(no_thread_safety_analysis)
{
    (void)easy;
    mutex_unlock(&((struct llm_slot_pool *)arg)->share_mutexes[data]);
}

/* ---- slots ---- */

static void slot_destroy(struct llm_slot *slot)
{
    if (slot == NULL)
        return;
    curl_easy_cleanup(slot->easy);
    curl_multi_cleanup(slot->multi);
    free(slot->body);
    free(slot);
}

static void set_options(CURL *easy, const struct llm_slot_pool *pool, struct llm_slot *slot)
{
    const struct llm_endpoint *endpoint = slot->endpoint;
    curl_easy_setopt(easy, CURLOPT_URL, endpoint->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, endpoint->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chat-worker/" CHAT_VERSION);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* One call a connection: HTTP/2 would only add its windows and frames. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, pool->share);
    if (pool->trust != NULL)
        tls_trust_use(pool->trust, easy);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)endpoint->provider->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S_MAX);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A call that ends while a name is being resolved doesn't wait for the resolver's thread. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->problem);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
}

static struct llm_slot *slot_create(const struct llm_slot_pool *pool, struct llm_endpoint *endpoint)
{
    struct llm_slot *slot = xcalloc(1, sizeof *slot);
    slot->endpoint = endpoint;
    slot->body_bytes_max = pool->response_bytes_max;
    slot->multi = curl_multi_init();
    slot->easy = curl_easy_init();
    /* Out of descriptors, a multi comes without its wake-up pair, and a call on it could not be cancelled:
     * try it. The byte it leaves costs the first call one turn of its loop. */
    if (slot->multi == NULL || slot->easy == NULL || curl_multi_wakeup(slot->multi) != CURLM_OK) {
        slot_destroy(slot);
        return NULL;
    }
    curl_multi_setopt(slot->multi, CURLMOPT_MAXCONNECTS, 1L);
    set_options(slot->easy, pool, slot);
    return slot;
}

static void unlink_slot(struct llm_slot *slot)
{
    struct llm_endpoint *endpoint = slot->endpoint;
    *(slot->hotter != NULL ? &slot->hotter->colder : &endpoint->hottest) = slot->colder;
    *(slot->colder != NULL ? &slot->colder->hotter : &endpoint->coldest) = slot->hotter;
    slot->hotter = slot->colder = NULL;
}

static void push_hottest(struct llm_slot *slot)
{
    struct llm_endpoint *endpoint = slot->endpoint;
    slot->hotter = NULL;
    slot->colder = endpoint->hottest;
    *(slot->colder != NULL ? &slot->colder->hotter : &endpoint->coldest) = slot;
    endpoint->hottest = slot;
}

enum status llm_slot_take(struct llm_slot_pool *pool, const struct provider_settings *provider,
                          struct llm_slot **ret, struct error *err)
{
    struct llm_endpoint *endpoint = NULL;
    for (size_t i = 0; i < pool->endpoint_count && endpoint == NULL; i++)
        if (pool->endpoints[i].provider == provider)
            endpoint = &pool->endpoints[i];
    assert(endpoint != NULL);
    mutex_lock(&pool->mutex);
    struct llm_slot *slot = endpoint->hottest;
    if (slot != NULL)
        unlink_slot(slot);
    mutex_unlock(&pool->mutex);
    if (slot == NULL)
        slot = slot_create(pool, endpoint);
    if (slot == NULL)
        return error_set(err, ERROR_UNAVAILABLE, "no_resources",
                         "no descriptors left for another call: raise the limit of open files (ulimit -n)");
    slot->body_size = slot->body_capacity = 0;
    slot->body_too_large = false;
    slot->retry_after_ms[0] = slot->retry_after[0] = slot->problem[0] = '\0';
    slot->should_retry = -1;
    *ret = slot;
    return STATUS_OK;
}

void llm_slot_give(struct llm_slot_pool *pool, struct llm_slot **given, bool broken)
{
    struct llm_slot *slot = steal_ptr(given);
    free(steal_ptr(&slot->body));
    if (broken) {
        slot_destroy(slot);
        return;
    }
    struct llm_slot *aged[AGED_OUT_AT_ONCE];
    size_t aged_count = 0;
    slot->idle_since_ms = clock_mono_ms();
    int64_t oldest_ms = slot->idle_since_ms - IDLE_MS_MAX;
    mutex_lock(&pool->mutex);
    push_hottest(slot);
    /* Of every provider: one that is no longer asked gives nothing back itself. */
    for (size_t i = 0; i < pool->endpoint_count; i++) {
        struct llm_slot *coldest;
        while (aged_count < AGED_OUT_AT_ONCE && (coldest = pool->endpoints[i].coldest) != NULL &&
               coldest->idle_since_ms < oldest_ms) {
            unlink_slot(coldest);
            aged[aged_count++] = coldest;
        }
    }
    mutex_unlock(&pool->mutex);
    while (aged_count > 0)
        slot_destroy(aged[--aged_count]);
}

/* ---- the pool ---- */

/* One for each thread, so that a first wave of calls has only its connections to make. */
static void prepare_slots(struct llm_slot_pool *pool, int64_t count)
{
    for (int64_t i = 0; i < count && pool->endpoint_count > 0; i++) {
        struct llm_slot *slot = slot_create(pool, &pool->endpoints[0]);
        if (slot == NULL) /* no descriptors: the calls themselves will say so */
            break;
        slot->idle_since_ms = clock_mono_ms();
        mutex_lock(&pool->mutex);
        push_hottest(slot);
        mutex_unlock(&pool->mutex);
    }
}

static void add_header(struct curl_slist **headers, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*headers, text);
    if (longer == NULL)
        abort();
    *headers = longer;
}

static enum status endpoint_init(struct llm_endpoint *endpoint, const struct provider_settings *provider,
                                 struct error *err)
{
    endpoint->provider = provider;
    for (const char *c = provider->api_key; c != NULL && *c != '\0'; c++)
        if (iscntrl((unsigned char)*c)) /* would end the header and begin another */
            return error_set(err, ERROR_PERMANENT, "bad_api_key", "provider %s: api_key holds a control character",
                             provider->name);
    endpoint->url = xasprintf("%s/chat/completions", provider->url);
    add_header(&endpoint->headers, "Content-Type: application/json");
    add_header(&endpoint->headers, "Accept: application/json");
    add_header(&endpoint->headers, "Expect:"); /* saves a round trip before a long body */
    if (provider->api_key != NULL && provider->auth != AUTH_NONE) {
        AUTO_FREE char *header = xasprintf(
            provider->auth == AUTH_BEARER ? "Authorization: Bearer %s" : "api-key: %s", provider->api_key);
        add_header(&endpoint->headers, header);
    }
    return STATUS_OK;
}

enum status llm_slot_pool_create(const struct settings *settings, struct llm_slot_pool **ret, struct error *err)
{
    struct llm_slot_pool *pool = xcalloc(1, sizeof *pool);
    mutex_init(&pool->mutex);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        mutex_init(&pool->share_mutexes[i]);
    pool->response_bytes_max = (size_t)settings->llm.response_bytes_max;
    pool->endpoint_count = settings->provider_count;
    pool->endpoints = xcalloc(pool->endpoint_count, sizeof *pool->endpoints);
    for (size_t i = 0; i < pool->endpoint_count; i++) {
        if (endpoint_init(&pool->endpoints[i], &settings->providers[i], err) != STATUS_OK) {
            llm_slot_pool_destroy(pool);
            return STATUS_FAILED;
        }
    }
    pool->share = curl_share_init();
    if (pool->share == NULL)
        abort(); /* memory */
    curl_share_setopt(pool->share, CURLSHOPT_USERDATA, pool);
    curl_share_setopt(pool->share, CURLSHOPT_LOCKFUNC, share_lock);
    curl_share_setopt(pool->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
    curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    for (size_t i = 0; i < pool->endpoint_count && pool->trust == NULL; i++)
        if (strncasecmp(settings->providers[i].url, "https:", 6) == 0 && (pool->trust = tls_trust_create()) == NULL)
            abort(); /* memory */
    prepare_slots(pool, settings->worker.threads);
    *ret = pool;
    return STATUS_OK;
}

void llm_slot_pool_destroy(struct llm_slot_pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->endpoint_count; i++) {
        struct llm_slot *slot;
        while ((slot = pool->endpoints[i].hottest) != NULL) {
            unlink_slot(slot);
            slot_destroy(slot);
        }
        curl_slist_free_all(pool->endpoints[i].headers);
        free(pool->endpoints[i].url);
    }
    curl_share_cleanup(pool->share);
    tls_trust_destroy(pool->trust);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        mutex_destroy(&pool->share_mutexes[i]);
    mutex_destroy(&pool->mutex);
    free(pool->endpoints);
    free(pool);
}
