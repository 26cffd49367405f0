/* exec: see exec.h. */
#include "tools/kf/exec.h"

#include "tools/kf/lines.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    ANSWER_BYTES = 4096, /* an answer is one line of less */
    BACKOFF_MS = 100,    /* before a program is started again, doubled each time */
    BACKOFF_MAX_MS = 10000,
    KILL_AFTER_MS = 2000, /* from SIGTERM to SIGKILL */
    TICK_MS = 20,
    OWN_VARIABLES = 3,
};

/* A process and our ends of its pipes; pid -1: none. */
struct process {
    pid_t pid;
    int in;
    int out;
};

/* One that is to end. */
struct ending {
    struct ending *next;
    pid_t pid;
    kf_time term_at; /* KF_FOREVER: SIGTERM was sent */
    kf_time kill_at;
};

struct program {
    struct program *next;
    char *topic;
    int32_t partition;
    bool busy;   /* a handler runs; guarded by the lock */
    bool let_go; /* … and is to dispose of it: the partition went meanwhile */
    struct process process;
    kf_writer line;
    char answer[ANSWER_BYTES];
    size_t answer_size; /* read and not yet used */
    int failures;       /* starts without an answer since, in a row */
    kf_time not_before;
};

struct kf__exec {
    const char *command;
    const char *group;
    kf_time patience;
    pthread_mutex_t lock; /* the lists */
    struct program *programs;
    struct ending *endings;
};

/* Pipes are made and inherited under one lock, so that no program gets another one's. */
static pthread_mutex_t spawning = PTHREAD_MUTEX_INITIALIZER;

struct kf__exec *kf__exec_new(const char *command, const char *group, kf_time patience)
{
    struct kf__exec *exec = calloc(1, sizeof *exec);
    if (!exec)
        return NULL;
    exec->command = command;
    exec->group = group;
    exec->patience = patience;
    pthread_mutex_init(&exec->lock, NULL);
    return exec;
}

/* ---- ending ---- */

/* To the program and what it started. */
static void send_signal(pid_t pid, int number)
{
    if (kill(-pid, number))
        kill(pid, number);
}

static void close_pipes(struct process *process)
{
    if (process->in >= 0)
        close(process->in);
    if (process->out >= 0)
        close(process->out);
    process->in = process->out = -1;
}

/* Its pipes are closed; it may take its time, or gets SIGTERM at once. */
static void end_process(struct kf__exec *exec, struct process *process, bool at_once)
{
    if (process->pid < 0)
        return;
    close_pipes(process);
    kf_time now = kf_now();
    struct ending *ending = malloc(sizeof *ending);
    if (ending) {
        kf_time term_at = at_once ? now : now + exec->patience;
        *ending = (struct ending){
            .pid = process->pid,
            .term_at = term_at,
            .kill_at = term_at + KILL_AFTER_MS * KF_MILLISECOND,
        };
        pthread_mutex_lock(&exec->lock);
        ending->next = exec->endings;
        exec->endings = ending;
        pthread_mutex_unlock(&exec->lock);
    } else {
        send_signal(process->pid, SIGKILL);
    }
    process->pid = -1;
}

/* True when it is gone. */
static bool press(struct ending *ending, kf_time now)
{
    int status;
    if (waitpid(ending->pid, &status, WNOHANG) != 0)
        return true;
    if (now >= ending->kill_at) {
        send_signal(ending->pid, SIGKILL);
        ending->kill_at = KF_FOREVER;
    } else if (now >= ending->term_at) {
        send_signal(ending->pid, SIGTERM);
        ending->term_at = KF_FOREVER;
    }
    return false;
}

void kf__exec_tick(struct kf__exec *exec)
{
    kf_time now = kf_now();
    pthread_mutex_lock(&exec->lock);
    for (struct ending **at = &exec->endings; *at;) {
        struct ending *ending = *at;
        if (press(ending, now)) {
            *at = ending->next;
            free(ending);
        } else {
            at = &ending->next;
        }
    }
    pthread_mutex_unlock(&exec->lock);
}

static void dispose(struct kf__exec *exec, struct program *program)
{
    end_process(exec, &program->process, false);
    kf_writer_free(&program->line);
    free(program->topic);
    free(program);
}

void kf__exec_free(struct kf__exec *exec)
{
    if (!exec)
        return;
    while (exec->programs) {
        struct program *program = exec->programs;
        exec->programs = program->next;
        dispose(exec, program);
    }
    while (exec->endings) {
        kf__exec_tick(exec);
        if (exec->endings)
            kf_sleep(TICK_MS * KF_MILLISECOND);
    }
    pthread_mutex_destroy(&exec->lock);
    free(exec);
}

/* ---- starting ---- */

/* The environment with our variables; the array and the first three strings are the caller's. */
static char **make_environment(const struct kf__exec *exec, const struct program *program)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **variables = calloc(count + OWN_VARIABLES + 1, sizeof *variables);
    if (!variables)
        return NULL;
    size_t size = strlen(program->topic) + strlen(exec->group) + 32;
    for (int i = 0; i < OWN_VARIABLES; i++) {
        variables[i] = malloc(size);
        if (!variables[i])
            return variables;
    }
    snprintf(variables[0], size, "KF_TOPIC=%s", program->topic);
    snprintf(variables[1], size, "KF_PARTITION=%d", (int)program->partition);
    snprintf(variables[2], size, "KF_GROUP=%s", exec->group);
    size_t used = OWN_VARIABLES;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "KF_TOPIC=", 9) != 0 && strncmp(environ[i], "KF_GROUP=", 9) != 0 &&
            strncmp(environ[i], "KF_PARTITION=", 13) != 0)
            variables[used++] = environ[i];
    return variables;
}

static void free_environment(char **variables)
{
    for (int i = 0; variables && i < OWN_VARIABLES; i++)
        free(variables[i]);
    free(variables);
}

/* Of a group of its own, so that the terminal's Ctrl-C reaches it through us; no signal blocked. */
static void set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                 POSIX_SPAWN_SETPGROUP));
}

static int spawn_shell(const char *command, char **variables, int in, int out, pid_t *pid)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    set_attributes(&attributes);
    int failed = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, variables);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool make_pipes(int pipes[4])
{
    for (int i = 0; i < 4; i++)
        pipes[i] = -1;
    if (pipe(pipes) || pipe(pipes + 2))
        return false;
    for (int i = 0; i < 4; i++)
        if (fcntl(pipes[i], F_SETFD, FD_CLOEXEC) < 0)
            return false;
    return fcntl(pipes[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(pipes[2], F_SETFL, O_NONBLOCK) == 0;
}

/* Pipes: 0 the program reads, 1 we write; 2 we read, 3 the program writes. */
static bool start(const struct kf__exec *exec, struct program *program)
{
    int pipes[4];
    pid_t pid = -1;
    char **variables = make_environment(exec, program);
    pthread_mutex_lock(&spawning);
    bool good = variables && variables[OWN_VARIABLES - 1] && make_pipes(pipes) &&
                spawn_shell(exec->command, variables, pipes[0], pipes[3], &pid) == 0;
    if (variables && variables[OWN_VARIABLES - 1])
        for (int i = 0; i < 4; i++)
            if (pipes[i] >= 0 && (!good || i == 0 || i == 3))
                close(pipes[i]);
    pthread_mutex_unlock(&spawning);
    free_environment(variables);
    program->answer_size = 0;
    if (good)
        program->process = (struct process){pid, pipes[1], pipes[2]};
    return good;
}

static void note_failure(struct kf__exec *exec, struct program *program)
{
    kf_time wait = BACKOFF_MS;
    for (int i = 0; i < program->failures && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    program->failures++;
    program->not_before =
        kf_now() + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS) * KF_MILLISECOND;
    end_process(exec, &program->process, true);
}

/* ---- which program ---- */

static struct program *new_program(const kf_message *message)
{
    struct program *program = calloc(1, sizeof *program);
    if (!program)
        return NULL;
    program->topic = strdup(message->topic);
    if (!program->topic) {
        free(program);
        return NULL;
    }
    program->partition = message->partition;
    program->process = (struct process){-1, -1, -1};
    kf_writer_init(&program->line, &kf_default_allocator);
    return program;
}

static struct program **place_of(struct kf__exec *exec, const char *topic, int32_t partition)
{
    struct program **at = &exec->programs;
    while (*at && ((*at)->partition != partition || strcmp((*at)->topic, topic) != 0))
        at = &(*at)->next;
    return at;
}

/* Until put_back. One handler of a partition runs at a time. */
static struct program *take_out(struct kf__exec *exec, const kf_message *message)
{
    pthread_mutex_lock(&exec->lock);
    struct program **at = place_of(exec, message->topic, message->partition);
    if (!*at)
        *at = new_program(message);
    struct program *program = *at;
    if (program)
        program->busy = true;
    pthread_mutex_unlock(&exec->lock);
    return program;
}

static void put_back(struct kf__exec *exec, struct program *program)
{
    pthread_mutex_lock(&exec->lock);
    program->busy = false;
    bool let_go = program->let_go;
    pthread_mutex_unlock(&exec->lock);
    if (let_go)
        dispose(exec, program);
}

void kf__exec_let_go(struct kf__exec *exec, const char *topic, int32_t partition)
{
    pthread_mutex_lock(&exec->lock);
    struct program **at = place_of(exec, topic, partition);
    struct program *program = *at;
    if (program) {
        *at = program->next;
        program->let_go = true;
    }
    /* A partition that was lost may have a handler running still: that one disposes of it. */
    bool idle = program && !program->busy;
    pthread_mutex_unlock(&exec->lock);
    if (idle)
        dispose(exec, program);
}

/* ---- one record ---- */

/*
 * errno must not be looked at after the fiber has moved to another thread,
 * and a compiler may keep its address: hence calls that it can't look into.
 */
static ssize_t write_some(int fd, const void *bytes, size_t size)
{
    ssize_t wrote = write(fd, bytes, size);
    return wrote < 0 ? -errno : wrote;
}

static ssize_t read_some(int fd, void *bytes, size_t size)
{
    ssize_t got = read(fd, bytes, size);
    return got < 0 ? -errno : got;
}

static ssize_t (*volatile try_write)(int, const void *, size_t) = write_some;
static ssize_t (*volatile try_read)(int, void *, size_t) = read_some;

static bool is_later(ssize_t result) { return result == -EAGAIN || result == -EINTR; }

static kf_err send_line(const struct program *program)
{
    size_t sent = 0;
    while (sent < program->line.used) {
        ssize_t wrote =
            try_write(program->process.in, program->line.bytes + sent, program->line.used - sent);
        if (wrote < 0 && !is_later(wrote))
            return KF_ERR_HANDLER_FAILED;
        kf_err err = wrote < 0 ? kf_wait_fd(program->process.in, KF_WAIT_WRITE, KF_FOREVER) : KF_OK;
        if (err)
            return err;
        sent += wrote > 0 ? (size_t)wrote : 0;
    }
    return KF_OK;
}

/* Until a whole line has come; *size without its newline, which becomes a NUL. */
static kf_err receive_line(struct program *program, size_t *size)
{
    for (;;) {
        char *newline = memchr(program->answer, '\n', program->answer_size);
        if (newline) {
            *newline = '\0';
            *size = (size_t)(newline - program->answer);
            return KF_OK;
        }
        size_t room = sizeof program->answer - program->answer_size;
        if (room == 0)
            return KF_ERR_HANDLER_FAILED;
        ssize_t got = try_read(program->process.out, program->answer + program->answer_size, room);
        if (got == 0 || (got < 0 && !is_later(got)))
            return KF_ERR_HANDLER_FAILED;
        kf_err err = got < 0 ? kf_wait_fd(program->process.out, KF_WAIT_READ, KF_FOREVER) : KF_OK;
        if (err)
            return err;
        program->answer_size += got > 0 ? (size_t)got : 0;
    }
}

static kf_verdict judge(struct kf__exec *exec, struct program *program, const kf_message *message,
                        size_t size)
{
    const char *answer = program->answer;
    bool ok = strcmp(answer, "ok") == 0;
    bool fails = strcmp(answer, "fail") == 0 || strncmp(answer, "fail ", 5) == 0;
    kf_verdict verdict = KF_HANDLED;
    if (fails)
        verdict = kf_fail(message, "%s", answer[4] ? answer + 5 : "the program said fail");
    else if (!ok)
        verdict = kf_fail(message, "the program answered \"%.80s\", not ok or fail", answer);
    program->answer_size -= size + 1;
    memmove(program->answer, answer + size + 1, program->answer_size);
    if (ok || fails)
        program->failures = 0;
    else
        note_failure(exec, program);
    return verdict;
}

/* One that ended while it had nothing to do has failed no record. */
static void notice_end(struct kf__exec *exec, struct program *program)
{
    int status;
    if (program->process.pid < 0 || waitpid(program->process.pid, &status, WNOHANG) == 0)
        return;
    close_pipes(&program->process);
    program->process.pid = -1;
    note_failure(exec, program);
}

static kf_err make_ready(struct kf__exec *exec, struct program *program)
{
    notice_end(exec, program);
    if (program->answer_size > 0)
        return KF_ERR_HANDLER_FAILED;
    if (program->process.pid >= 0)
        return KF_OK;
    kf_time now = kf_now();
    kf_err err = program->not_before > now ? kf_sleep(program->not_before - now) : KF_OK;
    if (err)
        return err;
    return start(exec, program) ? KF_OK : KF_ERR_SYSTEM;
}

static kf_verdict fail(struct kf__exec *exec, struct program *program, const kf_message *message,
                       kf_err err)
{
    note_failure(exec, program);
    program->answer_size = 0;
    if (err == KF_ERR_CANCELLED)
        return kf_fail(message, "the program had no time left");
    if (err == KF_ERR_SYSTEM)
        return kf_fail(message, "the program could not be started");
    return kf_fail(message, "the program ended, or wrote what was not asked for");
}

kf_verdict kf__exec_handle(struct kf__exec *exec, const kf_message *message)
{
    struct program *program = take_out(exec, message);
    if (!program)
        return kf_fail(message, "no memory for a program");
    kf_writer_reset(&program->line);
    kf__line_json(&program->line, message);
    kf_writer_put(&program->line, "\n", 1);
    size_t size = 0;
    kf_err err = program->line.err;
    if (!err)
        err = make_ready(exec, program);
    if (!err)
        err = send_line(program);
    if (!err)
        err = receive_line(program, &size);
    kf_verdict verdict =
        err ? fail(exec, program, message, err) : judge(exec, program, message, size);
    put_back(exec, program);
    return verdict;
}
