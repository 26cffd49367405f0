#include "runtime/config/config_jaas.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char SPACES[] = " \t\r\n\f";

struct scanner {
    const char *at;
    const char *problem; /* the first one stays */
};

static void fail(struct scanner *scanner, const char *problem)
{
    if (!scanner->problem)
        scanner->problem = problem;
}

static void skip_spaces(struct scanner *scanner) { scanner->at += strspn(scanner->at, SPACES); }

/* A quoted text or a bare word, unescaped. */
static void take_value(struct scanner *scanner, char text[KF__JAAS_TEXT_BYTES])
{
    size_t size = 0;
    char quote = *scanner->at == '"' || *scanner->at == '\'' ? *scanner->at : '\0';
    bool quoted = quote != '\0';
    scanner->at += quoted;
    while (*scanner->at) {
        char c = *scanner->at;
        if (quoted ? c == quote : c == ';' || c == '=' || strchr(SPACES, c))
            break;
        if (quoted && c == '\\' && scanner->at[1])
            c = *++scanner->at;
        scanner->at++;
        if (size + 1 < KF__JAAS_TEXT_BYTES)
            text[size++] = c;
        else
            fail(scanner, "has a value longer than 1023 bytes");
    }
    text[size] = '\0';
    if (quoted && *scanner->at != quote)
        fail(scanner, "has a quotation mark without its second");
    else
        scanner->at += quoted;
}

static void take_module(struct scanner *scanner, struct kf__jaas *jaas)
{
    static const struct {
        const char *class;
        enum kf__jaas_module module;
    } known[] = {
        {"org.apache.kafka.common.security.plain.PlainLoginModule", KF__JAAS_PLAIN},
        {"org.apache.kafka.common.security.scram.ScramLoginModule", KF__JAAS_SCRAM},
        {"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
         KF__JAAS_OAUTHBEARER},
    };
    skip_spaces(scanner);
    size_t size = strcspn(scanner->at, " \t\r\n\f;");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].class) == size && memcmp(known[i].class, scanner->at, size) == 0)
            jaas->module = known[i].module;
    if (!jaas->module)
        fail(scanner, "must begin with PlainLoginModule, ScramLoginModule or "
                      "OAuthBearerLoginModule by its full Java name");
    scanner->at += size;
}

static void take_flag(struct scanner *scanner)
{
    static const char *const flags[] = {"required", "requisite", "sufficient", "optional"};
    skip_spaces(scanner);
    size_t size = strcspn(scanner->at, " \t\r\n\f;");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strlen(flags[i]) == size && strncasecmp(flags[i], scanner->at, size) == 0) {
            scanner->at += size;
            return;
        }
    }
    fail(scanner, "must say \"required\" after the login module");
}

static bool is_name(const char *name, size_t size, const char *other)
{
    return strlen(other) == size && memcmp(name, other, size) == 0;
}

static char *text_of(struct kf__jaas *jaas, const char *name, size_t size)
{
    const struct {
        const char *name;
        char *text;
    } known[] = {
        {"username", jaas->username},  {"password", jaas->password},
        {"clientId", jaas->client_id}, {"clientSecret", jaas->client_secret},
        {"scope", jaas->scope},        {"unsecuredLoginStringClaim_sub", jaas->subject},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_name(name, size, known[i].name))
            return known[i].text;
    return NULL;
}

static void add_extension(struct scanner *scanner, struct kf__jaas *jaas, const char *name,
                          size_t size, const char *value)
{
    size_t used = strlen(jaas->extensions);
    size_t room = sizeof jaas->extensions - used;
    int wanted = snprintf(jaas->extensions + used, room, "%s%.*s=%s", used ? "," : "", (int)size,
                          name, value);
    if (wanted < 0 || (size_t)wanted >= room || strchr(value, ','))
        fail(scanner, "has an extension with a comma, or too many of them");
}

static void take_option(struct scanner *scanner, struct kf__jaas *jaas)
{
    char value[KF__JAAS_TEXT_BYTES] = "";
    const char *name = scanner->at;
    size_t size = strcspn(name, " \t\r\n\f=;");
    scanner->at += size;
    skip_spaces(scanner);
    if (size == 0 || *scanner->at != '=') {
        fail(scanner, "must hold name=\"value\" pairs and end with a semicolon");
        return;
    }
    scanner->at++;
    skip_spaces(scanner);
    char *text = text_of(jaas, name, size);
    if (text) {
        take_value(scanner, text);
        return;
    }
    take_value(scanner, value);
    if (is_name(name, size, "tokenauth"))
        jaas->token = strcasecmp(value, "true") == 0;
    if (size > 10 && memcmp(name, "extension_", 10) == 0)
        add_extension(scanner, jaas, name + 10, size - 10, value);
    volatile char *at = value;
    for (size_t i = 0; i < sizeof value; i++)
        at[i] = 0;
}

kf_err kf__jaas_parse(const char *text, struct kf__jaas *jaas, kf_error *error)
{
    struct scanner scanner = {.at = text};
    *jaas = (struct kf__jaas){0};
    take_module(&scanner, jaas);
    if (!scanner.problem)
        take_flag(&scanner);
    skip_spaces(&scanner);
    while (!scanner.problem && *scanner.at && *scanner.at != ';') {
        take_option(&scanner, jaas);
        skip_spaces(&scanner);
    }
    if (!scanner.problem && *scanner.at != ';')
        fail(&scanner, "must end with a semicolon");
    else if (!scanner.problem && scanner.at[1 + strspn(scanner.at + 1, SPACES)])
        fail(&scanner, "must hold one login module");
    else if (!scanner.problem && jaas->module != KF__JAAS_OAUTHBEARER &&
             (!jaas->username[0] || !jaas->password[0]))
        fail(&scanner, "must give a username and a password");
    if (!scanner.problem)
        return KF_OK;
    kf__jaas_wipe(jaas);
    return kf_error_set(error, KF_ERR_CONFIG, "sasl.jaas.config %s", scanner.problem);
}

void kf__jaas_wipe(struct kf__jaas *jaas)
{
    volatile unsigned char *bytes = (volatile unsigned char *)jaas;
    for (size_t i = 0; i < sizeof *jaas; i++)
        bytes[i] = 0;
}
