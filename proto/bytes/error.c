/* error: names and texts, from the rows of errors.def. */
#include <kafiber/error.h>

#include <stdarg.h>

struct row {
    const char *name;
    const char *text;
    kf_err number;
    bool retriable;
};

static const struct row rows[] = {
#define KF_ERROR_ROW(name, number, retriable, text) {#name, text, number, retriable},
#include <kafiber/errors.def>
#undef KF_ERROR_ROW
};

static const struct row none = {"NONE", "no error", KF_OK, false};
static const struct row unknown = {"UNKNOWN", "an error code that this version does not know", 0,
                                   false};

static const struct row *find(kf_err err)
{
    if (err == KF_OK)
        return &none;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].number == err)
            return &rows[i];
    return &unknown;
}

const char *kf_err_name(kf_err err) { return find(err)->name; }
const char *kf_err_text(kf_err err) { return find(err)->text; }
bool kf_err_retriable(kf_err err) { return find(err)->retriable; }

kf_err kf_error_set(kf_error *error, kf_err code, const char *format, ...)
{
    if (!error || error->code)
        return code;
    error->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

int kf_err_exit_code(kf_err err)
{
    switch (err) {
    case KF_OK:
        return 0;
    case KF_ERR_CONFIG:
    case KF_ERR_INVALID_ARGUMENT:
        return 2;
    case KF_ERR_TIMED_OUT:
    case KF_ERR_NO_BROKER:
    case KF_ERR_CONNECT_FAILED:
    case KF_ERR_NAME_NOT_RESOLVED:
    case KF_ERR_DISCONNECTED:
    case KF_ERR_NOT_KAFKA:
    case KF_ERR_HANDLER_STUCK:
        return 3;
    case KF_ERR_TLS_EXPECTED:
    case KF_ERR_TLS_NOT_SPOKEN:
    case KF_ERR_TLS_UNTRUSTED:
    case KF_ERR_TLS_EXPIRED:
    case KF_ERR_TLS_NOT_YET_VALID:
    case KF_ERR_TLS_WRONG_NAME:
    case KF_ERR_TLS_NOTHING_IN_COMMON:
    case KF_ERR_TLS_CERTIFICATE_REQUIRED:
    case KF_ERR_TLS_CERTIFICATE_REFUSED:
    case KF_ERR_TLS_FAILED:
    case KF_ERR_SASL_AUTHENTICATION_FAILED:
    case KF_ERR_UNSUPPORTED_SASL_MECHANISM:
    case KF_ERR_ILLEGAL_SASL_STATE:
    case KF_ERR_SASL_MALFORMED:
    case KF_ERR_SASL_SERVER_UNPROVEN:
    case KF_ERR_TOKEN_UNAVAILABLE:
    case KF_ERR_TOKEN_EXPIRED:
    case KF_ERR_TOPIC_AUTHORIZATION_FAILED:
    case KF_ERR_GROUP_AUTHORIZATION_FAILED:
    case KF_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case KF_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return 4;
    default:
        return 1;
    }
}

int kf_error_print(const kf_error *error, FILE *stream)
{
    if (!error || error->code == KF_OK)
        return 0;
    fprintf(stream, "error: %s (%s)\n", error->text, kf_err_name(error->code));
    return kf_err_exit_code(error->code);
}
