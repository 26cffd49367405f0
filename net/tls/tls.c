/*
 * tls: one connection. See tls.h.
 *
 *   in (a slab) ──take_in──▶ OpenSSL ──put_out──▶ out (grows, freed when sent)
 *
 * OpenSSL reads and writes these two buffers through a BIO of our own; what
 * is not there yet is "try again". A quiet connection holds neither.
 */
#include "net/tls/tls_inner.h"

#include "proto/bytes/wipe.h"
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

enum {
    IN_BYTES = 64 * 1024,
    OUT_FIRST_BYTES = 1024,
    OUT_FULL_BYTES = 128 * 1024, /* no more is sealed while so much waits to be sent */
    OUT_MOST_BYTES = 512 * 1024, /* sealed requests and TLS's own answers together */
    RECORD_BYTES = 16 * 1024,    /* RFC 8446, 5.1 */
};

/* ---- bytes ---- */

static int take_in(BIO *bio, char *bytes, int size)
{
    struct kf__tls *tls = BIO_get_data(bio);
    size_t here = tls->in_end - tls->in_start;
    BIO_clear_retry_flags(bio);
    if (here == 0 || size <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t taken = here < (size_t)size ? here : (size_t)size;
    memcpy(bytes, tls->in->bytes + tls->in_start, taken);
    tls->in_start += taken;
    return (int)taken;
}

/* What has been sent makes room; a peer that makes us answer and never reads gets no more. */
static bool reserve_out(struct kf__tls *tls, size_t size)
{
    if (tls->out_capacity - tls->out_end >= size)
        return true;
    if (tls->out_start > 0) {
        tls->out_end -= tls->out_start;
        memmove(tls->out, tls->out + tls->out_start, tls->out_end);
        tls->out_start = 0;
    }
    if (tls->out_capacity - tls->out_end >= size)
        return true;
    if (tls->out_end > OUT_MOST_BYTES)
        return false;
    size_t wanted = tls->out_capacity ? tls->out_capacity : OUT_FIRST_BYTES;
    while (wanted - tls->out_end < size)
        wanted *= 2;
    uint8_t *out = kf_realloc(&tls->alloc, tls->out, wanted);
    if (!out)
        return false;
    tls->out = out;
    tls->out_capacity = wanted;
    return true;
}

static int put_out(BIO *bio, const char *bytes, int size)
{
    struct kf__tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (!reserve_out(tls, (size_t)size)) {
        tls->no_memory = true;
        return -1;
    }
    memcpy(tls->out + tls->out_end, bytes, (size_t)size);
    tls->out_end += (size_t)size;
    return size;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* there is nothing to flush, and that is well */
}

BIO_METHOD *kf__tls_bytes_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "kafiber");
    if (!method)
        return NULL;
    BIO_meth_set_read(method, take_in);
    BIO_meth_set_write(method, put_out);
    BIO_meth_set_ctrl(method, control);
    return method;
}

/* ---- the handshake, on a helper thread ---- */

static bool is_address(const char *host)
{
    unsigned char room[16];
    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

/* To OpenSSL ".example" is whatever lies below it: too much for a host's name. */
static bool is_whole_name(struct kf__tls *tls)
{
    if (tls->host[0] && tls->host[0] != '.')
        return true;
    tls->verify_error = X509_V_ERR_HOSTNAME_MISMATCH;
    snprintf(tls->verify_text, sizeof tls->verify_text, "no certificate can");
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    return false;
}

static bool verify_name(struct kf__tls *tls)
{
    if (!is_whole_name(tls))
        return false;
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(tls->host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, tls->host);
    return X509_VERIFY_PARAM_set1_host(param, tls->host, 0);
}

static bool set_client(struct kf__tls *tls)
{
    SSL_set_connect_state(tls->ssl);
    if (!tls->context->settings.any_name && !verify_name(tls))
        return false;
    if (!is_address(tls->host) && !SSL_set_tlsext_host_name(tls->ssl, tls->host))
        return false;
    SSL_SESSION *session =
        kf__tls_session_find(tls->context, tls->made, tls->session_key, &tls->resumed_until);
    if (session)
        SSL_set_session(tls->ssl, session);
    SSL_SESSION_free(session);
    return true;
}

static bool begin(struct kf__tls *tls)
{
    tls->made = kf__tls_made_take(tls->context);
    tls->ssl = SSL_new(tls->made->ctx);
    BIO *bio = tls->ssl ? BIO_new(tls->context->bytes) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    if (!tls->context->settings.server)
        return set_client(tls);
    SSL_set_accept_state(tls->ssl);
    return true;
}

static void run(struct kf__work *work)
{
    struct kf__tls *tls = (struct kf__tls *)(void *)work;
    if (tls->state != KF__TLS_HANDSHAKE)
        return;
    ERR_clear_error();
    if (!tls->ssl && !begin(tls)) {
        kf__tls_explain(tls, SSL_ERROR_SSL);
        tls->state = KF__TLS_FAILED;
        return;
    }
    int done = SSL_do_handshake(tls->ssl);
    int why = SSL_get_error(tls->ssl, done);
    if (done == 1) {
        tls->state = KF__TLS_OPEN;
    } else if (why != SSL_ERROR_WANT_READ) {
        kf__tls_explain(tls, why);
        tls->state = KF__TLS_FAILED;
    }
    ERR_clear_error();
}

struct kf__work *kf__tls_work(struct kf__tls *tls) { return &tls->work; }

enum kf__tls_state kf__tls_state(const struct kf__tls *tls) { return tls->state; }

static void drop_in_when_read(struct kf__tls *tls)
{
    if (!tls->in || tls->in_start < tls->in_end)
        return;
    kf__slab_release(tls->in);
    tls->in = NULL;
    tls->in_start = tls->in_end = 0;
}

/* When the first of the certificates that were verified ends; 0: it can't be told. */
static time_t end_of_chain(const struct kf__tls *tls)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(tls->ssl);
    time_t now = time(NULL), end = 0;
    if (SSL_session_reused(tls->ssl)) /* nothing was verified anew */
        return tls->resumed_until;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int days, seconds;
        if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(sk_X509_value(chain, i))))
            return 0;
        time_t at = now + (time_t)days * 86400 + seconds;
        end = i == 0 || at < end ? at : end;
    }
    return end;
}

static void keep_session(struct kf__tls *tls)
{
    if (!tls->new_session)
        return;
    kf__tls_session_keep(tls->context, tls->made, tls->session_key, tls->new_session,
                         end_of_chain(tls));
    tls->new_session = NULL;
}

void kf__tls_stepped(struct kf__tls *tls)
{
    drop_in_when_read(tls);
    if (tls->state == KF__TLS_OPEN)
        keep_session(tls);
}

kf_err kf__tls_error(const struct kf__tls *tls, const char **text)
{
    *text = tls->text;
    return tls->err;
}

kf_err kf__tls_lost(struct kf__tls *tls, const char *cause, const char **text)
{
    kf__tls_explain_end(tls, cause);
    return kf__tls_error(tls, text);
}

/* ---- records ---- */

kf_err kf__tls_space(struct kf__tls *tls, uint8_t **bytes, size_t *size)
{
    if (!tls->in) {
        tls->in = kf__slab_take(tls->slabs, IN_BYTES);
        if (!tls->in)
            return KF_ERR_NO_MEMORY;
        tls->in_start = tls->in_end = 0;
    }
    if (tls->in_end == tls->in->capacity) {
        tls->in_end -= tls->in_start;
        memmove(tls->in->bytes, tls->in->bytes + tls->in_start, tls->in_end);
        tls->in_start = 0;
    }
    *bytes = tls->in->bytes + tls->in_end;
    *size = tls->in->capacity - tls->in_end;
    return *size ? KF_OK : KF_ERR_NO_MEMORY;
}

void kf__tls_received(struct kf__tls *tls, size_t size)
{
    for (size_t i = 0; i < size && tls->first_size < sizeof tls->first; i++)
        tls->first[tls->first_size++] = tls->in->bytes[tls->in_end + i];
    tls->heard |= size > 0;
    tls->in_end += size;
    assert(tls->in_end <= tls->in->capacity);
}

static kf_err fail(struct kf__tls *tls, int why)
{
    kf__tls_explain(tls, why);
    tls->state = KF__TLS_FAILED;
    ERR_clear_error();
    return tls->err;
}

kf_err kf__tls_read(struct kf__tls *tls, void *bytes, size_t size, size_t *got)
{
    *got = 0;
    if (tls->state != KF__TLS_OPEN)
        return tls->err ? tls->err : KF_ERR_STATE;
    ERR_clear_error();
    int done = SSL_read_ex(tls->ssl, bytes, size, got);
    int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
    if (tls->new_session)
        keep_session(tls);
    drop_in_when_read(tls);
    if (done == 1 || why == SSL_ERROR_WANT_READ)
        return KF_OK;
    return fail(tls, why);
}

/* Small parts are gathered, so that a request's header and its records share a record. */
static size_t gather(const struct iovec *parts, size_t count, uint8_t *room)
{
    size_t used = 0;
    for (size_t i = 0; i < count && used < RECORD_BYTES; i++) {
        size_t size =
            parts[i].iov_len < RECORD_BYTES - used ? parts[i].iov_len : RECORD_BYTES - used;
        memcpy(room + used, parts[i].iov_base, size);
        used += size;
    }
    return used;
}

kf_err kf__tls_write(struct kf__tls *tls, const struct iovec *parts, size_t count, size_t *taken)
{
    uint8_t room[RECORD_BYTES];
    *taken = 0;
    if (tls->state != KF__TLS_OPEN)
        return tls->err ? tls->err : KF_ERR_STATE;
    if (tls->out_end - tls->out_start >= OUT_FULL_BYTES || count == 0)
        return KF_OK;
    const void *bytes = parts[0].iov_base;
    size_t size = parts[0].iov_len;
    if (size < RECORD_BYTES && count > 1) {
        size = gather(parts, count, room);
        bytes = room;
    }
    ERR_clear_error();
    int done = size ? SSL_write_ex(tls->ssl, bytes, size, taken) : 1;
    if (done == 1)
        return KF_OK;
    int why = SSL_get_error(tls->ssl, done);
    return why == SSL_ERROR_WANT_READ ? KF_OK : fail(tls, why);
}

struct iovec kf__tls_output(const struct kf__tls *tls)
{
    size_t size = tls->out_end - tls->out_start;
    return (struct iovec){size ? tls->out + tls->out_start : NULL, size};
}

void kf__tls_sent(struct kf__tls *tls, size_t size)
{
    tls->out_start += size;
    assert(tls->out_start <= tls->out_end);
    if (tls->out_start < tls->out_end)
        return;
    kf_free(&tls->alloc, tls->out);
    tls->out = NULL;
    tls->out_start = tls->out_end = tls->out_capacity = 0;
}

/* Behind bytes that wait to be sent it would come too late, or in the middle of a record. */
size_t kf__tls_farewell(struct kf__tls *tls, uint8_t *bytes, size_t room)
{
    if (tls->work.out || !tls->ssl)
        return 0;
    size_t waiting = tls->out_end - tls->out_start;
    if (tls->state == KF__TLS_OPEN && waiting == 0)
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
    size_t size = tls->out_end - tls->out_start;
    if (size == 0 || size > room || (tls->state == KF__TLS_OPEN && waiting))
        return 0;
    memcpy(bytes, tls->out + tls->out_start, size);
    return size;
}

/* ---- what was agreed on ---- */

bool kf__tls_subject(const struct kf__tls *tls, char *text, size_t size)
{
    X509 *certificate = tls->ssl ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    BIO *bio = certificate ? BIO_new(BIO_s_mem()) : NULL;
    if (!bio)
        return false;
    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    snprintf(text, size, "%.*s", (int)length, bytes);
    BIO_free(bio);
    return length > 0;
}

static void look_at_dates(STACK_OF(X509) * chain, struct kf__tls_seen *seen)
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const ASN1_TIME *end = X509_get0_notAfter(sk_X509_value(chain, i));
        int days = 0, seconds = 0;
        struct tm tm;
        if (!ASN1_TIME_diff(&days, &seconds, NULL, end) || !ASN1_TIME_to_tm(end, &tm))
            continue;
        if (i > 0 && days >= seen->days_left)
            continue;
        seen->days_left = days;
        strftime(seen->until, sizeof seen->until, "%Y-%m-%d %H:%M:%SZ", &tm);
    }
}

void kf__tls_look(const struct kf__tls *tls, struct kf__tls_seen *seen)
{
    *seen = (struct kf__tls_seen){0};
    if (!tls->ssl)
        return;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
    snprintf(seen->protocol, sizeof seen->protocol, "%s", SSL_get_version(tls->ssl));
    snprintf(seen->cipher, sizeof seen->cipher, "%s",
             cipher ? SSL_CIPHER_standard_name(cipher) : "none");
    seen->resumed = SSL_session_reused(tls->ssl);
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (!certificate)
        return;
    X509_NAME_oneline(X509_get_subject_name(certificate), seen->subject, (int)sizeof seen->subject);
    X509_NAME_oneline(X509_get_issuer_name(certificate), seen->issuer, (int)sizeof seen->issuer);
    kf__tls_names_of(certificate, seen->names, sizeof seen->names);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls->ssl);
    seen->chain = chain ? sk_X509_num(chain) : 0;
    if (chain)
        look_at_dates(chain, seen);
}

/* ---- the whole ---- */

static void free_all(struct kf__work *work)
{
    struct kf__tls *tls = (struct kf__tls *)(void *)work;
    kf_allocator alloc = tls->alloc;
    if (tls->ssl) {
        /* Without this OpenSSL forgets the session: no goodbye was said. */
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(tls->ssl);
    }
    SSL_SESSION_free(tls->new_session);
    if (tls->made)
        kf__tls_made_drop(tls->context, tls->made);
    kf__tls_context_close(tls->context);
    if (tls->in)
        kf__slab_release(tls->in);
    kf_free(&alloc, tls->out);
    kf_free(&alloc, tls);
}

struct kf__tls *kf__tls_new(struct kf__tls_context *context, struct kf__slab_pool *slabs,
                            const char *peer, const char *host)
{
    struct kf__tls *tls = kf_alloc_zero(&context->alloc, sizeof *tls);
    if (!tls)
        return NULL;
    kf__tls_context_retain(context);
    tls->alloc = context->alloc;
    tls->context = context;
    tls->slabs = slabs;
    tls->work.run = run;
    tls->work.gone = free_all;
    snprintf(tls->peer, sizeof tls->peer, "%s", peer);
    snprintf(tls->host, sizeof tls->host, "%s", host ? host : "");
    size_t length = strlen(tls->host);
    if (length > 1 && tls->host[length - 1] == '.') /* the root of the domain name system */
        tls->host[length - 1] = 0;
    snprintf(tls->session_key, sizeof tls->session_key, "%s %s", tls->peer, tls->host);
    return tls;
}

void kf__tls_free(struct kf__tls *tls)
{
    if (tls)
        kf__work_drop(&tls->work);
}
