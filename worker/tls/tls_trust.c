#include "tls/tls_trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/text_file.h"

#define FILE_BYTES_MAX (16 * 1024 * 1024) /* a system's whole bundle is a quarter of a MiB */

struct tls_trust {
    X509_STORE *store; /* has its own reference count and lock */
    char *mark;        /* mark_of; NULL: the default authorities */
};

/* ---- reading ---- */

static enum status refuse(const char *name, const char *file, const char *why, struct error *err)
{
    ERR_clear_error(); /* not used any more */
    return error_set(err, ERROR_PERMANENT, "ca_file", "%s: %.120s %s", name, file, why);
}

static size_t certificates_in(X509_STORE *store)
{
    size_t count = 0;
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
        count += X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_X509;
    return count;
}

/* Adds certificates and CRLs. found NULL: they couldn't be read. */
static bool add_all(X509_STORE *store, STACK_OF(X509_INFO) *found)
{
    for (int i = 0; i < sk_X509_INFO_num(found); i++) {
        const X509_INFO *one = sk_X509_INFO_value(found, i);
        if (one->x509 != NULL && X509_STORE_add_cert(store, one->x509) != 1)
            return false;
        if (one->crl != NULL && X509_STORE_add_crl(store, one->crl) != 1)
            return false;
    }
    return found != NULL;
}

static enum status read_file(X509_STORE *store, const char *name, const char *file, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    char why[128];
    if (text_file_read(file, FILE_BYTES_MAX, &text, &size, why) != STATUS_OK)
        return refuse(name, file, why, err);
    if (size == 0)
        return refuse(name, file, "is empty; it must hold certificates in PEM", err);
    BIO *pem = BIO_new_mem_buf(text, (int)size);
    STACK_OF(X509_INFO) *found = PEM_X509_INFO_read_bio(pem, NULL, NULL, NULL);
    BIO_free(pem);
    bool taken = add_all(store, found);
    sk_X509_INFO_pop_free(found, X509_INFO_free);
    if (!taken || certificates_in(store) == 0)
        return refuse(name, file, "holds no certificates in PEM that can be read", err);
    return STATUS_OK;
}

/* names: folders of hashed certificates, with colons between. */
static enum status read_folders(X509_STORE *store, const char *name, const char *names, struct error *err)
{
    AUTO_FREE char *copy = xstrdup(names);
    char *rest = copy;
    size_t readable = 0;
    for (const char *folder; (folder = strsep(&rest, ":")) != NULL;)
        readable += *folder != '\0' && access(folder, R_OK | X_OK) == 0;
    if (readable == 0)
        return refuse(name, names, "is no folder that can be read", err);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());
    if (lookup == NULL || X509_LOOKUP_add_dir(lookup, names, X509_FILETYPE_PEM) != 1)
        return refuse(name, names, "can't be used", err);
    return STATUS_OK;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

enum status tls_trust_fill(X509_STORE *store, const char *ca_file, struct error *err)
{
    const char *file_name = X509_get_default_cert_file_env(), *folder_name = X509_get_default_cert_dir_env();
    const char *file = variable(file_name), *folder = variable(folder_name);
    /* As curl does: a named certificate is trusted, even an intermediate one. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    if (ca_file != NULL)
        return read_file(store, "ca_file", ca_file, err);
    if (file != NULL && read_file(store, file_name, file, err) != STATUS_OK)
        return STATUS_FAILED;
    if (folder != NULL && read_folders(store, folder_name, folder, err) != STATUS_OK)
        return STATUS_FAILED;
    /* An empty default store is no error here: the handshake fails with the certificate that it can't verify. */
    if (file == NULL && folder == NULL)
        (void)X509_STORE_set_default_paths(store);
    return STATUS_OK;
}

/* ---- a mark for each ca_file ---- */

/* libcurl reuses a connection or a TLS session for calls to the same host with the same settings, and doesn't see the store that our
 * callback sets. So each ca_file becomes such a setting: its first certificate, preceded by the file's name (which PEM
 * parsers skip). It costs parsing one certificate for each connection, and no server is verified against it. */
static char *mark_of(const char *ca_file, X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    BIO *out = BIO_new(BIO_s_mem());
    BIO_printf(out, "%s\n", ca_file);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (certificate != NULL && PEM_write_bio_X509(out, certificate) == 1)
            break;
    }
    char *bytes = NULL;
    long size = BIO_get_mem_data(out, &bytes);
    char *mark = xmemdup0(bytes, (size_t)size);
    BIO_free(out);
    return mark;
}

/* ---- the whole ---- */

enum status tls_trust_create(const char *ca_file, struct tls_trust **ret, struct error *err)
{
    struct tls_trust *trust = xcalloc(1, sizeof *trust);
    trust->store = X509_STORE_new();
    if (trust->store == NULL)
        abort(); /* memory */
    if (tls_trust_fill(trust->store, ca_file, err) != STATUS_OK) {
        tls_trust_destroy(trust);
        return STATUS_FAILED;
    }
    if (ca_file != NULL)
        trust->mark = mark_of(ca_file, trust->store);
    *ret = trust;
    return STATUS_OK;
}

void tls_trust_destroy(struct tls_trust *trust)
{
    if (trust == NULL)
        return;
    X509_STORE_free(trust->store);
    free(trust->mark);
    free(trust);
}

static CURLcode on_context(CURL *easy, void *context, void *arg)
{
    const struct tls_trust *trust = arg;
    (void)easy;
    SSL_CTX_set1_cert_store(context, trust->store);
    /* What waits for room is sent from another place the next time (http_call.c); libcurl allows that itself from 8.10 on. */
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return CURLE_OK;
}

void tls_trust_use(struct tls_trust *trust, CURL *easy)
{
    if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context) != CURLE_OK)
        return;
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust);
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
    if (trust->mark == NULL)
        return;
    struct curl_blob blob = {.data = trust->mark, .len = strlen(trust->mark), .flags = CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
}
