/*
 * tls_context: what the connections of a cluster share. See tls.h.
 *
 *   files ──read──▶ made 1: SSL_CTX, sessions ◀── connections of that time
 *     │ changed
 *     └────read──▶ made 2 ◀── connections from then on
 *
 * An SSL_CTX is never changed once a connection has it: new files make a new
 * one, with no sessions, so that a certificate that is no longer trusted is
 * looked at again. Bad new files leave the old ones in use.
 */
#include "net/tls/tls_inner.h"

#include <openssl/err.h>
#include <string.h>

/* ---- protocols and ciphers ---- */

static bool next_word(const char **list, char *word, size_t size)
{
    static const char between[] = ",: \t";
    *list += strspn(*list, between);
    size_t length = strcspn(*list, between);
    if (length == 0)
        return false;
    snprintf(word, size, "%.*s", (int)length, *list);
    *list += length;
    return true;
}

static kf_err set_protocols(SSL_CTX *ctx, const char *list, kf_error *error)
{
    bool one_two = false, one_three = false;
    char word[40];
    while (list && next_word(&list, word, sizeof word)) {
        one_two |= strcmp(word, "TLSv1.2") == 0;
        one_three |= strcmp(word, "TLSv1.3") == 0;
        if (strcmp(word, "TLSv1.2") != 0 && strcmp(word, "TLSv1.3") != 0)
            return kf_error_set(error, KF_ERR_CONFIG,
                                "ssl.enabled.protocols=%s: only TLSv1.2 and TLSv1.3 are spoken",
                                word);
    }
    if (!one_two && !one_three)
        one_two = one_three = true;
    SSL_CTX_set_min_proto_version(ctx, one_two ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(ctx, one_three ? TLS1_3_VERSION : TLS1_2_VERSION);
    return KF_OK;
}

enum {
    CIPHERS_BYTES = 2000
};

static void add_word(char *list, const char *word)
{
    size_t used = strlen(list);
    if (used + strlen(word) + 2 < CIPHERS_BYTES)
        snprintf(list + used, CIPHERS_BYTES - used, "%s%s", used ? ":" : "", word);
}

/* TLS 1.3's suites and the older ones are two lists in OpenSSL, one in Kafka. */
static kf_err set_ciphers(SSL_CTX *ctx, const char *list, kf_error *error)
{
    char older[CIPHERS_BYTES] = "", newer[CIPHERS_BYTES] = "", word[100];
    while (list && next_word(&list, word, sizeof word)) {
        const char *name = OPENSSL_cipher_name(word);
        bool standard = name && strcmp(name, "(NONE)") != 0;
        bool is_newer = !strncmp(word, "TLS_AES_", 8) || !strncmp(word, "TLS_CHACHA20_", 13);
        const char *openssl_name = standard ? name : word;
        if (is_newer ? !SSL_CTX_set_ciphersuites(ctx, openssl_name)
                     : !SSL_CTX_set_cipher_list(ctx, openssl_name)) {
            ERR_clear_error();
            return kf_error_set(error, KF_ERR_CONFIG,
                                "ssl.cipher.suites: this build's OpenSSL does not know %s", word);
        }
        add_word(is_newer ? newer : older, openssl_name);
    }
    if (!*older && !*newer)
        return KF_OK;
    SSL_CTX_set_ciphersuites(ctx, newer);
    if (*older)
        SSL_CTX_set_cipher_list(ctx, older);
    else
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    if (!*newer)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    ERR_clear_error();
    return KF_OK;
}

/* ---- making ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct kf__tls *tls = SSL_get_app_data(ssl);
    SSL_SESSION_free(tls->new_session);
    tls->new_session = session;
    return 1; /* the reference is ours */
}

/* Called only where no certificate is configured. */
static int note_request(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    struct kf__tls *tls = SSL_get_app_data(ssl);
    (void)certificate;
    (void)key;
    tls->asked = true;
    return 0;
}

static kf_err use_identity(SSL_CTX *ctx, const struct kf__tls_identity *identity, kf_error *error)
{
    char reason[160];
    if (SSL_CTX_use_cert_and_key(ctx, identity->certificate, identity->key, identity->chain, 1))
        return KF_OK;
    return kf_error_set(error, KF_ERR_CONFIG, "the certificate of the key store can't be used: %s",
                        kf__tls_reason(reason, sizeof reason));
}

static void set_client(SSL_CTX *ctx, bool has_identity)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, kf__tls_verify);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    if (!has_identity)
        SSL_CTX_set_client_cert_cb(ctx, note_request);
}

static void set_server(const struct kf__tls_settings *settings, SSL_CTX *ctx)
{
    static const unsigned char name[] = "kafiber";
    int verify = SSL_VERIFY_NONE;
    if (settings->client_auth != KF__CLIENT_AUTH_NONE)
        verify = SSL_VERIFY_PEER;
    if (settings->client_auth == KF__CLIENT_AUTH_REQUIRED)
        verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, verify, kf__tls_verify);
    SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1);
}

static void set_modes(const struct kf__tls_settings *settings, SSL_CTX *ctx)
{
    if (settings->wipes)
        SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* As Java: what is in the trust store is trusted, be it no root. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
}

static kf_err fill_ctx(const struct kf__tls_context *context, struct kf__tls_made *made,
                       kf_error *error)
{
    const struct kf__tls_settings *settings = &context->settings;
    struct kf__tls_identity identity;
    kf_err err = kf__tls_read_identity(&context->alloc, settings, &identity, error);
    if (err)
        return err;
    made->has_identity = identity.certificate != NULL;
    if (made->has_identity)
        err = use_identity(made->ctx, &identity, error);
    else if (settings->server)
        err = kf_error_set(error, KF_ERR_CONFIG,
                           "a TLS listener needs a certificate: set ssl.keystore.location");
    kf__tls_identity_free(&identity);
    bool verifies = !settings->server || settings->client_auth != KF__CLIENT_AUTH_NONE;
    if (!err && verifies)
        err = kf__tls_read_trust(&context->alloc, settings, made->ctx, error);
    if (!err)
        err = set_protocols(made->ctx, settings->protocols, error);
    if (!err)
        err = set_ciphers(made->ctx, settings->ciphers, error);
    if (err)
        return err;
    set_modes(settings, made->ctx);
    if (settings->server)
        set_server(settings, made->ctx);
    else
        set_client(made->ctx, made->has_identity);
    return KF_OK;
}

static void made_free(struct kf__tls_context *context, struct kf__tls_made *made)
{
    for (int i = 0; i < KF__TLS_SESSIONS; i++) {
        SSL_SESSION_free(made->sessions[i].session);
        kf_free(&context->alloc, made->sessions[i].key);
    }
    SSL_CTX_free(made->ctx);
    kf_free(&context->alloc, made);
}

static kf_err make(struct kf__tls_context *context, struct kf__tls_made **result, kf_error *error)
{
    struct kf__tls_made *made = kf_alloc_zero(&context->alloc, sizeof *made);
    if (made)
        made->ctx =
            SSL_CTX_new(context->settings.server ? TLS_server_method() : TLS_client_method());
    kf_err err = made && made->ctx ? fill_ctx(context, made, error)
                                   : kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for TLS");
    if (err && made)
        made_free(context, made);
    else
        *result = made;
    if (!err)
        made->references = 1;
    return err;
}

/* ---- change ---- */

static const char *path_of(const struct kf__tls_context *context, int file)
{
    const struct kf__tls_settings *settings = &context->settings;
    const char *path = file == 0 ? settings->keystore_location : settings->truststore_location;
    return path && *path ? path : NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Takes the files' stamps; whether one differs from before. A file that is gone differs too. */
static bool take_stamps(struct kf__tls_context *context)
{
    bool changed = false;
    for (int i = 0; i < KF__TLS_FILES; i++) {
        struct stat now = {0};
        const char *path = path_of(context, i);
        if (path && stat(path, &now))
            now = (struct stat){0};
        changed |= !same_file(&now, &context->stamps[i]);
        context->stamps[i] = now;
    }
    return changed;
}

static void tell(struct kf__tls_context *context, kf_err err, const char *text)
{
    pthread_mutex_lock(&context->lock);
    context->news.err = err;
    snprintf(context->news.text, sizeof context->news.text, "%.500s", text);
    context->has_news = true;
    pthread_mutex_unlock(&context->lock);
}

static void reload(struct kf__tls_context *context)
{
    kf_error error = KF_ERROR_INIT;
    struct kf__tls_made *made = NULL;
    char text[KF_ERROR_TEXT_BYTES];
    if (make(context, &made, &error)) {
        snprintf(text, sizeof text,
                 "the certificates have changed but can't be used, the old ones stay: %.400s",
                 error.text);
        tell(context, error.code, text);
        return;
    }
    pthread_mutex_lock(&context->lock);
    struct kf__tls_made *old = context->made;
    context->made = made;
    pthread_mutex_unlock(&context->lock);
    kf__tls_made_drop(context, old);
    tell(context, KF_OK, "the certificates have changed: new connections use the new ones");
}

/* While another helper reads, which may take its time, connections go on with the old files. */
struct kf__tls_made *kf__tls_made_take(struct kf__tls_context *context)
{
    if (pthread_mutex_trylock(&context->reading) == 0) {
        if (take_stamps(context))
            reload(context);
        pthread_mutex_unlock(&context->reading);
    }
    pthread_mutex_lock(&context->lock);
    struct kf__tls_made *made = context->made;
    made->references++;
    pthread_mutex_unlock(&context->lock);
    return made;
}

void kf__tls_made_drop(struct kf__tls_context *context, struct kf__tls_made *made)
{
    pthread_mutex_lock(&context->lock);
    bool last = --made->references == 0;
    pthread_mutex_unlock(&context->lock);
    if (last)
        made_free(context, made);
}

bool kf__tls_context_news(struct kf__tls_context *context, struct kf__tls_news *news)
{
    pthread_mutex_lock(&context->lock);
    bool has = context->has_news;
    if (has)
        *news = context->news;
    context->has_news = false;
    pthread_mutex_unlock(&context->lock);
    return has;
}

/* ---- sessions ---- */

static struct kf__tls_session *place_of(struct kf__tls_made *made, const char *key)
{
    for (int i = 0; i < KF__TLS_SESSIONS; i++)
        if (made->sessions[i].session && strcmp(made->sessions[i].key, key) == 0)
            return &made->sessions[i];
    return NULL;
}

static void forget_session(const struct kf__tls_context *context, struct kf__tls_session *place)
{
    SSL_SESSION_free(place->session);
    kf_free(&context->alloc, place->key);
    *place = (struct kf__tls_session){0};
}

SSL_SESSION *kf__tls_session_find(struct kf__tls_context *context, struct kf__tls_made *made,
                                  const char *key, time_t *until)
{
    pthread_mutex_lock(&context->lock);
    struct kf__tls_session *place = place_of(made, key);
    if (place && place->until <= time(NULL)) {
        forget_session(context, place);
        place = NULL;
    }
    SSL_SESSION *session = place ? place->session : NULL;
    if (session) {
        SSL_SESSION_up_ref(session);
        *until = place->until;
    }
    pthread_mutex_unlock(&context->lock);
    return session;
}

/* Without memory for its key a session is just not kept. */
void kf__tls_session_keep(struct kf__tls_context *context, struct kf__tls_made *made,
                          const char *key, SSL_SESSION *session, time_t until)
{
    size_t size = strlen(key) + 1;
    pthread_mutex_lock(&context->lock);
    struct kf__tls_session *place = place_of(made, key);
    if (!place)
        place = &made->sessions[made->next_session++ % KF__TLS_SESSIONS];
    forget_session(context, place);
    place->key = kf_alloc(&context->alloc, size);
    if (place->key) {
        memcpy(place->key, key, size);
        place->session = session;
        place->until = until;
    } else {
        SSL_SESSION_free(session);
    }
    pthread_mutex_unlock(&context->lock);
}

/* ---- the whole ---- */

void kf__tls_context_retain(struct kf__tls_context *context)
{
    pthread_mutex_lock(&context->lock);
    context->references++;
    pthread_mutex_unlock(&context->lock);
}

void kf__tls_context_close(struct kf__tls_context *context)
{
    if (!context)
        return;
    pthread_mutex_lock(&context->lock);
    bool last = --context->references == 0;
    pthread_mutex_unlock(&context->lock);
    if (!last)
        return;
    if (context->made)
        made_free(context, context->made);
    BIO_meth_free(context->bytes);
    pthread_mutex_destroy(&context->lock);
    pthread_mutex_destroy(&context->reading);
    kf_allocator alloc = context->alloc;
    kf_free(&alloc, context);
}

kf_err kf__tls_check_built(kf_error *error)
{
    (void)error;
    return KF_OK;
}

kf_err kf__tls_context_open(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                            struct kf__tls_context **result, kf_error *error)
{
    *result = NULL;
    /* OpenSSL's own clean-up at exit() would race with helper threads that still run. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    struct kf__tls_context *context = kf_alloc_zero(alloc, sizeof *context);
    if (!context)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for TLS");
    context->alloc = *alloc;
    context->settings = *settings;
    context->references = 1;
    pthread_mutex_init(&context->lock, NULL);
    pthread_mutex_init(&context->reading, NULL);
    context->bytes = kf__tls_bytes_method();
    take_stamps(context);
    kf_err err = context->bytes ? make(context, &context->made, error)
                                : kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for TLS");
    if (err)
        kf__tls_context_close(context);
    else
        *result = context;
    return err;
}
