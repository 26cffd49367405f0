/* The doctor, with the embedded broker as the patient. */
#include <kafiber/broker.h>
#include <kafiber/doctor.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

static kf_config *config;
static kf_broker *broker;
static char lines[4096]; /* "ok dns\nfailed tcp CONNECT_FAILED\n" */
static char found[4096];

static void open_config(void)
{
    config = kf_config_new(NULL);
    lines[0] = found[0] = 0;
}

static void close_all(void)
{
    kf_config_free(config);
    kf_broker_stop(broker);
}

TestSuite(doctor, .init = open_config, .fini = close_all, .timeout = 60);

static void append(char *text, size_t size, const char *line)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s\n", line);
}

static void take(void *context, const kf_finding *finding)
{
    static const char *const kinds[] = {"ok", "warning", "failed"};
    char line[100];
    (void)context;
    snprintf(line, sizeof line, "%s %s%s%s", kinds[finding->kind], finding->step,
             finding->err ? " " : "", finding->err ? kf_err_name(finding->err) : "");
    append(lines, sizeof lines, line);
    append(found, sizeof found, finding->found);
    if (finding->advice)
        append(found, sizeof found, finding->advice);
}

static void start(int32_t nodes)
{
    kf_broker_options options = {.size = sizeof options, .nodes = nodes, .thread = true};
    broker = kf_broker_start(&options, NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), NULL);
}

static int32_t patience_ms = 20000; /* for each step */

static kf_err examine(void)
{
    kf_doctor_options options = {.size = sizeof options, .timeout_ms = patience_ms};
    return kf_doctor(config, &options, take, NULL);
}

Test(doctor, a_healthy_cluster_is_ok_at_every_step)
{
    start(2);
    cr_expect(eq(int, examine(), KF_OK));
    cr_expect(eq(str, lines,
                 "ok config\nok dns\nok tcp\nok api-versions\nok metadata\nok broker\nok broker\n"
                 "ok coordinator\nok dns\nok tcp\nok api-versions\n"));
}

Test(doctor, a_port_where_nobody_listens_is_told_with_what_to_do)
{
    kf_config_set(config, "bootstrap.servers", "127.0.0.1:1", NULL);
    cr_expect(eq(int, examine(), KF_ERR_CONNECT_FAILED));
    cr_expect(eq(str, lines, "ok config\nok dns\nfailed tcp CONNECT_FAILED\n"));
    cr_expect(ne(ptr, strstr(found, "is a broker running there"), NULL), "%s", found);
}

Test(doctor, a_broker_that_is_down_is_found_by_its_advertised_address)
{
    start(2);
    kf_broker_fault fault = {
        .size = sizeof fault, .kind = KF_BROKER_CLOSE, .api_key = KF_BROKER_ANY_API, .node = 2};
    const char *comma = strchr(kf_broker_bootstrap(broker), ',');
    char first[64];
    snprintf(first, sizeof first, "%.*s", (int)(comma - kf_broker_bootstrap(broker)),
             kf_broker_bootstrap(broker));
    kf_config_set(config, "bootstrap.servers", first, NULL);
    cr_assert(lt(int, 0, kf_broker_fault_add(broker, &fault)));
    cr_expect(eq(int, examine(), KF_ERR_DISCONNECTED));
    cr_expect(ne(ptr, strstr(lines, "ok broker\nfailed broker DISCONNECTED\n"), NULL), "%s", lines);
    cr_expect(ne(ptr, strstr(found, "advertised.listeners of its listener"), NULL));
}

Test(doctor, a_silent_port_ends_in_time)
{
    start(1);
    kf_broker_pause(broker);
    patience_ms = 500;
    cr_expect(eq(int, examine(), KF_ERR_TIMED_OUT));
    cr_expect(eq(str, lines, "ok config\nok dns\nok tcp\nfailed api-versions TIMED_OUT\n"));
}

Test(doctor, a_bad_file_is_told_before_anything_connects)
{
    kf_config_set(config, "ssl.truststore.location", "/nonexistent", NULL);
    examine();
    cr_expect(eq(str, lines, "failed config CONFIG\n"));
    cr_expect(
        ne(ptr, strstr(found, "ssl.truststore.location=/nonexistent: it can't be read"), NULL));
}
