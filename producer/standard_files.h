/* Standard input, output and error that a caller has closed. Without them the first files that are opened, Kafka's own, would take their
 * numbers: lines would be read from them, and answers written to them. Once, before anything is opened; exits with EX_OSERR where /dev/null can't be. */
#ifndef CHAT_PRODUCER_STANDARD_FILES_H
#define CHAT_PRODUCER_STANDARD_FILES_H

/* Each that is closed is /dev/null, opened the wrong way round: its use fails as it would have, with EBADF. */
void standard_files_hold(void);

#endif
