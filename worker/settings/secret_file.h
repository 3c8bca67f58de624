/* Secrets in files of their own: KEY_file names the file of each setting and property KEY that is secret. */
#ifndef CHAT_SETTINGS_SECRET_FILE_H
#define CHAT_SETTINGS_SECRET_FILE_H

#include <stdbool.h>

#include "base/error.h"
#include "settings/settings_source.h"

/* Does this key name the file of a secret? Then plain gets the key of the secret itself. Pure. */
bool secret_file_names(const char *section, const char *key, char plain[64]);
/* Is the file used (*ret), or another source's value of the same secret? Both in one source are ambiguous, and a guess may use
 * the wrong account: FAILED. A later source overrides an earlier one in either form, and the overridden file isn't read: it needn't exist. Pure. */
enum status secret_file_counts(const struct settings_entries *entries, const struct settings_entry *file, const char *plain, bool *ret, struct error *err) MUST_CHECK;
/* Without the one line end that editors and `echo` append, and the byte order mark of some editors. *ret: owned by the caller. FAILED: the file can't be
 * read, is too large or contains a NUL byte; the message begins with where it was named. Reads a file. */
enum status secret_file_read(const struct settings_entry *entry, char **ret, struct error *err) MUST_CHECK;

#endif
