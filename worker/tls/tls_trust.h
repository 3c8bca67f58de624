/* The certificates that servers are checked against, read once and shared by every connection. Left to itself
 * libcurl reads the whole bundle for each connection: most of a megabyte and tens of milliseconds a time.
 *
 * Which ones: those of a ca_file alone; else those of SSL_CERT_FILE and SSL_CERT_DIR alone, where the environment has one of them; else
 * OpenSSL's default file and folder, the system's. Who names authorities means these and no others: a certificate that any of the
 * system's two hundred can make isn't what a private one vouches for. */
#ifndef CHAT_TLS_TLS_TRUST_H
#define CHAT_TLS_TLS_TRUST_H

#include <curl/curl.h>
#include <openssl/x509_vfy.h>

#include "base/error.h"

struct tls_trust;

/* ca_file: PEM; NULL: none. Reads files: blocks for tens of milliseconds. FAILED, permanent: what was named can't be read or holds no
 * certificate; the message begins with its name (the variable's, or "ca_file"). */
enum status tls_trust_create(const char *ca_file, struct tls_trust **ret, struct error *err) MUST_CHECK;
/* While calls that use it are under way it must stay; their connections may outlive it. NULL is fine. */
void tls_trust_destroy(struct tls_trust *trust);

/* Makes easy's connections use it, those to an https proxy too. Connections and sessions of another trust aren't used for them. A
 * libcurl without OpenSSL keeps its own ways. */
void tls_trust_use(struct tls_trust *trust, CURL *easy);

/* The same rule for a store of one's own. */
enum status tls_trust_fill(X509_STORE *store, const char *ca_file, struct error *err) MUST_CHECK;

#endif
