/* Reopens standard input, output and error if the caller has closed them. Else the first files that are opened, Kafka's own, would get their
 * descriptors: lines would be read from them, and answers written to them. Once, before other files are opened; exits with EX_OSERR if /dev/null can't be. */
#ifndef CHAT_PRODUCER_STANDARD_FILES_H
#define CHAT_PRODUCER_STANDARD_FILES_H

/* Each closed one becomes /dev/null, opened in the wrong direction: using it fails as before, with EBADF. */
void standard_files_hold(void);

#endif
