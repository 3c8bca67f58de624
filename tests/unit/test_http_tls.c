/* A client's calls over TLS, against a server in the same process whose buffers are small. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http_pool.h"

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define LIMIT_MS 60000
#define PIECE_BYTES 16384 /* sent at once (http_call.c) */
#define BODY_BYTES 15000 /* with its head less than that */

static struct {
    SSL_CTX *context;
    int listener;
    sem_t may_read; /* the second request */
    bool has_read;
} server;
static void *taken[256];
static size_t taken_count;

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"server", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_add_ext(certificate, name, -1);
    X509_sign(certificate, key, EVP_sha256());
    X509_EXTENSION_free(name);
    return certificate;
}

/* Its certificate is written to ca_file. Returns the port. */
static int begin_listening(int ca_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = certificate_of(key);
    FILE *out = fdopen(ca_file, "w");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server.context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server.context, certificate);
    SSL_CTX_use_PrivateKey(server.context, key);
    PEM_write_X509(out, certificate);
    fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &(int){1}, sizeof(int)), 0); /* the least there is */
    cr_assert_eq(bind(server.listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(server.listener, 1), 0);
    cr_assert_eq(getsockname(server.listener, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static bool serve_one(SSL *connection, size_t body_bytes)
{
    static char request[BODY_BYTES * 2];
    size_t size = 0;
    for (const char *body = NULL; body == NULL || (size_t)(request + size - body) < body_bytes; body = strstr(request, "\r\n\r\n")) {
        int more = SSL_read(connection, request + size, (int)(sizeof request - 1 - size));
        if (more <= 0)
            return false;
        size += (size_t)more;
        request[size] = '\0';
    }
    return SSL_write(connection, GOOD, sizeof GOOD - 1) > 0;
}

static void *serve(void *arg)
{
    SSL *connection = SSL_new(server.context);
    int accepted = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);
    SSL_set_fd(connection, accepted);
    if (SSL_accept(connection) == 1 && serve_one(connection, 1)) {
        sem_wait(&server.may_read);
        server.has_read = serve_one(connection, BODY_BYTES);
    }
    SSL_free(connection);
    close(accepted);
    return arg;
}

/* Waits a moment. What the client freed meanwhile is taken, so that what it sends next is at another place. */
static enum http_event wait_a_moment(struct http_client *client)
{
    size_t target;
    enum http_event event = http_client_wait(client, clock_mono_ms() + 20, NULL, &target);
    if (taken_count < sizeof taken / sizeof *taken)
        taken[taken_count++] = malloc(PIECE_BYTES);
    return event;
}

static void give_back(void)
{
    while (taken_count > 0)
        free(taken[--taken_count]);
}

static void finish_call(struct http_client *client)
{
    enum http_event event = HTTP_TIME;
    while (event == HTTP_TIME)
        event = wait_a_moment(client);
    cr_expect_eq(event, HTTP_ENDED);
    cr_expect_eq(http_client_call(client, 0)->code, CURLE_OK, "%s", http_client_call(client, 0)->problem);
    cr_expect_eq(http_call_status(http_client_call(client, 0)), 200);
    http_call_end(client, 0);
}

Test(http_tls, a_request_that_has_to_wait_for_room_arrives_whole)
{
    char ca_file[] = "/tmp/chat-ca-XXXXXX", body[BODY_BYTES + 1] = "";
    AUTO_FREE char *url = xasprintf("https://127.0.0.1:%d/", begin_listening(mkstemp(ca_file)));
    struct http_target target = {.name = "t", .url = url, .ca_file = ca_file, .connect_timeout_ms = LIMIT_MS, .response_bytes_max = 1000};
    struct http_request small = {.body = "b", .until_ms = clock_mono_ms() + LIMIT_MS}, large = {.body = body, .until_ms = small.until_ms};
    struct http_pool *pool;
    struct http_client *client;
    struct error err;
    pthread_t thread;
    memset(body, 'x', BODY_BYTES);
    sem_init(&server.may_read, 0, 0);
    cr_assert_eq(http_pool_create(&target, 1, 0, &pool, &err), STATUS_OK, "%s", err.message);
    cr_assert_eq(http_pool_take(pool, &client, &err), STATUS_OK);
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);

    cr_assert_eq(http_call_start(client, 0, &small, &err), STATUS_OK);
    finish_call(client);
    cr_assert_eq(setsockopt(http_client_call(client, 0)->connection.socket, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    cr_assert_eq(http_call_start(client, 0, &large, &err), STATUS_OK);
    cr_assert_eq(wait_a_moment(client), HTTP_TIME);
    cr_expect(http_exchange_has_unsent(&http_client_call(client, 0)->exchange), "it had room at once");
    sem_post(&server.may_read);
    finish_call(client);

    give_back();
    http_pool_give(pool, &client);
    http_pool_destroy(pool);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    cr_expect(server.has_read);
    close(server.listener);
    SSL_CTX_free(server.context);
    sem_destroy(&server.may_read);
    unlink(ca_file);
}
