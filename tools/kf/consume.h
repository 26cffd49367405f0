/*
 * consume: what the two ways of `kf consume` share: the wishes of the command
 * line, and printing a record.
 *
 *   consume.c         options; reading without a group
 *   consume_group.c   a group member that prints, or hands records to programs
 *   exec.c            the programs
 */
#ifndef KF_TOOLS_CONSUME_H
#define KF_TOOLS_CONSUME_H

#include "tools/kf/lines.h"
#include "tools/kf/options.h"
#include <signal.h>
#include <stdatomic.h>

struct kf__consume {
    struct kf__command command;
    /* as written */
    const char *partition;
    const char *from;
    int64_t count; /* -1: no end */
    bool until_end;
    const char *format_text;
    const char *group;
    const char *semantics;
    const char *instance_id;
    const char *exec;
    int64_t exec_window;
    /* made of it */
    struct kf__format format;
    kf_writer line;
};

/* Appends the record to stdio's buffer; false when it could not be written. */
bool kf__consume_print(struct kf__consume *consume, const kf_message *message);

int kf__consume_group(struct kf__consume *consume);

/* The signal that asked for an end; 0: none yet. Set by a handler, read by several threads. */
extern atomic_int kf__consume_signal;

#endif
