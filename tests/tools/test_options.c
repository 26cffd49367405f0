/* A verb's command line. kf is no library, so its file is included. */
#include "tools/kf/options.c"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>
#include <unistd.h>

struct wishes {
    int64_t count;
    bool end;
    const char *format;
    struct kf__texts configs;
};

static const struct kf__option wished[] = {
    {'n', "count", KF__OPTION_NUMBER, offsetof(struct wishes, count)},
    {'e', "end", KF__OPTION_FLAG, offsetof(struct wishes, end)},
    {'f', "format", KF__OPTION_TEXT, offsetof(struct wishes, format)},
    {'c', "config", KF__OPTION_TEXTS, offsetof(struct wishes, configs)},
};

static struct wishes wishes;
static struct kf__command command;

static void set_up(void)
{
    cr_redirect_stderr();
    unsetenv("KAFIBER_BOOTSTRAP_SERVERS");
    wishes = (struct wishes){.count = -1};
    command = (struct kf__command){
        .verb = "test", .usage = "usage\n", .options = wished, .option_count = 4};
}

static void tear_down(void)
{
    free(wishes.configs.items);
    kf__command_free(&command);
}

TestSuite(options, .init = set_up, .fini = tear_down);

/* `line`: words parted by blanks. */
static int read_line(const char *line)
{
    static char text[512];
    char *argv[32];
    int argc = 0;
    snprintf(text, sizeof text, "test %s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return kf__command_read(&command, argc, argv, &wishes);
}

static void stderr_is(const char *wanted)
{
    fflush(stderr);
    cr_assert_stderr_eq_str(wanted);
}

Test(options, may_stand_anywhere_and_in_every_spelling)
{
    cr_assert(eq(int, read_line("a -en5 --format=x b -c k=v --config l=w -- -n"), KF__GO_ON));
    cr_assert(eq(i64, wishes.count, 5));
    cr_assert(wishes.end);
    cr_assert(eq(str, (char *)wishes.format, "x"));
    cr_assert(eq(sz, wishes.configs.count, 2));
    cr_assert(eq(str, (char *)wishes.configs.items[1], "l=w"));
    cr_assert(eq(sz, command.arguments.count, 3));
    cr_assert(eq(str, (char *)command.arguments.items[2], "-n"));
}

Test(options, of_all_verbs_make_the_configuration)
{
    cr_assert(eq(int, read_line("-b h:1,i:2 -b j:3 -X fetch.min.bytes=7 --json"), KF__GO_ON));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "bootstrap.servers"), "h:1,i:2,j:3"));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "fetch.min.bytes"), "7"));
    cr_assert(command.json);
}

Test(options, come_before_the_environment_and_that_before_a_file)
{
    char path[] = "/tmp/kafiber-options-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "bootstrap.servers=file:1\nclient.id=file\n";
    cr_assert(eq(int, (int)write(fd, text, sizeof text - 1), (int)sizeof text - 1));
    close(fd);
    setenv("KAFIBER_BOOTSTRAP_SERVERS", "environment:2", 1);
    char line[128];
    snprintf(line, sizeof line, "-F %s", path);
    cr_assert(eq(int, read_line(line), KF__GO_ON));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "bootstrap.servers"), "environment:2"));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "client.id"), "file"));
    kf__command_free(&command);
    command = (struct kf__command){.verb = "test", .options = wished, .option_count = 4};
    snprintf(line, sizeof line, "-b flag:3 -F %s -X client.id=flag", path);
    cr_assert(eq(int, read_line(line), KF__GO_ON));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "bootstrap.servers"), "flag:3"));
    cr_assert(eq(str, (char *)kf_config_get(command.config, "client.id"), "flag"));
    unlink(path);
}

Test(options, that_are_not_there_name_the_nearest)
{
    cr_assert(eq(int, read_line("--cuont 3"), KF__EXIT_USAGE));
    stderr_is("kf test: there is no option --cuont: did you mean --count?; kf test --help says "
              "more\n");
}

Test(options, without_their_value_are_refused)
{
    cr_assert(eq(int, read_line("-n"), KF__EXIT_USAGE));
    stderr_is("kf test: -n wants a value; kf test --help says more\n");
}

Test(options, want_whole_numbers)
{
    cr_assert(eq(int, read_line("-n 3x"), KF__EXIT_USAGE));
    cr_assert(eq(int, read_line("-n -3"), KF__EXIT_USAGE));
    cr_assert(eq(int, read_line("--end=yes"), KF__EXIT_USAGE));
}

Test(options, refuse_an_unknown_key)
{
    cr_assert(eq(int, read_line("-X fetch.min.byte=1"), KF__EXIT_USAGE));
    stderr_is("kf test: unknown key \"fetch.min.byte\": did you mean \"fetch.min.bytes\"? "
              "(CONFIG)\n");
}
