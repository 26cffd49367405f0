/* aws: see aws.h. */
#include "net/sasl/aws.h"

#include "net/sasl/base64.h"
#include "net/sasl/secret.h"
#include "net/sasl/sigv4.h"
#include "proto/bytes/writer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_SECONDS = 900, /* the longest that MSK accepts */
    FILE_BYTES = 64 * 1024,
    PATH_BYTES = 1024,
};

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool copy_text(char *to, size_t room, const char *from, size_t size)
{
    if (size >= room)
        return false;
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

/* ---- the shared file ---- */

static kf_string trim(kf_string text)
{
    while (text.size && strchr(" \t\r", text.data[0]))
        text = (kf_string){text.data + 1, text.size - 1};
    while (text.size && strchr(" \t\r", text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool is_text(kf_string text, const char *other)
{
    return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

static bool is_section(kf_string line, const char *profile)
{
    return is_text(trim((kf_string){line.data + 1, line.size - 2}), profile);
}

static bool take_pair(kf_string line, kf_aws_credentials *credentials)
{
    const char *equals = memchr(line.data, '=', line.size);
    if (!equals)
        return true;
    size_t size = (size_t)(equals - line.data);
    kf_string name = trim((kf_string){line.data, size});
    kf_string value = trim((kf_string){equals + 1, line.size - size - 1});
    kf_aws_credentials *to = credentials;
    if (is_text(name, "aws_access_key_id"))
        return copy_text(to->access_key_id, sizeof to->access_key_id, value.data, value.size);
    if (is_text(name, "aws_secret_access_key"))
        return copy_text(to->secret_access_key, sizeof to->secret_access_key, value.data,
                         value.size);
    if (is_text(name, "aws_session_token"))
        return copy_text(to->session_token, sizeof to->session_token, value.data, value.size);
    return true;
}

bool kf__aws_read_profile(const char *text, size_t size, const char *profile,
                          kf_aws_credentials *credentials)
{
    bool inside = false, fits = true;
    *credentials = (kf_aws_credentials){0};
    for (const char *at = text, *end = text + size; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        kf_string line = trim((kf_string){at, (size_t)(stop - at)});
        at = stop + 1;
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';')
            continue;
        if (line.data[0] == '[')
            inside = line.size > 2 && line.data[line.size - 1] == ']' && is_section(line, profile);
        else if (inside)
            fits &= take_pair(line, credentials);
    }
    return fits && credentials->access_key_id[0] && credentials->secret_access_key[0];
}

static const char *file_path(const struct kf__aws_settings *settings, char path[PATH_BYTES])
{
    if (settings->file && *settings->file)
        return settings->file;
    if (environment("AWS_SHARED_CREDENTIALS_FILE"))
        return environment("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = environment("HOME");
    snprintf(path, PATH_BYTES, "%s/.aws/credentials", home ? home : "");
    return path;
}

static kf_err from_file(const kf_allocator *alloc, const struct kf__aws_settings *settings,
                        kf_aws_credentials *credentials, kf_error *error)
{
    char made[PATH_BYTES];
    const char *path = file_path(settings, made);
    const char *profile =
        settings->profile && *settings->profile ? settings->profile : environment("AWS_PROFILE");
    profile = profile ? profile : "default";
    FILE *file = fopen(path, "re");
    if (!file)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "no credentials of AWS: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                            "are not set, and %s can't be read",
                            path);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of secrets in the stream's buffer */
    char *text = kf_alloc(alloc, FILE_BYTES);
    size_t size = text ? fread(text, 1, FILE_BYTES, file) : 0;
    fclose(file);
    bool found = text && kf__aws_read_profile(text, size, profile, credentials);
    kf__free_secret(alloc, text, FILE_BYTES);
    if (!text)
        return KF_ERR_NO_MEMORY;
    return found ? KF_OK
                 : kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                                "%s has no complete profile [%s] (aws_access_key_id, "
                                "aws_secret_access_key)",
                                path, profile);
}

static bool from_environment(kf_aws_credentials *credentials)
{
    const char *id = environment("AWS_ACCESS_KEY_ID");
    const char *secret = environment("AWS_SECRET_ACCESS_KEY");
    const char *session = environment("AWS_SESSION_TOKEN");
    kf_aws_credentials *to = credentials;
    return id && secret && copy_text(to->access_key_id, sizeof to->access_key_id, id, strlen(id)) &&
           copy_text(to->secret_access_key, sizeof to->secret_access_key, secret, strlen(secret)) &&
           (!session ||
            copy_text(to->session_token, sizeof to->session_token, session, strlen(session)));
}

static kf_err get_credentials(const kf_allocator *alloc, const struct kf__aws_settings *settings,
                              kf_aws_credentials *credentials, kf_error *error)
{
    *credentials = (kf_aws_credentials){0};
    if (settings->get)
        return settings->get(settings->context, credentials, error);
    return from_environment(credentials) ? KF_OK : from_file(alloc, settings, credentials, error);
}

/* ---- the token ---- */

static const char *region_of(const struct kf__aws_settings *settings)
{
    if (settings->region && *settings->region)
        return settings->region;
    const char *region = environment("AWS_REGION");
    return region ? region : environment("AWS_DEFAULT_REGION");
}

static kf_err write_token(const kf_allocator *alloc, const struct kf__sigv4_request *request,
                          kf_sasl_token *token, kf_error *error)
{
    static const char agent[] = "&User-Agent=kafiber";
    kf_writer url;
    kf_writer_init(&url, alloc);
    kf__writer_reserve(&url, KF_SASL_TOKEN_BYTES); /* no growth, which leaves copies behind */
    kf_err err = kf__sigv4_presign(request, &url);
    if (!err) {
        url.used--, url.total--; /* its NUL */
        kf_writer_put(&url, agent, sizeof agent - 1);
        err = url.err;
    }
    if (!err && kf__base64_size(url.used) >= sizeof token->text)
        err = kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE, "the session token of AWS is too long");
    if (!err)
        token->text[kf__base64url_write(url.bytes, url.used, token->text)] = '\0';
    kf__wipe(url.bytes, url.used);
    kf_writer_free(&url);
    return err;
}

kf_err kf__aws_token(const kf_allocator *alloc, const struct kf__aws_settings *settings,
                     int64_t wall_ms, kf_sasl_token *token, kf_error *error)
{
    char host[KF_AWS_TEXT_BYTES];
    const char *region = region_of(settings);
    if (!region)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "the region of AWS is not known: set sasl.aws.region or AWS_REGION");
    kf_aws_credentials credentials;
    kf_err err = get_credentials(alloc, settings, &credentials, error);
    snprintf(host, sizeof host, "kafka.%s.amazonaws.com", region);
    struct kf__sigv4_request request = {
        .host = host,
        .path = "/",
        .action = "kafka-cluster:Connect",
        .service = "kafka-cluster",
        .region = region,
        .seconds = wall_ms / 1000,
        .expires = TOKEN_SECONDS,
        .credentials = &credentials,
    };
    if (!err)
        err = write_token(alloc, &request, token, error);
    token->expires_at_ms = wall_ms + TOKEN_SECONDS * 1000;
    kf__wipe(&credentials, sizeof credentials);
    return err;
}
