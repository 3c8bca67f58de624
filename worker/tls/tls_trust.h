/* The certificate authorities that servers are verified against, read once and shared by every connection. By default
 * libcurl reads the whole bundle for each connection: most of a megabyte and tens of milliseconds each time.
 *
 * Which ones: those of a ca_file alone; else those of SSL_CERT_FILE and SSL_CERT_DIR alone, if the environment has one of them; else
 * OpenSSL's default file and folder, the system's. Named authorities replace the others: a server with a private one must not
 * be accepted with a certificate of any of the system's two hundred. */
#ifndef CHAT_TLS_TLS_TRUST_H
#define CHAT_TLS_TLS_TRUST_H

#include <curl/curl.h>
#include <openssl/x509_vfy.h>

#include "base/error.h"

struct tls_trust;

/* ca_file: PEM; NULL: none. Reads files: blocks for tens of milliseconds. FAILED, permanent: the file can't be read or contains no
 * certificate; the message begins with its name (the variable's, or "ca_file"). */
enum status tls_trust_create(const char *ca_file, struct tls_trust **ret, struct error *err) MUST_CHECK;
/* No call that uses it may be under way; connections may outlive it. NULL is fine. */
void tls_trust_destroy(struct tls_trust *trust);

/* Makes easy's connections use it, those to an https proxy too. Connections and sessions of another trust aren't reused for them. A
 * libcurl without OpenSSL isn't affected. */
void tls_trust_use(struct tls_trust *trust, CURL *easy);

/* Fills another store by the same rule. */
enum status tls_trust_fill(X509_STORE *store, const char *ca_file, struct error *err) MUST_CHECK;

#endif
