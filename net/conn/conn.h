/*
 * conn: one connection to one broker, without its socket.
 *
 *   IDLE ─wanted─▶ RESOLVING ─▶ CONNECTING ─▶ (TLS) ─▶ VERSIONS ─▶ (SASL) ─▶ READY
 *    ▲  ▲              │           │  ▲ next     │         │          │         │  │
 *    │  │              │           └──┘ address  │         │          │         │  │
 *    │  └─────────────────────── idle for too long ────────────────────────────┘  │
 *    └──retry── BACKOFF ◀──────────────────── any failure ─────────────────────────┘
 *
 * Driven by bytes in, bytes out and time: whoever has the socket (link.c, or
 * a test) looks at `state` after each call and does what it asks for. Calls
 * wait in order until the connection is ready and then are pipelined; they
 * outlive failures while they wait, but end with KF_ERR_DISCONNECTED once
 * they were encoded. What computes or blocks (a private key, a password's
 * hash) is put into `work`, for the driver to do elsewhere; bytes wait
 * meanwhile. With TLS the bytes in and out are its records (conn_tls.c);
 * conn_sasl.c authenticates.
 */
#ifndef KF_NET_CONN_H
#define KF_NET_CONN_H

#include "net/conn/calls.h"
#include "net/conn/flight.h"
#include "net/conn/inbox.h"
#include "net/conn/security.h"
#include "net/conn/versions.h"
#include "net/loop/work.h"
#include "net/loop/world.h"

enum kf__conn_state {
    KF__CONN_IDLE,       /* no socket, nothing wanted */
    KF__CONN_RESOLVING,  /* wants the host's addresses */
    KF__CONN_CONNECTING, /* wants a socket to address number `address` */
    KF__CONN_TLS,        /* the handshake is under way */
    KF__CONN_VERSIONS,   /* ApiVersions is under way */
    KF__CONN_SASL,       /* authentication is under way */
    KF__CONN_READY,
    KF__CONN_BACKOFF, /* no socket, until `retry_at` */
    KF__CONN_ANY,     /* in the table only */
};

enum {
    /* A broker reads no more than this before authentication; nor do we. */
    KF__SETUP_FRAME_BYTES = 512 * 1024,
    /* Calls are encoded only while less than this waits to be sent. */
    KF__OUTPUT_BYTES = 256 * 1024,
    /* What one decoded answer may take beside its frame. */
    KF__ANSWER_BYTES = 256 * 1024 * 1024,
    KF__CONN_TEXT_BYTES = 400,
    /* An alert of TLS, sealed: more is no last word. */
    KF__FAREWELL_BYTES = 64,
};

/* Shared by all connections of a cluster; borrowed. */
struct kf__conn_settings {
    const kf_allocator *alloc;
    const struct kf__world *world; /* for random numbers */
    struct kf__slab_pool *slabs;
    struct kf__security *security; /* NULL: plaintext, nobody authenticates */
    const char *client_id;
    kf_time request_timeout;
    kf_time setup_timeout; /* for each address, all steps together */
    kf_time setup_timeout_max;
    kf_time reconnect_backoff;
    kf_time reconnect_backoff_max;
    kf_time max_idle;
    size_t receive_max;
};

struct kf__conn_events {
    void *owner;
    void (*opened)(void *owner); /* READY */
    /*
     * Failed; the calls in flight have ended, err and text are in the
     * connection. `was_ready`: it had been working. Not when it closed for
     * being idle. Must not free the connection.
     */
    void (*failed)(void *owner, bool was_ready);
};

struct kf__conn {
    const struct kf__conn_settings *settings;
    struct kf__conn_events events;
    const char *peer; /* "host:port", for sentences; borrowed */
    const char *host; /* the name that a certificate must have; borrowed */
    int32_t node;     /* told to those who get answers */
    enum kf__conn_state state;

    size_t address, address_count;
    int failures;     /* since it was last ready */
    bool worked;      /* it has been ready in this attempt */
    bool answered;    /* and a call was answered */
    kf_time deadline; /* of the set-up */
    kf_time retry_at;
    kf_time throttled_until;
    kf_time last_used;
    kf_time next_check; /* no call expires before */
    kf_err err;         /* of the last failure; KF_OK once ready */
    char text[KF__CONN_TEXT_BYTES];

    struct kf__versions versions; /* of the last time it was ready */
    int16_t ask_version;          /* of ApiVersions, next time */

    struct kf__call_list waiting;
    struct kf__flight flight;
    struct kf__inbox inbox;
    kf_writer output;
    size_t output_sent;    /* of what the writer holds */
    int64_t encoded, sent; /* bytes since this connection was made */
    uint32_t silent;       /* requests without answer whose call has not ended */
    kf_arena arena;
    struct kf__work *work;                /* wanted or out; NULL: none */
    struct kf__tls *tls;                  /* NULL: bytes are plaintext */
    uint8_t farewell[KF__FAREWELL_BYTES]; /* for a socket that is about to be closed */
    size_t farewell_size;
    struct kf__sasl_run *sasl; /* an exchange under way; NULL: none */
    bool raw_sasl;             /* its tokens go without Kafka's headers */
    kf_time session_life;      /* as the broker's last answer says; 0: for ever */
    kf_time renew_at;          /* from then on calls wait for re-authentication; 0: not known */
    kf_time renew_from;        /* which may not begin earlier */
    bool spoilt;               /* bytes of the output are lost: it must be closed */
    bool closing;              /* no new set-up is begun */
};

void kf__conn_init(struct kf__conn *conn, const struct kf__conn_settings *settings,
                   const struct kf__conn_events *events, const char *peer, const char *host,
                   int32_t node);
/* TLS is over: what it has to say last is in `farewell`. */
void kf__conn_part(struct kf__conn *conn);
/* Ends all calls with `err`, tells no failure, frees what it holds. */
void kf__conn_free(struct kf__conn *conn, kf_err err);

/* ---- the caller's side ---- */

/* Only queues: kf__conn_pump does the rest. */
void kf__conn_send(struct kf__conn *conn, struct kf__call *call);
/* Breaks the connection: the broker moved. Waiting calls go on waiting. */
void kf__conn_break(struct kf__conn *conn, kf_time now, kf_err err, const char *text);
/* Closes it, as if it had been idle for too long, unless calls are in flight or wait. */
void kf__conn_hang_up_when_unused(struct kf__conn *conn, kf_time now);
/* Ends what waits, not what is in flight. */
void kf__conn_end_waiting(struct kf__conn *conn, kf_err err);

/* ---- the driver's side ---- */

/* Begins a set-up where calls wait, encodes calls where it is ready. */
void kf__conn_pump(struct kf__conn *conn, kf_time now);
void kf__conn_resolved(struct kf__conn *conn, kf_time now, kf_err err, size_t addresses);
void kf__conn_connected(struct kf__conn *conn, kf_time now);
/* This address failed: the next one is tried at once, and after the last the connection rests. */
void kf__conn_refused(struct kf__conn *conn, kf_time now, const char *cause);
/* The socket broke or was closed by the peer (cause NULL). */
void kf__conn_lost(struct kf__conn *conn, kf_time now, const char *cause);

kf_err kf__conn_space(struct kf__conn *conn, uint8_t **bytes, size_t *size);
void kf__conn_received(struct kf__conn *conn, kf_time now, size_t size);
/* The work is done, its `out` no longer set. Whoever has it out reads and sends nothing. */
void kf__conn_worked(struct kf__conn *conn, kf_time now);
size_t kf__conn_output(const struct kf__conn *conn, struct iovec *parts, size_t max);
void kf__conn_sent(struct kf__conn *conn, kf_time now, size_t size);
bool kf__conn_has_output(const struct kf__conn *conn);

/* When kf__conn_tick is due. */
kf_time kf__conn_deadline(const struct kf__conn *conn);
void kf__conn_tick(struct kf__conn *conn, kf_time now);

/* The set-up is done or under way: a socket is wanted. */
bool kf__conn_is_open(const struct kf__conn *conn);

#endif
