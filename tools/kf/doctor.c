/* doctor: `kf doctor`: why a client cannot reach its cluster, step by step. */
#include "tools/kf/options.h"
#include "tools/kf/table.h"
#include "tools/kf/verbs.h"

#include <kafiber/doctor.h>
#include <string.h>

static const char usage[] =
    "usage: kf doctor [--group GROUP]\n"
    "\n"
    "Goes the way of a client's connection and says of each step what was found and, where it\n"
    "goes wrong, what to do: names, TCP, TLS, ApiVersions, SASL, metadata, every broker's\n"
    "advertised address, a group's coordinator. Give it the client's own configuration.\n"
    "\n"
    "  -g, --group GROUP  whose coordinator is looked for; default: group.id\n"
    "      --json         one JSON object a line\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf doctor -F client.properties\n"
    "  kf doctor -b broker:9093 -X security.protocol=SSL\n";

struct wishes {
    struct kf__command command;
    const char *group;
};

static const struct kf__option options[] = {
    {'g', "group", KF__OPTION_TEXT, offsetof(struct wishes, group)},
};

static const struct kf__column columns[] = {
    {"RESULT", "result", KF__CELL_TEXT}, {"STEP", "step", KF__CELL_TEXT},
    {"TARGET", "target", KF__CELL_TEXT}, {"FOUND", "found", KF__CELL_TEXT},
    {"ADVICE", "advice", KF__CELL_TEXT}, {"ERROR", "error", KF__CELL_TEXT},
};

static const char *const results[] = {"ok", "warning", "failed"};

static void print_words(void *context, const kf_finding *finding)
{
    (void)context;
    printf("%-7s  %s%s%s: %s\n", results[finding->kind], finding->step, *finding->target ? " " : "",
           finding->target, finding->found);
    if (finding->advice)
        printf("         do: %s\n", finding->advice);
    fflush(stdout); /* the next step may take seconds */
}

static void add_row(void *context, const kf_finding *finding)
{
    struct kf__table *table = context;
    kf__table_text(table, results[finding->kind]);
    kf__table_text(table, finding->step);
    kf__table_text(table, finding->target);
    kf__table_text(table, finding->found);
    kf__table_text(table, finding->advice);
    kf__table_text(table, finding->err ? kf_err_name(finding->err) : NULL);
}

static int examine(const struct wishes *wishes)
{
    struct kf__table table = {.columns = columns, .width = sizeof columns / sizeof *columns};
    const kf_doctor_options how = {
        .size = sizeof how, .group = wishes->group, .timeout_ms = wishes->command.timeout_ms};
    bool json = wishes->command.json;
    kf_err bad = kf_doctor(wishes->command.config, &how, json ? add_row : print_words, &table);
    bool whole = !json || kf__table_print(&table, true);
    kf__table_free(&table);
    int code = kf_err_exit_code(bad);
    return kf__finish(&wishes->command, code || whole ? code : KF__EXIT_PARTLY);
}

int kf__verb_doctor(int argc, char **argv)
{
    struct wishes wishes = {
        .command = {.verb = "doctor",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
    };
    int code = kf__command_read(&wishes.command, argc, argv, &wishes);
    if (code == KF__GO_ON && wishes.command.arguments.count)
        code = kf__usage_error(&wishes.command, "it takes no arguments");
    if (code == KF__GO_ON)
        code = examine(&wishes);
    kf__command_free(&wishes.command);
    return code;
}
