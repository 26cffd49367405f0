/*
 * tls_errors: what went wrong with TLS, in sentences that say what to do.
 *
 *   the chain (kf__tls_verify) ┐
 *   the peer's alert           ├──▶ a code of ours, a sentence
 *   OpenSSL's own reason       │
 *   bytes that are no TLS      ┘
 *
 * On whichever thread the failing call ran: OpenSSL's error queue is a
 * thread's own, and is empty afterwards.
 */
#include "net/tls/tls_inner.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <string.h>

static void set(struct kf__tls *tls, kf_err err, const char *format, ...) KF_PRINTF(3, 4);

static void set(struct kf__tls *tls, kf_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(tls->text, sizeof tls->text, format, args);
    va_end(args);
    tls->err = err;
}

const char *kf__tls_reason(char *text, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (reason)
        snprintf(text, size, "%s", reason);
    else if (code)
        ERR_error_string_n(code, text, size);
    else
        snprintf(text, size, "no reason is known");
    ERR_clear_error();
    return text;
}

/* ---- certificates ---- */

/* The peer wrote the name, and nobody may have vouched for it: a log's line and a terminal stay. */
static void append(char *text, size_t size, const char *kind, const char *name, int length)
{
    size_t used = strlen(text);
    if (used < size)
        snprintf(text + used, size - used, "%s%s%.*s", used ? ", " : "", kind, length, name);
    for (char *c = text + used; *c; c++)
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
}

static void append_name(char *text, size_t size, const GENERAL_NAME *name)
{
    char address[INET6_ADDRSTRLEN];
    if (name->type == GEN_DNS) {
        append(text, size, "DNS:", (const char *)ASN1_STRING_get0_data(name->d.dNSName),
               ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
        int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
        if (inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), address, sizeof address))
            append(text, size, "IP:", address, (int)strlen(address));
    }
}

void kf__tls_names_of(X509 *certificate, char *text, size_t size)
{
    *text = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++)
        append_name(text, size, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    char common[100];
    if (!*text && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                            common, (int)sizeof common) > 0)
        append(text, size, "CN=", common, (int)strlen(common));
    if (!*text)
        snprintf(text, size, "none");
}

static void print_date(const ASN1_TIME *date, char *text, size_t size)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(date, &tm) || !strftime(text, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(text, size, "an unreadable date");
}

/* What one wants to know of the certificate that is at fault. */
static void describe(int verify_error, X509 *certificate, char *text, size_t size)
{
    char name[120] = "", date[40];
    X509_NAME_oneline(X509_get_subject_name(certificate), name, (int)sizeof name);
    switch (verify_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        print_date(X509_get0_notAfter(certificate), date, sizeof date);
        snprintf(text, size, "%s ended on %s", name, date);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        print_date(X509_get0_notBefore(certificate), date, sizeof date);
        snprintf(text, size, "%s begins on %s", name, date);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        kf__tls_names_of(certificate, text, size);
        break;
    default:
        X509_NAME_oneline(X509_get_issuer_name(certificate), name, (int)sizeof name);
        snprintf(text, size, "issued by %s", name);
    }
}

int kf__tls_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct kf__tls *tls = ssl ? SSL_get_app_data(ssl) : NULL;
    if (ok || !tls || tls->verify_error != X509_V_OK)
        return ok;
    tls->verify_error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    if (certificate)
        describe(tls->verify_error, certificate, tls->verify_text, sizeof tls->verify_text);
    return ok;
}

static void explain_chain(struct kf__tls *tls)
{
    bool server = tls->context->settings.server;
    switch (tls->verify_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        set(tls, KF_ERR_TLS_EXPIRED,
            "%s: a certificate has expired: %s; renew it there, or check this machine's clock",
            tls->peer, tls->verify_text);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        set(tls, KF_ERR_TLS_NOT_YET_VALID,
            "%s: a certificate is not valid yet: %s; check this machine's clock", tls->peer,
            tls->verify_text);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        set(tls, KF_ERR_TLS_WRONG_NAME,
            "%s: the certificate does not name %s, but %s; use such a name in bootstrap.servers "
            "and advertised.listeners, or add it to the certificate",
            tls->peer, tls->host, tls->verify_text);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        set(tls, KF_ERR_TLS_UNTRUSTED,
            "%s: the certificate (%s) does not lead to an authority that %s; put the authority's "
            "certificate into ssl.truststore.location",
            tls->peer, tls->verify_text, server ? "this broker trusts" : "this client trusts");
        break;
    default:
        set(tls, KF_ERR_TLS_UNTRUSTED, "%s: the certificate can't be trusted: %s (%s)", tls->peer,
            X509_verify_cert_error_string(tls->verify_error), tls->verify_text);
    }
}

/* ---- alerts and reasons ---- */

static void explain_refusal(struct kf__tls *tls, const char *reason)
{
    if (tls->asked)
        set(tls, KF_ERR_TLS_CERTIFICATE_REQUIRED,
            "%s asks for a client certificate (%s): set ssl.keystore.location or ssl.keystore.key "
            "and ssl.keystore.certificate.chain",
            tls->peer, reason);
    else
        set(tls, KF_ERR_TLS_CERTIFICATE_REFUSED,
            "%s refused this client's certificate (%s): is its authority in the broker's trust "
            "store, and has it not expired?",
            tls->peer, reason);
}

static void explain_plaintext(struct kf__tls *tls)
{
    bool http = tls->first_size >= 5 && memcmp(tls->first, "HTTP/", 5) == 0;
    set(tls, KF_ERR_TLS_NOT_SPOKEN,
        "%s does not speak TLS on this port (%s): use the address of an SSL or SASL_SSL listener, "
        "or set security.protocol to what this listener speaks",
        tls->peer, http ? "it answered as an HTTP server" : "it answered in plaintext");
}

static void explain_nothing_in_common(struct kf__tls *tls, const char *reason)
{
    set(tls, KF_ERR_TLS_NOTHING_IN_COMMON,
        "%s and this client share no version of TLS or no cipher suite (%s): compare "
        "ssl.enabled.protocols and ssl.cipher.suites with the broker's",
        tls->peer, reason);
}

static bool is_tls(const struct kf__tls *tls)
{
    return tls->first_size < 3 ||
           (tls->first[0] >= 20 && tls->first[0] <= 24 && tls->first[1] == 3 && tls->first[2] <= 4);
}

static void explain_reason(struct kf__tls *tls, int reason, const char *words)
{
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        explain_plaintext(tls);
        break;
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_NO_CIPHERS_AVAILABLE:
        explain_nothing_in_common(tls, words);
        break;
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        if (tls->asked)
            explain_refusal(tls, words);
        else
            explain_nothing_in_common(tls, words);
        break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
        explain_refusal(tls, words);
        break;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        set(tls, KF_ERR_TLS_CERTIFICATE_REQUIRED, "%s gave no certificate, but has to", tls->peer);
        break;
    default:
        set(tls, KF_ERR_TLS_FAILED, "%s: TLS failed: %s", tls->peer, words);
    }
}

void kf__tls_explain(struct kf__tls *tls, int ssl_error)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    bool out_of_memory = tls->no_memory || reason == ERR_R_MALLOC_FAILURE;
    char words[160];
    kf__tls_reason(words, sizeof words);
    if (ssl_error == SSL_ERROR_ZERO_RETURN)
        set(tls, KF_ERR_DISCONNECTED, "%s closed the connection (close_notify)", tls->peer);
    else if (out_of_memory)
        set(tls, KF_ERR_NO_MEMORY, "%s: no memory for TLS", tls->peer);
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && tls->verify_error != X509_V_OK)
        explain_chain(tls);
    else if (!is_tls(tls))
        explain_plaintext(tls);
    else
        explain_reason(tls, reason, words);
}

void kf__tls_explain_end(struct kf__tls *tls, const char *cause)
{
    if (tls->err)
        return;
    const char *end = cause ? cause : "end of stream";
    if (tls->state == KF__TLS_OPEN && !tls->asked)
        set(tls, KF_ERR_DISCONNECTED,
            "%s closed the connection after the TLS handshake (%s): if its listener expects SASL, "
            "set security.protocol=SASL_SSL",
            tls->peer, end);
    else if (!tls->heard)
        set(tls, KF_ERR_TLS_NOT_SPOKEN,
            "%s closed the connection at the first message of TLS (%s): a PLAINTEXT listener does "
            "that; check security.protocol and the port",
            tls->peer, end);
    else if (tls->asked)
        explain_refusal(tls, end);
    else
        set(tls, KF_ERR_DISCONNECTED, "%s closed the connection during the TLS handshake (%s)",
            tls->peer, end);
}
