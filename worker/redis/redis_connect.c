#include "redis/redis_connect.h"

#include <stdlib.h>
#include <string.h>

#include "redis/redis_error.h"
#include "redis/redis_silence.h"

#ifdef CHAT_HIREDIS_TLS
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>

#include "tls/tls_trust.h"
#endif

enum status redis_connect_supported(const struct redis_url *url, struct error *err)
{
#ifndef CHAT_HIREDIS_TLS
    if (url->tls)
        return error_set(err, ERROR_PERMANENT, "redis_tls",
                         "redis.url: rediss:// needs hiredis 1.x with TLS and this build has none: build on Debian 13 "
                         "or newer, or use redis:// to a TLS proxy (stunnel) beside the worker");
#else
    (void)url, (void)err;
#endif
    return STATUS_OK;
}

/* what: the command; NULL: there is no connection yet. */
static enum status unavailable(const struct redis_url *url, const redisContext *context, const char *what, int64_t timeout_ms, struct error *err)
{
    struct redis_wait wait = {.address = url->address, .what = what, .connecting = what == NULL, .timeout_ms = timeout_ms};
    return redis_wait_failed(&wait, context, "redis_connect", err);
}

#ifdef CHAT_HIREDIS_TLS
/* With our own SSL object: hiredis' contexts verify the chain but not the host's name. */
static enum status tls_start(const struct redis_url *url, redisContext *context, int64_t timeout_ms, struct error *err)
{
    struct error why = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx && tls_trust_fill(SSL_CTX_get_cert_store(ctx), NULL, &why) != STATUS_OK) {
        SSL_CTX_free(ctx);
        return error_set(err, ERROR_UNAVAILABLE, "redis_tls", "Redis %s: %s", url->address, why.message);
    }
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    SSL_CTX_free(ctx); /* ssl has a reference */
    if (!ssl)
        return error_set(err, ERROR_UNAVAILABLE, "redis_tls", "Redis %s: OpenSSL could not be set up", url->address);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    unsigned char address[sizeof(struct in6_addr)]; /* an IP address is verified, but isn't sent as SNI */
    bool named = inet_pton(AF_INET, url->host, address) != 1 && inet_pton(AF_INET6, url->host, address) != 1;
    if (SSL_set1_host(ssl, url->host) != 1 || (named && SSL_set_tlsext_host_name(ssl, url->host) != 1)) {
        SSL_free(ssl);
        return error_set(err, ERROR_UNAVAILABLE, "redis_tls", "Redis %s: OpenSSL refused the host's name", url->address);
    }
    if (redisInitiateSSL(context, ssl) != REDIS_OK) {
        struct redis_wait wait = {.address = url->address, .what = "TLS", .timeout_ms = timeout_ms};
        bool silent = SSL_want_read(ssl) || SSL_want_write(ssl); /* on a blocking socket: its time-out */
        SSL_free(ssl); /* the context owns it only on success */
        if (silent)
            return redis_wait_ran_out(&wait, "redis_tls", err);
        return error_set(err, ERROR_UNAVAILABLE, "redis_tls",
                         "Redis %s: TLS: %s (is the certificate for this host, from an authority the system knows?)",
                         url->address, context->errstr);
    }
    return STATUS_OK;
}
#endif

static enum status auth_refused(const struct redis_url *url, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "redis_auth",
                     "Redis %s refuses %s%s: check user and password in redis.url, and the server's ACL or requirepass",
                     url->address, url->user ? "the user " : "the password", url->user ? url->user : "");
}

static enum status authenticate(const struct redis_url *url, redisContext *context, int64_t timeout_ms, struct error *err)
{
    if (!url->password)
        return STATUS_OK;
    const char *argv[] = {"AUTH", url->user ? url->user : url->password, url->password};
    redisReply *reply = redisCommandArgv(context, url->user ? 3 : 2, argv, NULL);
    if (!reply)
        return unavailable(url, context, "AUTH", timeout_ms, err);
    enum status status = STATUS_OK;
    if (reply->type == REDIS_REPLY_ERROR && redis_error_kind(reply->str) == REDIS_ERROR_OUTAGE)
        status = redis_error_set(err, url->address, NULL, reply->str);
    else if (reply->type == REDIS_REPLY_ERROR)
        status = auth_refused(url, err);
    freeReplyObject(reply);
    return status;
}

static enum status select_db(const struct redis_url *url, redisContext *context, int64_t timeout_ms, struct error *err)
{
    if (url->db == 0)
        return STATUS_OK;
    redisReply *reply = redisCommand(context, "SELECT %d", url->db);
    if (!reply)
        return unavailable(url, context, "SELECT", timeout_ms, err);
    enum status status = STATUS_OK;
    if (reply->type == REDIS_REPLY_ERROR) {
        enum redis_error_kind kind = redis_error_kind(reply->str);
        if (strncmp(reply->str, "NOAUTH", 6) == 0)
            status = auth_refused(url, err);
        else if (kind == REDIS_ERROR_OUTAGE)
            status = redis_error_set(err, url->address, NULL, reply->str);
        else if (kind == REDIS_ERROR_SETTINGS)
            status = error_set(err, ERROR_PERMANENT, "redis_rights", "redis.url: its user may not choose a database; grant it: ACL SETUSER %s +select (Redis %s)",
                               url->user ? url->user : "default", url->address);
        else
            status = error_set(err, ERROR_PERMANENT, "redis_db", "Redis %s has no database %d for us: %.120s", url->address, url->db,
                               reply->str);
    }
    freeReplyObject(reply);
    return status;
}

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static enum status prepare(const struct redis_url *url, int64_t timeout_ms, redisContext *context, struct error *err)
{
    struct timeval timeout = timeval_of(timeout_ms);
    if (!context || context->err || redisSetTimeout(context, timeout) != REDIS_OK)
        return unavailable(url, context, NULL, timeout_ms, err);
    /* Without keep-alive, an idle connection stays for hours after its peer vanished (no FIN). */
    if (url->host && redisEnableKeepAlive(context) != REDIS_OK)
        return unavailable(url, context, NULL, timeout_ms, err);
#ifdef CHAT_HIREDIS_TLS
    if (url->tls && tls_start(url, context, timeout_ms, err) != STATUS_OK)
        return STATUS_FAILED;
#endif
    if (authenticate(url, context, timeout_ms, err) != STATUS_OK)
        return STATUS_FAILED;
    return select_db(url, context, timeout_ms, err);
}

enum status redis_connect(const struct redis_url *url, int64_t timeout_ms, redisContext **ret, struct error *err)
{
    struct timeval timeout = timeval_of(timeout_ms);
    redisContext *context = url->path ? redisConnectUnixWithTimeout(url->path, timeout)
                                      : redisConnectWithTimeout(url->host, url->port, timeout);
    enum status status = prepare(url, timeout_ms, context, err);
    if (status == STATUS_OK)
        *ret = context;
    else if (context)
        redisFree(context);
    return status;
}
