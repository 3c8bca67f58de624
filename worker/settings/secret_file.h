/* A secret may stand in a file of its own: KEY_file names the file of each setting and property KEY that is secret. */
#ifndef CHAT_SETTINGS_SECRET_FILE_H
#define CHAT_SETTINGS_SECRET_FILE_H

#include <stdbool.h>

#include "base/error.h"
#include "settings/settings_source.h"

/* Does this key name the file of a secret? Then plain gets the secret's own key. Pure. */
bool secret_file_names(const char *section, const char *key, char plain[64]);
/* Does the file count (*ret), or what another source says of the same secret? In one source, which of the two would count is a guess that may end at
 * the wrong account: FAILED. A later source wins over an earlier one in either form, and what has lost isn't read: its file needn't exist. Pure. */
enum status secret_file_counts(const struct settings_entries *entries, const struct settings_entry *file, const char *plain, bool *ret, struct error *err) MUST_CHECK;
/* Without the one line end that editors and `echo` put last, and the mark that some editors put first. *ret: the caller's. FAILED: it can't be read, is
 * too large or holds a NUL byte; the message begins with where it was named. Reads a file. */
enum status secret_file_read(const struct settings_entry *entry, char **ret, struct error *err) MUST_CHECK;

#endif
