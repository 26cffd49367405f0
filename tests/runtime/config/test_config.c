#include "runtime/config/config.h"
#include "tests/runtime/config/java_client_keys.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kf_config *config;
static kf_error error;

static void open_config(void)
{
    config = kf_config_new(NULL);
    error = (kf_error)KF_ERROR_INIT;
}

static void close_config(void) { kf_config_free(config); }

TestSuite(config, .init = open_config, .fini = close_config);

static void set(const char *key, const char *value)
{
    cr_assert(eq(int, kf_config_set(config, key, value, &error), KF_OK), "%s", error.text);
}

static void refuses(const char *key, const char *value, const char *sentence)
{
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, kf_config_set(config, key, value, &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, (char *)sentence));
}

static void parse(const char *text)
{
    cr_assert(
        eq(int, kf_config_parse(config, text, strlen(text), "client.properties", &error), KF_OK),
        "%s", error.text);
}

static void refuses_text(const char *text, const char *sentence)
{
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, kf_config_parse(config, text, strlen(text), "client.properties", &error),
                 KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, (char *)sentence));
}

static void has(const char *key, const char *value)
{
    cr_expect(eq(str, (char *)kf_config_get(config, key), (char *)value), "%s", key);
}

Test(config, knows_every_key_of_the_java_clients)
{
    size_t count = sizeof java_client_keys / sizeof *java_client_keys;
    cr_assert(eq(sz, count, 149));
    for (size_t i = 0; i < count; i++)
        cr_expect(ne(ptr, (void *)kf_config_get(config, java_client_keys[i]), NULL), "%s",
                  java_client_keys[i]);
    cr_expect(eq(ptr, (void *)kf_config_get(config, "no.such.key"), NULL));
}

Test(config, keeps_what_was_set_and_shows_defaults_for_the_rest)
{
    has("session.timeout.ms", "45000");
    has("isolation.level", "read_committed");
    has("group.id", "");
    set("session.timeout.ms", " 10000 ");
    has("session.timeout.ms", "10000");
}

Test(config, shows_a_value_under_both_of_its_names)
{
    set("max.poll.interval.ms", "1234");
    has("rebalance.timeout.ms", "1234");
    set("commit.interval.ms", "99");
    has("auto.commit.interval.ms", "99");
}

Test(config, names_the_nearest_key_for_an_unknown_one)
{
    refuses("bootstrap.server", "a:1",
            "unknown key \"bootstrap.server\": did you mean \"bootstrap.servers\"?");
    refuses("sesion.timeout.ms", "1",
            "unknown key \"sesion.timeout.ms\": did you mean \"session.timeout.ms\"?");
    refuses("colour", "red", "unknown key \"colour\": docs/configuration.md lists all keys");
    refuses("Group.Id", "g", "unknown key \"Group.Id\": did you mean \"group.id\"?");
}

Test(config, refuses_a_wrong_type)
{
    refuses("session.timeout.ms", "soon", "session.timeout.ms=soon: a whole number is expected");
    refuses("session.timeout.ms", "", "session.timeout.ms=: a whole number is expected");
    refuses("session.timeout.ms", "1e3", "session.timeout.ms=1e3: a whole number is expected");
    refuses("linger.ms", "99999999999999999999",
            "linger.ms=99999999999999999999: a whole number is expected");
    refuses("check.crcs", "yes", "check.crcs=yes: true or false is expected");
    refuses("compression.type", "rar",
            "compression.type=rar: none, gzip, snappy, lz4 or zstd is expected");
    refuses("auto.offset.reset", "begin",
            "auto.offset.reset=begin: one of earliest, latest, none, or by_duration: and an "
            "ISO 8601 duration such as PT1H is expected");
}

Test(config, refuses_what_is_out_of_range)
{
    refuses("session.timeout.ms", "0",
            "session.timeout.ms=0: it must lie between 1 and 2147483647");
    refuses("max.poll.interval.ms", "-1",
            "max.poll.interval.ms=-1: it must lie between 1 and 2147483647");
    refuses("worker.threads", "-2", "worker.threads=-2: it must lie between -1 and 4096");
    refuses("group.instance.id", "a b",
            "group.instance.id=a b: 1 to 249 letters, digits, dots, underscores and hyphens are "
            "allowed");
    refuses("partition.assignment.strategy", "range,org.example.Mine",
            "partition.assignment.strategy: there is no assignor \"org.example.Mine\" here: use "
            "range, roundrobin, sticky or cooperative-sticky");
    refuses("partition.assignment.strategy", " , ",
            "partition.assignment.strategy is empty: name at least one assignor");
}

Test(config, a_refused_value_changes_nothing)
{
    set("session.timeout.ms", "7000");
    refuses("session.timeout.ms", "x", "session.timeout.ms=x: a whole number is expected");
    has("session.timeout.ms", "7000");
}

Test(config, says_what_to_use_instead_of_a_refused_key)
{
    refuses("zookeeper.connect", "z:2181",
            "zookeeper.connect is not supported: clients talk to brokers: set bootstrap.servers");
    refuses("transactional.id", "t",
            "transactional.id is not supported: this version does not have transactions yet");
    refuses("security.protocol", "TLS",
            "security.protocol=TLS: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL is expected");
    set("security.protocol", "plaintext");
    refuses("ssl.endpoint.identification.algorithm", "LDAPS",
            "ssl.endpoint.identification.algorithm=LDAPS: https or nothing is expected; nothing "
            "leaves the broker's name unverified");
    set("ssl.endpoint.identification.algorithm", "");
    refuses("group.protocol", "consumer",
            "group.protocol=consumer is not supported, only classic is: this version speaks the "
            "classic group protocol only");
}

Test(config, never_repeats_a_secret)
{
    set("ssl.keystore.password", "hunter2");
    has("ssl.keystore.password", "[hidden]");
    has("ssl.key.password", "");
    refuses("sasl.jaas.config", "hunter2;",
            "sasl.jaas.config must begin with PlainLoginModule, ScramLoginModule or "
            "OAuthBearerLoginModule by its full Java name");
    has("sasl.jaas.config", "");
    set("sasl.jaas.config",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" "
        "password=\"hunter2\";");
    has("sasl.jaas.config", "[hidden]");
}

Test(config, notes_each_ignored_key_with_its_reason)
{
    struct kf__config_note note;
    cr_expect(not(kf__config_note(config, 0, &note)));
    set("enable.auto.commit", "false");
    set("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    set("metrics.context.team", "red");
    cr_assert(kf__config_note(config, 0, &note));
    cr_expect(eq(str, (char *)note.key, "enable.auto.commit"));
    cr_assert(kf__config_note(config, 1, &note));
    cr_expect(eq(str, (char *)note.key, "key.deserializer"));
    cr_expect(eq(str, (char *)note.reason, "keys reach the handler as bytes"));
    cr_expect(not(kf__config_note(config, 2, &note)));
}

Test(config, call_beats_environment_beats_file_beats_default)
{
    setenv("KAFIBER_BOOTSTRAP_SERVERS", "env:1", 1);
    has("bootstrap.servers", "127.0.0.1:9092");
    parse("bootstrap.servers=file:1\n");
    has("bootstrap.servers", "file:1");
    cr_assert(eq(int, kf_config_load_environment(config, &error), KF_OK));
    has("bootstrap.servers", "env:1");
    cr_expect(eq(int, (int)kf__config_source(config, "bootstrap.servers"), KF__FROM_ENVIRONMENT));
    parse("bootstrap.servers=file:2\n");
    has("bootstrap.servers", "env:1");
    set("bootstrap.servers", "call:1");
    cr_assert(eq(int, kf_config_load_environment(config, &error), KF_OK));
    has("bootstrap.servers", "call:1");
    struct kf__settings settings;
    cr_assert(eq(int, kf__config_settings(config, &settings, &error), KF_OK));
    cr_expect(eq(str, (char *)settings.servers[0].name, "call"));
}

Test(config, names_the_variable_that_holds_a_bad_value)
{
    setenv("KAFIBER_BOOTSTRAP_SERVERS", "broker", 1);
    cr_expect(eq(int, kf_config_load_environment(config, &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text,
                 "KAFIBER_BOOTSTRAP_SERVERS: bootstrap.servers: \"broker\" has no port: write "
                 "host:port, such as broker1:9092"));
}

Test(config, names_file_and_line_of_what_is_wrong)
{
    refuses_text("# mine\n\nbootstrap.server = a:1\n",
                 "client.properties:3: unknown key \"bootstrap.server\": did you mean "
                 "\"bootstrap.servers\"?");
    refuses_text("client.id=a\\\n  b\\\n c\r\nfetch.min.bytes=x",
                 "client.properties:4: fetch.min.bytes=x: a whole number is expected");
    refuses_text("\n\n\ngroup.id = \\u12g4", "client.properties:4: \\u stands before four "
                                             "hexadecimal digits that make a character");
    refuses_text("client.id=\\ud800x", "client.properties:1: \\u stands before four hexadecimal "
                                       "digits that make a character");
}

Test(config, names_a_file_that_cannot_be_opened)
{
    cr_expect(eq(int, kf_config_load(config, "/nowhere/client.properties", &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text,
                 "/nowhere/client.properties: it can't be opened: No such file or directory"));
    error = (kf_error)KF_ERROR_INIT;
    cr_expect(eq(int, kf_config_load(config, "/", &error), KF_ERR_CONFIG));
}

Test(config, loads_a_file)
{
    char path[] = "/tmp/kafiber-config-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(ge(int, fd, 0));
    FILE *file = fdopen(fd, "w");
    fputs("group.id=orders\nsession.timeout.ms=1\nnonsense=1\n", file);
    fclose(file);
    char expected[128];
    snprintf(expected, sizeof expected,
             "%s:3: unknown key \"nonsense\": docs/configuration.md "
             "lists all keys",
             path);
    cr_expect(eq(int, kf_config_load(config, path, &error), KF_ERR_CONFIG));
    remove(path);
    cr_expect(eq(str, error.text, expected));
    has("group.id", "orders");
}

/* Expected values are what java.util.Properties and Kafka's trim make of the same text. */
Test(config, reads_properties_as_java_does)
{
    parse("  ! comment\n#client.id=no\nclient.id:one\n");
    has("client.id", "one");
    parse("client.id two words \r\ngroup.id\t=\tg\r");
    has("client.id", "two words");
    has("group.id", "g");
    parse("client.i\\u0064=a\\=b\\:c\\ d\\q\\\\\n");
    has("client.id", "a=b:c dq\\");
    parse("client.id = first, \\\n   # not a comment\n");
    has("client.id", "first, # not a comment");
    parse("client.id==x=y");
    has("client.id", "=x=y");
    parse("client.id = x \\\\\ngroup.id=h");
    has("client.id", "x \\");
    has("group.id", "h");
    parse("client.id=end\\");
    has("client.id", "end");
    parse("client.id");
    has("client.id", "");
    parse("client.id=a\nclient.id=b");
    has("client.id", "b");
    parse("client\\.id=tab\\there");
    has("client.id", "tab\there");
}

/* What a java.util.Properties of Java 17 makes of lone backslashes. */
Test(config, a_continuation_of_nothing_begins_a_line)
{
    parse("\\\n# client.id=comment\nclient.id=kept\n");
    has("client.id", "kept");
    parse("client.id=a\\\n\ngroup.id=b");
    has("client.id", "a");
    has("group.id", "b");
    parse("\\");
}

Test(config, reads_characters_beyond_ascii)
{
    parse("client.id=\\u00e9\\uD83D\\uDE00");
    has("client.id", "\xc3\xa9\xf0\x9f\x98\x80");
    parse("client.id=\xc3\xa9");
    has("client.id", "\xc3\xa9");
    parse("client.id=\xe9");
    has("client.id", "\xc3\xa9");
    parse("\xef\xbb\xbf"
          "client.id=marked");
    has("client.id", "marked");
}

Test(config, refuses_a_file_of_zero_bytes)
{
    cr_expect(eq(int, kf_config_parse(config, "a=\0b", 4, "x", &error), KF_ERR_CONFIG));
    cr_expect(eq(str, error.text, "x:1: a zero byte: this is not a .properties file"));
}

Test(config, a_copy_lives_on_its_own)
{
    set("group.id", "g");
    set("bootstrap.servers", "a:1");
    kf_config *copy = kf_config_copy(config);
    set("group.id", "h");
    cr_expect(eq(str, (char *)kf_config_get(copy, "group.id"), "g"));
    struct kf__settings settings;
    cr_assert(eq(int, kf__config_settings(copy, &settings, &error), KF_OK));
    cr_expect(eq(str, (char *)settings.servers[0].name, "a"));
    kf_config_free(copy);
}

static int allocations_left;

static void *fail_later(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && allocations_left-- <= 0)
        return NULL;
    return kf_default_allocator.resize(NULL, pointer, size);
}

Test(config, survives_a_failure_of_every_allocation)
{
    const kf_allocator failing = {fail_later, NULL};
    static const char text[] = "bootstrap.servers=a:1\ngroup.id=g\n";
    for (int budget = 0; budget < 12; budget++) {
        allocations_left = budget;
        kf_error why = KF_ERROR_INIT;
        kf_config *mine = kf_config_new(&failing);
        kf_err err = kf_config_parse(mine, text, sizeof text - 1, "x", &why);
        kf_config_free(kf_config_copy(mine));
        kf_config_free(mine);
        cr_expect(eq(int, err, budget < 6 ? KF_ERR_NO_MEMORY : KF_OK), "budget %d", budget);
    }
}

Test(config, refuses_null_arguments)
{
    cr_expect(eq(int, kf_config_set(config, NULL, "x", &error), KF_ERR_INVALID_ARGUMENT));
    cr_expect(eq(int, kf_config_set(config, "group.id", NULL, NULL), KF_ERR_INVALID_ARGUMENT));
    cr_expect(eq(int, kf_config_set(NULL, "group.id", "g", NULL), KF_ERR_NO_MEMORY));
}
