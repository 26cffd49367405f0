/* properties: `kf properties list`: every configuration key, as docs/configuration.md has them. */
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <string.h>

static const char usage[] =
    "usage: kf properties list    every configuration key: type, default, what it does\n"
    "       kf properties get KEY...    its value as file, environment and -X make it\n"
    "\n"
    "common: -F client.properties  -X key=value\n"
    "\n"
    "  kf properties list | grep backoff\n"
    "  kf properties get -F client.properties fetch.max.bytes\n";

static int print_all(const struct kf__command *command)
{
    if (command->arguments.count > 1)
        return kf__usage_error(command, "list takes no key");
    return kf_config_print_markdown(stdout) ? KF__EXIT_PARTLY : KF__EXIT_DONE;
}

static int print_values(const struct kf__command *command)
{
    int code = KF__EXIT_DONE;
    for (size_t i = 1; i < command->arguments.count; i++) {
        const char *value = kf_config_get(command->config, command->arguments.items[i]);
        if (value)
            printf("%s=%s\n", command->arguments.items[i], value);
        else
            code = kf__usage_error(command, "there is no key \"%s\"", command->arguments.items[i]);
    }
    return code;
}

int kf__verb_properties(int argc, char **argv)
{
    struct kf__command command = {.verb = "properties", .usage = usage};
    int code = kf__command_read(&command, argc, argv, NULL);
    if (code == KF__GO_ON) {
        const char *what = command.arguments.count ? command.arguments.items[0] : "";
        if (strcmp(what, "list") == 0)
            code = print_all(&command);
        else if (strcmp(what, "get") == 0)
            code = print_values(&command);
        else
            code = kf__usage_error(&command, "list or get?");
    }
    code = kf__finish(&command, code);
    kf__command_free(&command);
    return code;
}
