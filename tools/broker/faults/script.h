/*
 * script: faults and events as text, one a line, into rules. The grammar is
 * in docs/broker.md and on top of script.c. Pure. Called by calls.c.
 */
#ifndef KF_BROKER_SCRIPT_H
#define KF_BROKER_SCRIPT_H

#include "tools/broker/faults/rules.h"

/*
 * All of the text's rules or none: INVALID_ARGUMENT with line, column, what
 * was expected and the nearest word. Times count from `now`.
 */
kf_err kf__script_load(struct kf__rules *rules, const char *text, kf_time now, kf_error *error);

#endif
