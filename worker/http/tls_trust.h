/* The certificates that servers are checked against, read once and shared by every connection. Left to itself
 * libcurl reads the whole bundle for each connection: most of a megabyte and tens of milliseconds a time.
 * Which ones: OpenSSL's default file and folder; SSL_CERT_FILE and SSL_CERT_DIR in the environment name others. */
#ifndef CHAT_HTTP_TLS_TRUST_H
#define CHAT_HTTP_TLS_TRUST_H

#include <curl/curl.h>

struct tls_trust;

/* Reads a file: blocks for tens of milliseconds. NULL: out of memory. */
struct tls_trust *tls_trust_create(void);
/* While calls that use it are under way it must stay; their connections may outlive it. NULL is fine. */
void tls_trust_destroy(struct tls_trust *trust);

/* Makes easy's connections use it. A libcurl without OpenSSL keeps its own ways. */
void tls_trust_use(struct tls_trust *trust, CURL *easy);

#endif
