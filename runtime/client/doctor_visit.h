/*
 * doctor_visit: one connection, set up before the doctor's eyes.
 *
 *   names, socket, time ──▶ visit ──▶ kf__conn ──▶ a finding for each state it leaves
 *
 * The connection is the one of clients; the visit has its socket and waits
 * for it, on the calling thread. Called by doctor.c alone.
 */
#ifndef KF_RUNTIME_DOCTOR_VISIT_H
#define KF_RUNTIME_DOCTOR_VISIT_H

#include "net/conn/conn.h"
#include <kafiber/doctor.h>

enum {
    KF__VISIT_NAME_BYTES = 300,
};

struct kf__visit {
    struct kf__conn conn;
    const struct kf__world *world;
    kf_finding_fn tell; /* of each step; NULL: only of what goes wrong */
    void *context;
    kf_err bad; /* the first one of this visit */

    char host[KF__VISIT_NAME_BYTES];
    uint16_t port;
    char name[KF__VISIT_NAME_BYTES + 8]; /* host:port */
    struct kf__address addresses[KF__MAX_ADDRESSES];
    size_t address_count;
    size_t tried; /* the address that the socket goes to */
    int fd;       /* -1: none */
    kf_time began;
    kf_time until; /* no step is waited for any longer */
};

/* Sets up the connection; false where it came to no good, which was told. */
bool kf__visit_open(struct kf__visit *visit, const struct kf__conn_settings *settings,
                    const char *host, uint16_t port, kf_time patience);
/* One call on it: its done() has been called. */
void kf__visit_call(struct kf__visit *visit, struct kf__call *call, kf_time patience);
void kf__visit_close(struct kf__visit *visit);

void kf__visit_tell(struct kf__visit *visit, kf_finding_kind kind, const char *step,
                    const char *advice, kf_err err, const char *format, ...) KF_PRINTF(6, 7);

#endif
