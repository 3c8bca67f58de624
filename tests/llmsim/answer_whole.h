/* Answers in one JSON body, correct or malformed. Pure; the server's thread. */
#ifndef LLMSIM_ANSWER_WHOLE_H
#define LLMSIM_ANSWER_WHOLE_H

#include "draft.h"

void answer_whole(struct draft *c);

#endif
