/* The rules across settings, once each has its value. Private to settings/.
 *
 * settings_check calls all of these; a refusal names where the setting was set, the setting, and valid values. It quotes no secret.
 * settings_check.c itself contains the rules for single settings: which can't be empty, and Redis' time-out. Pure. */
#ifndef CHAT_SETTINGS_SETTINGS_CHECK_H
#define CHAT_SETTINGS_SETTINGS_CHECK_H

#include "settings/settings_source.h"
#include "settings/settings_table.h"

/* Also sorts the named sections, and sets values that follow from others. */
enum status settings_check(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;

/* ---- its parts, a file each ---- */

/* Names that Kafka accepts, and no topic that would loop. */
enum status settings_check_topics(const struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* Settings that would break the guarantee of worker.delivery. */
enum status settings_check_delivery(const struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* Providers: names, URLs, options; reads provider.NAME.headers. */
enum status settings_check_providers(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* Context sources: names, URLs, and the prompts with their texts. */
enum status settings_check_contexts(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;

/* ---- shared by the checks of providers, contexts and the admin port: settings_check_named.c ---- */

#define SETTINGS_PROVIDERS (&named_sections[0])
#define SETTINGS_CONTEXTS (&named_sections[1])

/* Is there a section of this name? *ret: its index. */
bool settings_check_named(const struct named_sections *named, const struct settings *settings, const char *name, size_t *ret);
/* Moves the sections that llm.KEY names to the front, in its order: their index is then the order of asking. *ret_count: how many it names. FAILED: it
 * names a missing one (what: the settings such a section needs), or one twice. */
enum status settings_check_order(const struct named_sections *named, struct settings *settings, char *const *names, const char *key, const char *what,
                                 const char *where, size_t *ret_count, struct error *err) MUST_CHECK;
/* A text in a request's line or headers must not contain control characters, which could end them. NULL: false. */
bool settings_check_has_control(const char *text);
/* Removes white space around a key, which isn't part of a header's value (RFC 9110, 5.5): servers remove it, and echo the rest, which must then
 * be recognised as the secret. Nothing left: NULL, there is no key. */
void settings_check_trim_key(char **key);
/* The URL's part behind http:// or https://; NULL: it begins with neither. */
const char *settings_check_after_scheme(const char *url);

#endif
