#include <kafiber/log.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

TestSuite(log);

static kf_log_event event(const char *text)
{
    return (kf_log_event){.level = KF_LOG_WARNING,
                          .name = "handler.failed",
                          .text = text,
                          .partition = -1,
                          .offset = -1,
                          .node = -1};
}

static void reads(const kf_log_event *what, const char *line)
{
    char text[512];
    cr_expect(eq(sz, kf_log_format(what, text, sizeof text), strlen(line)));
    cr_expect(eq(str, text, (char *)line));
}

Test(log, levels_have_names)
{
    cr_expect(eq(str, (char *)kf_log_level_name(KF_LOG_ERROR), "error"));
    cr_expect(eq(str, (char *)kf_log_level_name(KF_LOG_WARNING), "warning"));
    cr_expect(eq(str, (char *)kf_log_level_name(KF_LOG_INFO), "info"));
    cr_expect(eq(str, (char *)kf_log_level_name(KF_LOG_DEBUG), "debug"));
}

Test(log, fields_stand_under_their_opentelemetry_names)
{
    kf_log_event all = event("it failed");
    all.group = "billing";
    all.topic = "orders";
    all.partition = 0;
    all.offset = 17;
    all.node = 2;
    all.error = KF_ERR_HANDLER_FAILED;
    reads(&all, "level=warning event=handler.failed text=\"it failed\" "
                "messaging.consumer.group.name=billing messaging.destination.name=orders "
                "messaging.destination.partition.id=0 messaging.kafka.offset=17 node=2 "
                "error=HANDLER_FAILED");
}

Test(log, fields_that_do_not_apply_are_left_out)
{
    kf_log_event bare = event("x");
    reads(&bare, "level=warning event=handler.failed text=\"x\"");
    bare.text = NULL;
    reads(&bare, "level=warning event=handler.failed");
}

/* A record's reason may hold anything: one event stays one line. */
Test(log, text_cannot_break_the_line_or_forge_a_field)
{
    kf_log_event nasty = event("a \"b\" \\ \n\t\x01\x7f level=error");
    nasty.group = "g h";
    nasty.topic = "";
    reads(&nasty, "level=warning event=handler.failed "
                  "text=\"a \\\"b\\\" \\\\ \\n\\t\\u0001\\u007f level=error\" "
                  "messaging.consumer.group.name=\"g h\" messaging.destination.name=\"\"");
}

Test(log, a_short_buffer_gets_the_beginning_and_the_whole_length)
{
    kf_log_event bare = event("x");
    char text[8] = "zzzzzzz";
    cr_expect(eq(sz, kf_log_format(&bare, text, sizeof text), 43));
    cr_expect(eq(str, text, "level=w"));
    cr_expect(eq(sz, kf_log_format(&bare, NULL, 0), 43));
}
