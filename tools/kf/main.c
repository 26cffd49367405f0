/* main: finds the verb and hands over. */
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
};

static const struct verb verbs[] = {
#define KF_VERB(name, function, text) {name, function, text},
#include "tools/kf/verbs.def"
#undef KF_VERB
};

enum {
    VERBS = sizeof verbs / sizeof *verbs
};

static void print_usage(FILE *stream)
{
    fprintf(stream, "usage: kf VERB [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(stream, "  %-14s %s\n", verbs[i].name, verbs[i].text);
    fprintf(stream, "\nkf VERB --help says more about a verb.\n");
}

/* A verb that has something to finish installs its own. */
static void die(int number) { _exit(KF__EXIT_SIGNAL + number); }

static void set_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL); /* a write that fails says so */
    action.sa_handler = die;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/*
 * Where one of the three is closed, the next socket would get its number, and be read or written
 * for it. What stands there instead is opened the wrong way round: its use is an error as before.
 */
static void keep_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) {
            int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
            (void)opened; /* the lowest number free: `fd` */
        }
}

static int unknown_verb(const char *name)
{
    const char *names[VERBS];
    for (size_t i = 0; i < VERBS; i++)
        names[i] = verbs[i].name;
    const char *nearest = kf__nearest(name, names, VERBS);
    fprintf(stderr, "kf: there is no verb \"%s\"", name);
    if (nearest)
        fprintf(stderr, ": did you mean %s?", nearest);
    fprintf(stderr, "; kf --help lists them\n");
    return KF__EXIT_USAGE;
}

int main(int argc, char **argv)
{
    keep_streams();
    if (argc < 2) {
        print_usage(stderr);
        return KF__EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return KF__EXIT_DONE;
    }
    set_signals();
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return unknown_verb(argv[1]);
}
