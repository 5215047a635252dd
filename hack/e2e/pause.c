/* What keeps a Pod's sandbox alive, and a tenant's container to exec into: there is no registry to pull one from. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

int main(int count, char **words) {
    if (count > 1) return puts(words[1]) < 0;
    /* PID 1 ignores what it has no handler for. */
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) pause();
}
