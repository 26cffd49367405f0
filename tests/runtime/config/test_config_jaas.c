#include "runtime/config/config_jaas.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

TestSuite(config_jaas);

#define PLAIN "org.apache.kafka.common.security.plain.PlainLoginModule"
#define SCRAM "org.apache.kafka.common.security.scram.ScramLoginModule"

static struct kf__jaas jaas;

static void refuses(const char *text, const char *sentence)
{
    static const struct kf__jaas empty;
    kf_error error = KF_ERROR_INIT;
    cr_expect(eq(int, kf__jaas_parse(text, &jaas, &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, (char *)sentence));
    cr_expect(eq(int, memcmp(&jaas, &empty, sizeof jaas), 0), "credentials are left");
}

Test(config_jaas, reads_user_and_password_of_plain)
{
    cr_assert(
        eq(int,
           kf__jaas_parse(PLAIN " required username=\"alice\" password=\"a;b=c d\";", &jaas, NULL),
           KF_OK));
    cr_expect(eq(int, (int)jaas.module, KF__JAAS_PLAIN));
    cr_expect(eq(str, jaas.username, "alice"));
    cr_expect(eq(str, jaas.password, "a;b=c d"));
    cr_expect(not(jaas.token));
}

Test(config_jaas, reads_scram_with_escapes_lines_and_a_delegation_token)
{
    cr_assert(eq(int,
                 kf__jaas_parse("\n " SCRAM " REQUIRED\n\tusername = bob\n"
                                " password=\"say \\\"hi\\\\\" tokenauth=\"true\" ; \n",
                                &jaas, NULL),
                 KF_OK));
    cr_expect(eq(int, (int)jaas.module, KF__JAAS_SCRAM));
    cr_expect(eq(str, jaas.username, "bob"));
    cr_expect(eq(str, jaas.password, "say \"hi\\"));
    cr_expect(jaas.token);
}

Test(config_jaas, oauthbearer_needs_no_password)
{
    cr_expect(eq(int,
                 kf__jaas_parse("org.apache.kafka.common.security.oauthbearer."
                                "OAuthBearerLoginModule required scope=\"x\";",
                                &jaas, NULL),
                 KF_OK));
    cr_expect(eq(int, (int)jaas.module, KF__JAAS_OAUTHBEARER));
}

Test(config_jaas, says_what_is_wrong_without_repeating_it)
{
    refuses("", "sasl.jaas.config must begin with PlainLoginModule, ScramLoginModule or "
                "OAuthBearerLoginModule by its full Java name");
    refuses(PLAIN " username=\"a\" password=\"b\";",
            "sasl.jaas.config must say \"required\" after the login module");
    refuses(PLAIN " required username=\"a\" password=\"b\"",
            "sasl.jaas.config must end with a semicolon");
    refuses(PLAIN " required username=\"a\" password=\"b;",
            "sasl.jaas.config has a quotation mark without its second");
    refuses(PLAIN " required username=\"a\";",
            "sasl.jaas.config must give a username and a password");
    refuses(PLAIN " required username;", "sasl.jaas.config must hold name=\"value\" pairs and end "
                                         "with a semicolon");
    refuses(PLAIN " required username=a password=b; " PLAIN,
            "sasl.jaas.config must hold one login module");
}
