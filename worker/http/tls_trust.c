#include "http/tls_trust.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/alloc.h"

struct tls_trust {
    X509_STORE *store; /* counts its references and locks itself */
};

struct tls_trust *tls_trust_create(void)
{
    struct tls_trust *trust = xcalloc(1, sizeof *trust);
    trust->store = X509_STORE_new();
    if (trust->store == NULL) {
        free(trust);
        return NULL;
    }
    /* Nothing found is no error here: the handshake says which certificate it can't check. */
    (void)X509_STORE_set_default_paths(trust->store);
    return trust;
}

void tls_trust_destroy(struct tls_trust *trust)
{
    if (trust == NULL)
        return;
    X509_STORE_free(trust->store);
    free(trust);
}

static CURLcode on_context(CURL *easy, void *context, void *arg)
{
    const struct tls_trust *trust = arg;
    (void)easy;
    SSL_CTX_set1_cert_store(context, trust->store);
    return CURLE_OK;
}

void tls_trust_use(struct tls_trust *trust, CURL *easy)
{
    if (curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context) != CURLE_OK)
        return;
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust);
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}
