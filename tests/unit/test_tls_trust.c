/* Which authorities are trusted: the named ones, and no others. */
#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls/tls_trust.h"

static char folder[] = "/tmp/chat-trust-XXXXXX";
static char path[2][80];
static X509 *authorities[2];

static X509 *authority_make(const char *name)
{
    X509 *certificate = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_sign(certificate, key, EVP_sha256());
    EVP_PKEY_free(key);
    return certificate;
}

static void write_file(const char *file, const char *text, X509 *certificate)
{
    FILE *out = fopen(file, "w");
    fputs(text, out);
    if (certificate != NULL)
        PEM_write_X509(out, certificate);
    fclose(out);
}

static void set_up(void)
{
    static const char *const names[] = {"one", "two"};
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    cr_assert_not_null(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s.pem", folder, names[i]);
        authorities[i] = authority_make(names[i]);
        write_file(path[i], "", authorities[i]);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < 2; i++) {
        unlink(path[i]);
        X509_free(authorities[i]);
    }
    rmdir(folder);
}

TestSuite(trust, .init = set_up, .fini = tear_down);

static bool trusts(const char *ca_file, X509 *certificate)
{
    struct error err = {0};
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    cr_assert_eq(tls_trust_fill(store, ca_file, &err), STATUS_OK, "%s", err.message);
    X509_STORE_CTX_init(check, store, certificate, NULL);
    bool good = X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    return good;
}

Test(trust, a_ca_file_is_trusted_alone_whatever_the_environment_says)
{
    cr_expect(trusts(path[0], authorities[0]));
    cr_expect_not(trusts(path[0], authorities[1]));
    setenv("SSL_CERT_FILE", path[1], 1);
    cr_expect(trusts(path[0], authorities[0]));
    cr_expect_not(trusts(path[0], authorities[1]));
    cr_expect(trusts(NULL, authorities[1]));
    cr_expect_not(trusts(NULL, authorities[0]));
}

/* One of the system's own, where it has any. */
static X509 *system_authority(void)
{
    FILE *in = fopen(X509_get_default_cert_file(), "r");
    if (in == NULL)
        in = fopen("/etc/ssl/certs/ca-certificates.crt", "r");
    X509 *found = in != NULL ? PEM_read_X509(in, NULL, NULL, NULL) : NULL;
    if (in != NULL)
        fclose(in);
    return found;
}

Test(trust, what_the_environment_names_takes_the_systems_place)
{
    X509 *system = system_authority();
    if (system == NULL)
        cr_skip_test("this machine trusts nobody");
    cr_expect(trusts(NULL, system));
    setenv("SSL_CERT_FILE", "", 1);
    cr_expect(trusts(NULL, system), "an empty one names nothing");
    setenv("SSL_CERT_FILE", path[0], 1);
    cr_expect_not(trusts(NULL, system));
    cr_expect_not(trusts(path[0], system));
    unsetenv("SSL_CERT_FILE");
    setenv("SSL_CERT_DIR", folder, 1);
    cr_expect_not(trusts(NULL, system));
    setenv("SSL_CERT_DIR", "/nowhere:/etc/ssl/certs", 1);
    setenv("SSL_CERT_FILE", path[0], 1);
    cr_expect(trusts(NULL, authorities[0]));
    cr_expect(trusts(NULL, system), "both are named");
    X509_free(system);
}

Test(trust, what_is_no_file_of_certificates_is_refused)
{
    static const struct {
        const char *text, *why; /* NULL: there is no file */
    } rows[] = {{NULL, "No such file"}, {"", "is empty"}, {"hello\n", "no certificates"}, {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates"}};
    char file[80];
    snprintf(file, sizeof file, "%s/bad.pem", folder);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int by_variable = 0; by_variable < 2; by_variable++) {
            struct error err = {0};
            struct tls_trust *trust = NULL;
            if (rows[i].text != NULL)
                write_file(file, rows[i].text, NULL);
            by_variable ? setenv("SSL_CERT_FILE", file, 1) : unsetenv("SSL_CERT_FILE");
            cr_expect_eq(tls_trust_create(by_variable ? NULL : file, &trust, &err), STATUS_FAILED, "%zu", i);
            cr_expect_eq(err.class, ERROR_PERMANENT);
            cr_expect(strstr(err.message, rows[i].why) != NULL && strstr(err.message, by_variable ? "SSL_CERT_FILE: " : "ca_file: ") == err.message, "%s", err.message);
            unlink(file);
        }
    }
    struct error err = {0};
    struct tls_trust *trust = NULL;
    cr_expect_eq(tls_trust_create(folder, &trust, &err), STATUS_FAILED, "a folder");
    unsetenv("SSL_CERT_FILE");
    setenv("SSL_CERT_DIR", "/nowhere", 1);
    cr_expect_eq(tls_trust_create(NULL, &trust, &err), STATUS_FAILED);
    cr_expect(strstr(err.message, "SSL_CERT_DIR: /nowhere") == err.message, "%s", err.message);
}
