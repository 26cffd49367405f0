/* doctor_visit: a connection step by step; see doctor_visit.h. */
#include "runtime/client/doctor_visit.h"
#include "net/loop/times.h"

#include <arpa/inet.h>
#include <errno.h>
#include <kafiber/messages.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>

enum {
    TEXT_BYTES = 700,
    PARTS = 16,
    SOON_DAYS = 30, /* a certificate that ends sooner is worth a word */
};

void kf__visit_tell(struct kf__visit *visit, kf_finding_kind kind, const char *step,
                    const char *advice, kf_err err, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (kind == KF_FINDING_BAD && !visit->bad)
        visit->bad = err ? err : KF_ERR_SYSTEM;
    const kf_finding finding = {kind, step, visit->name, text, advice, err};
    if (visit->tell)
        visit->tell(visit->context, &finding);
}

static kf_time now_of(const struct kf__visit *visit)
{
    return visit->world->now(visit->world->context);
}

static long long ms_since(const struct kf__visit *visit, kf_time since)
{
    return (long long)((now_of(visit) - since) / KF_MILLISECOND);
}

/* ---- what a state that was left has shown ---- */

static const char *spell(const struct kf__address *address, char *text, socklen_t size)
{
    const struct sockaddr *at = (const struct sockaddr *)&address->storage;
    const void *bytes =
        at->sa_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr
            : (const void *)&((const struct sockaddr_in *)(const void *)at)->sin_addr;
    return inet_ntop(at->sa_family, bytes, text, size) ? text : "?";
}

static void tell_addresses(struct kf__visit *visit)
{
    char list[400] = "", one[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < visit->address_count; i++) {
        size_t used = strlen(list);
        if (used + sizeof one + 2 < sizeof list)
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                     spell(&visit->addresses[i], one, sizeof one));
    }
    kf__visit_tell(visit, KF_FINDING_GOOD, "dns", NULL, KF_OK, "%s is %s (%lld ms)", visit->host,
                   list, ms_since(visit, visit->began));
}

static void tell_socket(struct kf__visit *visit)
{
    char one[INET6_ADDRSTRLEN];
    kf__visit_tell(visit, KF_FINDING_GOOD, "tcp", NULL, KF_OK, "connected to %s port %u (%lld ms)",
                   spell(&visit->addresses[visit->tried], one, sizeof one), (unsigned)visit->port,
                   ms_since(visit, visit->began));
}

static void tell_tls(struct kf__visit *visit)
{
    struct kf__tls_seen seen;
    kf__tls_look(visit->conn.tls, &seen);
    bool soon = seen.days_left < SOON_DAYS;
    kf__visit_tell(visit, soon ? KF_FINDING_WARNING : KF_FINDING_GOOD, "tls",
                   soon ? "renew the certificate before it ends" : NULL, KF_OK,
                   "%s with %s; the certificate of %s names %s, was issued by %s, and its chain of "
                   "%d ends on %s, in %lld days",
                   seen.protocol, seen.cipher, seen.subject, seen.names, seen.issuer, seen.chain,
                   seen.until, (long long)seen.days_left);
    if (visit->conn.settings->security->any_name)
        kf__visit_tell(visit, KF_FINDING_WARNING, "tls",
                       "remove ssl.endpoint.identification.algorithm from the configuration", KF_OK,
                       "the host's name was not looked for in the certificate");
}

static void tell_versions(struct kf__visit *visit)
{
    int count = 0;
    int16_t min, max, fetch = -1, produce = -1;
    for (int16_t key = 0; key < KF__API_KEYS; key++)
        count += kf__versions_range(&visit->conn.versions, key, &min, &max);
    if (kf__versions_range(&visit->conn.versions, KF_API_FETCH, &min, &max))
        fetch = max;
    if (kf__versions_range(&visit->conn.versions, KF_API_PRODUCE, &min, &max))
        produce = max;
    kf__visit_tell(visit, KF_FINDING_GOOD, "api-versions", NULL, KF_OK,
                   "it speaks Kafka: %d APIs, Produce up to version %d, Fetch up to %d", count,
                   produce, fetch);
}

/* The state was left for a later one of the set-up. */
static void tell_left(struct kf__visit *visit, enum kf__conn_state state)
{
    switch (state) {
    case KF__CONN_RESOLVING:
        tell_addresses(visit);
        break;
    case KF__CONN_CONNECTING:
        tell_socket(visit);
        break;
    case KF__CONN_TLS:
        tell_tls(visit);
        break;
    case KF__CONN_VERSIONS:
        tell_versions(visit);
        break;
    case KF__CONN_SASL:
        kf__visit_tell(visit, KF_FINDING_GOOD, "sasl", NULL, KF_OK,
                       "the broker believes who we are");
        break;
    default:
        break;
    }
}

static const char *step_name(enum kf__conn_state state)
{
    switch (state) {
    case KF__CONN_RESOLVING:
        return "dns";
    case KF__CONN_CONNECTING:
        return "tcp";
    case KF__CONN_TLS:
        return "tls";
    case KF__CONN_VERSIONS:
        return "api-versions";
    case KF__CONN_SASL:
        return "sasl";
    default:
        return "connection";
    }
}

static const char *advice_for(kf_err err)
{
    switch (err) {
    case KF_ERR_NAME_NOT_RESOLVED:
        return "check the spelling; ask the name server (getent hosts NAME)";
    case KF_ERR_CONNECT_FAILED:
        return "is a broker running there, is this its port, does a firewall stand between?";
    case KF_ERR_TIMED_OUT:
        return "a firewall that drops packets, or a port that is not Kafka's, answers like this";
    case KF_ERR_SASL_AUTHENTICATION_FAILED:
        return "check user and password, and that the broker knows the user for this mechanism";
    default:
        return NULL; /* the sentence says it */
    }
}

/* The connection's sentence: without the peer that it begins with, its last part as advice. */
static void tell_failure(struct kf__visit *visit, enum kf__conn_state state)
{
    char text[KF__CONN_TEXT_BYTES];
    size_t name = strlen(visit->name);
    bool named = strncmp(visit->conn.text, visit->name, name) == 0;
    snprintf(text, sizeof text, "%s", visit->conn.text + (named ? name : 0));
    const char *found = text + strspn(text, ": ");
    const char *advice = advice_for(visit->conn.err);
    char *last = NULL;
    for (char *at = strstr(text, "; "); at; at = strstr(at + 1, "; "))
        last = at;
    if (last && !advice) {
        *last = 0;
        advice = last + 2;
    }
    kf__visit_tell(visit, KF_FINDING_BAD, step_name(state), advice, visit->conn.err, "%s", found);
}

/* ---- the socket ---- */

static void close_socket(struct kf__visit *visit)
{
    if (visit->fd >= 0)
        visit->world->close(visit->world->context, visit->fd);
    visit->fd = -1;
}

static void resolve(struct kf__visit *visit)
{
    kf_err err = visit->world->resolve(visit->world->context, visit->host, visit->port,
                                       visit->addresses, &visit->address_count);
    kf__conn_resolved(&visit->conn, now_of(visit), err, visit->address_count);
}

static void open_socket(struct kf__visit *visit)
{
    int error = 0;
    visit->tried = visit->conn.address;
    visit->fd =
        visit->world->connect(visit->world->context, &visit->addresses[visit->tried], &error);
    if (visit->fd < 0)
        kf__conn_refused(&visit->conn, now_of(visit), strerror(error));
}

static void send_output(struct kf__visit *visit)
{
    struct iovec parts[PARTS];
    int error = 0;
    size_t count = kf__conn_output(&visit->conn, parts, PARTS);
    ssize_t sent = visit->world->send(visit->world->context, visit->fd, parts,
                                      (int)(count < PARTS ? count : PARTS), &error);
    if (sent > 0)
        kf__conn_sent(&visit->conn, now_of(visit), (size_t)sent);
    else if (error != EAGAIN)
        kf__conn_lost(&visit->conn, now_of(visit), strerror(error));
}

static void receive(struct kf__visit *visit)
{
    uint8_t *bytes;
    size_t size;
    int error = 0;
    if (kf__conn_space(&visit->conn, &bytes, &size)) {
        kf__conn_lost(&visit->conn, now_of(visit), "no memory");
        return;
    }
    ssize_t got = visit->world->receive(visit->world->context, visit->fd, bytes, size, &error);
    if (got > 0)
        kf__conn_received(&visit->conn, now_of(visit), (size_t)got);
    else if (got == 0 || error != EAGAIN)
        kf__conn_lost(&visit->conn, now_of(visit), got ? strerror(error) : NULL);
}

static void do_work(struct kf__visit *visit)
{
    struct kf__work *work = visit->conn.work;
    work->run(work);
    kf__conn_worked(&visit->conn, now_of(visit));
}

/* Until the socket is ready, the connection's deadline or ours. */
static void wait_for_socket(struct kf__visit *visit)
{
    bool connecting = visit->conn.state == KF__CONN_CONNECTING;
    bool writes = connecting || kf__conn_has_output(&visit->conn);
    kf_time until = kf__conn_deadline(&visit->conn);
    until = until < visit->until ? until : visit->until;
    kf_time left = until - now_of(visit);
    struct pollfd fd = {.fd = visit->fd,
                        .events = (short)((writes ? POLLOUT : 0) | (connecting ? 0 : POLLIN))};
    int ready = poll(&fd, 1, left > 0 ? (int)(left / KF_MILLISECOND) + 1 : 0);
    if (ready <= 0) {
        kf__conn_tick(&visit->conn, now_of(visit));
        return;
    }
    if (connecting) {
        int error = visit->world->connect_result(visit->world->context, visit->fd);
        if (error)
            kf__conn_refused(&visit->conn, now_of(visit), strerror(error));
        else
            kf__conn_connected(&visit->conn, now_of(visit));
        return;
    }
    if (fd.revents & POLLOUT)
        send_output(visit);
    if (fd.revents & (POLLIN | POLLHUP | POLLERR) && kf__conn_is_open(&visit->conn))
        receive(visit);
}

static bool has_ended(const struct kf__visit *visit)
{
    return visit->conn.state == KF__CONN_BACKOFF || visit->conn.state == KF__CONN_IDLE;
}

/* What the state asks for, once. */
static void go_on(struct kf__visit *visit)
{
    struct kf__conn *conn = &visit->conn;
    if (conn->state == KF__CONN_RESOLVING) {
        resolve(visit);
        return;
    }
    if (conn->state == KF__CONN_CONNECTING && visit->fd >= 0 && visit->tried != conn->address)
        close_socket(visit);
    if (conn->state == KF__CONN_CONNECTING && visit->fd < 0)
        open_socket(visit);
    else if (conn->work)
        do_work(visit);
    else
        wait_for_socket(visit);
}

/* Until the connection is as wanted, or broken; each state that it leaves is told of. */
static void run(struct kf__visit *visit, const struct kf__call *call)
{
    kf__conn_pump(&visit->conn, now_of(visit));
    while (!has_ended(visit) && kf__call_is_under_way(call)) {
        enum kf__conn_state before = visit->conn.state;
        kf_time began = now_of(visit);
        go_on(visit);
        enum kf__conn_state after = visit->conn.state;
        if (after > before && after <= KF__CONN_READY) {
            tell_left(visit, before);
            visit->began = now_of(visit);
        } else if (after == KF__CONN_BACKOFF) {
            tell_failure(visit, before);
        } else if (began >= visit->until) {
            return;
        }
        if (!has_ended(visit))
            kf__conn_pump(&visit->conn, now_of(visit));
    }
}

/* ---- the whole ---- */

static void ignore_opened(void *owner) { (void)owner; }

static void ignore_failed(void *owner, bool was_ready)
{
    (void)owner;
    (void)was_ready;
}

/* A call that ends as soon as the connection is ready: it builds no request. */
static kf_err build_none(struct kf__call *call, int16_t version, kf_arena *arena,
                         const void **message)
{
    (void)call;
    (void)version;
    (void)arena;
    (void)message;
    return KF_ERR_CANCELLED;
}

static void done_none(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    (void)answer;
    *(kf_err *)call->owner = err;
}

bool kf__visit_open(struct kf__visit *visit, const struct kf__conn_settings *settings,
                    const char *host, uint16_t port, kf_time patience)
{
    struct kf__conn_events events = {
        .owner = visit, .opened = ignore_opened, .failed = ignore_failed};
    bool v6 = strchr(host, ':') != NULL;
    snprintf(visit->host, sizeof visit->host, "%s", host);
    snprintf(visit->name, sizeof visit->name, "%s%s%s:%u", v6 ? "[" : "", visit->host,
             v6 ? "]" : "", (unsigned)port);
    visit->port = port;
    visit->fd = -1;
    visit->world = settings->world;
    visit->bad = KF_OK;
    visit->began = now_of(visit);
    visit->until = kf__after(visit->began, patience);
    kf__conn_init(&visit->conn, settings, &events, visit->name, visit->host, -1);

    kf_err end = KF_OK;
    struct kf__call call = {.api_key = KF_API_API_VERSIONS,
                            .deadline = visit->until,
                            .build = build_none,
                            .done = done_none,
                            .owner = &end};
    kf__conn_send(&visit->conn, &call);
    run(visit, &call);
    bool is_ready = visit->conn.state == KF__CONN_READY;
    kf__call_cancel(&call);
    if (!is_ready && !visit->bad)
        kf__visit_tell(visit, KF_FINDING_BAD, step_name(visit->conn.state),
                       advice_for(KF_ERR_TIMED_OUT), KF_ERR_TIMED_OUT, "no answer in time");
    return is_ready;
}

void kf__visit_call(struct kf__visit *visit, struct kf__call *call, kf_time patience)
{
    visit->until = kf__after(now_of(visit), patience);
    call->deadline = visit->until;
    kf__conn_send(&visit->conn, call);
    run(visit, call);
    kf__conn_tick(&visit->conn, visit->until);
    kf__call_cancel(call);
}

void kf__visit_close(struct kf__visit *visit)
{
    kf__conn_free(&visit->conn, KF_ERR_CLOSED);
    close_socket(visit);
}
