/*
 * exec: a handler that is a program: one for each partition, fed with JSON
 * lines, answering "ok" or "fail REASON" (docs/cli.md).
 *
 *   none ──record──▶ running ──exit, closed pipe, nonsense──▶ none, after a back-off
 *                       └── revoke, end ──▶ stdin closed ──▶ SIGTERM ──▶ SIGKILL
 *
 * kf__exec_handle runs on a partition's fiber and suspends it, never its
 * thread. Everything else is called from plain threads.
 */
#ifndef KF_TOOLS_EXEC_H
#define KF_TOOLS_EXEC_H

#include <kafiber/fiber.h>
#include <kafiber/runtime.h>

struct kf__exec;

/* Strings are borrowed. `patience`: how long a program may take to end before SIGTERM. */
struct kf__exec *kf__exec_new(const char *command, const char *group, kf_time patience);
kf_verdict kf__exec_handle(struct kf__exec *exec, const kf_message *message);
/* The partition is no longer ours: its program's stdin is closed. Does not wait. */
void kf__exec_let_go(struct kf__exec *exec, const char *topic, int32_t partition);
/* Now and then: reaps programs that ended, presses those that don't. */
void kf__exec_tick(struct kf__exec *exec);
/* No handler runs any more. Waits for all programs, pressing them. */
void kf__exec_free(struct kf__exec *exec);

#endif
